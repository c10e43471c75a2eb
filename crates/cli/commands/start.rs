//! `lighter start`: starts containers that were made or have ended.

use std::process::ExitCode;

use anyhow::{Result, bail};
use engine::attach::Attach;

use super::run::ended;
use crate::args::Global;
use crate::options::values;
use crate::output;
use crate::report::{self, Each};

/// Start one or more stopped containers
#[derive(clap::Args)]
pub struct Args {
    /// Attach STDOUT/STDERR and forward signals
    #[arg(short, long)]
    attach: bool,
    /// Attach container's STDIN
    #[arg(short, long)]
    interactive: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// Starts each container, or one and stays with it.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let engine = global.engine()?;
    if args.attach || args.interactive {
        let [container] = args.containers.as_slice() else {
            bail!("you cannot start and attach multiple containers at once");
        };
        let how = Attach {
            stdin: args.interactive,
            detach_keys: args
                .detach_keys
                .as_deref()
                .map(values::detach_keys)
                .transpose()?,
            ..Attach::default()
        };
        return match engine.start_attached(container, &how) {
            Ok(end) => Ok(ended(end)),
            Err(error) => Err(report::failure(error.exit_code(), error)),
        };
    }
    let mut each = Each::default();
    for container in &args.containers {
        if each.check(engine.start(container)).is_some() {
            output::line(container)?;
        }
    }
    Ok(each.code())
}
