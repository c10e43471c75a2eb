//! `lighter stop`: asks containers to end, waits, then kills.

use std::process::ExitCode;

use anyhow::Result;
use engine::stop::Stopped;

use crate::args::Global;
use crate::options::stop_timeout;
use crate::output;
use crate::report::Each;

/// Stop one or more running containers
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    how: How,
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// How `stop` and `restart` end a container.
#[derive(clap::Args)]
pub struct How {
    /// Signal to send to the container
    #[arg(short, long)]
    pub signal: Option<String>,
    /// Seconds to wait before killing the container; -1 waits for as long as it takes
    #[arg(short, long, alias = "time", value_name = "SECONDS")]
    pub timeout: Option<i64>,
}

/// Stops all at once: ten containers that need ten seconds each take ten seconds.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let engine = global.engine()?;
    each_at_once(&args.containers, global, |name| {
        engine.stop(
            name,
            args.how.signal.as_deref(),
            args.how.timeout.map(stop_timeout),
        )
    })
}

/// Does the same to every container at the same time and prints their names in order.
pub fn each_at_once(
    names: &[String],
    global: &Global,
    act: impl Fn(&str) -> engine::Result<Stopped> + Sync,
) -> Result<ExitCode> {
    let mut each = Each::default();
    let results: Vec<engine::Result<Stopped>> = std::thread::scope(|scope| {
        let running: Vec<_> = names.iter().map(|name| scope.spawn(|| act(name))).collect();
        running.into_iter().map(join).collect()
    });
    for (name, result) in names.iter().zip(results) {
        if let Some(stopped) = each.check(result) {
            output::line(name)?;
            if let Some(hint) = stopped.hint {
                global.note(hint);
            }
        }
    }
    Ok(each.code())
}

fn join<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
