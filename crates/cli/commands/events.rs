//! `lighter events`: what happens to containers, volumes, networks and images.

use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::Result;
use engine::events::{Event, EventQuery};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::ps::filters;
use crate::args::Global;
use crate::options::time;
use crate::output;

/// Get real time events
#[derive(clap::Args)]
pub struct Args {
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Format output: 'json' or a Go template
    #[arg(long)]
    format: Option<String>,
    /// Show all events created since timestamp
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Stream events until this timestamp
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
}

/// Prints events until there is a reason to stop.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let now = Timestamp::now();
    let query = EventQuery {
        since: args
            .since
            .as_deref()
            .map(|text| time::moment("--since", text, now))
            .transpose()?,
        until: args
            .until
            .as_deref()
            .map(|text| time::moment("--until", text, now))
            .transpose()?,
        filters: filters(&args.filter)?,
    };
    let mut failed = None;
    global.engine()?.events(&query, &mut |event| {
        let printed = match &args.format {
            Some(format) => output::objects(format, &[object(event)]),
            None => output::line(line(event)).map_err(Into::into),
        };
        match printed {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failed.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// `2026-01-02T15:04:05.000000000Z container start 0123abcd (image=x, name=y)`.
fn line(event: &Event) -> String {
    let attributes: Vec<String> = event
        .attributes
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let time = event.time.strftime("%Y-%m-%dT%H:%M:%S.%9fZ");
    let attributes = if attributes.is_empty() {
        String::new()
    } else {
        format!(" ({})", attributes.join(", "))
    };
    format!(
        "{time} {} {} {}{attributes}",
        event.kind, event.action, event.id
    )
}

/// docker's JSON of an event.
fn object(event: &Event) -> Value {
    let nanoseconds = event.time.as_nanosecond();
    json!({
        "status": event.action,
        "id": event.id,
        "Type": event.kind,
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": event.attributes},
        "scope": "local",
        "time": event.time.as_second(),
        "timeNano": i64::try_from(nanoseconds).unwrap_or(i64::MAX),
    })
}
