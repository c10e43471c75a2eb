//! `lighter compose kill`: sends a signal to containers.

use std::process::ExitCode;

use anyhow::{Result, bail};
use orchestrator::lifecycle;
use orchestrator::observe::{self, Container};

use super::play::play;
use super::project::Session;
use crate::report::Each;

/// Force stop service containers
#[derive(clap::Args)]
pub struct Args {
    /// SIGNAL to send to the container
    #[arg(short, long, default_value = "SIGKILL")]
    signal: String,
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    remove_orphans: bool,
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Sends it to every running container.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let turn = session.turn_with(&args.services)?;
    let running: Vec<&Container> = turn
        .containers
        .iter()
        .filter(|container| container.is_up())
        .collect();
    if running.is_empty() {
        bail!("no container to kill");
    }
    let mut each = Each::default();
    for container in running {
        if session.dry_run()
            || each
                .check(session.host.engine.kill(&container.id, &args.signal))
                .is_some()
        {
            eprintln!(" Container {}  Killed", container.name);
        }
    }
    if args.remove_orphans {
        let known = |c: &Container| {
            turn.project
                .as_ref()
                .is_none_or(|p| p.services.contains_key(&c.service))
        };
        let orphans: Vec<Container> = observe::containers(&session.host, &turn.name)?
            .into_iter()
            .filter(|c| !known(c))
            .collect();
        play(&lifecycle::remove(&orphans, false, None), session, None)?;
    }
    Ok(each.code())
}
