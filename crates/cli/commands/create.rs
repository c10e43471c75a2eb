//! `lighter create`: makes a container and prints its id.

use std::process::ExitCode;

use crate::args::Global;
use crate::options::CreationOptions;
use crate::output;
use crate::report::{CANNOT_RUN, Context as _};

/// Create a new container
#[derive(clap::Args)]
#[command(override_usage = "lighter create [OPTIONS] IMAGE [COMMAND] [ARG...]")]
pub struct Args {
    #[command(flatten)]
    creation: CreationOptions,
}

/// Makes the container.
pub fn run(args: Args, global: &Global) -> anyhow::Result<ExitCode> {
    // A created container may be started with its input attached (`start -i`).
    let made = args.creation.create(false, global).exit_code(CANNOT_RUN)?;
    output::line(made.created.id)?;
    Ok(ExitCode::SUCCESS)
}
