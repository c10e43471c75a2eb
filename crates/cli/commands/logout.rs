//! `lighter logout`: forgets the credentials for a registry.

use std::process::ExitCode;

use anyhow::Result;
use image::registry::credentials;

use super::login::registry_of;
use crate::args::Global;
use crate::output;

/// Log out from a registry
#[derive(clap::Args)]
pub struct Args {
    /// File the credentials are in, instead of ~/.docker/config.json
    #[arg(long, value_name = "FILE", env = "REGISTRY_AUTH_FILE")]
    authfile: Option<std::path::PathBuf>,
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

/// Not being logged in is no error, as docker has it.
pub fn run(args: Args, _: &Global) -> Result<ExitCode> {
    let registry = registry_of(args.server.as_deref());
    let found = credentials::erase(&registry, args.authfile.as_deref())?;
    output::line(if found {
        format!("Removing login credentials for {registry}")
    } else {
        format!("Not logged in to {registry}")
    })?;
    Ok(ExitCode::SUCCESS)
}
