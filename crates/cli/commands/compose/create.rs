//! `lighter compose create`: makes containers without starting them.

use std::process::ExitCode;

use anyhow::Result;
use orchestrator::reconcile;

use super::project::Session;
use super::up::{Making, bring_up};

/// Create containers for services
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    making: Making,
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Makes them.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let project = session.project(&args.services)?;
    session.check_support(&project, &args.services)?;
    let options = reconcile::Options {
        no_start: true,
        ..args.making.options(&args.services)?
    };
    bring_up(&project, &options, session, None)?;
    Ok(ExitCode::SUCCESS)
}
