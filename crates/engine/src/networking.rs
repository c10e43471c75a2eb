//! Between the wish and the network crate: what a container asks of its networks, and what it got.

use kernel::Step;
use network::{Attached, Networks, Publish, Wish, endpoint};

use crate::config::{ContainerConfig, NetworkAttachment, NetworkMode, PortBinding, Protocol};
use crate::list::JoinedNetwork;
use crate::record::Record;
use crate::{Error, Result};

/// The network a container joins that names none.
const DEFAULT: &str = "bridge";

/// Leases its places in networks, where it was in its `last` run when possible; none when it joins no bridge.
pub(crate) fn attach(
    record: &Record,
    last: &[JoinedNetwork],
    networks: &Networks,
) -> Result<Option<Attached>> {
    let config = &record.config;
    if config.network != NetworkMode::Bridged {
        return Ok(None);
    }
    let mut wishes: Vec<Wish> = attachments(config)
        .iter()
        .map(|attachment| wish(attachment, &record.name))
        .collect::<Result<_>>()?;
    for wish in &mut wishes {
        let before = last.iter().filter(|joined| joined.name == wish.network);
        wish.last = before
            .flat_map(|joined| [joined.address, joined.address6])
            .flatten()
            .collect();
    }
    Ok(Some(networks.attach(
        &record.id,
        &wishes,
        &ports(config),
    )?))
}

/// The networks it joins, the default bridge when none is named.
pub(crate) fn attachments(config: &ContainerConfig) -> Vec<NetworkAttachment> {
    if config.networks.is_empty() && config.network == NetworkMode::Bridged {
        return vec![NetworkAttachment {
            network: DEFAULT.to_owned(),
            ..NetworkAttachment::default()
        }];
    }
    config.networks.clone()
}

/// What keeps packets from its networks, when that is not ours to change.
pub(crate) fn warnings(config: &ContainerConfig, networks: &Networks) -> Result<Vec<String>> {
    if config.network != NetworkMode::Bridged {
        return Ok(Vec::new());
    }
    let mut warnings = Vec::new();
    for attachment in attachments(config) {
        // One that is missing is told of when the container starts.
        let Ok(network) = networks.find(&attachment.network) else {
            continue;
        };
        let bridge = network.bridge;
        let dropped = kernel::iptables::legacy_drops_forwarded(&bridge)
            .map_err(Error::system("read the table of iptables-legacy"))?;
        if dropped {
            warnings.push(format!(
                "iptables-legacy of this host drops what is forwarded, so network {} has no way out and none in; let it \
                 pass with `iptables-legacy -I FORWARD -i {bridge} -j ACCEPT; iptables-legacy -I FORWARD -o {bridge} -j ACCEPT`",
                attachment.network
            ));
        }
    }
    Ok(warnings)
}

/// The steps that make its network.
pub(crate) fn steps(config: &ContainerConfig, attached: Option<&Attached>) -> Vec<Step> {
    match (&config.network, attached) {
        (NetworkMode::None, _) => endpoint::loopback(),
        (_, Some(attached)) => attached.steps(),
        _ => Vec::new(),
    }
}

pub(crate) fn wish(attachment: &NetworkAttachment, name: &str) -> Result<Wish> {
    let mut names = vec![name.to_owned()];
    names.extend(
        attachment
            .aliases
            .iter()
            .filter(|alias| *alias != name)
            .cloned(),
    );
    let mac = match &attachment.mac {
        Some(text) => Some(text.parse().map_err(|_| {
            Error::invalid(
                "hardware address",
                text.as_str(),
                "write it as 02:42:ac:11:00:02",
            )
        })?),
        None => None,
    };
    Ok(Wish {
        network: attachment.network.clone(),
        names,
        ipv4: attachment.ipv4,
        ipv6: attachment.ipv6,
        mac,
        interface: attachment.interface.clone(),
        last: Vec::new(),
        links: attachment
            .links
            .iter()
            .map(|link| (link.alias.clone(), link.target.clone()))
            .collect(),
        gateway_priority: attachment.gateway_priority,
    })
}

/// Ports to publish: those asked for, and with `-P` every exposed one.
fn ports(config: &ContainerConfig) -> Vec<Publish> {
    let mut all = config.ports.clone();
    if config.publish_all {
        for exposed in &config.exposed {
            let there = |port: &PortBinding| {
                port.container_port == exposed.port && port.protocol == exposed.protocol
            };
            if !all.iter().any(there) {
                all.push(PortBinding {
                    container_port: exposed.port,
                    protocol: exposed.protocol,
                    host_ip: None,
                    host_port: None,
                    host_port_end: None,
                });
            }
        }
    }
    all.iter().map(publish).collect()
}

fn publish(port: &PortBinding) -> Publish {
    Publish {
        container_port: port.container_port,
        protocol: match port.protocol {
            Protocol::Tcp => network::Protocol::Tcp,
            Protocol::Udp => network::Protocol::Udp,
            Protocol::Sctp => network::Protocol::Sctp,
        },
        host_ip: port.host_ip,
        host_ports: port
            .host_port
            .filter(|first| *first > 0)
            .map(|first| (first, port.host_port_end.unwrap_or(first))),
    }
}

/// Published ports as they are, in the engine's words.
pub(crate) fn bound_ports(endpoints: &[network::Endpoint]) -> Vec<PortBinding> {
    let binding = |port: &network::Published| PortBinding {
        container_port: port.container_port,
        protocol: match port.protocol {
            network::Protocol::Tcp => Protocol::Tcp,
            network::Protocol::Udp => Protocol::Udp,
            network::Protocol::Sctp => Protocol::Sctp,
        },
        host_ip: Some(port.host_ip),
        host_port: Some(port.host_port),
        host_port_end: None,
    };
    let ports = endpoints.iter().flat_map(|endpoint| &endpoint.ports);
    ports.map(binding).collect()
}

/// Networks with addresses, in the engine's words.
pub(crate) fn joined(endpoints: &[network::Endpoint]) -> Vec<JoinedNetwork> {
    let joined = |endpoint: &network::Endpoint| JoinedNetwork {
        name: endpoint.network.clone(),
        aliases: endpoint.names.clone(),
        address: endpoint.ipv4.map(|cidr| cidr.address),
        address6: endpoint.ipv6.map(|cidr| cidr.address),
    };
    endpoints.iter().map(joined).collect()
}
