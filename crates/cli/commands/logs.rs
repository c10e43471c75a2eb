//! `lighter logs`: what a container printed.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::{Context, Result};
use engine::logs::{LogLine, LogQuery};
use jiff::Timestamp;

use crate::args::Global;
use crate::options::time;
use crate::output::Closed;

/// Fetch the logs of a container
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
    /// Number of lines to show from the end of the logs
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all")]
    tail: String,
    /// Show timestamps
    #[arg(short, long)]
    timestamps: bool,
    /// Show extra details provided to logs
    #[arg(long)]
    details: bool,
    container: String,
}

/// Prints the lines: what went to standard error goes to standard error.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
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
    let engine = global.engine()?;
    let details = args.details.then(|| engine.log_details(&args.container));
    let mut printer = Printer {
        timestamps: args.timestamps,
        details: details.transpose()?.map(|details| details + " "),
        ..Printer::default()
    };
    let mut failed = None;
    engine.logs(
        &args.container,
        &query,
        &mut |line| match printer.print(line) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        },
    )?;
    match failed {
        Some(error) => Err(Closed(error).into()),
        None => Ok(ExitCode::SUCCESS),
    }
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

/// Puts a timestamp and details before a line, but not before the rest of a line that came in parts.
#[derive(Default)]
struct Printer {
    timestamps: bool,
    details: Option<String>,
    within_line: [bool; 2],
}

impl Printer {
    fn print(&mut self, line: LogLine) -> io::Result<()> {
        let within = &mut self.within_line[usize::from(line.stderr)];
        let mut bytes = Vec::new();
        if !*within {
            if self.timestamps {
                write!(bytes, "{} ", line.time.strftime("%Y-%m-%dT%H:%M:%S.%9fZ"))?;
            }
            bytes.extend_from_slice(self.details.as_deref().unwrap_or_default().as_bytes());
        }
        *within = !line.text.ends_with(b"\n");
        bytes.extend_from_slice(line.text);
        if line.stderr {
            io::stderr().write_all(&bytes)
        } else {
            write_out(&bytes)
        }
    }
}

/// Past the line buffer of `Stdout`, which would hold back an unfinished line.
fn write_out(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}
