//! `lighter compose unpause`: lets the frozen containers of services go on.

use std::process::ExitCode;

use anyhow::Result;
use engine::list::Status;

use super::project::Session;
use crate::report::Each;

/// Unpause services
#[derive(clap::Args)]
pub struct Args {
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Does it to every container in the right state.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let mut each = Each::default();
    let turn = session.turn_with(&args.services)?;
    for container in turn
        .containers
        .iter()
        .filter(|container| container.status == Status::Paused)
    {
        if session.dry_run()
            || each
                .check(session.host.engine.unpause(&container.id))
                .is_some()
        {
            eprintln!(" Container {}  Unpaused", container.name);
        }
    }
    Ok(each.code())
}
