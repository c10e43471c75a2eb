//! Choosing free subnets and free addresses: pure decisions over what is taken.
//!
//! Read next: `state.rs`, which knows what is taken and keeps what was chosen.

use std::net::{IpAddr, Ipv4Addr};

use kernel::netlink::{Cidr, Mac};

use crate::instance::{hash, mac};
use crate::{Error, Subnet};

/// Where subnets come from, tried in this order. Past docker's first ones, so that both can live on
/// one host; the whole gives 5696 subnets.
const POOLS: [(Ipv4Addr, u8); 3] = [
    (Ipv4Addr::new(172, 24, 0, 0), 13),
    (Ipv4Addr::new(10, 192, 0, 0), 10),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
];

/// A bridge has at most 1024 ports (`BR_MAX_PORTS`), so more addresses would never be used.
const PREFIX: u8 = 22;

/// The first subnet of the pools that shares no address with any of `taken`.
///
/// When no whole one is left it tries smaller ones: half a network is better than none.
pub(crate) fn choose_subnet(taken: &[Cidr]) -> Result<Cidr, Error> {
    let free = |subnet: &Cidr| !taken.iter().any(|other| other.overlaps(*subnet));
    let of_prefix = |prefix: u8| {
        POOLS
            .iter()
            .find_map(|pool| parts(*pool, prefix).find(free))
    };
    [PREFIX, 24, 27]
        .into_iter()
        .find_map(of_prefix)
        .ok_or(Error::PoolsExhausted)
}

fn parts((start, length): (Ipv4Addr, u8), prefix: u8) -> impl Iterator<Item = Cidr> {
    let step = 1u32 << (32 - prefix);
    (0..1u32 << (prefix - length)).map(move |number| {
        let address = IpAddr::V4(Ipv4Addr::from(u32::from(start) + number * step));
        Cidr { address, prefix }
    })
}

/// A unique local /64 (RFC 4193), always the same for the same network.
pub(crate) fn choose_subnet6(network_id: &str) -> Cidr {
    let digits = hash(&[network_id, "ipv6"]);
    let word = |at: usize| u16::from_str_radix(&digits[at..at + 4], 16).unwrap_or(0);
    let segments = [
        0xfd00 | word(0) & 0xff,
        word(4),
        word(8),
        word(12),
        0,
        0,
        0,
        0,
    ];
    Cidr {
        address: IpAddr::from(segments),
        prefix: 64,
    }
}

/// The addresses of a subnet that a container may have, beginning after `last`.
pub(crate) fn candidates(subnet: &Subnet, last: Option<IpAddr>) -> impl Iterator<Item = IpAddr> {
    let range = subnet.range.unwrap_or(subnet.subnet).network();
    // An IPv6 range has more addresses than can ever be tried; a bridge has 1024 ports.
    let count = range.size().min(1 << 20);
    let start = last
        .and_then(|last| offset(range, last))
        .map_or(0, |last| last + 1);
    (0..count)
        .filter_map(move |number| range.nth((start + number) % count))
        .filter(|address| usable(subnet, *address))
}

/// Whether a container may have this address of the subnet.
pub(crate) fn usable(subnet: &Subnet, address: IpAddr) -> bool {
    let network = subnet.subnet;
    let broadcast = address.is_ipv4() && network.nth(network.size() - 1) == Some(address);
    network.contains(address)
        && address != subnet.gateway
        && address != network.network().address
        && !broadcast
        && !subnet
            .reserved
            .values()
            .any(|reserved| *reserved == address)
}

fn offset(range: Cidr, address: IpAddr) -> Option<u128> {
    match (range.address, address) {
        _ if !range.contains(address) => None,
        (IpAddr::V4(first), IpAddr::V4(address)) => {
            Some(u128::from(u32::from(address) - u32::from(first)))
        }
        (IpAddr::V6(first), IpAddr::V6(address)) => Some(u128::from(address) - u128::from(first)),
        _ => None,
    }
}

/// A hardware address that follows from the address, so that a neighbour that remembers the
/// address' last holder sends to the right place.
pub(crate) fn mac_for(address: Option<IpAddr>, endpoint_id: &str) -> Mac {
    match address {
        Some(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            Mac([0x02, 0x42, a, b, c, d])
        }
        _ => mac(&[endpoint_id, "inside"]),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    fn subnet(text: &str, gateway: &str) -> Subnet {
        Subnet {
            subnet: cidr(text),
            gateway: gateway.parse().unwrap(),
            range: None,
            reserved: BTreeMap::new(),
            chosen: false,
        }
    }

    #[test]
    fn a_subnet_avoids_what_is_taken() {
        assert_eq!(choose_subnet(&[]).unwrap(), cidr("172.24.0.0/22"));
        assert_eq!(
            choose_subnet(&[cidr("172.24.1.0/24")]).unwrap(),
            cidr("172.24.4.0/22")
        );
        let vpn = [cidr("172.16.0.0/12"), cidr("192.168.0.0/16")];
        assert_eq!(choose_subnet(&vpn).unwrap(), cidr("10.192.0.0/22"));
        let all = [vpn[0], vpn[1], cidr("10.0.0.0/8")];
        assert!(matches!(choose_subnet(&all), Err(Error::PoolsExhausted)));
    }

    #[test]
    fn a_small_hole_is_better_than_none() {
        let mut taken: Vec<Cidr> = (1..256)
            .map(|third| cidr(&format!("192.168.{third}.0/24")))
            .collect();
        taken.extend([cidr("172.16.0.0/12"), cidr("10.0.0.0/8")]);
        assert_eq!(choose_subnet(&taken).unwrap(), cidr("192.168.0.0/24"));
    }

    #[test]
    fn three_hundred_networks_fit() {
        let mut taken = Vec::new();
        for _ in 0..300 {
            taken.push(choose_subnet(&taken).unwrap());
        }
    }

    #[test]
    fn addresses_go_round_and_leave_out_what_nobody_may_have() {
        let mut small = subnet("10.9.0.0/29", "10.9.0.1");
        small
            .reserved
            .insert("router".into(), "10.9.0.4".parse().unwrap());
        let last = Some("10.9.0.3".parse().unwrap());
        let found: Vec<String> = candidates(&small, last)
            .map(|address| address.to_string())
            .collect();
        assert_eq!(found, ["10.9.0.5", "10.9.0.6", "10.9.0.2", "10.9.0.3"]);
    }

    #[test]
    fn a_range_limits_leases() {
        let mut part = subnet("10.9.0.0/24", "10.9.0.1");
        part.range = Some(cidr("10.9.0.128/30"));
        let found: Vec<String> = candidates(&part, None)
            .map(|address| address.to_string())
            .collect();
        assert_eq!(
            found,
            ["10.9.0.128", "10.9.0.129", "10.9.0.130", "10.9.0.131"]
        );
    }

    #[test]
    fn every_network_has_its_own_ipv6_prefix() {
        let one = choose_subnet6("a");
        assert_ne!(one, choose_subnet6("b"));
        assert!(cidr("fd00::/8").contains(one.address));
        assert_eq!(one.network(), one);
    }
}
