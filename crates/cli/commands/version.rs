//! `lighter version`: what this program is, for people and (`--format`) for scripts.

use std::process::ExitCode;

use serde_json::json;

use crate::args::Global;
use crate::output;

/// Show the lighter version information
#[derive(clap::Args)]
pub struct Args {
    /// Format output using a custom template: 'json' or a Go template
    #[arg(short, long)]
    format: Option<String>,
}

/// Prints version, interface versions and platform.
pub fn run(args: Args, _: &Global) -> anyhow::Result<ExitCode> {
    let facts = json!({
        "Version": env!("CARGO_PKG_VERSION"),
        "OciVersion": "1.2.1",
        "Os": std::env::consts::OS,
        "Arch": std::env::consts::ARCH,
    });
    match args.format {
        Some(format) => output::objects(&format, &[facts])?,
        None => output::line(format_args!(
            "lighter version {}\n OCI runtime-spec: {}\n OS/Arch:          {}/{}",
            env!("CARGO_PKG_VERSION"),
            "1.2.1",
            std::env::consts::OS,
            std::env::consts::ARCH,
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}
