//! `lighter stats`: what containers use, once or again every second.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use engine::Engine;
use engine::list::{Filters, Summary};
use engine::stats::Stats;
use serde_json::{Value, json};

use crate::args::Global;
use crate::output::{self, Table, units};

/// Display a live stream of container(s) resource usage statistics
#[derive(clap::Args)]
pub struct Args {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long)]
    format: Option<String>,
    /// Disable streaming stats and only pull the first result
    #[arg(long)]
    no_stream: bool,
    /// Do not truncate output
    #[arg(long)]
    no_trunc: bool,
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Args {
    /// As if these were given on the command line.
    pub fn of(
        containers: Vec<String>,
        format: Option<String>,
        no_stream: bool,
        no_trunc: bool,
    ) -> Self {
        Self {
            all: false,
            format,
            no_stream,
            no_trunc,
            containers,
        }
    }
}

const TABLE: Table = Table {
    headings: &[
        ("Container", "CONTAINER"),
        ("ID", "CONTAINER ID"),
        ("Name", "NAME"),
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"),
        ("BlockIO", "BLOCK I/O"),
        ("PIDs", "PIDS"),
    ],
    shown: &[
        "ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs",
    ],
};

/// Between two readings, from which the share of the processors comes.
const INTERVAL: Duration = Duration::from_secs(1);

/// Prints one table, or one every second until interrupted.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let engine = global.engine()?;
    loop {
        let before = readings(&engine, &args)?;
        std::thread::sleep(INTERVAL);
        let after = readings(&engine, &args)?;
        let rows: Vec<Value> = after
            .iter()
            .map(|(container, now)| {
                let earlier = before.iter().find(|(other, _)| other.id == container.id);
                row(
                    container,
                    earlier.and_then(|(_, stats)| stats.as_ref()),
                    now.as_ref(),
                    args.no_trunc,
                )
            })
            .collect();
        if !args.no_stream && std::io::stdout().is_terminal() {
            // Home, and erase what is below (ECMA-48 CUP, ED).
            output::text("\x1b[H\x1b[J")?;
        }
        output::list(&TABLE, args.format.as_deref(), &rows)?;
        if args.no_stream {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Each container, with a reading if it runs.
fn readings(engine: &Engine, args: &Args) -> Result<Vec<(Summary, Option<Stats>)>> {
    let containers = if args.containers.is_empty() {
        engine.list(&Filters {
            all: args.all,
            filters: Vec::new(),
        })?
    } else {
        args.containers
            .iter()
            .map(|name| engine.find(name))
            .collect::<engine::Result<_>>()?
    };
    // One that ended between the two questions has no reading.
    Ok(containers
        .into_iter()
        .map(|container| {
            let stats = container
                .status
                .is_up()
                .then(|| engine.stats(&container.id).ok())
                .flatten();
            (container, stats)
        })
        .collect())
}

fn row(container: &Summary, before: Option<&Stats>, now: Option<&Stats>, whole: bool) -> Value {
    let id = if whole {
        container.id.as_str()
    } else {
        units::short_id(&container.id)
    };
    let pair = |(first, second): (u64, u64)| {
        format!("{} / {}", units::size(first, 3), units::size(second, 3))
    };
    let show = |text: Option<String>, none: &str| text.unwrap_or_else(|| none.to_owned());
    json!({
        "Container": id,
        "ID": id,
        "Name": container.name,
        "CPUPerc": show(now.and_then(|now| processor(before?, now)), "--"),
        "MemUsage": show(
            now.map(|now| format!("{} / {}", units::binary_size(now.memory), units::binary_size(now.memory_limit))),
            "-- / --"
        ),
        "MemPerc": show(now.map(|now| percent(now.memory, now.memory_limit)), "--"),
        "NetIO": show(now.map(|now| pair(now.network)), "--"),
        "BlockIO": show(now.map(|now| pair(now.block)), "--"),
        "PIDs": show(now.map(|now| now.pids.to_string()), "--"),
    })
}

/// Share of one processor, as docker counts: two busy ones are 200 %.
fn processor(before: &Stats, now: &Stats) -> Option<String> {
    let used = now.cpu_nanos.checked_sub(before.cpu_nanos)?;
    let elapsed = now.at_nanos.checked_sub(before.at_nanos)?;
    Some(percent(used, elapsed))
}

#[allow(clippy::cast_precision_loss)] // two decimals are shown
fn percent(part: u64, whole: u64) -> String {
    let share = if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64 * 100.0
    };
    format!("{share:.2}%")
}
