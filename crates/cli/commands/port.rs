//! `lighter port`: where a container's ports can be reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;

use anyhow::{Result, bail};
use engine::config::PortBinding;

use crate::args::Global;
use crate::output::{self, container::bracketed};

/// List port mappings or a specific mapping for the container
#[derive(clap::Args)]
pub struct Args {
    container: String,
    /// Only this port of the container
    #[arg(value_name = "PORT[/PROTOCOL]")]
    port: Option<String>,
}

/// Prints each mapping.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let container = global.engine()?.find(&args.container)?;
    let mut bound: Vec<&PortBinding> = container
        .ports
        .iter()
        .filter(|_| container.status.is_up())
        .collect();
    bound.sort_by_key(|binding| (binding.container_port, binding.protocol));
    let Some(wanted) = args.port else {
        for binding in bound {
            for outside in outsides(binding) {
                output::line(format_args!("{} -> {outside}", inside(binding)))?;
            }
        }
        return Ok(ExitCode::SUCCESS);
    };
    let wanted = if wanted.contains('/') {
        wanted
    } else {
        format!("{wanted}/tcp")
    };
    let found: Vec<_> = bound
        .into_iter()
        .filter(|binding| inside(binding) == wanted)
        .collect();
    if found.is_empty() {
        bail!("no public port '{wanted}' published for {}", args.container);
    }
    for outside in found.into_iter().flat_map(outsides) {
        output::line(outside)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn inside(binding: &PortBinding) -> String {
    format!("{}/{}", binding.container_port, binding.protocol.word())
}

/// `0.0.0.0:8080` and `[::]:8080`.
fn outsides(binding: &PortBinding) -> Vec<String> {
    let any = [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ];
    let addresses = binding.host_ip.map_or(any.to_vec(), |ip| vec![ip]);
    let port = binding.host_port.into_iter();
    port.flat_map(|port| {
        addresses
            .iter()
            .map(move |ip| format!("{}:{port}", bracketed(*ip)))
    })
    .collect()
}
