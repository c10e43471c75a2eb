//! `lighter compose watch`: refused, with what to do instead.

use std::process::ExitCode;

use anyhow::{Result, bail};

use super::project::Session;

/// Watch files and rebuild or sync when they change (not available)
#[derive(clap::Args)]
pub struct Args {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Says that nothing is watched.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let services = session.project(&[])?.services.len();
    let named = if args.words.is_empty() {
        format!("the {services} services")
    } else {
        args.words.join(" ")
    };
    bail!(
        "watching is not available, {named} would not follow their files: mount the files (`volumes: ['./src:/src']`), or run `lighter compose up -d` after each change"
    )
}
