//! `lighter wait`: waits until containers end, prints their exit codes.

use std::process::ExitCode;

use anyhow::Result;
use engine::wait::Until;

use crate::args::Global;
use crate::output;
use crate::report::Each;

/// Block until one or more containers stop, then print their exit codes
#[derive(clap::Args)]
pub struct Args {
    /// What to wait for: not-running, next-exit, removed
    #[arg(long, value_name = "CONDITION", default_value = "not-running",
        value_parser = ["not-running", "next-exit", "removed"], hide_possible_values = true)]
    condition: String,
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// Waits for each in turn.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let engine = global.engine()?;
    let until = match args.condition.as_str() {
        "next-exit" => Until::NextExit,
        "removed" => Until::Removed,
        _ => Until::NotRunning,
    };
    let mut each = Each::default();
    for container in &args.containers {
        if let Some(code) = each.check(engine.wait(container, until)) {
            output::line(code)?;
        }
    }
    Ok(each.code())
}
