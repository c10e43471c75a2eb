//! The firewall table: which packets reach a container, and whose address they carry.
//!
//! In: networks and endpoints. Out: the one [`Table`](kernel::nft::Table) of this lighter, and the
//! elements that a network and a container add to its sets. Also [`Watch`], which notices when
//! somebody else deletes the table (`nft flush ruleset`, a firewall reload).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::Error;

/// Notices that the table may be gone. Poll it with [`Watch::as_fd`]; when it is readable, call
/// [`Watch::take`] and, if that says so, [`crate::Networks::reapply`].
pub struct Watch {
    socket: OwnedFd,
}

impl Watch {
    /// Starts to watch the calling thread's network namespace.
    pub fn open() -> Result<Watch, Error> {
        Err(Error::Invalid("not written yet".into()))
    }

    /// Reads what happened; true when rules or tables were deleted since the last call.
    pub fn take(&mut self) -> bool {
        false
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
