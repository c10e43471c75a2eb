//! The one player of scripts.
//!
//! The creating process plays the Host steps, the process it clones plays the
//! Container steps, and a baton over a socket pair passes at each change of
//! side. The child reports only which step failed and with which errno.

use std::os::fd::OwnedFd;

use crate::error::Error;
use crate::script::Script;

/// Everything of the host that a script is played with but that is no part of it.
#[derive(Debug, Default)]
pub struct Playground {
    /// The standard streams of the container's program; `None` keeps the creator's.
    pub stdio: Option<[OwnedFd; 3]>,
    /// A connected socket on which the terminal's other end is sent (SCM_RIGHTS).
    pub console: Option<OwnedFd>,
    /// A listening socket on which [`crate::Op::AwaitStart`] waits for a connection.
    pub start: Option<OwnedFd>,
    /// Where trace events go.
    pub trace: Option<OwnedFd>,
    /// Kill this process and the child right before that step (fault tests).
    pub stop_at: Option<usize>,
}

/// The process that a script created.
#[derive(Debug)]
pub struct Child {
    /// Its pid on the host.
    pub pid: i32,
    /// Names the process even after its pid is used again.
    pub pidfd: OwnedFd,
}

/// Play a script up to its end, or up to [`crate::Op::AwaitStart`].
///
/// Must be called from a process with one thread.
pub fn play(script: &Script, playground: Playground) -> Result<Option<Child>, Error> {
    let _ = (script, playground);
    Err(Error::Vanished {
        how: "not written yet".into(),
    })
}
