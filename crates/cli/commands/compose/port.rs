//! `lighter compose port`: where a service's port can be reached on the host.

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;

use anyhow::{Result, bail};

use super::project::Session;
use crate::output::{self, container::bracketed};

/// Print the public port for a port binding
#[derive(clap::Args)]
pub struct Args {
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "NUMBER")]
    index: Option<u32>,
    /// tcp or udp
    #[arg(long, default_value = "tcp", value_parser = ["tcp", "udp", "sctp"], hide_possible_values = true)]
    protocol: String,
    service: String,
    private_port: u16,
}

/// Prints `address:port`.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let container = session.container(&args.service, args.index)?;
    let summary = session.host.engine.find(&container.id)?;
    let bound = summary.ports.iter().find(|port| {
        port.container_port == args.private_port && port.protocol.word() == args.protocol
    });
    let Some((binding, port)) = bound.and_then(|binding| Some((binding, binding.host_port?)))
    else {
        bail!(
            "no port {}/{} of {} is published",
            args.private_port,
            args.protocol,
            container.name
        );
    };
    let address = binding.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    output::line(format_args!("{}:{port}", bracketed(address)))?;
    Ok(ExitCode::SUCCESS)
}
