//! `lighter compose ls`: the projects on this host.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use engine::list::{Filters, Summary};
use orchestrator::container::label;
use serde_json::{Value, json};

use super::project::Session;
use crate::commands::ps::filters;
use crate::output::{self, Table};

/// List running compose projects
#[derive(clap::Args)]
pub struct Args {
    /// Show all stopped Compose projects
    #[arg(short, long)]
    all: bool,
    /// Filter output based on conditions provided: name=TEXT
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Format the output: 'table' or 'json'
    #[arg(long, default_value = "table", value_parser = ["table", "json"], hide_possible_values = true)]
    format: String,
    /// Only display project names
    #[arg(short, long)]
    quiet: bool,
}

const TABLE: Table = Table {
    headings: &[
        ("Name", "NAME"),
        ("Status", "STATUS"),
        ("ConfigFiles", "CONFIG FILES"),
    ],
    shown: &["Name", "Status", "ConfigFiles"],
};

/// Groups containers by their project.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let filter = ("label".to_owned(), label::PROJECT.to_owned());
    let containers = session.host.engine.list(&Filters {
        all: true,
        filters: vec![filter],
    })?;
    let mut projects: BTreeMap<String, Vec<Summary>> = BTreeMap::new();
    for container in containers {
        let name = container
            .labels
            .get(label::PROJECT)
            .cloned()
            .unwrap_or_default();
        projects.entry(name).or_default().push(container);
    }
    let names: Vec<String> = filters(&args.filter)?
        .into_iter()
        .filter(|(key, _)| key == "name")
        .map(|(_, v)| v)
        .collect();
    projects.retain(|name, containers| {
        let up = containers.iter().any(|container| container.status.is_up());
        (args.all || up) && (names.is_empty() || names.iter().any(|wanted| name.contains(wanted)))
    });
    if args.quiet {
        projects.keys().try_for_each(output::line)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Value> = projects
        .iter()
        .map(|(name, containers)| {
            let files = containers
                .iter()
                .find_map(|container| container.labels.get(label::CONFIG_FILES));
            json!({ "Name": name, "Status": status(containers), "ConfigFiles": files })
        })
        .collect();
    match args.format.as_str() {
        "json" => output::line(Value::Array(rows))?,
        _ => output::list(&TABLE, None, &rows)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// `exited(1), running(2)`.
fn status(containers: &[Summary]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for container in containers {
        *counts.entry(container.status.word()).or_default() += 1;
    }
    let parts: Vec<String> = counts
        .into_iter()
        .map(|(word, n)| format!("{word}({n})"))
        .collect();
    parts.join(", ")
}
