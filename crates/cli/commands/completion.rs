//! `lighter completion`: prints what a shell needs to complete lighter's words.

use std::process::ExitCode;

use anyhow::Result;
use clap_complete::Shell;

use crate::args::{self, Global};
use crate::output::Closed;

/// Generate the autocompletion script for the specified shell
#[derive(clap::Args)]
pub struct Args {
    /// bash, zsh, fish, elvish or powershell
    shell: Shell,
}

/// Prints the script.
pub fn run(args: Args, _: &Global) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::whole(), "lighter", &mut script);
    std::io::Write::write_all(&mut std::io::stdout(), &script).map_err(Closed)?;
    Ok(ExitCode::SUCCESS)
}
