//! What a network is: its definition, as `network create` takes it and as it lies on disk.
//!
//! Read next: `state.rs` (where it is kept), `ipam.rs` (how a subnet is chosen when none is given).

use std::collections::BTreeMap;
use std::net::IpAddr;

use kernel::netlink::Cidr;
use serde::{Deserialize, Serialize};

use crate::Error;

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
    /// Chosen by lighter, so it may choose again when the host gets a route to it.
    #[serde(default)]
    pub chosen: bool,
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

impl Network {
    /// The largest packet, of the option `com.docker.network.driver.mtu`.
    pub fn mtu(&self) -> Option<u32> {
        self.options.get(MTU)?.parse().ok()
    }

    /// Whether its containers may not reach each other (`com.docker.network.bridge.enable_icc=false`).
    pub fn isolates(&self) -> bool {
        self.option_is(TALK_TO_EACH_OTHER, false)
    }

    /// Whether containers go out under the host's address; not with
    /// `com.docker.network.bridge.enable_ip_masquerade=false`.
    pub fn masquerades(&self) -> bool {
        !self.internal && !self.option_is(MASQUERADE, false)
    }

    /// The address that ports are published on when none is asked for
    /// (`com.docker.network.bridge.host_binding_ipv4`).
    pub fn publish_address(&self) -> Option<IpAddr> {
        self.options.get(PUBLISH_ADDRESS)?.parse().ok()
    }

    /// The subnet of one family.
    pub fn subnet(&self, ipv4: bool) -> Option<&Subnet> {
        self.subnets
            .iter()
            .find(|subnet| subnet.subnet.address.is_ipv4() == ipv4)
    }

    fn option_is(&self, option: &str, value: bool) -> bool {
        self.options.get(option).and_then(|text| parse_bool(text)) == Some(value)
    }
}

const MTU: &str = "com.docker.network.driver.mtu";
const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
const TALK_TO_EACH_OTHER: &str = "com.docker.network.bridge.enable_icc";
const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
const PUBLISH_ADDRESS: &str = "com.docker.network.bridge.host_binding_ipv4";

/// Go's `strconv.ParseBool`, which reads docker's options.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

impl Definition {
    /// Finds what cannot be, before anything is made: a name, options, subnets that contradict.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let invalid = |text: String| Err(Error::Invalid(text));
        if !is_name(&self.name) {
            return Err(Error::BadName(self.name.clone()));
        }
        if self.driver != Driver::Bridge {
            return invalid(
                "only one network of the drivers host and null exists: \"host\" and \"none\""
                    .into(),
            );
        }
        for (option, value) in &self.options {
            check_option(option, value)?;
        }
        self.subnets.iter().try_for_each(SubnetWish::check)?;
        for ipv4 in [true, false] {
            let family = |wish: &&SubnetWish| wish.is_ipv4() == Some(ipv4);
            if self.subnets.iter().filter(family).count() > 1 {
                return invalid("a network has at most one subnet of IPv4 and one of IPv6".into());
            }
        }
        if !self.ipv6
            && self
                .subnets
                .iter()
                .any(|wish| wish.is_ipv4() == Some(false))
        {
            return invalid("an IPv6 subnet needs --ipv6".into());
        }
        Ok(())
    }
}

impl SubnetWish {
    /// The family, when a subnet or gateway says it.
    pub(crate) fn is_ipv4(&self) -> Option<bool> {
        let address = self.subnet.map(|subnet| subnet.address).or(self.gateway)?;
        Some(address.is_ipv4())
    }

    fn check(&self) -> Result<(), Error> {
        let Some(subnet) = self.subnet else {
            return match self.gateway.is_some() || self.range.is_some() || !self.reserved.is_empty()
            {
                true => Err(Error::Invalid(
                    "a gateway, range or reserved address needs a subnet".into(),
                )),
                false => Ok(()),
            };
        };
        if subnet.network() != subnet {
            let right = subnet.network();
            return Err(Error::Invalid(format!(
                "{subnet} is not the address of a network; it would be {right}"
            )));
        }
        if subnet.size() < 4 {
            return Err(Error::Invalid(format!(
                "subnet {subnet} is too small for a gateway and a container"
            )));
        }
        let range = self.range.map(|range| range.network().address);
        for address in self
            .gateway
            .into_iter()
            .chain(range)
            .chain(self.reserved.values().copied())
        {
            if !subnet.contains(address) {
                return Err(Error::Invalid(format!(
                    "{address} is not in subnet {subnet}"
                )));
            }
        }
        match self.range {
            Some(range) if range.prefix < subnet.prefix => Err(Error::Invalid(format!(
                "range {range} is larger than subnet {subnet}"
            ))),
            _ => Ok(()),
        }
    }
}

fn check_option(option: &str, value: &str) -> Result<(), Error> {
    let fits = match option {
        MTU => value
            .parse::<u32>()
            .is_ok_and(|mtu| (68..=65535).contains(&mtu)),
        TALK_TO_EACH_OTHER | MASQUERADE => parse_bool(value).is_some(),
        PUBLISH_ADDRESS => value
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_ipv4()),
        BRIDGE_NAME => is_interface_name(value),
        _ => {
            let known = [
                MTU,
                BRIDGE_NAME,
                TALK_TO_EACH_OTHER,
                MASQUERADE,
                PUBLISH_ADDRESS,
            ]
            .join(", ");
            return Err(Error::Invalid(format!(
                "unknown option \"{option}\" of driver bridge; known are {known}"
            )));
        }
    };
    match fits {
        true => Ok(()),
        false => Err(Error::Invalid(format!(
            "option {option} cannot be \"{value}\""
        ))),
    }
}

/// docker's rule for names.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    text.len() <= 200
        && text
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().all(plain)
}

/// What can be an interface's name and a part of a sysctl's.
pub(crate) fn is_interface_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    !text.is_empty() && text.len() <= 15 && text.bytes().all(plain)
}

/// The bridge that the definition asks for by name.
pub(crate) fn wanted_bridge(definition: &Definition) -> Option<String> {
    definition.options.get(BRIDGE_NAME).cloned()
}
