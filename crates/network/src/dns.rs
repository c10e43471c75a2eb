//! The name server that a container finds at 127.0.0.11.
//!
//! It has no thread and no process of its own: whoever lives as long as the container (its monitor)
//! polls [`Server::as_fd`] and calls [`Server::handle`] when it is readable. Names come from the
//! leases on disk; whatever they do not know goes as raw bytes to the host's own name servers.
//! Read next: RFC 1035, RFC 6891 (sizes), RFC 7766 (TCP).

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use kernel::nft::{Chain, Family, Field, Hook, Rule, Table, Term, Value};

use crate::{Error, Networks, Protocol};

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

/// Where containers find the server.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// The port it listens on. Not 53: a container may run a name server of its own on every address.
const PORT: u16 = 15353;

/// The table inside the container that leads port 53 of 127.0.0.11 to the server.
pub(crate) fn redirect() -> Table {
    let rule = |protocol: Protocol| Rule {
        terms: vec![
            Term::Family(Family::Ip4),
            Term::Is {
                field: Field::Destination4,
                value: Value::Address(ADDRESS.into()),
                not: false,
            },
            Term::TransportIs(protocol.number()),
            Term::Is {
                field: Field::DestinationPort,
                value: Value::Port(53),
                not: false,
            },
            Term::TranslateTo(ADDRESS.into(), PORT),
        ],
        comment: "lighter answers names".into(),
    };
    Table {
        name: "lighter-dns".into(),
        sets: Vec::new(),
        chains: vec![Chain {
            name: "output".into(),
            hook: Hook::Output,
            priority: -100,
            nat: true,
            rules: vec![rule(Protocol::Udp), rule(Protocol::Tcp)],
        }],
    }
}
