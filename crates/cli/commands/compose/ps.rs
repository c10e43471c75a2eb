//! `lighter compose ps`: the project's containers.

use std::process::ExitCode;

use anyhow::{Result, bail};
use engine::list::Summary;
use jiff::Timestamp;
use orchestrator::observe::Container;
use serde_json::{Value, json};

use super::project::Session;
use crate::commands::ps::filters;
use crate::output::{self, Table, container, units};

/// List containers
#[derive(clap::Args)]
#[allow(clippy::struct_excessive_bools)]
pub struct Args {
    /// Show all stopped containers, and those created by the run command
    #[arg(short, long)]
    all: bool,
    /// Filter services by a property: status=STATE
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long)]
    format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only display IDs
    #[arg(short, long)]
    quiet: bool,
    /// Display services
    #[arg(long)]
    services: bool,
    /// Filter services by status
    #[arg(long, value_name = "STATE", value_parser = ["paused", "restarting", "removing", "running", "dead", "created", "exited"])]
    status: Vec<String>,
    #[arg(value_name = "SERVICE")]
    named: Vec<String>,
}

const TABLE: Table = Table {
    headings: &[
        ("Name", "NAME"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("Service", "SERVICE"),
        ("RunningFor", "CREATED"),
        ("Status", "STATUS"),
        ("State", "STATE"),
        ("Health", "HEALTH"),
        ("Ports", "PORTS"),
        ("ID", "CONTAINER ID"),
        ("Project", "PROJECT"),
        ("ExitCode", "EXIT CODE"),
    ],
    shown: &[
        "Name",
        "Image",
        "Command",
        "Service",
        "RunningFor",
        "Status",
        "Ports",
    ],
};

/// Lists them.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let mut states = args.status.clone();
    for (key, value) in filters(&args.filter)? {
        if key != "status" {
            bail!("invalid filter '{key}': only status is known");
        }
        states.push(value);
    }
    let project = session.named(&args.named)?.0;
    let mut containers = session.summaries(&args.named, args.all)?;
    containers.retain(|(container, summary)| match states.is_empty() {
        true => args.all || container.is_up(),
        false => states.iter().any(|state| state == summary.status.word()),
    });
    if args.services {
        let mut services: Vec<&str> = containers
            .iter()
            .map(|(container, _)| container.service.as_str())
            .collect();
        services.sort_unstable();
        services.dedup();
        services.into_iter().try_for_each(output::line)?;
    } else if args.quiet {
        for (_, summary) in &containers {
            output::line(&summary.id)?;
        }
    } else {
        let now = Timestamp::now();
        let rows: Vec<Value> = containers
            .iter()
            .map(|(c, s)| row(c, s, &project, args.no_trunc, now))
            .collect();
        output::list(&TABLE, args.format.as_deref(), &rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(
    container: &Container,
    summary: &Summary,
    project: &str,
    whole: bool,
    now: Timestamp,
) -> Value {
    let command = summary.command.join(" ");
    let publishers: Vec<Value> = summary
        .ports
        .iter()
        .filter(|_| summary.status.is_up())
        .map(|port| {
            json!({
                "URL": port.host_ip.map_or_else(|| "0.0.0.0".to_owned(), |ip| ip.to_string()),
                "TargetPort": port.container_port,
                "PublishedPort": port.host_port.unwrap_or(0),
                "Protocol": port.protocol.word(),
            })
        })
        .collect();
    json!({
        "ID": if whole { summary.id.as_str() } else { units::short_id(&summary.id) },
        "Name": summary.name,
        "Names": summary.name,
        "Image": summary.image,
        "Command": format!("\"{}\"", if whole { command } else { units::ellipsis(&command, 20) }),
        "Project": project,
        "Service": container.service,
        "CreatedAt": units::moment(summary.created),
        "RunningFor": units::ago(summary.created),
        "State": summary.status.word(),
        "Status": container::status(summary, now),
        "Health": summary.health.map_or("", |health| health.word()),
        "ExitCode": summary.exit_code.unwrap_or(0),
        "Ports": container::ports_now(summary),
        "Publishers": publishers,
    })
}
