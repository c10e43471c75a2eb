//! The name server that a container finds at 127.0.0.11.
//!
//! It has no thread and no process of its own: whoever lives as long as the container (its monitor)
//! polls [`Server::as_fd`] and calls [`Server::handle`] when it is readable. Names come from the
//! leases on disk; whatever they do not know goes as raw bytes to the host's own name servers.
//! Read next: RFC 1035, RFC 6891 (sizes), RFC 7766 (TCP).

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::{Error, Networks};

/// What a server answers, and whom it asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Ids of the networks whose names it knows.
    pub networks: Vec<String>,
    /// Name servers for everything else; none when all its networks are internal.
    pub upstreams: Vec<IpAddr>,
}

/// The server of one container.
pub struct Server {
    poll: OwnedFd,
}

impl Server {
    /// Opens its sockets inside the container's network `namespace`, and the way to the upstreams
    /// in the caller's. The caller must be the only thread of its process.
    pub fn open(
        networks: &Networks,
        namespace: BorrowedFd<'_>,
        config: Config,
    ) -> Result<Server, Error> {
        let _ = (networks, namespace, config);
        Err(Error::Invalid("not written yet".into()))
    }

    /// Does what is to be done now, without waiting. Call when [`Server::as_fd`] is readable.
    pub fn handle(&mut self) {}
}

impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }
}
