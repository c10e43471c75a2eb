//! Puts a compiled seccomp filter on the calling process, and hands out its notify descriptor.
//!
//! In: a [`Seccomp`] that the runtime crate compiled from the profile. Out: the filter is in force
//! for this process and all it starts. With the `notify` action the kernel also gives a
//! descriptor; the creating process takes it ([`take_listener`]) and sends it to the agent
//! ([`send_listener`]), because the filter may already forbid the child to do so.
//!
//! seccomp(2); seccomp_unotify(2), since Linux 5.0; config-linux.md, Seccomp.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, sendmsg, socket_with,
};

use crate::op::{Instruction, Seccomp};

const SECCOMP_SET_MODE_FILTER: u32 = 1;
const SECCOMP_GET_ACTION_AVAIL: u32 = 2;
/// Make the notify descriptor.
const SECCOMP_FILTER_FLAG_NEW_LISTENER: u64 = 1 << 3;

/// `struct sock_fprog` of linux/filter.h.
#[repr(C)]
struct Program {
    length: u16,
    instructions: *const RawInstruction,
}

/// `struct sock_filter` of linux/filter.h.
#[repr(C)]
struct RawInstruction {
    code: u16,
    jump_true: u8,
    jump_false: u8,
    operand: u32,
}

impl From<&Instruction> for RawInstruction {
    fn from(from: &Instruction) -> Self {
        Self {
            code: from.code,
            jump_true: from.jt,
            jump_false: from.jf,
            operand: from.k,
        }
    }
}

/// Loads the filter into the calling thread; the descriptor when the filter has a listener.
///
/// # Errors
/// seccomp(2)'s: `EACCES` without `CAP_SYS_ADMIN` and without no_new_privs, `EINVAL` for a program
/// or flag that the kernel does not accept, `ENOSYS` without `CONFIG_SECCOMP_FILTER`.
pub fn load(seccomp: &Seccomp) -> io::Result<Option<OwnedFd>> {
    let instructions: Vec<RawInstruction> = seccomp.program.iter().map(Into::into).collect();
    let length = u16::try_from(instructions.len()).map_err(|_| rustix::io::Errno::TOOBIG)?;
    let program = Program {
        length,
        instructions: instructions.as_ptr(),
    };
    let listener = seccomp.listener.is_some();
    let flags = seccomp.flags
        | if listener {
            SECCOMP_FILTER_FLAG_NEW_LISTENER
        } else {
            0
        };
    // SAFETY: `program` points to `length` instructions laid out as `struct sock_filter`, alive
    // until the call returns; the kernel copies them.
    let result = unsafe {
        let program = std::ptr::from_ref(&program);
        libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program)
    };
    match result {
        error if error < 0 => Err(io::Error::last_os_error()),
        // SAFETY: with the flag NEW_LISTENER a success is a new descriptor that nobody else owns.
        fd if listener => Ok(Some(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })),
        _ => Ok(None),
    }
}

/// True if the kernel knows the action (`SECCOMP_RET_*`). seccomp(2), since Linux 4.14.
#[must_use]
pub fn is_available(action: u32) -> bool {
    // SAFETY: the kernel reads four bytes from a live local variable.
    let result = unsafe {
        let action = std::ptr::from_ref(&action);
        libc::syscall(libc::SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, action)
    };
    result == 0
}

/// Copies the descriptor number `fd` of another process into this one. pidfd_getfd(2), Linux 5.6.
///
/// # Errors
/// pidfd_getfd(2)'s.
pub fn take_listener(pidfd: impl AsFd, fd: RawFd) -> io::Result<OwnedFd> {
    let flags = rustix::process::PidfdGetfdFlags::empty();
    Ok(rustix::process::pidfd_getfd(pidfd, fd, flags)?)
}

/// Sends the notify descriptor and the *container process state* to the agent's socket.
///
/// # Errors
/// connect(2)'s and sendmsg(2)'s.
pub fn send_listener(path: &Path, process_state: &str, listener: &OwnedFd) -> io::Result<()> {
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    let fds = [listener.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let mut rest = process_state.as_bytes();
    while !rest.is_empty() {
        let sent = sendmsg(
            &socket,
            &[IoSlice::new(rest)],
            &mut control,
            SendFlags::NOSIGNAL,
        )?;
        control.clear();
        rest = &rest[sent..];
    }
    Ok(())
}
