//! Published ports: what people write, and the port of the host that it becomes.
//!
//! In: `127.0.0.1:8000-8010:80/tcp`, or the same as a [`Publish`]. Out: [`Published`] ports, each
//! held by a bound socket ([`Reservation`]) as long as the container lives. The socket never
//! listens: the firewall sends the packets to the container before they reach it. It makes the
//! kernel refuse the port to everybody else, of this lighter or not, and names a free one.
//! Read next: `endpoint.rs`. docker-run(1), `--publish`.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

/// A transport protocol.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

/// A wish to reach a port of the container through the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// The port inside.
    pub container_port: u16,
    /// Its protocol.
    #[serde(default)]
    pub protocol: Protocol,
    /// The address of the host it is reached by; every one when absent.
    #[serde(default)]
    pub host_ip: Option<IpAddr>,
    /// The port of the host, a first and a last from which the first free one is taken; any free
    /// one when absent.
    #[serde(default)]
    pub host_ports: Option<(u16, u16)>,
}

/// A published port as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The port inside.
    pub container_port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The address of the host it is reached by; `0.0.0.0` or `::` for every one of the family.
    pub host_ip: IpAddr,
    /// The port of the host.
    pub host_port: u16,
}

/// The sockets that keep published ports from everybody else. Dropping it gives the ports back.
#[derive(Debug, Default)]
pub struct Reservation {
    /// One bound socket for each port.
    pub sockets: Vec<OwnedFd>,
}
