//! Processes: cloning with all namespaces at once, waiting, identity, limits, and
//! the last steps before a program starts.
//!
//! Everything here acts on the calling process or a child of it. clone(2),
//! waitid(2), credentials(7), setrlimit(2). Read `program.rs` for execve itself.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::{Errno, Result};
use rustix::process::{
    DumpableBehavior, Gid, Pid, PidfdFlags, Resource, Rlimit, Signal, Uid, WaitId, WaitIdOptions,
};

use crate::error::Failure;
use crate::file::Root;
use crate::op::Inside;

/// `struct clone_args` of clone3(2).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_PIDFD: u64 = 0x1000;
const CLONE_PARENT: u64 = 0x8000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which of the two processes this is, after [`clone()`].
#[derive(Debug)]
pub enum Cloned {
    /// The new one.
    Child,
    /// The old one.
    Parent {
        /// The new one's pid.
        pid: i32,
        /// Names it even after its pid is used again.
        pidfd: OwnedFd,
    },
}

/// Create a process that goes on from here, as fork(2) does, in new namespaces.
///
/// `namespaces` are `CLONE_NEW*` flags; `cgroup` is an open directory of cgroup2; with `sibling`
/// the new process is a child of this one's parent. clone3(2), Linux 5.3 (`cgroup` 5.7).
///
/// # Errors
/// `ENOSPC` at a limit on namespaces, `EAGAIN` at a limit on processes, `EINVAL` when the kernel
/// lacks one of the namespaces, `EPERM`.
pub fn clone(namespaces: u64, cgroup: Option<BorrowedFd<'_>>, sibling: bool) -> Result<Cloned> {
    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs {
        flags: namespaces | CLONE_PIDFD,
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    if sibling {
        // A sibling's exit signal is its parent's to choose.
        args.flags |= CLONE_PARENT;
        args.exit_signal = 0;
    }
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    let size = size_of::<CloneArgs>();
    // SAFETY: `args` is live and says its size. Without CLONE_VM the child has a copy of this
    // memory; there is one thread, so no lock that another thread holds is copied with it.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, std::ptr::from_mut(&mut args), size) };
    match pid {
        -1 => Err(last_errno()),
        0 => Ok(Cloned::Child),
        pid => Ok(Cloned::Parent {
            pid: pid as i32,
            // SAFETY: on success with CLONE_PIDFD the kernel stored a new descriptor that nobody else owns.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        }),
    }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// End this process at once: no destructor, no handler, nothing flushed.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: never returns and touches no memory.
    unsafe { libc::_exit(code) }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this code.
    Exited(i32),
    /// This signal ended it.
    Killed(i32),
}

/// Wait for a child to end and reap it; without `block` only look.
pub fn wait(pidfd: BorrowedFd<'_>, block: bool) -> Result<Option<Ended>> {
    let mut options = WaitIdOptions::EXITED;
    options.set(WaitIdOptions::NOHANG, !block);
    let status =
        rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::PidFd(pidfd), options))?;
    Ok(status.map(
        |status| match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Ended::Exited(code),
            (None, signal) => Ended::Killed(signal.unwrap_or(0)),
        },
    ))
}

/// Kill a process and, if it is a child, reap it.
pub fn kill(pidfd: BorrowedFd<'_>) {
    let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
    let _ = wait(pidfd, true);
}

/// Send a signal, by number, to the process that a pidfd names.
pub fn signal(pidfd: BorrowedFd<'_>, number: i32) -> Result<()> {
    // SAFETY: three numbers and a null pointer, which stands for a signal as kill(2) sends it.
    let result = unsafe {
        let nothing = std::ptr::null::<libc::siginfo_t>();
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            number,
            nothing,
            0,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(last_errno())
    }
}

/// Open a process by pid, if it still is the one that started then.
///
/// `ESRCH` when it ended or the pid names another by now.
pub fn open(pid: i32, start_time: u64) -> Result<OwnedFd> {
    let number = Pid::from_raw(pid).ok_or(Errno::SRCH)?;
    let pidfd = rustix::process::pidfd_open(number, PidfdFlags::empty())?;
    // After opening: the descriptor and the number now mean the same process, or it has ended.
    match stat(pid) {
        Some(found) if found.start_time == start_time && !found.ended => Ok(pidfd),
        _ => Err(Errno::SRCH),
    }
}

