//! `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of a container, written anew at each start.

use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;

use network::hosts::{self, Line, Resolution};
use network::{Attached, Endpoint};

use crate::config::{ContainerConfig, ExtraHost, NamespaceMode, NetworkMode};
use crate::disk::{self, Keep};
use crate::find::short;
use crate::paths::ContainerPaths;
use crate::record::Record;
use crate::{Error, Result};

/// Writes the three; returns where they are shown.
pub(crate) fn write(
    record: &Record,
    paths: &ContainerPaths,
    network: Option<&Attached>,
) -> Result<Vec<(PathBuf, &'static str)>> {
    let config = &record.config;
    let host_resolv = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let files = [
        (paths.hosts(), "/etc/hosts", hosts_text(record, network)?),
        (
            paths.hostname(),
            "/etc/hostname",
            format!("{}\n", hostname(config, &record.id)),
        ),
        (
            paths.resolv_conf(),
            "/etc/resolv.conf",
            resolv_text(config, &host_resolv, network.is_some()),
        ),
    ];
    let mut shown = Vec::new();
    for (path, target, text) in files {
        readable(&path, &text)?;
        shown.push((path, target));
    }
    Ok(shown)
}

/// What people asked of name resolution.
pub(crate) fn resolution(config: &ContainerConfig) -> Resolution {
    Resolution {
        servers: config.dns.servers.clone(),
        search: config.dns.search.clone(),
        options: config.dns.options.clone(),
    }
}

fn resolv_text(config: &ContainerConfig, host: &str, embedded: bool) -> String {
    if embedded {
        hosts::resolv_conf_embedded(host, &resolution(config))
    } else {
        hosts::resolv_conf_plain(host, &resolution(config))
    }
}

fn hosts_text(record: &Record, network: Option<&Attached>) -> Result<String> {
    let config = &record.config;
    if config.network == NetworkMode::Host
        && config.extra_hosts.is_empty()
        && let Ok(text) = std::fs::read_to_string("/etc/hosts")
    {
        return Ok(text);
    }
    let endpoints = network
        .map(|network| network.endpoints.as_slice())
        .unwrap_or_default();
    let gateway = endpoints
        .iter()
        .flat_map(|endpoint| endpoint.gateways.iter().copied())
        .next();
    let extra: Vec<Line> = config
        .extra_hosts
        .iter()
        .map(|extra| line(extra, gateway))
        .collect::<Result<_>>()?;
    let own: Vec<Line> = endpoints
        .iter()
        .flat_map(|endpoint| own_lines(record, endpoint))
        .collect();
    let ipv6 = endpoints.iter().any(|endpoint| endpoint.ipv6.is_some());
    Ok(hosts::hosts(&extra, &own, ipv6))
}

/// The container itself, at its addresses on one network.
fn own_lines(record: &Record, endpoint: &Endpoint) -> Vec<Line> {
    let names = own_names(&record.config, &record.id);
    let line = |cidr: network::Cidr| Line {
        address: cidr.address,
        names: names.clone(),
    };
    endpoint.addresses().map(line).collect()
}

/// A running container has joined a network.
pub(crate) fn add_to_hosts(
    record: &Record,
    paths: &ContainerPaths,
    endpoint: &Endpoint,
) -> Result<()> {
    let text = hosts::lines(&own_lines(record, endpoint));
    let path = paths.hosts();
    // At the end of what is there: the container may have written into it.
    File::options()
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(Error::path("write", &path))
}

/// A running container has left a network.
pub(crate) fn take_from_hosts(
    record: &Record,
    paths: &ContainerPaths,
    endpoint: &Endpoint,
) -> Result<()> {
    let gone = hosts::lines(&own_lines(record, endpoint));
    let path = paths.hosts();
    let text = std::fs::read_to_string(&path).map_err(Error::path("read", &path))?;
    let kept = text
        .split_inclusive('\n')
        .filter(|line| !gone.split_inclusive('\n').any(|gone| gone == *line));
    readable(&path, &kept.collect::<String>())
}

fn line(extra: &ExtraHost, gateway: Option<IpAddr>) -> Result<Line> {
    let address = match (extra.address.as_str(), gateway) {
        ("host-gateway", Some(gateway)) => gateway,
        ("host-gateway", None) => IpAddr::from([127, 0, 0, 1]),
        (text, _) => text.trim_matches(['[', ']']).parse().map_err(|_| {
            Error::invalid(
                "extra host",
                format!("{}:{text}", extra.name),
                "give an address or host-gateway",
            )
        })?,
    };
    Ok(Line {
        address,
        names: vec![extra.name.clone()],
    })
}

fn hostname(config: &ContainerConfig, id: &str) -> String {
    if config.uts == NamespaceMode::Host {
        return host_name();
    }
    config
        .hostname
        .clone()
        .unwrap_or_else(|| short(id).to_owned())
}

/// The host's own name.
pub(crate) fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

fn own_names(config: &ContainerConfig, id: &str) -> Vec<String> {
    let name = hostname(config, id);
    let full = config
        .domainname
        .as_ref()
        .map(|domain| format!("{name}.{domain}"));
    full.into_iter().chain([name]).collect()
}

/// The container's users read it: mode 0644 below directories that are root's alone. Written in place, because what is
/// bind-mounted is the file and not its name: a running container sees the change.
fn readable(path: &std::path::Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if path.exists() {
        return std::fs::write(path, text).map_err(Error::path("write", path));
    }
    disk::replace(path, text.as_bytes(), Keep::Boot)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o644))
        .map_err(Error::path("set the mode of", path))
}
