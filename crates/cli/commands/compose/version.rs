//! `lighter compose version`.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::project::Session;
use crate::output;

/// Show the version information
#[derive(clap::Args)]
pub struct Args {
    /// Format the output: 'pretty' or 'json'
    #[arg(short, long, default_value = "pretty", value_parser = ["pretty", "json"], hide_possible_values = true)]
    format: String,
    /// Shows only the version number
    #[arg(long)]
    short: bool,
}

/// Prints it.
pub fn run(args: Args, _: &Session) -> Result<ExitCode> {
    let version = env!("CARGO_PKG_VERSION");
    match (args.short, args.format.as_str()) {
        (true, _) => output::line(version)?,
        (false, "json") => output::line(json!({ "version": version }))?,
        (false, _) => output::line(format_args!("lighter compose version {version}"))?,
    }
    Ok(ExitCode::SUCCESS)
}
