//! What can go wrong, with what was attempted and on which network, address or port.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use kernel::netlink::Cidr;

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such network.
    #[error("network {0} not found (`lighter network ls` lists them)")]
    NotFound(String),
    /// A network of this name exists.
    #[error("network with name {0} already exists")]
    Exists(String),
    /// A name that is none.
    #[error(
        "invalid network name \"{0}\": it must start with a letter or digit, and may go on with those, \"_\", \".\" and \"-\""
    )]
    BadName(String),
    /// `bridge`, `host` and `none` stay.
    #[error("{0} is a pre-defined network and cannot be removed")]
    Predefined(String),
    /// Containers are on it.
    #[error("network {network} is in use by {}", .containers.join(", "))]
    InUse {
        /// The network.
        network: String,
        /// The names of the containers.
        containers: Vec<String>,
    },
    /// A value of `network create` or of a wish that cannot be.
    #[error("{0}")]
    Invalid(String),
    /// A subnet overlaps with something else.
    #[error("subnet {subnet} overlaps with {with}")]
    Overlap {
        /// The subnet.
        subnet: Cidr,
        /// What it overlaps with.
        with: String,
    },
    /// Every subnet of the pools is in use.
    #[error(
        "no free subnet: every one of the pools overlaps with a route of this host or with another network"
    )]
    PoolsExhausted,
    /// Every address of the network is leased.
    #[error("no free address in {subnet} of network {network}")]
    AddressesExhausted {
        /// The network.
        network: String,
        /// Its subnet.
        subnet: Cidr,
    },
    /// The wanted address belongs to another container.
    #[error("address {address} of network {network} is in use by container {holder}")]
    AddressInUse {
        /// The network.
        network: String,
        /// The address.
        address: IpAddr,
        /// The container's id.
        holder: String,
    },
    /// Somebody else has the port.
    #[error("port {port} of the host is in use{}", .holder.as_ref().map(|who| format!(" by {who}")).unwrap_or_default())]
    PortInUse {
        /// `ADDRESS:PORT/PROTOCOL`.
        port: String,
        /// Who has it, when that can be known.
        holder: Option<String>,
    },
    /// A file of ours.
    #[error("{what} {}", .path.display())]
    File {
        /// What was attempted.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The error.
        #[source]
        source: io::Error,
    },
    /// A file of ours that is not what we wrote.
    #[error("{} is not valid", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The kernel said no.
    #[error("{what}")]
    Kernel {
        /// What was attempted.
        what: String,
        /// Its answer.
        #[source]
        source: kernel::netlink::Error,
    },
    /// A step of making a network or of taking it down.
    #[error("cannot change network {network}")]
    Steps {
        /// The network.
        network: String,
        /// Which step, and why.
        #[source]
        source: kernel::Error,
    },
    /// A call outside of all these.
    #[error("{what}")]
    Call {
        /// What was attempted.
        what: String,
        /// The error.
        #[source]
        source: io::Error,
    },
}