/// What identifies a process, from proc_pid_stat(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Clock ticks since boot.
    pub start_time: u64,
    /// It is a zombie or dead.
    pub ended: bool,
}

/// Read what identifies a process; `None` when there is none.
pub fn stat(pid: i32) -> Option<Stat> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in brackets and may hold anything, brackets included.
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(text.get(end + 2..)?).ok()?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    let start_time = fields.nth(18)?.trim_end().parse().ok()?;
    Some(Stat {
        start_time,
        ended: matches!(state, "Z" | "X" | "x"),
    })
}

/// Keep other processes from reading or tracing this one until it executes a program.
pub fn hide() -> Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

/// Undo [`hide`]: a process in a user namespace may then write its own files in `/proc`.
pub fn show() -> Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable)
}

/// Become this user. Permitted capabilities stay, and are effective again afterwards.
pub fn set_user(uid: u32, gid: u32, groups: Option<&[u32]>) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_keep_capabilities(true)?;
    if let Some(groups) = groups {
        let groups: Vec<_> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
        rustix::thread::set_thread_groups(&groups)?;
    }
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    rustix::thread::set_keep_capabilities(false)?;
    crate::caps::restore_effective()
}

/// Become root of a new user namespace.
pub fn become_root() -> Result<()> {
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    match rustix::thread::set_thread_groups(&[]) {
        // setgroups(2) may be denied in the namespace; the groups then stay.
        Ok(()) | Err(Errno::PERM) => {}
        Err(other) => return Err(other),
    }
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}

/// Let the user own pipes and terminals that are its standard streams, so that it can open
/// `/dev/stdout`. Files of the host keep their owner.
pub fn own_streams(uid: u32) {
    for number in 0..3 {
        // SAFETY: only borrowed for these calls; a closed number gives EBADF.
        let stream = unsafe { BorrowedFd::borrow_raw(number) };
        let Ok(status) = rustix::fs::fstat(stream) else {
            continue;
        };
        let kind = rustix::fs::FileType::from_raw_mode(status.st_mode);
        if kind == rustix::fs::FileType::Fifo && status.st_uid != uid {
            // A user that the user namespace does not map cannot own: nothing is lost.
            let _ = rustix::fs::fchown(stream, Some(Uid::from_raw(uid)), None);
        }
    }
}

/// Limit a resource of a process, by its `RLIMIT_*` name; of this one without a pid. prlimit(2).
pub fn set_limit(
    pid: Option<i32>,
    name: &str,
    soft: u64,
    hard: u64,
) -> std::result::Result<(), Failure> {
    let resource = resource(name).ok_or_else(|| Failure {
        errno: libc::EINVAL,
        note: format!("there is no limit {name}"),
    })?;
    let limit = |value: u64| (value != u64::MAX).then_some(value);
    let wanted = Rlimit {
        current: limit(soft),
        maximum: limit(hard),
    };
    rustix::process::prlimit(pid.and_then(Pid::from_raw), resource, wanted)?;
    Ok(())
}

fn resource(name: &str) -> Option<Resource> {
    Some(match name.strip_prefix("RLIMIT_")? {
        "AS" => Resource::As,
        "CORE" => Resource::Core,
        "CPU" => Resource::Cpu,
        "DATA" => Resource::Data,
        "FSIZE" => Resource::Fsize,
        "LOCKS" => Resource::Locks,
        "MEMLOCK" => Resource::Memlock,
        "MSGQUEUE" => Resource::Msgqueue,
        "NICE" => Resource::Nice,
        "NOFILE" => Resource::Nofile,
        "NPROC" => Resource::Nproc,
        "RSS" => Resource::Rss,
        "RTPRIO" => Resource::Rtprio,
        "RTTIME" => Resource::Rttime,
        "SIGPENDING" => Resource::Sigpending,
        "STACK" => Resource::Stack,
        _ => return None,
    })
}

