//! `lighter run`: makes a container, starts it, stays with it until it ends.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Result, bail};
use engine::attach::{Attach, Ended};

use crate::args::Global;
use crate::options::{CreationOptions, Made, Streams, values};
use crate::output;
use crate::report::{self, CANNOT_RUN, Context as _};

/// Create and run a new container from an image
#[derive(clap::Args)]
#[command(override_usage = "lighter run [OPTIONS] IMAGE [COMMAND] [ARG...]")]
pub struct Args {
    /// Run container in background and print container ID
    #[arg(short, long)]
    detach: bool,
    /// Proxy received signals to the process
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value = "true", value_parser = crate::args::go_bool, action = clap::ArgAction::Set)]
    sig_proxy: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    #[command(flatten)]
    pub creation: CreationOptions,
}

/// Runs the container.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let streams = args
        .creation
        .container
        .streams(args.detach)
        .exit_code(CANNOT_RUN)?;
    check_terminal(args.creation.container.tty, streams)?;
    let attach = attach(&args, streams).exit_code(CANNOT_RUN)?;
    let made = args
        .creation
        .create(args.detach, global)
        .exit_code(CANNOT_RUN)?;
    let started = start(made, args.detach, &attach);
    match started {
        Ok(code) => Ok(code),
        Err(error) => {
            let code = error.exit_code();
            Err(report::failure(
                if code == 1 { CANNOT_RUN } else { code },
                error,
            ))
        }
    }
}

fn start(made: Made, detach: bool, attach: &Attach) -> engine::Result<ExitCode> {
    let id = made.created.id.clone();
    match made.engine.run(made.created, (!detach).then_some(attach))? {
        Some(end) => Ok(ended(end)),
        None => {
            let _ = output::line(&id);
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The exit code of a client whose attachment ended so.
pub fn ended(ended: Ended) -> ExitCode {
    match ended {
        Ended::Exited(code) => code_of(code),
        Ended::Detached => ExitCode::SUCCESS,
    }
}

/// A container's exit code as ours. What does not fit is a failure.
pub fn code_of(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

fn attach(args: &Args, streams: Streams) -> Result<Attach> {
    Ok(Attach {
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
        signal_proxy: args.sig_proxy,
        detach_keys: args
            .detach_keys
            .as_deref()
            .map(values::detach_keys)
            .transpose()?,
    })
}

/// A terminal inside whose input comes from a file or pipe would lose the end of that input.
pub fn check_terminal(tty: bool, streams: Streams) -> Result<()> {
    if tty && streams.stdin && !std::io::stdin().is_terminal() {
        bail!("the input device is not a TTY");
    }
    Ok(())
}
