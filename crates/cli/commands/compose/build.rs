//! `lighter compose build`: refused, clearly, until lighter can build.

use std::process::ExitCode;

use anyhow::{Result, bail};

use super::project::Session;

/// Build or rebuild services
#[derive(clap::Args)]
pub struct Args {
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Names what would have to be built.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let project = session.project_to_look_at(&args.services)?;
    let named = |name: &String| args.services.is_empty() || args.services.contains(name);
    let built: Vec<&str> = project
        .services
        .iter()
        .filter(|(name, service)| named(name) && service.build.is_some())
        .map(|(name, _)| name.as_str())
        .collect();
    if built.is_empty() {
        session.global.note("no service is built");
        return Ok(ExitCode::SUCCESS);
    }
    bail!(
        "lighter cannot build images yet: {} would have to be built",
        built.join(", ")
    )
}
