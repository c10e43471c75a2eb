//! The lines for interfaces, addresses, the firewall, and files of the host.

use std::path::Path;

use super::line::{Lines, quote};
use crate::netlink::{Bridge, Veth};
use crate::nft::{Element, Table};
use crate::op::Op;

/// The lines for an op that is none of `line.rs`'.
pub(super) fn lines(op: &Op) -> Lines {
    match op {
        Op::VethAdd(veth) => add_veth(veth),
        Op::BridgeAdd(bridge) => add_bridge(bridge),
        Op::LinkMove { name, rename } => format!(
            "ip link set {} netns \"$pid\" name {}",
            quote(name),
            quote(rename)
        )
        .into(),
        Op::LinkUp { name } => format!("ip link set {} up", quote(name)).into(),
        Op::LinkDelete { name } => {
            format!("ip link delete {} 2>/dev/null || :", quote(name)).into()
        }
        Op::AddressAdd(address) => {
            // A new IPv6 address would wait a second for someone to object to it.
            let ipv6 = address.address.address.is_ipv6();
            let more = if ipv6 { "nodad" } else { "broadcast +" };
            format!(
                "ip address replace {} {more} dev {}",
                address.address,
                quote(&address.link)
            )
            .into()
        }
        Op::RouteAdd(route) => {
            let to = route
                .destination
                .map_or("default".into(), |cidr| cidr.to_string());
            format!(
                "ip route replace {to} via {} dev {}",
                route.gateway,
                quote(&route.link)
            )
            .into()
        }
        Op::FirewallAdd { table, elements } => add_to_firewall(table, elements),
        Op::FirewallRemove { table, elements } => remove_from_firewall(table, elements),
        Op::FirewallDelete { table } => {
            format!("nft delete table inet {table} 2>/dev/null || :").into()
        }
        Op::ConnectionsForget { protocol, port } => {
            format!("conntrack -D -p {protocol} --orig-port-dst {port} >/dev/null 2>&1 || :").into()
        }
        Op::ForwardAllow { bridge } => format!("forward_allow {}", quote(bridge)).into(),
        Op::ForwardForget { bridge } => format!("forward_forget {}", quote(bridge)).into(),
        Op::MakeDirectory { path, mode } => format!("mkdir -p -m {mode:o} {}", shown(path)).into(),
        Op::WriteFile {
            path,
            content,
            mode,
        } => vec![
            format!("printf %s {} >{}", quote(content), shown(path)),
            format!("chmod {mode:o} {}", shown(path)),
        ]
        .into(),
        Op::Remove { path } => format!("rm -rf -- {}", shown(path)).into(),
        other => format!(": # no line for {other:?}").into(),
    }
}

fn shown(path: &Path) -> String {
    quote(&path.display().to_string())
}

fn add_bridge(bridge: &Bridge) -> Lines {
    let name = quote(&bridge.name);
    let mtu = bridge
        .mtu
        .map(|mtu| format!(" mtu {mtu}"))
        .unwrap_or_default();
    vec![
        format!(
            "ip link show {name} >/dev/null 2>&1 || ip link add {name} address {}{mtu} type bridge",
            bridge.mac
        ),
        format!("ip link set {name} up"),
    ]
    .into()
}

fn add_veth(veth: &Veth) -> Lines {
    let name = quote(&veth.name);
    let mtu = veth
        .mtu
        .map(|mtu| format!(" mtu {mtu}"))
        .unwrap_or_default();
    let isolated = if veth.isolated {
        " type bridge_slave isolated on"
    } else {
        ""
    };
    vec![
        format!(
            "ip link add {name} address {}{mtu} type veth peer name {} address {}{mtu} netns \"$pid\"",
            veth.mac,
            quote(&veth.peer),
            veth.peer_mac
        ),
        format!("ip link set {name} master {} up", quote(&veth.bridge)),
    ]
    .into_iter()
    .chain((!isolated.is_empty()).then(|| format!("ip link set {name}{isolated}")))
    .collect::<Vec<_>>()
    .into()
}

fn add_to_firewall(table: &Table, elements: &[Element]) -> Lines {
    let mut lines = vec![
        format!(
            "nft list table inet {} >/dev/null 2>&1 || nft -f - <<'END'",
            table.name
        ),
        // A line of a here-document keeps its own first column.
        format!("{table}\nEND"),
    ];
    if !elements.is_empty() {
        let added: Vec<String> = elements
            .iter()
            .map(|element| format!("add element inet {} {element}", table.name))
            .collect();
        lines.push("nft -f - <<'END'".into());
        lines.push(format!("{}\nEND", added.join("\n")));
    }
    lines.into()
}

fn remove_from_firewall(table: &str, elements: &[Element]) -> Lines {
    let remove = |element: &Element| {
        let text = element.to_string();
        // The key alone names an element.
        let key = text
            .split(" : ")
            .next()
            .unwrap_or(&text)
            .trim_end_matches(" }");
        format!(
            "nft delete element inet {table} {} 2>/dev/null || :",
            quote(&format!("{key} }}"))
        )
    };
    elements.iter().map(remove).collect::<Vec<_>>().into()
}

/// Takes a network's part of the firewall away when its bridge is gone, and an empty table too.
pub(super) fn leave_firewall(bridge: &str, table: &Table, elements: &[Element]) -> Vec<String> {
    let mut lines = vec![format!(
        "if ! ip link show {} >/dev/null 2>&1; then",
        quote(bridge)
    )];
    lines.extend(
        remove_from_firewall(&table.name, elements)
            .lines
            .iter()
            .map(|line| format!("  {line}")),
    );
    lines.push(format!("  leave_table {}", table.name));
    lines.push("fi".into());
    lines
}
