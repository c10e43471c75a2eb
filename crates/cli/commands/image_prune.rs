//! `lighter image prune`: removes images nobody needs.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Result;
use image::store::{Entry, Reclaimed};
use image::{Digest, Store};

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
    report::deleted("Images", &lines(&removed, &reclaimed))?;
    output::line(format_args!(
        "Total reclaimed space: {}",
        units::size(reclaimed.bytes, 4)
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// What became of each name, image and layer, in docker's words.
pub fn lines(removed: &[Entry], reclaimed: &Reclaimed) -> Vec<String> {
    let untagged = removed.iter().filter_map(|entry| entry.reference.as_ref());
    let untagged = untagged.map(|reference| format!("untagged: {}", reference.familiar()));
    let images: BTreeSet<&Digest> = removed.iter().map(|entry| &entry.id).collect();
    let images = images.into_iter().chain(&reclaimed.layers);
    untagged
        .chain(images.map(|id| format!("deleted: {id}")))
        .collect()
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
    let used = store.used_images()?;
    entries.retain(|entry| (all || entry.reference.is_none()) && !used.contains(&entry.id));
    let removed = entries;
    store.untag(&removed)?;
    let mut reclaimed = store.collect()?;
    reclaimed.bytes += store.remove_partials(std::time::Duration::ZERO)?;
    Ok((removed, reclaimed))
}
