//! `lighter compose logs`: what the containers printed, in the order of time.

use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::{Context, Result};
use engine::logs::LogQuery;
use jiff::Timestamp;
use orchestrator::logs::Line;

use super::project::Session;
use crate::options::time;
use crate::output::Closed;

/// View output from containers
#[derive(clap::Args)]
pub struct Args {
    /// Follow log output
    #[arg(short, long)]
    follow: bool,
    /// Show logs since a time (e.g. "2026-01-02T13:23:37Z") or a duration ago (e.g. "42m")
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Show logs before a time (e.g. "2026-01-02T13:23:37Z") or a duration ago (e.g. "42m")
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Number of lines to show from the end of the logs of each container
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all")]
    tail: String,
    /// Show timestamps
    #[arg(short, long)]
    timestamps: bool,
    /// Don't print prefix in logs
    #[arg(long)]
    no_log_prefix: bool,
    /// Produce monochrome output
    #[arg(long)]
    no_color: bool,
    /// Only this container of a service, by number
    #[arg(long, value_name = "NUMBER")]
    index: Option<u32>,
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Prints the lines.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let now = Timestamp::now();
    let when = |option: &str, text: &Option<String>| {
        text.as_deref()
            .map(|text| time::moment(option, text, now))
            .transpose()
    };
    let query = LogQuery {
        follow: args.follow,
        since: when("--since", &args.since)?,
        until: when("--until", &args.until)?,
        tail: tail(&args.tail)?,
    };
    let containers = session.containers(&args.services)?;
    let chosen = containers
        .iter()
        .filter(|container| args.index.is_none_or(|index| container.number == index));
    let names: Vec<String> = chosen.map(|container| container.name.clone()).collect();
    let project = session.named(&args.services)?.0;
    let colours = !args.no_color && session.colours(io::stdout().is_terminal());
    let mut printer = Printer::new(
        Names::of(&project, &names, args.no_log_prefix),
        colours,
        args.timestamps,
    );
    let mut failed = None;
    orchestrator::logs::logs(
        &session.host.engine,
        &names,
        &query,
        &|| false,
        &mut |line| match printer.print(line) {
            Ok(()) => ControlFlow::Continue(()),
            // The threads that follow would wait for the next line of each container to notice.
            Err(error) if args.follow && error.kind() == io::ErrorKind::BrokenPipe => {
                std::process::exit(0)
            }
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        },
    )?;
    failed.map_or(Ok(ExitCode::SUCCESS), |error| Err(Closed(error).into()))
}

/// A number of lines; `all`, or a negative number, is all of them.
fn tail(text: &str) -> Result<Option<usize>> {
    if text == "all" {
        return Ok(None);
    }
    let number: i64 = text
        .parse()
        .with_context(|| format!("invalid argument {text:?} for \"-n, --tail\""))?;
    Ok(usize::try_from(number).ok())
}

/// What stands before the lines of each container.
pub struct Names(Vec<String>);

impl Names {
    /// The containers' names without the project's, padded to one width; or nothing.
    pub fn of(project: &str, containers: &[String], none: bool) -> Self {
        let short = |name: &String| {
            name.strip_prefix(&format!("{project}-"))
                .unwrap_or(name)
                .to_owned()
        };
        let names: Vec<String> = containers.iter().map(short).collect();
        let width = names
            .iter()
            .map(|name| name.chars().count())
            .max()
            .unwrap_or(0);
        Self(
            names
                .into_iter()
                .map(|name| {
                    if none {
                        String::new()
                    } else {
                        format!("{name:width$}  | ")
                    }
                })
                .collect(),
        )
    }
}

/// docker's colours, one after the other.
const COLOURS: [&str; 10] = [
    "36", "33", "32", "35", "34", "36;1", "33;1", "32;1", "35;1", "34;1",
];

/// Prints lines with their prefix, and never mixes two containers on one line.
pub struct Printer {
    prefixes: Vec<String>,
    timestamps: bool,
    /// The container whose unfinished line the cursor is on.
    unfinished: Option<usize>,
}

impl Printer {
    /// With these names in front.
    pub fn new(names: Names, colours: bool, timestamps: bool) -> Self {
        let paint = |(n, name): (usize, String)| match colours && !name.is_empty() {
            true => format!("\x1b[{}m{name}\x1b[0m", COLOURS[n % COLOURS.len()]),
            false => name,
        };
        let prefixes = names.0.into_iter().enumerate().map(paint).collect();
        Self {
            prefixes,
            timestamps,
            unfinished: None,
        }
    }

    /// Prints one line, or a part of one.
    pub fn print(&mut self, line: &Line) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(line.text.len() + 64);
        let goes_on = self.unfinished == Some(line.container);
        if self.unfinished.is_some() && !goes_on {
            bytes.push(b'\n');
        }
        if !goes_on {
            bytes.extend_from_slice(
                self.prefixes
                    .get(line.container)
                    .map_or(&[], |prefix| prefix.as_bytes()),
            );
            if self.timestamps {
                bytes.extend_from_slice(
                    line.time
                        .strftime("%Y-%m-%dT%H:%M:%S.%9fZ ")
                        .to_string()
                        .as_bytes(),
                );
            }
        }
        bytes.extend_from_slice(&line.text);
        self.unfinished = (!line.text.ends_with(b"\n")).then_some(line.container);
        let mut out = io::stdout().lock();
        out.write_all(&bytes)?;
        out.flush()
    }
}

impl Drop for Printer {
    /// A last line without a newline gets one, so that the shell's prompt stands on its own.
    fn drop(&mut self) {
        if self.unfinished.is_some() {
            let _ = io::stdout().lock().write_all(b"\n");
        }
    }
}
