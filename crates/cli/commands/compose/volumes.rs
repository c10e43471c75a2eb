//! `lighter compose volumes`: the project's volumes.

use std::process::ExitCode;

use anyhow::Result;
use orchestrator::container::label;
use serde_json::Value;

use super::project::Session;
use crate::commands::volume::describe;
use crate::output::{self, Table};

/// List volumes
#[derive(clap::Args)]
pub struct Args {
    /// Format output: 'table', 'json' or a Go template
    #[arg(long)]
    format: Option<String>,
    /// Only display volume names
    #[arg(short, long)]
    quiet: bool,
}

const TABLE: Table = Table {
    headings: &[("Driver", "DRIVER"), ("Name", "VOLUME NAME")],
    shown: &["Driver", "Name"],
};

/// Lists them.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let (project, _) = session.named(&[])?;
    let volumes = session
        .host
        .engine
        .volumes(&[("label".into(), format!("{}={project}", label::PROJECT))])?;
    if args.quiet {
        volumes
            .iter()
            .try_for_each(|volume| output::line(&volume.name))?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Value> = volumes.iter().map(describe).collect();
    output::list(&TABLE, args.format.as_deref(), &rows)?;
    Ok(ExitCode::SUCCESS)
}