/// Start an empty session keyring. keyctl(2) `KEYCTL_JOIN_SESSION_KEYRING`.
pub fn new_keyring(name: &str) -> Result<()> {
    const JOIN_SESSION_KEYRING: i32 = 1;
    let name = CString::new(name).map_err(|_| Errno::INVAL)?;
    // SAFETY: a number and a C string that lives until the call returns.
    match unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name.as_ptr()) } {
        -1 => match last_errno() {
            // A kernel without CONFIG_KEYS has no keys to hide.
            Errno::NOSYS => Ok(()),
            other => Err(other),
        },
        _ => Ok(()),
    }
}

/// Set the execution domain. personality(2).
pub fn set_personality(persona: u64) -> std::io::Result<()> {
    // SAFETY: one number.
    match unsafe { libc::personality(persona) } {
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Enter a directory inside the root, and check that it is inside.
///
/// Links of procfs (`/proc/self/fd/7`) are not followed: they lead to whatever this process holds.
pub fn change_directory(root: &Root, path: &Inside) -> std::result::Result<(), Failure> {
    let directory = root.resolve(path.as_path(), OFlags::PATH | OFlags::DIRECTORY)?;
    rustix::process::fchdir(&directory)?;
    let here = rustix::process::getcwd(Vec::new())?;
    // getcwd(2): "(unreachable)" comes first when the directory is not below the root.
    if !here.as_bytes().starts_with(b"/") {
        let note = "the directory is outside of the container's root".to_string();
        return Err(Failure {
            errno: libc::ENOENT,
            note,
        });
    }
    Ok(())
}

/// Have every descriptor from `first` on closed by the next execve(2). Linux 5.11.
pub fn close_from(first: u32) -> Result<()> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: three numbers; only marks descriptors.
    match unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) } {
        0 => Ok(()),
        _ => match last_errno() {
            Errno::INVAL | Errno::NOSYS => close_from_slowly(first),
            other => Err(other),
        },
    }
}

fn close_from_slowly(first: u32) -> Result<()> {
    let entries = std::fs::read_dir(Path::new("/proc/self/fd")).map_err(|_| Errno::NOSYS)?;
    let names = entries.flatten().map(|entry| entry.file_name());
    let numbers: Vec<u32> = names
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect();
    for number in numbers.into_iter().filter(|number| *number >= first) {
        // SAFETY: only borrowed for this call; a closed number gives EBADF.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number as RawFd) };
        let _ = rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC);
    }
    Ok(())
}

/// Restore every signal's default action and let every signal in: both outlive execve(2).
///
/// By raw system calls: libc keeps signals 32 and 33 to itself and refuses to name them, but a
/// caller can have ignored them all the same. rt_sigaction(2), rt_sigprocmask(2).
pub fn reset_signals() {
    // The kernel's struct: handler, flags, restorer (not on every architecture), mask.
    let default = [0u64; 4];
    let none = 0u64;
    let size = size_of_val(&none);
    for number in 1..65 {
        // SAFETY: the struct is as large as the kernel's or larger, and all-zero is SIG_DFL.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, number, &default, 0, size) };
    }
    // SAFETY: the set is live and says its size; the old one is not asked for.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &none, 0, size) };
}

/// A pidfd of this process's own child or any process, unchecked.
pub fn pidfd(pid: i32) -> Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(Errno::SRCH)?;
    rustix::process::pidfd_open(pid, PidfdFlags::empty())
}

/// Is this descriptor readable within so many milliseconds? A pidfd is when its process ended.
pub fn readable_within(fd: impl AsFd, milliseconds: u64) -> Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec};
    let mut list = [PollFd::new(&fd, PollFlags::IN)];
    let time = Timespec {
        tv_sec: (milliseconds / 1000) as i64,
        tv_nsec: (milliseconds % 1000 * 1_000_000) as i64,
    };
    Ok(rustix::io::retry_on_intr(|| rustix::event::poll(&mut list, Some(&time)))? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named_by_pid_and_start_time() {
        let own = std::process::id() as i32;
        let stat = stat(own).unwrap();
        assert!(!stat.ended);
        assert!(open(own, stat.start_time).is_ok());
        assert_eq!(open(own, stat.start_time + 1).unwrap_err(), Errno::SRCH);
    }

    #[test]
    fn limits_have_names() {
        assert!(resource("RLIMIT_NOFILE").is_some());
        assert!(resource("RLIMIT_NOTHING").is_none());
    }
}
