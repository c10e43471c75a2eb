//! `--network` and what goes with it: names, addresses, DNS, `--add-host`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, anyhow, bail};
use engine::ContainerConfig;
use engine::config::{Dns, ExtraHost, Link, NetworkAttachment, NetworkMode};

use super::values;

/// Options for the network.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Network")]
pub struct NetworkOptions {
    /// Connect a container to a network
    #[arg(long, alias = "net", value_name = "NETWORK")]
    network: Vec<String>,
    /// Add network-scoped alias for the container
    #[arg(long, alias = "net-alias", value_name = "NAME")]
    network_alias: Vec<String>,
    /// Add link to another container
    #[arg(long, value_name = "CONTAINER[:ALIAS]")]
    link: Vec<String>,
    /// IPv4 address (e.g., 172.30.100.104)
    #[arg(long)]
    ip: Option<Ipv4Addr>,
    /// IPv6 address (e.g., 2001:db8::33)
    #[arg(long)]
    ip6: Option<Ipv6Addr>,
    /// Container MAC address (e.g., 92:d0:c6:0a:29:33)
    #[arg(long, value_name = "MAC")]
    mac_address: Option<String>,
    /// Container host name
    #[arg(short = 'h', long)]
    hostname: Option<String>,
    /// Container NIS domain name
    #[arg(long)]
    domainname: Option<String>,
    /// Add a custom host-to-IP mapping
    #[arg(long, value_name = "HOST:IP")]
    add_host: Vec<String>,
    /// Set custom DNS servers
    #[arg(long, value_name = "IP")]
    dns: Vec<IpAddr>,
    /// Set custom DNS search domains
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// Set DNS options
    #[arg(long, alias = "dns-opt", value_name = "OPTION")]
    dns_option: Vec<String>,
}

impl NetworkOptions {
    pub fn apply(&self, config: &mut ContainerConfig) -> Result<()> {
        config.hostname = self.hostname.clone();
        config.domainname = self.domainname.clone();
        config.extra_hosts = self
            .add_host
            .iter()
            .map(|text| extra_host(text))
            .collect::<Result<_>>()?;
        config.dns = Dns {
            servers: self.dns.clone(),
            search: self.dns_search.clone(),
            options: self.dns_option.clone(),
        };
        (config.network, config.networks) = self.networks()?;
        self.check_mode(&config.network)
    }

    fn networks(&self) -> Result<(NetworkMode, Vec<NetworkAttachment>)> {
        let [only] = self.network.as_slice() else {
            let networks = self
                .network
                .iter()
                .map(|text| attachment(text))
                .collect::<Result<Vec<_>>>()?;
            if let Some(special) = networks.iter().find(|network| is_special(&network.network)) {
                bail!("network {} cannot be combined with others", special.network);
            }
            return Ok((NetworkMode::Bridged, self.complete(networks)?));
        };
        match only.as_str() {
            "none" => Ok((NetworkMode::None, Vec::new())),
            "host" => Ok((NetworkMode::Host, Vec::new())),
            text => match text.strip_prefix("container:") {
                Some("") => bail!("invalid container format container:<name|id>"),
                Some(other) => Ok((NetworkMode::Container(other.to_owned()), Vec::new())),
                None => Ok((
                    NetworkMode::Bridged,
                    self.complete(vec![attachment(text)?])?,
                )),
            },
        }
    }

    /// Options outside `--network` belong to the first network.
    fn complete(&self, mut networks: Vec<NetworkAttachment>) -> Result<Vec<NetworkAttachment>> {
        let alone = self.network_alias.is_empty()
            && self.link.is_empty()
            && self.ip.is_none()
            && self.ip6.is_none()
            && self.mac_address.is_none();
        if alone {
            return Ok(networks);
        }
        if networks.is_empty() {
            networks.push(NetworkAttachment {
                network: "bridge".into(),
                ..NetworkAttachment::default()
            });
        }
        let first = &mut networks[0];
        let twice = |option: &str| {
            anyhow!("conflicting options: cannot specify both {option} and per-network the same")
        };
        if self.ip.is_some() && first.ipv4.is_some() {
            return Err(twice("--ip"));
        }
        if self.mac_address.is_some() && first.mac.is_some() {
            return Err(twice("--mac-address"));
        }
        first.aliases.extend(self.network_alias.iter().cloned());
        first.links.extend(self.link.iter().map(|text| link(text)));
        first.ipv4 = self.ip.or(first.ipv4);
        first.ipv6 = self.ip6.or(first.ipv6);
        first.mac = self
            .mac_address
            .as_deref()
            .map(mac)
            .transpose()?
            .or(first.mac.take());
        Ok(networks)
    }

