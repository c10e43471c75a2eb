//! `lighter container prune`: removes every stopped container.

use std::process::ExitCode;

use anyhow::Result;

use super::ps::filters;
use crate::args::Global;
use crate::output::{self, units};
use crate::report;

/// Remove all stopped containers
#[derive(clap::Args)]
pub struct Args {
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

/// Asks, then removes.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    if !args.force && !report::confirm("This will remove all stopped containers.")? {
        return Ok(ExitCode::SUCCESS);
    }
    let pruned = global.engine()?.prune(&filters(&args.filter)?)?;
    report::deleted("Containers", &pruned.removed)?;
    output::line(format_args!(
        "Total reclaimed space: {}",
        units::size(pruned.bytes, 4)
    ))?;
    Ok(ExitCode::SUCCESS)
}
