//! The baton: what the two players of a script say to each other.
//!
//! A pair of `SOCK_SEQPACKET` sockets, one message a packet. The socket closes
//! when a process ends or executes a program, and so says that too. unix(7).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, Result};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::error::Failure;
use crate::play::Child;

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// To the child: your turn.
    Go,
    /// From the child: this was my last step for now.
    Done(usize),
    /// From the child: I wait for the start.
    Ready,
    /// From the child: the program comes next.
    Executing,
    /// From the child: take my seccomp descriptor of this number, then say go.
    Listening(i32),
    /// From the child: this step failed.
    Failed {
        /// The step.
        index: usize,
        /// Why.
        failure: Failure,
    },
    /// From the child to who said start and has no script: a last step failed.
    Refused {
        /// The step is the start of the user's program itself.
        program: bool,
        /// Why, with the words for the step as its note.
        failure: Failure,
    },
}

/// One end.
#[derive(Debug)]
pub(crate) struct Baton(OwnedFd);

const LONGEST: usize = 1024;

impl Baton {
    pub(crate) fn pair() -> Result<(Baton, Baton)> {
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let (one, other) = rustix::net::socketpair(family, kind, SocketFlags::CLOEXEC, None)?;
        Ok((Baton(one), Baton(other)))
    }

    /// Wait for a connection on a listening socket, and listen no more.
    pub(crate) fn accept(listener: BorrowedFd<'_>) -> Result<Baton> {
        let accept = || rustix::net::accept_with(listener, SocketFlags::CLOEXEC);
        rustix::io::retry_on_intr(accept).map(Baton)
    }

    pub(crate) fn try_clone(&self) -> Result<Baton> {
        rustix::io::fcntl_dupfd_cloexec(&self.0, 0).map(Baton)
    }

    pub(crate) fn send(&self, message: &Message) -> Result<()> {
        let bytes = encode(message);
        rustix::io::retry_on_intr(|| rustix::net::send(&self.0, &bytes, SendFlags::NOSIGNAL))?;
        Ok(())
    }

    /// The next message, or nothing when the other end is closed.
    pub(crate) fn receive(&self) -> Result<Option<Message>> {
        let mut bytes = [0; LONGEST];
        let receive = || rustix::net::recv(&self.0, &mut bytes[..], RecvFlags::empty());
        let (_, length) = match rustix::io::retry_on_intr(receive) {
            Err(Errno::CONNRESET) => return Ok(None),
            other => other?,
        };
        match bytes.get(..length) {
            None | Some([]) => Ok(None),
            Some(bytes) => decode(bytes).map(Some).ok_or(Errno::BADMSG),
        }
    }

    /// Wait for the turn. When the other process is gone there is nothing left to do.
    pub(crate) fn wait_for_go(&self) -> Result<()> {
        match self.receive()? {
            Some(Message::Go) => Ok(()),
            _ => Err(Errno::PIPE),
        }
    }

    /// From an intermediate process: the pid and the pidfd of the child.
    pub(crate) fn send_child(&self, pid: i32, pidfd: BorrowedFd<'_>) -> Result<()> {
        crate::tty::send(self.0.as_fd(), pidfd, &encode(&Message::Listening(pid)))
    }

    /// What [`Baton::send_child`] sent, or the failure that came instead.
    pub(crate) fn receive_child(&self) -> std::result::Result<Child, Failure> {
        let mut bytes = [0; LONGEST];
        let flags = RecvFlags::PEEK;
        let peek = || rustix::net::recv(&self.0, &mut bytes[..], flags);
        let (_, length) = rustix::io::retry_on_intr(peek)?;
        match bytes.get(..length).and_then(decode) {
            Some(Message::Listening(pid)) => {
                let pidfd = crate::tty::receive(self.0.as_fd())?.ok_or(Errno::CHILD)?;
                Ok(Child { pid, pidfd })
            }
            Some(Message::Failed { failure, .. }) => Err(failure),
            _ => Err(Errno::CHILD.into()),
        }
    }
}

impl From<OwnedFd> for Baton {
    fn from(socket: OwnedFd) -> Baton {
        Baton(socket)
    }
}

/// A letter, two numbers, and the rest is a note.
fn encode(message: &Message) -> Vec<u8> {
    let (letter, index, errno, note) = match message {
        Message::Go => (b'g', 0, 0, ""),
        Message::Done(index) => (b'd', *index, 0, ""),
        Message::Ready => (b'r', 0, 0, ""),
        Message::Executing => (b'x', 0, 0, ""),
        Message::Listening(number) => (b'l', 0, *number, ""),
        Message::Failed { index, failure } => (b'f', *index, failure.errno, failure.note.as_str()),
        Message::Refused { program, failure } => (
            b's',
            usize::from(*program),
            failure.errno,
            failure.note.as_str(),
        ),
    };
    let mut bytes = vec![letter];
    bytes.extend_from_slice(&(index as u32).to_ne_bytes());
    bytes.extend_from_slice(&errno.to_ne_bytes());
    let note = note.as_bytes();
    bytes.extend_from_slice(&note[..note.len().min(LONGEST - bytes.len())]);
    bytes
}

fn decode(bytes: &[u8]) -> Option<Message> {
    let index = u32::from_ne_bytes(bytes.get(1..5)?.try_into().ok()?) as usize;
    let errno = i32::from_ne_bytes(bytes.get(5..9)?.try_into().ok()?);
    Some(match bytes.first()? {
        b'g' => Message::Go,
        b'd' => Message::Done(index),
        b'r' => Message::Ready,
        b'x' => Message::Executing,
        b'l' => Message::Listening(errno),
        letter @ (b'f' | b's') => {
            let note = String::from_utf8_lossy(bytes.get(9..)?).into_owned();
            let failure = Failure { errno, note };
            match letter {
                b'f' => Message::Failed { index, failure },
                _ => Message::Refused {
                    program: index == 1,
                    failure,
                },
            }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_way() {
        let (one, other) = Baton::pair().unwrap();
        let failure = Failure {
            errno: 2,
            note: "no such layer".into(),
        };
        let messages = [
            Message::Go,
            Message::Done(7),
            Message::Ready,
            Message::Executing,
            Message::Listening(9),
            Message::Failed {
                index: 3,
                failure: failure.clone(),
            },
            Message::Refused {
                program: true,
                failure,
            },
        ];
        for message in messages {
            one.send(&message).unwrap();
            assert_eq!(other.receive().unwrap(), Some(message));
        }
        drop(one);
        assert_eq!(other.receive().unwrap(), None);
    }

    #[test]
    fn a_long_note_is_cut() {
        let (one, other) = Baton::pair().unwrap();
        let failure = Failure {
            errno: 1,
            note: "x".repeat(5000),
        };
        one.send(&Message::Failed { index: 0, failure }).unwrap();
        assert!(matches!(
            other.receive().unwrap(),
            Some(Message::Failed { .. })
        ));
    }
}
