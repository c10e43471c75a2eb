//! A container in a table: its state and its ports in docker's words.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use engine::config::{ExposedPort, PortBinding};
use engine::list::{HealthStatus, Status, Summary};
use jiff::Timestamp;

use super::units;

/// `Up 3 minutes (healthy)`, `Exited (137) 2 hours ago`.
pub fn status(container: &Summary, now: Timestamp) -> String {
    let since = |then: Option<Timestamp>| {
        units::duration(then.map_or(0, |then| now.as_second() - then.as_second()))
    };
    let code = container.exit_code.unwrap_or_default();
    match container.status {
        Status::Created => "Created".into(),
        Status::Running => format!(
            "Up {}{}",
            since(container.started),
            health(container.health)
        ),
        Status::Paused => format!("Up {} (Paused)", since(container.started)),
        Status::Restarting => format!("Restarting ({code}) {} ago", since(container.finished)),
        Status::Exited => format!("Exited ({code}) {} ago", since(container.finished)),
        Status::Removing => "Removal In Progress".into(),
        Status::Dead => "Dead".into(),
    }
}

fn health(health: Option<HealthStatus>) -> &'static str {
    match health {
        None => "",
        Some(HealthStatus::Starting) => " (health: starting)",
        Some(HealthStatus::Healthy) => " (healthy)",
        Some(HealthStatus::Unhealthy) => " (unhealthy)",
    }
}

/// A port with where it can be reached, if anywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Port {
    inside: u16,
    outside: Option<(IpAddr, u16)>,
    protocol: &'static str,
}

/// Ports of one address and protocol, which may form ranges.
type Group = (Option<IpAddr>, &'static str);

/// The PORTS column: a container that does not run has none.
pub fn ports_now(summary: &Summary) -> String {
    let exposed = match summary.pid {
        Some(_) => summary.exposed.as_slice(),
        None => &[],
    };
    ports(&summary.ports, exposed)
}

/// `0.0.0.0:8080->80/tcp, [::]:8080->80/tcp`; neighbouring ports become a range.
fn ports(bound: &[PortBinding], exposed: &[ExposedPort]) -> String {
    let mut ports: Vec<Port> = bound.iter().flat_map(reached).collect();
    let hidden = exposed.iter().filter(|port| {
        !bound
            .iter()
            .any(|bound| bound.container_port == port.port && bound.protocol == port.protocol)
    });
    ports.extend(hidden.map(|port| Port {
        inside: port.port,
        outside: None,
        protocol: port.protocol.word(),
    }));
    ports.sort();
    ports.dedup();

    // Ports that keep their number outside form ranges; each other mapping stands alone, at the end.
    let (alone, same): (Vec<Port>, Vec<Port>) = ports.into_iter().partition(|port| {
        port.outside
            .is_some_and(|(_, outside)| outside != port.inside)
    });
    let mut groups: BTreeMap<Group, Vec<(u16, u16)>> = BTreeMap::new();
    for port in same {
        let ranges = groups
            .entry((port.outside.map(|(ip, _)| ip), port.protocol))
            .or_default();
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(port.inside) => *last = port.inside,
            _ => ranges.push((port.inside, port.inside)),
        }
    }
    let grouped = groups.iter().flat_map(|((ip, protocol), ranges)| {
        ranges
            .iter()
            .map(move |(first, last)| range(*ip, *first, *last, protocol))
    });
    let mapped = alone.iter().filter_map(|port| {
        let (ip, outside) = port.outside?;
        Some(format!(
            "{}:{outside}->{}/{}",
            bracketed(ip),
            port.inside,
            port.protocol
        ))
    });
    grouped.chain(mapped).collect::<Vec<_>>().join(", ")
}

/// A binding to no address in particular is reached by both families.
fn reached(binding: &PortBinding) -> Vec<Port> {
    let any = [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ];
    let addresses = binding.host_ip.map_or(any.to_vec(), |ip| vec![ip]);
    let port = |outside| Port {
        inside: binding.container_port,
        outside,
        protocol: binding.protocol.word(),
    };
    match binding.host_port {
        Some(outside) => addresses
            .into_iter()
            .map(|ip| port(Some((ip, outside))))
            .collect(),
        None => vec![port(None)],
    }
}

fn range(ip: Option<IpAddr>, first: u16, last: u16, protocol: &str) -> String {
    let ports = if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    };
    match ip {
        Some(ip) => format!("{}:{ports}->{ports}/{protocol}", bracketed(ip)),
        None => format!("{ports}/{protocol}"),
    }
}

/// An address before a port.
pub fn bracketed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::config::Protocol;

    fn bound(inside: u16, outside: u16, ip: Option<&str>) -> PortBinding {
        PortBinding {
            container_port: inside,
            protocol: Protocol::Tcp,
            host_ip: ip.map(|ip| ip.parse().unwrap()),
            host_port: Some(outside),
            host_port_end: None,
        }
    }

    fn exposed(port: u16) -> ExposedPort {
        ExposedPort {
            port,
            protocol: Protocol::Tcp,
        }
    }

    #[test]
    fn a_port_without_an_address_is_reached_by_both_families() {
        assert_eq!(
            ports(&[bound(80, 8080, None)], &[]),
            "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"
        );
        assert_eq!(
            ports(&[bound(80, 8080, Some("127.0.0.1"))], &[]),
            "127.0.0.1:8080->80/tcp"
        );
    }

    #[test]
    fn neighbours_that_keep_their_number_are_a_range() {
        let three: Vec<_> = (80..83)
            .map(|port| bound(port, port, Some("0.0.0.0")))
            .collect();
        assert_eq!(ports(&three, &[]), "0.0.0.0:80-82->80-82/tcp");
        assert_eq!(
            ports(&[], &[exposed(80), exposed(81), exposed(443)]),
            "80-81/tcp, 443/tcp"
        );
    }

    #[test]
    fn a_published_port_is_not_listed_as_exposed_again() {
        assert_eq!(
            ports(
                &[bound(80, 9, Some("0.0.0.0"))],
                &[exposed(80), exposed(443)]
            ),
            "443/tcp, 0.0.0.0:9->80/tcp"
        );
    }
}
