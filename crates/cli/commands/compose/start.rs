//! `lighter compose start`: starts containers that exist.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use orchestrator::lifecycle;
use orchestrator::plan::{Action, Cause, Until};

use super::play::play;
use super::project::Session;

/// Start services
#[derive(clap::Args)]
pub struct Args {
    /// Wait for services to be running or healthy
    #[arg(long)]
    wait: bool,
    /// Most seconds to wait
    #[arg(long, value_name = "SECONDS")]
    wait_timeout: Option<u64>,
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Starts them and what they depend on, each when its dependencies are in the states that it waits for.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let turn = session.turn_with(&args.services)?;
    if turn.containers.is_empty() {
        bail!("no container to start; `lighter compose up` makes them");
    }
    let all = session.containers(&[])?;
    let mut plan = lifecycle::start(&turn.containers, &all, turn.project.as_ref());
    if args.wait {
        let started: Vec<usize> = (0..plan.steps.len()).collect();
        for container in &turn.containers {
            let action = Action::Wait {
                name: container.name.clone(),
                until: Until::Settled,
                required: true,
            };
            plan.add(action, Cause::Asked("--wait"), started.clone());
        }
    }
    play(&plan, session, args.wait_timeout.map(Duration::from_secs))?;
    Ok(ExitCode::SUCCESS)
}
