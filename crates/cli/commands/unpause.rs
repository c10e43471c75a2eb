//! `lighter unpause`: lets frozen containers go on.

use std::process::ExitCode;

use anyhow::Result;

use crate::args::Global;
use crate::report;

/// Unpause all processes within one or more containers
#[derive(clap::Args)]
pub struct Args {
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// Thaws each container.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let engine = global.engine()?;
    report::each(&args.containers, |name| engine.unpause(name))
}
