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
    /// Display total file sizes if the type is container
    #[arg(short, long)]
    size: bool,
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
        .map(|name| look(&engine, &global.root, name, &args))
        .collect::<Vec<_>>()
        .into_iter()
        .filter_map(|result| each.check(result))
        .collect();
    output::inspected(args.format.as_deref(), &found)?;
    Ok(each.code())
}

/// The first object of that name, in docker's order of kinds.
fn look(engine: &Engine, root: &Path, name: &str, args: &Args) -> Result<Value> {
    let kind = args.kind.as_deref();
    let wanted = |this: &str| kind.is_none_or(|kind| kind == this);
    if wanted("container") {
        match engine.inspect(name) {
            Err(engine::Error::NoSuchContainer(_)) => {}
            Ok(object) if args.size => return with_size(engine, root, name, object),
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

/// Bytes of its own files, and of those with its image's.
fn with_size(engine: &Engine, root: &Path, name: &str, mut object: Value) -> Result<Value> {
    let own = engine.size(name)?;
    let image = object["Image"].as_str().unwrap_or_default();
    let image = Store::open(root)?
        .find(image)
        .map_or(0, |image| image.size());
    object["SizeRw"] = own.into();
    object["SizeRootFs"] = (own + image).into();
    Ok(object)
}
