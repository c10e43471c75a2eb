//! A network in the kernel: its bridge and its part of the firewall, made by the first container.
//!
//! In: a [`Network`]. Out: the steps that make it and that take it down. Every step may find its
//! work done, because the second container plays the same ones, and a crash may have left half.
//! Read next: `endpoint.rs`.

use kernel::netlink::{Address, Bridge, Cidr};
use kernel::nft::{Element, Table};
use kernel::{Op, Step};

use crate::instance::mac;
use crate::{Network, firewall};

/// Makes the bridge, its addresses, and the table with `elements` beside the network's own.
pub(crate) fn steps(
    network: &Network,
    table: &Table,
    elements: Vec<Element>,
    host_has_ipv6: bool,
) -> Vec<Step> {
    let bridge = &network.bridge;
    let mut steps = vec![
        sysctl(
            "net.ipv4.ip_forward",
            "1",
            "packets have to pass from a bridge to the world",
        ),
        Step::host(
            Op::BridgeAdd(link(network)),
            "a switch that the network's containers plug into",
        ),
    ];
    if host_has_ipv6 {
        steps.extend(ipv6(network));
    }
    if !network.internal {
        let name = format!("net.ipv4.conf.{bridge}.route_localnet");
        let why = "ports published to the host's loopback; the table's guard drops all else";
        steps.push(sysctl(&name, "1", why));
    }
    steps.extend(network.subnets.iter().filter_map(|subnet| {
        let address = Cidr::new(subnet.gateway, subnet.subnet.prefix)?;
        let address = Address {
            link: bridge.clone(),
            address,
        };
        Some(Step::host(
            Op::AddressAdd(address),
            "the containers' gateway",
        ))
    }));
    let mut all = firewall::network_elements(network);
    all.extend(elements);
    let firewall = Op::FirewallAdd {
        table: table.clone(),
        elements: all,
    };
    steps.push(Step::host(
        firewall,
        "who may reach whom, published ports included",
    ));
    let forward = Op::ForwardAllow {
        bridge: bridge.clone(),
    };
    steps.push(Step::host(
        forward,
        "a firewall that forwards nothing by itself lets containers be",
    ));
    steps
}

/// The other way round, once the last container has left.
pub(crate) fn undo(network: &Network) -> Vec<Step> {
    let why = "nobody is left on the network";
    let bridge = || network.bridge.clone();
    vec![
        Step::host(Op::ForwardForget { bridge: bridge() }, why),
        Step::host(Op::LinkDelete { name: bridge() }, why),
    ]
}

/// What the table has of the network, when the table stays for others.
pub(crate) fn undo_firewall(network: &Network, table: &str) -> Step {
    let remove = Op::FirewallRemove {
        table: table.into(),
        elements: firewall::network_elements(network),
    };
    Step::host(remove, "nobody is left on the network")
}

fn link(network: &Network) -> Bridge {
    Bridge {
        name: network.bridge.clone(),
        mac: mac(&[&network.id, "bridge"]),
        mtu: network.mtu(),
    }
}

/// No IPv6 on a network that has none; and never a route that a container announces.
fn ipv6(network: &Network) -> Vec<Step> {
    let of_bridge = |name| format!("net.ipv6.conf.{}.{name}", network.bridge);
    if !network.ipv6 {
        let why = "the network has no IPv6, so neither has the host on it";
        return vec![sysctl(&of_bridge("disable_ipv6"), "1", why)];
    }
    vec![
        sysctl(
            "net.ipv6.conf.all.forwarding",
            "1",
            "packets have to pass from a bridge to the world",
        ),
        sysctl(&of_bridge("disable_ipv6"), "0", "the network has IPv6"),
        sysctl(
            &of_bridge("accept_ra"),
            "0",
            "no container becomes the host's router",
        ),
    ]
}

fn sysctl(name: &str, value: &str, why: &'static str) -> Step {
    Step::host(
        Op::Sysctl {
            name: name.into(),
            value: value.into(),
        },
        why,
    )
}
