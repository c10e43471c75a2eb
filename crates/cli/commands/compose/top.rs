//! `lighter compose top`: the processes of the project's containers.

use std::process::ExitCode;

use anyhow::Result;

use super::project::Session;
use crate::output::{self, table};

/// Display the running processes
#[derive(clap::Args)]
pub struct Args {
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// One table for all, with the service and the number of the container in front.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let mut lines = Vec::new();
    for container in session
        .containers(&args.services)?
        .iter()
        .filter(|container| container.is_up())
    {
        let processes = session.host.engine.top(&container.id, &[])?;
        if lines.is_empty() {
            lines.push(format!("SERVICE\t#\t{}", processes.titles.join("\t")));
        }
        let rows = processes.rows.iter();
        lines.extend(rows.map(|row| {
            format!(
                "{}\t{}\t{}",
                container.service,
                container.number,
                row.join("\t")
            )
        }));
    }
    output::text(&table::align(&lines.join("\n")))?;
    Ok(ExitCode::SUCCESS)
}
