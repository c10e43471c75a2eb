//! `lighter network`: networks that containers share, and who is on them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use engine::config::NetworkAttachment;
use jiff::Timestamp;
use network::{Cidr, Definition, Driver, Endpoint, Network, Networks, SubnetWish};
use serde_json::{Map, Value, json};

use super::ps::filters;
use crate::args::Global;
use crate::options::{link, pairs};
use crate::output::{self, Table, units};
use crate::report::{self, Each};

/// Manage networks
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Connect a container to a network
    Connect(Connect),
    /// Create a network
    Create(Create),
    /// Disconnect a container from a network
    Disconnect(Disconnect),
    /// Display detailed information on one or more networks
    Inspect(Inspect),
    /// List networks
    #[command(alias = "list")]
    Ls(Ls),
    /// Remove all unused networks
    Prune(Prune),
    /// Remove one or more networks
    #[command(alias = "remove")]
    Rm(Rm),
}

#[derive(clap::Args)]
struct Connect {
    /// Add network-scoped alias for the container
    #[arg(long)]
    alias: Vec<String>,
    /// Priority of this network for the default route: the highest gives it
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    gw_priority: i32,
    /// IPv4 address (e.g., "172.30.100.104")
    #[arg(long)]
    ip: Option<Ipv4Addr>,
    /// IPv6 address (e.g., "2001:db8::33")
    #[arg(long)]
    ip6: Option<Ipv6Addr>,
    /// Add link to another container
    #[arg(long, value_name = "CONTAINER[:ALIAS]")]
    link: Vec<String>,
    #[arg(value_name = "NETWORK")]
    network: String,
    #[arg(value_name = "CONTAINER")]
    container: String,
}

#[derive(clap::Args)]
struct Create {
    /// Driver to manage the network: 'bridge'
    #[arg(short, long, default_value = "bridge", value_parser = ["bridge"])]
    driver: String,
    /// Enable manual container attachment (every network of lighter has it)
    #[arg(long)]
    attachable: bool,
    /// Auxiliary IPv4 or IPv6 addresses that no container gets
    #[arg(long, value_name = "NAME=ADDRESS")]
    aux_address: Vec<String>,
    /// IPv4 or IPv6 gateway for the subnet
    #[arg(long, value_name = "ADDRESS")]
    gateway: Vec<IpAddr>,
    /// Restrict external access to the network
    #[arg(long)]
    internal: bool,
    /// Allocate container addresses from a sub-range
    #[arg(long, value_name = "CIDR")]
    ip_range: Vec<Cidr>,
    /// Enable IPv6 address assignment
    #[arg(long)]
    ipv6: bool,
    /// Set metadata on a network
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Set driver specific options
    #[arg(short, long, value_name = "KEY=VALUE")]
    opt: Vec<String>,
    /// Subnet in CIDR format that represents a network segment
    #[arg(long, value_name = "CIDR")]
    subnet: Vec<Cidr>,
    #[arg(value_name = "NETWORK")]
    name: String,
}

#[derive(clap::Args)]
struct Disconnect {
    /// A container that is not on the network is no error
    #[arg(short, long)]
    force: bool,
    #[arg(value_name = "NETWORK")]
    network: String,
    #[arg(value_name = "CONTAINER")]
    container: String,
}

#[derive(clap::Args)]
struct Inspect {
    /// Format output using a custom template: 'json' or a Go template
    #[arg(short, long)]
    format: Option<String>,
    #[arg(value_name = "NETWORK", required = true)]
    names: Vec<String>,
}

#[derive(clap::Args)]
struct Ls {
    /// Provide filter values (e.g. "driver=bridge")
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long)]
    format: Option<String>,
    /// Do not truncate the output
    #[arg(long)]
    no_trunc: bool,
    /// Only display network IDs
    #[arg(short, long)]
    quiet: bool,
}

