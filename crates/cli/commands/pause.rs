//! `lighter pause`: freezes every process of containers.

use std::process::ExitCode;

use anyhow::Result;

use crate::args::Global;
use crate::report;

/// Pause all processes within one or more containers
#[derive(clap::Args)]
pub struct Args {
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// Freezes each container.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let engine = global.engine()?;
    report::each(&args.containers, |name| engine.pause(name))
}
