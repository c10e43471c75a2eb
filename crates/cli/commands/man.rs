//! `lighter man`: writes a manual page for each verb, for packagers.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Command;

use crate::args::{self, Global};

/// Write manual pages into a directory
#[derive(clap::Args)]
pub struct Args {
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Writes `lighter.1`, `lighter-run.1`, `lighter-network-create.1` and so on.
pub fn run(args: Args, _: &Global) -> Result<ExitCode> {
    std::fs::create_dir_all(&args.directory)
        .with_context(|| format!("cannot make the directory {}", args.directory.display()))?;
    let mut whole = args::whole();
    whole.build();
    write(&whole, &args.directory)?;
    Ok(ExitCode::SUCCESS)
}

/// One page; `build` gave the command its whole name, as `lighter-network-create`.
fn write(command: &Command, directory: &Path) -> Result<()> {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    let path = directory.join(format!("{name}.1"));
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    std::fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    for inner in command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set())
    {
        write(inner, directory)?;
    }
    Ok(())
}
