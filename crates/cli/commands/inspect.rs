//! `lighter inspect`: everything about containers, images, volumes and networks.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use engine::Engine;
use image::Store;
use serde_json::Value;

use super::{image_inspect, volume};
use crate::args::Global;
use crate::output;
use crate::report::Each;

/// Return low-level information on containers, volumes and other objects
#[derive(clap::Args)]
pub struct Args {
    /// Format output using a custom template: 'json' or a Go template
    #[arg(short, long)]
    format: Option<String>,
    /// Only look for objects of the given type
    #[arg(long = "type", value_name = "TYPE", value_parser = ["container", "image", "volume"])]
    kind: Option<String>,
    #[arg(value_name = "NAME|ID", required = true)]
    names: Vec<String>,
}

/// Prints an array of what was found, and an error for each name that was not.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let engine = global.engine()?;
    let mut each = Each::default();
    let found: Vec<Value> = args
        .names
        .iter()
        .map(|name| look(&engine, &global.root, name, args.kind.as_deref()))
        .collect::<Vec<_>>()
        .into_iter()
        .filter_map(|result| each.check(result))
        .collect();
    output::inspected(args.format.as_deref(), &found)?;
    Ok(each.code())
}

/// The first object of that name, in docker's order of kinds.
fn look(engine: &Engine, root: &Path, name: &str, kind: Option<&str>) -> Result<Value> {
    let wanted = |this: &str| kind.is_none_or(|kind| kind == this);
    if wanted("container") {
        match engine.inspect(name) {
            Err(engine::Error::NoSuchContainer(_)) => {}
            result => return Ok(result?),
        }
    }
    if wanted("image") {
        let missing = |error: &anyhow::Error| {
            matches!(error.downcast_ref(), Some(image::Error::NoSuchImage { .. }))
        };
        match image_inspect::look(&Store::open(root)?, name) {
            Err(error) if missing(&error) => {}
            result => return result,
        }
    }
    if wanted("volume") {
        match engine.volume(name) {
            Err(engine::Error::NoSuchVolume(_)) => {}
            result => return Ok(volume::describe(&result?)),
        }
    }
    Err(anyhow!("No such {}: {name}", kind.unwrap_or("object")))
}
