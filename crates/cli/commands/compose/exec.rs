//! `lighter compose exec`: one more program in a running container of a service.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Result;
use engine::exec::Exec;

use super::project::Session;
use crate::commands::run::code_of;
use crate::options::environment;
use crate::report;

/// Execute a command in a running container
#[derive(clap::Args)]
#[command(override_usage = "lighter compose exec [OPTIONS] SERVICE COMMAND [ARG...]")]
pub struct Args {
    /// Detached mode: run command in the background
    #[arg(short, long)]
    detach: bool,
    /// Set environment variables
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "NUMBER")]
    index: Option<u32>,
    /// Disable pseudo-TTY allocation
    #[arg(short = 'T', long = "no-tty", visible_alias = "no-TTY")]
    no_tty: bool,
    /// Give extended privileges to the process
    #[arg(long)]
    privileged: bool,
    /// Run the command as this user
    #[arg(short, long)]
    user: Option<String>,
    /// Path to workdir directory for this command
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// The service, then the command and its arguments
    #[arg(value_name = "SERVICE COMMAND", required = true, trailing_var_arg = true, num_args = 2..)]
    words: Vec<String>,
}

/// Runs the program and exits with its code. It gets a terminal if we have one.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let Some((service, command)) = args.words.split_first() else {
        return Ok(ExitCode::FAILURE);
    };
    let container = session.container(service, args.index)?;
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let what = Exec {
        command: command.to_vec(),
        env: environment(&args.env, &[])?,
        user: args.user,
        workdir: args.workdir,
        tty: terminal && !args.no_tty && !args.detach,
        stdin: !args.detach,
        detach: args.detach,
        privileged: args.privileged,
        detach_keys: None,
    };
    match session.host.engine.exec(&container.id, &what) {
        Ok(code) => Ok(code_of(code)),
        Err(error) => Err(report::failure(error.exit_code(), error)),
    }
}
