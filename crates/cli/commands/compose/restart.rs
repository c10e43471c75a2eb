//! `lighter compose restart`: stops and starts containers, and those that ask to be restarted with them.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use orchestrator::lifecycle;

use super::play::play;
use super::project::Session;

/// Restart service containers
#[derive(clap::Args)]
pub struct Args {
    /// Don't restart dependent services
    #[arg(long)]
    no_deps: bool,
    /// Seconds to wait for a container to stop
    #[arg(short, long, value_name = "SECONDS")]
    timeout: Option<u64>,
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Restarts them.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let turn = session.turn_with(&args.services)?;
    if turn.containers.is_empty() {
        bail!("no container to restart");
    }
    let all = if args.no_deps {
        Vec::new()
    } else {
        session.containers(&[])?
    };
    let plan = lifecycle::restart(
        &turn.containers,
        &all,
        turn.project.as_ref(),
        args.timeout.map(Duration::from_secs),
    );
    play(&plan, session, None)?;
    Ok(ExitCode::SUCCESS)
}
