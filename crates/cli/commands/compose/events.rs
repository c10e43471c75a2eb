//! `lighter compose events`: what happens to the project's containers.

use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::Result;
use engine::events::{Event, EventQuery};
use jiff::Timestamp;
use orchestrator::container::label;
use serde_json::{Value, json};

use super::project::Session;
use crate::options::time;
use crate::output;

/// Receive real time events from containers
#[derive(clap::Args)]
pub struct Args {
    /// Output events as a stream of json objects
    #[arg(long)]
    json: bool,
    /// Show all events created since timestamp
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Stream events until this timestamp
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Prints them as they happen.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let (project, _) = session.named(&args.services)?;
    let now = Timestamp::now();
    let when = |option: &str, text: &Option<String>| {
        text.as_deref()
            .map(|text| time::moment(option, text, now))
            .transpose()
    };
    let query = EventQuery {
        since: when("--since", &args.since)?,
        until: when("--until", &args.until)?,
        filters: vec![
            ("type".into(), "container".into()),
            ("label".into(), format!("{}={project}", label::PROJECT)),
        ],
    };
    let mut failed = None;
    session.host.engine.events(&query, &mut |event| {
        let service = event
            .attributes
            .get(label::SERVICE)
            .cloned()
            .unwrap_or_default();
        if !args.services.is_empty() && !args.services.contains(&service) {
            return ControlFlow::Continue(());
        }
        let printed = if args.json {
            output::line(object(event, &service))
        } else {
            output::line(line(event))
        };
        match printed {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failed.map_or(Ok(ExitCode::SUCCESS), |error| Err(error.into()))
}

/// Labels of ours are left out: they repeat the files.
fn attributes(event: &Event) -> impl Iterator<Item = (&String, &String)> {
    event
        .attributes
        .iter()
        .filter(|(key, _)| !key.starts_with("com.docker.compose.") && *key != label::CONFIG)
}

fn line(event: &Event) -> String {
    let attributes: Vec<String> = attributes(event)
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let time = event.time.strftime("%Y-%m-%d %H:%M:%S.%6f");
    format!(
        "{time} container {} {} ({})",
        event.action,
        event.id,
        attributes.join(", ")
    )
}

fn object(event: &Event, service: &str) -> Value {
    let attributes: serde_json::Map<String, Value> = attributes(event)
        .map(|(key, value)| (key.clone(), value.clone().into()))
        .collect();
    json!({
        "time": event.time.to_string(),
        "type": "container",
        "service": service,
        "id": event.id,
        "action": event.action,
        "attributes": attributes,
    })
}
