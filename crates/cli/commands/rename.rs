//! `lighter rename`: gives a container another name.

use std::process::ExitCode;

use anyhow::Result;

use crate::args::Global;

/// Rename a container
#[derive(clap::Args)]
pub struct Args {
    container: String,
    new_name: String,
}

/// Renames the container.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    global.engine()?.rename(&args.container, &args.new_name)?;
    Ok(ExitCode::SUCCESS)
}
