//! `lighter image inspect`: everything about images, in docker's shape.

use std::process::ExitCode;

use anyhow::Result;
use image::{Image, Store};
use serde_json::{Value, json};

use crate::args::Global;
use crate::output;
use crate::report::Each;

/// Display detailed information on one or more images
#[derive(clap::Args)]
pub struct Args {
    /// Format output using a custom template: 'json' or a Go template
    #[arg(short, long)]
    format: Option<String>,
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

/// Prints an array of what was found, and an error for each name that was not.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let store = Store::open(&global.root)?;
    let mut each = Each::default();
    let found: Vec<Value> = args
        .images
        .iter()
        .filter_map(|name| each.check(look(&store, name)))
        .collect();
    output::inspected(args.format.as_deref(), &found)?;
    Ok(each.code())
}

/// One image as docker describes it.
pub fn look(store: &Store, name: &str) -> Result<Value> {
    let image = store.find(name)?;
    let tags: Vec<String> = store
        .entries()?
        .iter()
        .filter(|entry| entry.id == image.id)
        .filter_map(|entry| entry.reference.as_ref())
        .filter(|reference| reference.tag().is_some())
        .map(image::Reference::familiar)
        .collect();
    Ok(describe(&image, &tags))
}

fn describe(image: &Image, tags: &[String]) -> Value {
    let config = &image.config;
    let digests: Vec<String> = image
        .repo_digests
        .iter()
        .map(image::Reference::familiar)
        .collect();
    let layers: Vec<String> = image
        .layers
        .iter()
        .map(|layer| layer.diff_id.to_string())
        .collect();
    let directories: Vec<String> = image
        .layers
        .iter()
        .rev()
        .map(|layer| layer.directory.display().to_string())
        .collect();
    let comment = config.history.last().and_then(|step| step.comment.clone());
    let mut described = json!({
        "Id": image.id.to_string(),
        "RepoTags": tags,
        "RepoDigests": digests,
        "Comment": comment.unwrap_or_default(),
        "Created": config.created.clone().unwrap_or_default(),
        "Author": config.author.clone().unwrap_or_default(),
        "Config": run_config(image),
        "Architecture": config.architecture,
        "Variant": config.variant,
        "Os": config.os,
        "Size": image.size(),
        "GraphDriver": {"Name": "overlay", "Data": {"LowerDir": directories.join(":")}},
        "RootFS": {"Type": "layers", "Layers": layers},
        "Metadata": {},
        "Descriptor": image.target,
    });
    if config.variant.is_none()
        && let Some(members) = described.as_object_mut()
    {
        members.remove("Variant");
    }
    described
}

/// Members that scripts look for are there even when the image has none.
fn run_config(image: &Image) -> Value {
    let mut config = serde_json::to_value(&image.config.config).unwrap_or_default();
    if let Some(members) = config.as_object_mut() {
        for (name, empty) in [
            ("User", json!("")),
            ("Env", Value::Null),
            ("Cmd", Value::Null),
            ("Entrypoint", Value::Null),
            ("Volumes", Value::Null),
            ("WorkingDir", json!("")),
            ("Labels", Value::Null),
            ("OnBuild", Value::Null),
        ] {
            members.entry(name).or_insert(empty);
        }
    }
    config
}
