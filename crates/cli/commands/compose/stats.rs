//! `lighter compose stats`: what the project's containers use.

use std::process::ExitCode;

use anyhow::Result;

use super::project::Session;
use crate::commands::stats;

/// Display a live stream of container(s) resource usage statistics
#[derive(clap::Args)]
pub struct Args {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long)]
    format: Option<String>,
    /// Disable streaming stats and only pull the first result
    #[arg(long)]
    no_stream: bool,
    /// Do not truncate output
    #[arg(long)]
    no_trunc: bool,
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// The same as `lighter stats` of these containers.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let containers = session.containers(&args.services)?;
    let names: Vec<String> = containers
        .into_iter()
        .filter(|c| args.all || c.is_up())
        .map(|container| container.name)
        .collect();
    if names.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    stats::run(
        stats::Args::of(names, args.format, args.no_stream, args.no_trunc),
        session.global,
    )
}
