//! `lighter image prune`: removes images nobody needs.

use std::process::ExitCode;

use anyhow::Result;
use image::Store;
use image::store::{Entry, Reclaimed};

use super::images::filter;
use super::ps::filters;
use crate::args::Global;
use crate::output::{self, units};
use crate::report;

/// Remove unused images
#[derive(clap::Args)]
pub struct Args {
    /// Remove all unused images, not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

/// Asks, then removes.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let what = if args.all {
        "This will remove all images without at least one container associated to them."
    } else {
        "This will remove all dangling images."
    };
    if !args.force && !report::confirm(what)? {
        return Ok(ExitCode::SUCCESS);
    }
    let store = Store::open(&global.root)?;
    let (removed, reclaimed) = prune(&store, args.all, &filters(&args.filter)?)?;
    if !removed.is_empty() {
        output::line("Deleted Images:")?;
        for entry in &removed {
            match &entry.reference {
                Some(reference) => {
                    output::line(format_args!("untagged: {}", reference.familiar()))?
                }
                None => output::line(format_args!("deleted: {}", entry.id))?,
            }
        }
        output::line("")?;
    }
    output::line(format_args!(
        "Total reclaimed space: {}",
        units::size(reclaimed.bytes, 4)
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Removes nameless images, or all that no container has; also what failed pulls left.
pub fn prune(
    store: &Store,
    all: bool,
    given: &[(String, String)],
) -> Result<(Vec<Entry>, Reclaimed)> {
    let mut entries = store.entries()?;
    for (key, value) in given {
        entries = match key.as_str() {
            "label!" => {
                let with: Vec<Entry> = filter(store, entries.clone(), "label", value)?;
                entries
                    .into_iter()
                    .filter(|e| !with.iter().any(|w| w.id == e.id))
                    .collect()
            }
            _ => filter(store, entries, key, value)?,
        };
    }
    let mut removed = Vec::new();
    for entry in entries {
        if (all || entry.reference.is_none()) && store.users(&entry.id)?.is_empty() {
            removed.push(entry);
        }
    }
    store.untag(&removed)?;
    let mut reclaimed = store.collect()?;
    reclaimed.bytes += store.remove_partials(std::time::Duration::ZERO)?;
    Ok((removed, reclaimed))
}
