//! `lighter version`: what this program is.

use std::process::ExitCode;

use crate::args::Global;
use crate::output;

/// Show the lighter version information
#[derive(clap::Args)]
pub struct Args {}

/// Prints version, interface version and platform.
pub fn run(_: Args, _: &Global) -> anyhow::Result<ExitCode> {
    output::line(format_args!(
        "lighter version {}\n OCI runtime-spec: {}\n OS/Arch:          {}/{}",
        env!("CARGO_PKG_VERSION"),
        "1.2.1",
        std::env::consts::OS,
        std::env::consts::ARCH,
    ))?;
    Ok(ExitCode::SUCCESS)
}
