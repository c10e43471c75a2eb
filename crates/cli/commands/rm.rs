//! `lighter rm`: removes containers.

use std::process::ExitCode;

use anyhow::Result;
use engine::remove::Remove;

use crate::args::Global;
use crate::report;

/// Remove one or more containers
#[derive(clap::Args)]
pub struct Args {
    /// Force the removal of a running container (uses SIGKILL)
    #[arg(short, long)]
    force: bool,
    /// Remove anonymous volumes associated with the container
    #[arg(short, long)]
    volumes: bool,
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// Removes each container. With `--force` one that does not exist is no error, as `rm -f` has it.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let engine = global.engine()?;
    let how = Remove {
        force: args.force,
        volumes: args.volumes,
    };
    let mut each = report::Each::default();
    for name in &args.containers {
        match engine.remove(name, how) {
            Err(error @ engine::Error::NoSuchContainer(_)) if args.force => global.note(error),
            result => {
                if each.check(result).is_some() {
                    crate::output::line(name)?;
                }
            }
        }
    }
    Ok(each.code())
}
