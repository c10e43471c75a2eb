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
    services: Vec<String>,
}

/// Starts them in the order of their dependencies.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let containers = session.containers(&args.services)?;
    if containers.is_empty() {
        bail!("no container to start; `lighter compose up` makes them");
    }
    let mut plan = lifecycle::start(&containers);
    if args.wait {
        let started: Vec<usize> = (0..plan.steps.len()).collect();
        for container in &containers {
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
