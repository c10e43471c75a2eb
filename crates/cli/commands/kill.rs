//! `lighter kill`: sends a signal to containers.

use std::process::ExitCode;

use anyhow::Result;

use crate::args::Global;
use crate::report;

/// Kill one or more running containers
#[derive(clap::Args)]
pub struct Args {
    /// Signal to send to the container
    #[arg(short, long, default_value = "KILL")]
    signal: String,
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// Sends the signal to each container.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let engine = global.engine()?;
    report::each(&args.containers, |name| engine.kill(name, &args.signal))
}
