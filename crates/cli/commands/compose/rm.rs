//! `lighter compose rm`: removes stopped containers.

use std::process::ExitCode;

use anyhow::Result;
use orchestrator::lifecycle;

use super::play::play;
use super::project::Session;
use crate::report;

/// Removes stopped service containers
#[derive(clap::Args)]
pub struct Args {
    /// Don't ask to confirm removal
    #[arg(short, long)]
    force: bool,
    /// Stop the containers, if required, before removing
    #[arg(short, long)]
    stop: bool,
    /// Remove any anonymous volumes attached to containers
    #[arg(short, long)]
    volumes: bool,
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Removes them, after a question.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let mut turn = session.turn_with(&args.services)?;
    turn.containers.retain(|c| args.stop || !c.is_up());
    let chosen = &turn.containers;
    if chosen.is_empty() {
        eprintln!("No stopped containers");
        return Ok(ExitCode::SUCCESS);
    }
    let names: Vec<&str> = chosen
        .iter()
        .map(|container| container.name.as_str())
        .collect();
    if !args.force && !report::confirm(&format!("This removes {}.", names.join(", ")))? {
        return Ok(ExitCode::SUCCESS);
    }
    play(
        &lifecycle::remove(chosen, args.volumes, None),
        session,
        None,
    )?;
    Ok(ExitCode::SUCCESS)
}
