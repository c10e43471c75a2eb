//! What a network is: its definition, as `network create` takes it and as it lies on disk.
//!
//! Read next: `state.rs` (where it is kept), `ipam.rs` (how a subnet is chosen when none is given).

use std::collections::BTreeMap;
use std::net::IpAddr;

use kernel::netlink::Cidr;
use serde::{Deserialize, Serialize};

/// How containers on a network reach others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A bridge of its own, with addresses from its subnets.
    #[default]
    Bridge,
    /// The host's own network.
    Host,
    /// No network but the container's own loopback. docker calls this driver `null`.
    #[serde(rename = "null")]
    None,
}

/// One range of addresses of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// The network's addresses.
    pub subnet: Cidr,
    /// The bridge's own address: the containers' default route.
    pub gateway: IpAddr,
    /// The part of it that leases come from, when not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Cidr>,
    /// Addresses that are never leased, by a name that says who has them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reserved: BTreeMap<String, IpAddr>,
}

/// The wish for a subnet: what is absent is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubnetWish {
    /// The network's addresses; a free range of the pools when absent.
    pub subnet: Option<Cidr>,
    /// The bridge's own address; the first of the subnet when absent.
    pub gateway: Option<IpAddr>,
    /// The part of it that leases come from.
    pub range: Option<Cidr>,
    /// Addresses that are never leased.
    pub reserved: BTreeMap<String, IpAddr>,
}

/// The wish for a network, as `network create` takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definition {
    /// Its name: a letter or digit, then letters, digits, `_`, `.`, `-`.
    pub name: String,
    /// The driver.
    pub driver: Driver,
    /// No way out and none in: containers reach only each other.
    pub internal: bool,
    /// Whether containers also get an IPv6 address.
    pub ipv6: bool,
    /// The subnets; one of IPv4 is chosen when there is none.
    pub subnets: Vec<SubnetWish>,
    /// Driver options, such as `com.docker.network.driver.mtu`.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Accepted for docker's sake and kept: every network of lighter is attachable.
    pub attachable: bool,
}

/// A network as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// 64 hexadecimal digits that no other network has.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The driver.
    pub driver: Driver,
    /// When it was made, RFC 3339.
    pub created: String,
    /// No way out and none in.
    #[serde(default)]
    pub internal: bool,
    /// Whether containers also get an IPv6 address.
    #[serde(default)]
    pub ipv6: bool,
    /// As asked for; every network of lighter is attachable.
    #[serde(default)]
    pub attachable: bool,
    /// Its subnets, at most one of each family.
    #[serde(default)]
    pub subnets: Vec<Subnet>,
    /// The name of its bridge; empty for other drivers.
    #[serde(default)]
    pub bridge: String,
    /// Driver options.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}