#[derive(clap::Args)]
struct Prune {
    /// Provide filter values (e.g. "label=<label>")
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

#[derive(clap::Args)]
struct Rm {
    /// A network that does not exist is no error
    #[arg(short, long)]
    force: bool,
    #[arg(value_name = "NETWORK", required = true)]
    names: Vec<String>,
}

const TABLE: Table = Table {
    headings: &[
        ("ID", "NETWORK ID"),
        ("Name", "NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("IPv6", "IPV6"),
        ("Internal", "INTERNAL"),
        ("Labels", "LABELS"),
        ("CreatedAt", "CREATED AT"),
    ],
    shown: &["ID", "Name", "Driver", "Scope"],
};

/// Does what the second word says.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let networks = Networks::open(&global.root, &global.state);
    match args.verb {
        Verb::Connect(args) => connect(args, global),
        Verb::Create(args) => create(args, &networks),
        Verb::Disconnect(args) => disconnect(args, global),
        Verb::Inspect(args) => inspect(args, &networks),
        Verb::Ls(args) => list(args, global, &networks),
        Verb::Prune(args) => prune(args, global, &networks),
        Verb::Rm(args) => {
            // The engine first: it takes down what containers that crashed left on the network.
            global.engine()?;
            report::each(&args.names, |name| remove(&networks, name, args.force))
        }
    }
}

fn connect(args: Connect, global: &Global) -> Result<ExitCode> {
    let attachment = NetworkAttachment {
        network: args.network,
        aliases: args.alias,
        ipv4: args.ip,
        ipv6: args.ip6,
        gateway_priority: args.gw_priority,
        links: args.link.iter().map(|text| link(text)).collect(),
        ..NetworkAttachment::default()
    };
    global
        .engine()?
        .network_connect(&args.container, attachment)?;
    Ok(ExitCode::SUCCESS)
}

fn disconnect(args: Disconnect, global: &Global) -> Result<ExitCode> {
    let left = global
        .engine()?
        .network_disconnect(&args.container, &args.network);
    match left {
        Err(engine::Error::Invalid { .. }) if args.force => {}
        other => other?,
    }
    Ok(ExitCode::SUCCESS)
}

fn create(args: Create, networks: &Networks) -> Result<ExitCode> {
    let definition = Definition {
        subnets: subnets(&args)?,
        name: args.name,
        driver: Driver::Bridge,
        internal: args.internal,
        ipv6: args.ipv6,
        options: pairs("option", &args.opt)?,
        labels: pairs("label", &args.label)?,
        attachable: args.attachable,
    };
    output::line(networks.create(definition)?.id)?;
    Ok(ExitCode::SUCCESS)
}

/// Each gateway, range and reserved address belongs to the subnet it lies in.
fn subnets(args: &Create) -> Result<Vec<SubnetWish>> {
    let mut wishes: Vec<SubnetWish> = args
        .subnet
        .iter()
        .map(|subnet| SubnetWish {
            subnet: Some(*subnet),
            ..SubnetWish::default()
        })
        .collect();
    for gateway in &args.gateway {
        home(&mut wishes, "gateway", *gateway)?.gateway = Some(*gateway);
    }
    for range in &args.ip_range {
        home(&mut wishes, "range", range.address)?.range = Some(*range);
    }
    for (name, text) in pairs("auxiliary address", &args.aux_address)? {
        let address: IpAddr = text
            .parse()
            .with_context(|| format!("invalid auxiliary address {name}={text}"))?;
        home(&mut wishes, "auxiliary address", address)?
            .reserved
            .insert(name, address);
    }
    Ok(wishes)
}

fn home<'a>(
    wishes: &'a mut [SubnetWish],
    what: &str,
    address: IpAddr,
) -> Result<&'a mut SubnetWish> {
    let holds = |wish: &&mut SubnetWish| wish.subnet.is_some_and(|subnet| subnet.contains(address));
    let Some(wish) = wishes.iter_mut().find(holds) else {
        bail!("no matching subnet for {what} {address}");
    };
    Ok(wish)
}

fn remove(networks: &Networks, name: &str, force: bool) -> Result<(), network::Error> {
    match networks.remove(name) {
        Err(network::Error::NotFound(_)) if force => Ok(()),
        other => other.map(drop),
    }
}

fn inspect(args: Inspect, networks: &Networks) -> Result<ExitCode> {
    let mut each = Each::default();
    let found: Vec<Value> = args
        .names
        .iter()
        .filter_map(|name| each.check(look(networks, name)))
        .collect();
    output::inspected(args.format.as_deref(), &found)?;
    Ok(each.code())
}

/// A network as docker's `inspect` prints it.
pub fn look(networks: &Networks, name: &str) -> Result<Value, network::Error> {
    let network = networks.find(name)?;
    let endpoints = networks.endpoints(&network)?;
    Ok(describe(&network, &endpoints))
}

fn describe(network: &Network, endpoints: &[Endpoint]) -> Value {
    let text = |address: Option<Cidr>| address.map(|cidr| cidr.to_string()).unwrap_or_default();
    let containers: Map<String, Value> = endpoints
        .iter()
        .map(|endpoint| {
            let value = json!({
                "Name": endpoint.names.first(),
                "EndpointID": endpoint.id,
                "MacAddress": endpoint.mac.to_string(),
                "IPv4Address": text(endpoint.ipv4),
                "IPv6Address": text(endpoint.ipv6),
            });
            (endpoint.container.clone(), value)
        })
        .collect();
    json!({
        "Name": network.name,
        "Id": network.id,
        "Created": network.created,
        "Scope": "local",
        "Driver": driver(network),
        "EnableIPv4": true,
        "EnableIPv6": network.ipv6,
        "IPAM": { "Driver": "default", "Options": {}, "Config": subnet_values(network) },
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": false,
        "ConfigFrom": { "Network": "" },
        "ConfigOnly": false,
        "Containers": containers,
        "Options": network.options,
        "Labels": network.labels,
    })
}

