//! `lighter compose scale`: another number of containers for some services.

use std::process::ExitCode;

use anyhow::Result;
use orchestrator::observe;
use orchestrator::reconcile;

use super::play::play;
use super::project::Session;
use super::up::{Making, number_of};

/// Scale services
#[derive(clap::Args)]
pub struct Args {
    /// Don't start linked services
    #[arg(long)]
    no_deps: bool,
    #[arg(value_name = "SERVICE=NUM", required = true, value_parser = number_of)]
    numbers: Vec<(String, u32)>,
}

/// Makes or removes containers; what is there and not surplus stays untouched.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let services: Vec<String> = args
        .numbers
        .iter()
        .map(|(service, _)| service.clone())
        .collect();
    let project = session.project(&services)?;
    session.check_support(&project, &services)?;
    let making = Making {
        scale: args.numbers,
        no_deps: args.no_deps,
        no_recreate: true,
        ..Making::default()
    };
    let _turn = session.turn(&project.name)?;
    let observed = observe::observe(&session.host, &project)?;
    let plan = reconcile::reconcile(&project, &observed, &making.options(&services)?)?;
    play(&plan, session, None)?;
    Ok(ExitCode::SUCCESS)
}
