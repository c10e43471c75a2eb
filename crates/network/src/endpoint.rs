//! A container's place in a network: its addresses, its cable, its ports, its names.
//!
//! In: a [`Network`](crate::Network) and a [`Wish`]. Out: an [`Endpoint`], which is what lies on
//! disk as the lease, and the [`Step`]s that make it and take it down: both pure functions.
//! Read next: `firewall.rs`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kernel::Step;
use kernel::netlink::{Cidr, Mac};
use serde::{Deserialize, Serialize};

use crate::port::{Publish, Published, Reservation};

/// What a container wants of one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Name or id of the network.
    pub network: String,
    /// Names by which others on the network find it: its name, aliases, its service. The short id
    /// is added by itself.
    pub names: Vec<String>,
    /// A fixed IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// A fixed IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// A fixed hardware address.
    pub mac: Option<Mac>,
    /// The interface's name inside; `ethN` when absent.
    pub interface: Option<String>,
    /// The network with the highest number (the first of them) gives the default route.
    pub gateway_priority: i32,
}

/// A container's place in one network. On disk it is the lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The container's id.
    pub container: String,
    /// The network's name.
    pub network: String,
    /// The network's id.
    pub network_id: String,
    /// Its id: 64 hexadecimal digits.
    pub id: String,
    /// The interface's name inside.
    pub interface: String,
    /// The name of the cable's end on the host.
    pub host_interface: String,
    /// The hardware address inside.
    pub mac: Mac,
    /// The IPv4 address and its network.
    pub ipv4: Option<Cidr>,
    /// The IPv6 address and its network.
    pub ipv6: Option<Cidr>,
    /// The gateways, when this endpoint has the container's default route.
    pub gateways: Vec<IpAddr>,
    /// Published ports: only on the endpoint with the default route.
    pub ports: Vec<Published>,
    /// Names by which others on the network find it.
    pub names: Vec<String>,
}

/// All endpoints of one container.
#[derive(Debug)]
pub struct Attached {
    /// One for each network, in the order of the wishes.
    pub endpoints: Vec<Endpoint>,
    /// The sockets that keep the published ports. Whoever lives as long as the container holds it.
    pub reservation: Reservation,
}

impl Attached {
    /// The steps that make all of it true, to be played after the container's clone.
    pub fn steps(&self) -> Vec<Step> {
        Vec::new()
    }

    /// The published ports.
    pub fn ports(&self) -> Vec<Published> {
        self.endpoints
            .iter()
            .flat_map(|endpoint| endpoint.ports.clone())
            .collect()
    }
}

/// The steps of a container with no network but its own loopback.
pub fn loopback() -> Vec<Step> {
    let up = kernel::Op::LinkUp { name: "lo".into() };
    vec![Step::container(
        up,
        "programs talk to themselves over 127.0.0.1",
    )]
}

/// Wishes for ports, for [`crate::Networks::attach`].
pub type Ports<'a> = &'a [Publish];
