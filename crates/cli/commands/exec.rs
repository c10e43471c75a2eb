//! `lighter exec`: one more program inside a running container.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use engine::exec::Exec;

use super::run::{check_terminal, code_of};
use crate::args::Global;
use crate::options::{Streams, environment, values};
use crate::report;

/// Execute a command in a running container
#[derive(clap::Args)]
#[command(override_usage = "lighter exec [OPTIONS] CONTAINER COMMAND [ARG...]")]
pub struct Args {
    /// Detached mode: run command in the background
    #[arg(short, long)]
    detach: bool,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    interactive: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,
    /// Set environment variables
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long)]
    user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Give extended privileges to the command
    #[arg(long)]
    privileged: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// The container, then the command and its arguments
    #[arg(value_name = "CONTAINER COMMAND", required = true, trailing_var_arg = true, num_args = 2..)]
    words: Vec<String>,
}

/// Runs the program and exits with its code.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    check_terminal(
        args.tty,
        Streams {
            stdin: args.interactive && !args.detach,
            ..Streams::default()
        },
    )?;
    let Some((container, command)) = args.words.split_first() else {
        return Ok(ExitCode::FAILURE);
    };
    let what = Exec {
        command: command.to_vec(),
        env: environment(&args.env, &args.env_file)?,
        user: args.user,
        workdir: args.workdir,
        tty: args.tty,
        stdin: args.interactive,
        detach: args.detach,
        privileged: args.privileged,
        detach_keys: args
            .detach_keys
            .as_deref()
            .map(values::detach_keys)
            .transpose()?,
    };
    match global.engine()?.exec(container, &what) {
        Ok(code) => Ok(code_of(code)),
        // docker's `exec` knows no 125: what cannot be run for any other reason than a missing program is 126.
        Err(error) => {
            let code = match error.exit_code() {
                report::CANNOT_RUN => 126,
                code => code,
            };
            Err(report::failure(code, error))
        }
    }
}
