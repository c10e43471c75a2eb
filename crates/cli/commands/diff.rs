//! `lighter diff`: what a container changed of its image's files.

use std::process::ExitCode;

use anyhow::Result;
use engine::diff::Kind;

use crate::args::Global;
use crate::output;

/// Inspect changes to files or directories on a container's filesystem
#[derive(clap::Args)]
pub struct Args {
    container: String,
}

/// Prints a letter and a path for each change.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let changes = global.engine()?.diff(&args.container)?;
    let line = |change: &engine::diff::Change| {
        let letter = match change.kind {
            Kind::Added => 'A',
            Kind::Changed => 'C',
            Kind::Deleted => 'D',
        };
        format!("{letter} {}\n", change.path.display())
    };
    output::text(&changes.iter().map(line).collect::<String>())?;
    Ok(ExitCode::SUCCESS)
}
