//! `-p`, `-P`, `--expose`.

use std::net::IpAddr;

use anyhow::{Context, Result, anyhow, bail};
use engine::ContainerConfig;
use engine::config::{ExposedPort, PortBinding, Protocol};

use super::values;

/// Options for ports.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Ports")]
pub struct PortOptions {
    /// Publish a container's port(s) to the host
    #[arg(short, long, value_name = "[[IP:]HOST:]CONTAINER[/PROTOCOL]")]
    publish: Vec<String>,
    /// Publish all exposed ports to random ports
    #[arg(short = 'P', long)]
    publish_all: bool,
    /// Expose a port or a range of ports
    #[arg(long, value_name = "PORT[/PROTOCOL]")]
    expose: Vec<String>,
}

impl PortOptions {
    pub fn apply(&self, config: &mut ContainerConfig) -> Result<()> {
        for text in &self.publish {
            let bindings = publish(text)
                .with_context(|| format!("invalid argument {text:?} for \"-p, --publish\""))?;
            config.ports.extend(bindings);
        }
        config.publish_all = self.publish_all;
        for text in &self.expose {
            config.exposed.extend(exposed(text)?);
        }
        Ok(())
    }
}

/// One `-p`: short, or long as `target=80,published=8080,protocol=tcp`.
pub fn publish(text: &str) -> Result<Vec<PortBinding>> {
    if text.contains('=') {
        return publish_long(text);
    }
    let (address, protocol) = split_protocol(text)?;
    let (host_ip, host, container) = split_address(address)?;
    bindings(host_ip, host, container, protocol)
}

fn publish_long(text: &str) -> Result<Vec<PortBinding>> {
    let (mut target, mut published, mut protocol) = (String::new(), String::new(), Protocol::Tcp);
    for field in values::fields(text)? {
        match field.split_once('=') {
            Some(("target", value)) => target = value.to_owned(),
            Some(("published", value)) => published = value.to_owned(),
            Some(("protocol", value)) => protocol = parse_protocol(value)?,
            Some(("mode", "host")) => {}
            _ => bail!("invalid field {field}"),
        }
    }
    bindings(None, &published, &target, protocol)
}

/// Address of the host, port of the host, port of the container; `[::1]:8080:80` has its
/// address in brackets.
fn split_address(text: &str) -> Result<(Option<IpAddr>, &str, &str)> {
    let (rest, container) = match text.rsplit_once(':') {
        None => return Ok((None, "", text)),
        Some(split) => split,
    };
    let (address, host) = match rest.rsplit_once(':') {
        Some((address, host)) if !rest.ends_with(']') => (address, host),
        _ if rest.starts_with('[') => (rest, ""),
        _ => ("", rest),
    };
    if container.is_empty() {
        bail!("no port specified: {text}<empty>");
    }
    if address.is_empty() {
        return Ok((None, host, container));
    }
    let plain = address
        .strip_prefix('[')
        .and_then(|address| address.strip_suffix(']'))
        .unwrap_or(address);
    let ip = plain
        .parse()
        .map_err(|_| anyhow!("invalid IP address: {plain}"))?;
    Ok((Some(ip), host, container))
}

fn bindings(
    host_ip: Option<IpAddr>,
    host: &str,
    container: &str,
    protocol: Protocol,
) -> Result<Vec<PortBinding>> {
    let (first, last) =
        range(container).with_context(|| format!("invalid containerPort: {container}"))?;
    let host = match host {
        "" => None,
        host => Some(range(host).with_context(|| format!("invalid hostPort: {host}"))?),
    };
    let binding = |container_port, host_port, host_port_end| PortBinding {
        container_port,
        protocol,
        host_ip,
        host_port,
        host_port_end,
    };
    match host {
        None => Ok((first..=last)
            .map(|port| binding(port, None, None))
            .collect()),
        // Some port of the range, whichever is free.
        Some((low, high)) if first == last && low != high => {
            Ok(vec![binding(first, Some(low), Some(high))])
        }
        Some((low, high)) if high - low == last - first => Ok((low..=high)
            .zip(first..=last)
            .map(|(host, port)| binding(port, Some(host), None))
            .collect()),
        Some(_) => bail!(
            "invalid ranges specified for container and host Ports: {container} and {}",
            host_text(host)
        ),
    }
}

fn host_text(range: Option<(u16, u16)>) -> String {
    range
        .map(|(low, high)| format!("{low}-{high}"))
        .unwrap_or_default()
}

fn exposed(text: &str) -> Result<Vec<ExposedPort>> {
    let (ports, protocol) = split_protocol(text)?;
    let (first, last) =
        range(ports).with_context(|| format!("invalid range format for --expose: {text}"))?;
    Ok((first..=last)
        .map(|port| ExposedPort { port, protocol })
        .collect())
}

fn split_protocol(text: &str) -> Result<(&str, Protocol)> {
    match text.rsplit_once('/') {
        Some((ports, protocol)) => Ok((ports, parse_protocol(protocol)?)),
        None => Ok((text, Protocol::Tcp)),
    }
}

fn parse_protocol(word: &str) -> Result<Protocol> {
    match word.to_lowercase().as_str() {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "sctp" => Ok(Protocol::Sctp),
        _ => bail!("invalid proto: {word}"),
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last && first > 0).then_some((first, last))
}

/// Digits only: `u16::from_str` would take a sign.
fn port(text: &str) -> Option<u16> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}
