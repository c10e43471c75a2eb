//! `lighter restart`: stop, then start.

use std::process::ExitCode;

use anyhow::Result;

use super::stop::{How, each_at_once};
use crate::args::Global;
use crate::options::stop_timeout;

/// Restart one or more containers
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    how: How,
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// Restarts each container.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let engine = global.engine()?;
    each_at_once(&args.containers, global, |name| {
        engine.restart(
            name,
            args.how.signal.as_deref(),
            args.how.timeout.map(stop_timeout),
        )
    })
}
