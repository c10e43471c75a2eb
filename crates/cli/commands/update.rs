//! `lighter update`: other limits for containers, also while they run.

use std::process::ExitCode;

use anyhow::{Result, bail};
use engine::update::Update;

use crate::args::Global;
use crate::options::{LimitOptions, restart_policy};
use crate::report;

/// Update configuration of one or more containers
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    limits: LimitOptions,
    /// Restart policy to apply when a container exits
    #[arg(long, value_name = "POLICY")]
    restart: Option<String>,
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// Changes each container.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let change = Update {
        resources: args.limits.resources()?,
        restart: args.restart.as_deref().map(restart_policy).transpose()?,
    };
    if change.restart.is_none() && change.resources == engine::config::Resources::default() {
        bail!("you must provide one or more flags when using this command");
    }
    let engine = global.engine()?;
    report::each(&args.containers, |name| engine.update(name, &change))
}