fn subnet_values(network: &Network) -> Vec<Value> {
    let value = |subnet: &network::Subnet| {
        let mut value = Map::new();
        value.insert("Subnet".into(), subnet.subnet.to_string().into());
        if let Some(range) = subnet.range {
            value.insert("IPRange".into(), range.to_string().into());
        }
        value.insert("Gateway".into(), subnet.gateway.to_string().into());
        if !subnet.reserved.is_empty() {
            value.insert("AuxiliaryAddresses".into(), json!(subnet.reserved));
        }
        Value::Object(value)
    };
    network.subnets.iter().map(value).collect()
}

fn driver(network: &Network) -> &'static str {
    match network.driver {
        Driver::Bridge => "bridge",
        Driver::Host => "host",
        Driver::None => "null",
    }
}

fn list(args: Ls, global: &Global, networks: &Networks) -> Result<ExitCode> {
    let chosen = chosen(networks, global, &filters(&args.filter)?)?;
    let id = |network: &Network| match args.no_trunc {
        true => network.id.clone(),
        false => units::short_id(&network.id).to_owned(),
    };
    if args.quiet && args.format.is_none() {
        for network in &chosen {
            output::line(id(network))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Value> = chosen
        .iter()
        .map(|network| row(network, id(network)))
        .collect();
    output::list(&TABLE, args.format.as_deref(), &rows)?;
    Ok(ExitCode::SUCCESS)
}

fn row(network: &Network, id: String) -> Value {
    let labels = network
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"));
    json!({
        "CreatedAt": network.created,
        "Driver": driver(network),
        "ID": id,
        "IPv4": "true",
        "IPv6": network.ipv6.to_string(),
        "Internal": network.internal.to_string(),
        "Labels": labels.collect::<Vec<_>>().join(","),
        "Name": network.name,
        "Scope": "local",
    })
}

/// The networks that pass docker's filters: values of one key are alternatives, keys and labels
/// are all required.
fn chosen(
    networks: &Networks,
    global: &Global,
    filters: &[(String, String)],
) -> Result<Vec<Network>> {
    let mut found = networks.list()?;
    let mut keys: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (key, value) in filters {
        keys.entry(key).or_default().push(value);
    }
    for (key, values) in keys {
        match key {
            "driver" => found.retain(|network| values.contains(&driver(network))),
            "id" => {
                found.retain(|network| values.iter().any(|value| network.id.starts_with(value)))
            }
            "name" => {
                found.retain(|network| values.iter().any(|value| network.name.contains(value)))
            }
            "label" => found.retain(|network| values.iter().all(|value| has_label(network, value))),
            "label!" => {
                found.retain(|network| !values.iter().any(|value| has_label(network, value)));
            }
            "until" => {
                for value in values {
                    let limit = crate::options::time::moment("until", value, Timestamp::now())?;
                    found.retain(|network| {
                        network
                            .created
                            .parse::<Timestamp>()
                            .is_ok_and(|created| created < limit)
                    });
                }
            }
            "scope" => found.retain(|_| values.contains(&"local")),
            "type" => found.retain(|network| {
                let kind = if is_builtin(network) {
                    "builtin"
                } else {
                    "custom"
                };
                values.contains(&kind)
            }),
            "dangling" => {
                let wanted = matches!(values.as_slice(), ["true" | "1"]);
                let used = used(global)?;
                found.retain(|network| {
                    !is_builtin(network) && (wanted != used.contains(&network.name))
                });
            }
            other => bail!("invalid filter '{other}'"),
        }
    }
    Ok(found)
}

fn is_builtin(network: &Network) -> bool {
    matches!(network.name.as_str(), "bridge" | "host" | "none")
}

fn has_label(network: &Network, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((key, value)) => network.labels.get(key).is_some_and(|found| found == value),
        None => network.labels.contains_key(wanted),
    }
}

/// The names of networks that a container, running or not, is to join.
fn used(global: &Global) -> Result<Vec<String>> {
    let all = engine::list::Filters {
        all: true,
        ..Default::default()
    };
    let containers = global.engine()?.list(&all)?;
    Ok(containers
        .into_iter()
        .flat_map(|container| container.networks)
        .map(|network| network.name)
        .collect())
}

fn prune(args: Prune, global: &Global, networks: &Networks) -> Result<ExitCode> {
    let warning = "This will remove all custom networks not used by at least one container.";
    if !args.force && !report::confirm(warning)? {
        return Ok(ExitCode::SUCCESS);
    }
    let removed = prune_unused(networks, global, &filters(&args.filter)?)?;
    report::deleted("Networks", &removed)?;
    Ok(ExitCode::SUCCESS)
}

/// Removes the networks no container is to join; their names.
pub fn prune_unused(
    networks: &Networks,
    global: &Global,
    filters: &[(String, String)],
) -> Result<Vec<String>> {
    let used = used(global)?;
    let mut removed = Vec::new();
    for network in chosen(networks, global, filters)? {
        if !is_builtin(&network) && !used.contains(&network.name) {
            match networks.remove(&network.name) {
                // A container joined it meanwhile, or somebody else removed it.
                Err(network::Error::InUse { .. } | network::Error::NotFound(_)) => {}
                other => removed.push(other?.name),
            }
        }
    }
    Ok(removed)
}
