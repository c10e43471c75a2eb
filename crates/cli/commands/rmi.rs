//! `lighter rmi`: takes names away, and what nothing needs any more.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use image::store::Entry;
use image::{Error, Store};

use crate::args::Global;
use crate::output::{self, units};
use crate::report::Each;

/// Remove one or more images
#[derive(clap::Args)]
pub struct Args {
    /// Force removal of the image
    #[arg(short, long)]
    force: bool,
    /// Do not delete untagged parents (there are none here)
    #[arg(long)]
    no_prune: bool,
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

/// Removes each image; with `--force` one that does not exist is no error.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let _ = args.no_prune;
    let store = Store::open(&global.root)?;
    let mut each = Each::default();
    for name in &args.images {
        match remove(&store, name, args.force) {
            Err(error) if args.force && is_missing(&error) => {
                global.note(error);
            }
            result => {
                each.check(result);
            }
        }
    }
    Ok(each.code())
}

fn is_missing(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Error::NoSuchImage { .. }))
}

fn remove(store: &Store, name: &str, force: bool) -> Result<()> {
    let removed = store.matching(name)?;
    let all = store.entries()?;
    let Some(first) = removed.first() else {
        return Ok(());
    };
    let of_image = all.iter().filter(|entry| entry.id == first.id).count();
    let last = of_image == removed.len();
    refuse_if_needed(store, name, &removed, last, force)?;
    store.untag(&removed)?;
    for entry in &removed {
        if let Some(reference) = &entry.reference {
            output::line(format_args!("Untagged: {}", reference.familiar()))?;
        }
        if let (true, Some(digest)) = (last, &entry.repo_digest) {
            output::line(format_args!("Untagged: {}", digest.familiar()))?;
        }
    }
    let reclaimed = store.collect()?;
    if last {
        output::line(format_args!("Deleted: {}", first.id))?;
    }
    for layer in &reclaimed.layers {
        output::line(format_args!("Deleted: {layer}"))?;
    }
    Ok(())
}

/// docker's two conflicts: a container has it, or other repositories do.
fn refuse_if_needed(
    store: &Store,
    name: &str,
    removed: &[Entry],
    last: bool,
    force: bool,
) -> Result<()> {
    let Some(first) = removed.first() else {
        return Ok(());
    };
    if force {
        return Ok(());
    }
    let id = first.id.to_string();
    let id = units::short_id(&id);
    if last && let Some(user) = store.users(&first.id)?.first() {
        let container = container_of(user);
        return Err(anyhow!(
            "conflict: unable to delete {name} (must be forced) - container {container} is using its referenced image {id}"
        ));
    }
    let repositories: std::collections::HashSet<String> = removed
        .iter()
        .filter_map(|entry| Some(entry.reference.as_ref()?.name()))
        .collect();
    if repositories.len() > 1 {
        return Err(anyhow!(
            "conflict: unable to delete {id} (must be forced) - image is referenced in multiple repositories"
        ));
    }
    Ok(())
}

/// The container a snapshot belongs to: the part of its path that is an id.
fn container_of(snapshot: &Path) -> String {
    let parts = snapshot
        .components()
        .filter_map(|part| part.as_os_str().to_str());
    let id = parts
        .filter(|part| part.len() == 64)
        .find(|part| part.bytes().all(|b| b.is_ascii_hexdigit()));
    id.map_or_else(
        || snapshot.display().to_string(),
        |id| units::short_id(id).to_owned(),
    )
}
