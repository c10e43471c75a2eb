//! `lighter attach`: this terminal becomes a running container's.

use std::process::ExitCode;

use anyhow::{Result, bail};
use engine::attach::Attach;

use super::run::{check_terminal, ended};
use crate::args::{self, Global};
use crate::options::{Streams, values};

/// Attach local standard input, output, and error streams to a running container
#[derive(clap::Args)]
pub struct Args {
    /// Do not attach STDIN
    #[arg(long)]
    no_stdin: bool,
    /// Proxy all received signals to the process
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value = "true", value_parser = args::go_bool, action = clap::ArgAction::Set)]
    sig_proxy: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    container: String,
}

/// Attaches until the container ends or the detach keys are typed.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let engine = global.engine()?;
    let container = engine.inspect(&args.container)?;
    if container["State"]["Running"] != true {
        bail!(
            "you cannot attach to a stopped container, start it first (`lighter start {}`)",
            args.container
        );
    }
    if container["State"]["Paused"] == true {
        bail!(
            "you cannot attach to a paused container, unpause it first (`lighter unpause {}`)",
            args.container
        );
    }
    let stdin = !args.no_stdin && container["Config"]["OpenStdin"] == true;
    check_terminal(
        container["Config"]["Tty"] == true,
        Streams {
            stdin,
            ..Streams::default()
        },
    )?;
    let how = Attach {
        stdin,
        stdout: true,
        stderr: true,
        signal_proxy: args.sig_proxy,
        detach_keys: args
            .detach_keys
            .as_deref()
            .map(values::detach_keys)
            .transpose()?,
    };
    Ok(ended(engine.attach(&args.container, &how)?))
}