    /// A container without a network of its own cannot have addresses or names in one.
    fn check_mode(&self, mode: &NetworkMode) -> Result<()> {
        let what = match mode {
            NetworkMode::Bridged => return Ok(()),
            NetworkMode::None => "no network",
            NetworkMode::Host => "the host's network",
            NetworkMode::Container(_) => "another container's network",
        };
        let named = !self.network_alias.is_empty() || !self.link.is_empty();
        let addressed = self.ip.is_some() || self.ip6.is_some() || self.mac_address.is_some();
        if named || addressed {
            bail!(
                "conflicting options: an address, alias or link cannot be given to a container with {what}"
            );
        }
        if matches!(mode, NetworkMode::Container(_)) {
            let shared =
                self.hostname.is_some() || !self.dns.is_empty() || !self.add_host.is_empty();
            if shared {
                bail!(
                    "conflicting options: --hostname, --dns and --add-host cannot be used with {what}"
                );
            }
        }
        Ok(())
    }
}

fn is_special(network: &str) -> bool {
    matches!(network, "none" | "host") || network.starts_with("container:")
}

/// `NAME` or `name=NAME,alias=A,ip=...,ip6=...,mac-address=...,gw-priority=...`.
fn attachment(text: &str) -> Result<NetworkAttachment> {
    if !text.contains('=') {
        let network = if text == "default" { "bridge" } else { text };
        return Ok(NetworkAttachment {
            network: network.into(),
            ..NetworkAttachment::default()
        });
    }
    let mut attachment = NetworkAttachment::default();
    for field in values::fields(text)? {
        let (key, value) = field
            .split_once('=')
            .with_context(|| format!("invalid field {field} must be a key=value pair"))?;
        let wrong =
            || format!("invalid argument {text:?} for \"--network\": {key} cannot be {value:?}");
        match key {
            "name" => attachment.network = value.into(),
            "alias" => attachment.aliases.push(value.into()),
            "ip" => attachment.ipv4 = Some(value.parse().with_context(wrong)?),
            "ip6" => attachment.ipv6 = Some(value.parse().with_context(wrong)?),
            "mac-address" => attachment.mac = Some(mac(value)?),
            "gw-priority" => attachment.gateway_priority = value.parse().with_context(wrong)?,
            "driver-opt" => match value.split_once('=') {
                Some(("com.docker.network.endpoint.ifname", name)) => {
                    attachment.interface = Some(name.into())
                }
                _ => bail!(
                    "driver-opt {value} is not known: only com.docker.network.endpoint.ifname"
                ),
            },
            _ => bail!("invalid field key {key} in --network"),
        }
    }
    if attachment.network.is_empty() {
        bail!("invalid argument {text:?} for \"--network\": name is required");
    }
    Ok(attachment)
}

/// `CONTAINER` or `CONTAINER:ALIAS`.
pub fn link(text: &str) -> Link {
    let (target, alias) = text.split_once(':').unwrap_or((text, text));
    Link {
        target: target.trim_start_matches('/').into(),
        alias: alias.into(),
    }
}

/// Six bytes in hexadecimal, in the form that is kept.
fn mac(text: &str) -> Result<String> {
    let bytes: Vec<&str> = text.split([':', '-']).collect();
    let good = bytes.len() == 6
        && bytes
            .iter()
            .all(|byte| byte.len() == 2 && byte.bytes().all(|digit| digit.is_ascii_hexdigit()));
    if !good {
        bail!("{text} is not a valid mac address");
    }
    Ok(bytes.join(":").to_lowercase())
}

/// `NAME:ADDRESS` or `NAME=ADDRESS`; the address may be `host-gateway`, or in brackets.
pub fn extra_host(text: &str) -> Result<ExtraHost> {
    let bad = || anyhow!("bad format for add-host: {text:?}");
    let (name, address) = text
        .split_once('=')
        .or_else(|| text.split_once(':'))
        .ok_or_else(bad)?;
    let plain = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(address);
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(bad());
    }
    if plain != "host-gateway" && plain.parse::<IpAddr>().is_err() {
        bail!("invalid IP address in add-host: {plain:?}");
    }
    Ok(ExtraHost {
        name: name.into(),
        address: plain.into(),
    })
}
