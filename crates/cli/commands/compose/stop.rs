//! `lighter compose stop`: stops containers and keeps them.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use orchestrator::lifecycle;

use super::play::play;
use super::project::Session;

/// Stop services
#[derive(clap::Args)]
pub struct Args {
    /// Seconds to wait for a container to stop
    #[arg(short, long, value_name = "SECONDS")]
    timeout: Option<u64>,
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Stops them, each after those that depend on it.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let turn = session.turn_with(&args.services)?;
    let plan = lifecycle::stop(
        &turn.containers,
        turn.project.as_ref(),
        args.timeout.map(Duration::from_secs),
    );
    play(&plan, session, None)?;
    Ok(ExitCode::SUCCESS)
}
