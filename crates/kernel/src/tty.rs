//! Terminals: a new one inside the container, and the raw mode of the caller's. pty(7).
//!
//! The container's terminal is made in its own devpts, so that it has a name
//! there; its other end leaves the container as a descriptor over a socket.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Result;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::file::{self, Root};
use crate::op::Inside;

/// Both ends of a terminal.
#[derive(Debug)]
pub struct Terminal {
    /// The end that programs do not see.
    pub outer: OwnedFd,
    /// The end that is a program's standard streams.
    pub inner: OwnedFd,
}

/// Open a new terminal in the devpts that is mounted inside.
///
/// The multiplexer is opened under the root and checked to be one (character device 5:2); its
/// other end comes from the kernel by `TIOCGPTPEER`, not from a path that somebody may have swapped.
pub fn open(root: &Root, size: Option<(u16, u16)>) -> Result<Terminal> {
    let path = Inside::new("/dev/pts/ptmx");
    let outer = root.resolve(path.as_path(), OFlags::RDWR | OFlags::NOCTTY)?;
    if !file::is_character_device(&outer, 5, 2)? {
        return Err(rustix::io::Errno::NODEV);
    }
    rustix::pty::unlockpt(&outer)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let inner = rustix::pty::ioctl_tiocgptpeer(&outer, flags)?;
    if let Some((rows, columns)) = size {
        resize(outer.as_fd(), rows, columns)?;
    }
    Ok(Terminal { outer, inner })
}

/// Tell a terminal its size in characters.
pub fn resize(terminal: BorrowedFd<'_>, rows: u16, columns: u16) -> Result<()> {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(terminal, size)
}

/// Let `uid` own a terminal, so that the user's program can open it again by its name.
pub fn own(inner: BorrowedFd<'_>, uid: u32) -> Result<()> {
    rustix::fs::fchown(inner, Some(rustix::fs::Uid::from_raw(uid)), None)?;
    rustix::fs::fchmod(inner, Mode::from_raw_mode(0o620))
}

/// Make a terminal the controlling one of this session, and the standard streams.
pub fn control(inner: BorrowedFd<'_>) -> Result<()> {
    rustix::process::ioctl_tiocsctty(inner)?;
    streams(inner, inner, inner)
}

/// Make these the standard streams.
pub fn streams(input: BorrowedFd<'_>, output: BorrowedFd<'_>, error: BorrowedFd<'_>) -> Result<()> {
    rustix::stdio::dup2_stdin(input)?;
    rustix::stdio::dup2_stdout(output)?;
    rustix::stdio::dup2_stderr(error)
}

/// Two connected sockets, to hand a terminal from one process to another.
pub fn socket_pair() -> Result<(OwnedFd, OwnedFd)> {
    let (family, kind) = (
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
    );
    rustix::net::socketpair(family, kind, rustix::net::SocketFlags::CLOEXEC, None)
}

/// Send a descriptor over a socket with a message. unix(7), `SCM_RIGHTS`.
pub fn send(socket: BorrowedFd<'_>, descriptor: BorrowedFd<'_>, message: &[u8]) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let message = [IoSlice::new(message)];
    rustix::net::sendmsg(socket, &message, &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receive a descriptor that [`send`] sent; `None` when the message has none or there is no message.
pub fn receive(socket: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut message = [0; 4096];
    let mut message = [std::io::IoSliceMut::new(&mut message)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    rustix::net::recvmsg(socket, &mut message, &mut control, flags)?;
    let first = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok(first)
}
