//! A container's place in a network: its addresses, its cable, its ports, its names.
//!
//! In: a [`Network`] and a [`Wish`]. Out: an [`Endpoint`], which is what lies on disk as the lease,
//! and the [`Step`]s that make it and take it down: pure functions of the lease.
//! Read next: `bridge.rs` (the network's own steps), `firewall.rs`.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kernel::netlink::{Address, Cidr, Mac, Route, Veth};
use kernel::nft::{Nftables, Table};
use kernel::{Op, Step};
use serde::{Deserialize, Serialize};

use crate::instance::mac;
use crate::port::{Protocol, Published, Reservation};
use crate::{Network, bridge, dns, firewall};

/// What a container wants of one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Name or id of the network.
    pub network: String,
    /// Names by which others on the network find it: its name, aliases, its service. The short id
    /// is added by itself.
    pub names: Vec<String>,
    /// Names that only this container knows, each with the name on the network that it stands for.
    pub links: BTreeMap<String, String>,
    /// A fixed IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// A fixed IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// A fixed hardware address.
    pub mac: Option<Mac>,
    /// The interface's name inside; `ethN` when absent.
    pub interface: Option<String>,
    /// The addresses of its last run: it gets them again when they are free.
    pub last: Vec<IpAddr>,
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
    /// Its own id: 64 hexadecimal digits.
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
    /// Names that only this container knows, each with the name on the network that it stands for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, String>,
}

impl Endpoint {
    /// Its addresses, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = Cidr> {
        self.ipv4.into_iter().chain(self.ipv6)
    }

    /// Takes down what only this endpoint needed. Nothing there is no error.
    pub fn undo(&self, table: &str) -> Vec<Step> {
        let mut steps = Vec::new();
        let elements = firewall::endpoint_elements(self);
        if !elements.is_empty() {
            let remove = Op::FirewallRemove {
                table: table.into(),
                elements,
            };
            steps.push(Step::host(remove, "its ports are published no more"));
        }
        steps.push(self.unplug());
        steps
    }

    /// Clients that go on asking a published UDP port reach whoever has it now.
    pub(crate) fn forget_flows(&self) -> impl Iterator<Item = Step> {
        let udp = |port: &&Published| port.protocol == Protocol::Udp;
        self.ports.iter().filter(udp).map(|port| {
            let forget = Op::ConnectionsForget {
                protocol: port.protocol.number(),
                port: port.host_port,
            };
            Step::host(forget, "who asked the one before is not led there for ever")
        })
    }

    /// Pulls its cable out of the bridge.
    pub(crate) fn unplug(&self) -> Step {
        let cable = Op::LinkDelete {
            name: self.host_interface.clone(),
        };
        let why = "its cable, when its network namespace still has the other end";
        Step::host(cable, why)
    }

    /// The cable to its bridge.
    fn cable(&self, network: &Network) -> Veth {
        Veth {
            name: self.host_interface.clone(),
            mac: mac(&[&self.id, "host"]),
            bridge: network.bridge.clone(),
            isolated: network.isolates(),
            hairpin: !self.ports.is_empty(),
            mtu: network.mtu(),
            peer: self.interface.clone(),
            peer_mac: self.mac,
        }
    }

    /// What the container does on its end of the cable.
    fn inside(&self, has_ipv6: bool) -> Vec<Step> {
        let name = &self.interface;
        let mut steps = Vec::new();
        if has_ipv6 {
            let (key, value, why) = match self.ipv6 {
                None => ("disable_ipv6", "1", "the network has no IPv6"),
                Some(_) => (
                    "accept_ra",
                    "0",
                    "no neighbour becomes the container's router",
                ),
            };
            let name = format!("net.ipv6.conf.{name}.{key}");
            steps.push(Step::container(
                Op::Sysctl {
                    name,
                    value: value.into(),
                },
                why,
            ));
        }
        steps.extend(self.addresses().map(|address| {
            let address = Address {
                link: name.clone(),
                address,
            };
            Step::container(Op::AddressAdd(address), "its address on the network")
        }));
        steps.push(Step::container(
            Op::LinkUp { name: name.clone() },
            "the cable carries from now on",
        ));
        steps.extend(self.way_out());
        steps
    }

    /// The container's default routes, when this endpoint has them.
    pub(crate) fn way_out(&self) -> impl Iterator<Item = Step> {
        let route = |gateway: &IpAddr| Route {
            destination: None,
            gateway: *gateway,
            link: self.interface.clone(),
        };
        let why = "everything else goes through the bridge";
        self.gateways
            .iter()
            .map(move |gateway| Step::container(Op::RouteAdd(route(gateway)), why))
    }
}

/// All endpoints of one container.
#[derive(Debug)]
pub struct Attached {
    /// One for each network, in the order of the wishes.
    pub endpoints: Vec<Endpoint>,
    /// The sockets that keep the published ports. Whoever lives as long as the container holds it.
    pub reservation: Reservation,
    /// The leases, locked: as long as they are, nobody else takes them for left over.
    pub(crate) locks: Vec<File>,
    /// The network of each endpoint.
    pub(crate) networks: Vec<Network>,
    pub(crate) table: Table,
    pub(crate) has_ipv6: bool,
}

impl Attached {
    /// The steps that make all of it true, to be played after the container's clone: first what the
    /// host does, then what the container does, so that the baton passes once.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = self.outside();
        steps.extend(loopback());
        steps.extend(self.inside());
        let redirect = Op::FirewallAdd {
            table: dns::redirect(),
            elements: Vec::new(),
        };
        steps.push(Step::container(
            redirect,
            "port 53 of 127.0.0.11 is our name server",
        ));
        steps
    }

    /// The same for a container that runs: it has its loopback and its way to our name server.
    pub(crate) fn joining_steps(&self) -> Vec<Step> {
        self.outside().into_iter().chain(self.inside()).collect()
    }

    fn outside(&self) -> Vec<Step> {
        let one = |(network, endpoint): (&Network, &Endpoint)| {
            let elements = firewall::endpoint_elements(endpoint);
            let mut steps = bridge::steps(network, &self.table, elements, self.has_ipv6);
            steps.extend(endpoint.forget_flows());
            let cable = Op::VethAdd(endpoint.cable(network));
            steps.push(Step::host(
                cable,
                "a cable from the bridge into the container",
            ));
            steps
        };
        self.networks
            .iter()
            .zip(&self.endpoints)
            .flat_map(one)
            .collect()
    }

    fn inside(&self) -> impl Iterator<Item = Step> {
        self.endpoints
            .iter()
            .flat_map(|endpoint| endpoint.inside(self.has_ipv6))
    }
}

/// A container's endpoints that are being taken down ([`crate::Networks::leave`]).
pub struct Leaving {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) _locks: Vec<File>,
    /// Closing it makes the kernel wait, so that is left for the end.
    pub(crate) _firewall: Option<Nftables>,
}

/// The steps of a container with no network but its own loopback.
pub fn loopback() -> Vec<Step> {
    let up = Op::LinkUp { name: "lo".into() };
    vec![Step::container(
        up,
        "programs talk to themselves over 127.0.0.1",
    )]
}
