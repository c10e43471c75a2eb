//! `lighter manifest`: what a registry has under a name, and indexes made by hand.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use image::manifest_list::{self, List, Lists};
use image::{Document, Original, Platform, Reference};
use serde_json::{Value, json};

use crate::args::Global;
use crate::options::RegistryOptions;
use crate::output;
use crate::report::Each;

/// Manage image manifests and manifest lists
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Add information to a manifest of a local manifest list
    Annotate(Annotate),
    /// Create a local manifest list to annotate and push
    Create(Create),
    /// Display an image manifest, or manifest list
    Inspect(Inspect),
    /// Push a manifest list to a registry
    Push(Push),
    /// Delete one or more local manifest lists
    Rm(Rm),
}

#[derive(clap::Args)]
struct Annotate {
    /// Set architecture
    #[arg(long)]
    arch: Option<String>,
    /// Set operating system
    #[arg(long)]
    os: Option<String>,
    /// Set operating system feature
    #[arg(long)]
    os_features: Vec<String>,
    /// Set operating system version
    #[arg(long)]
    os_version: Option<String>,
    /// Set architecture variant
    #[arg(long)]
    variant: Option<String>,
    #[arg(value_name = "MANIFEST_LIST")]
    list: String,
    #[arg(value_name = "MANIFEST")]
    manifest: String,
}

#[derive(clap::Args)]
struct Create {
    /// Amend an existing manifest list
    #[arg(short, long)]
    amend: bool,
    #[command(flatten)]
    registry: RegistryOptions,
    #[arg(value_name = "MANIFEST_LIST")]
    list: String,
    #[arg(value_name = "MANIFEST", required = true)]
    manifests: Vec<String>,
}

#[derive(clap::Args)]
struct Inspect {
    /// Output additional info: descriptors, and the manifests of a list
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    registry: RegistryOptions,
    #[arg(value_name = "[MANIFEST_LIST] MANIFEST", required = true, num_args = 1..=2)]
    names: Vec<String>,
}

#[derive(clap::Args)]
struct Push {
    /// Remove the local manifest list after push
    #[arg(short, long)]
    purge: bool,
    #[command(flatten)]
    registry: RegistryOptions,
    #[arg(value_name = "MANIFEST_LIST")]
    list: String,
}

#[derive(clap::Args)]
struct Rm {
    #[arg(value_name = "MANIFEST_LIST", required = true)]
    lists: Vec<String>,
}

/// Calls the verb.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let lists = Lists::open(&global.root);
    match args.verb {
        Verb::Annotate(args) => annotate(args, &lists),
        Verb::Create(args) => create(&args, &lists),
        Verb::Inspect(args) => inspect(&args, &lists),
        Verb::Push(args) => push(&args, &lists),
        Verb::Rm(args) => remove(&args, &lists),
    }
}

fn known(lists: &Lists, name: &Reference) -> Result<List> {
    let found = lists.find(name)?;
    found.with_context(|| {
        format!(
            "No such manifest: {name}; make it with `lighter manifest create {name} MANIFEST...`"
        )
    })
}

fn create(args: &Create, lists: &Lists) -> Result<ExitCode> {
    let name: Reference = args.list.parse()?;
    let mut list = match lists.find(&name)? {
        Some(_) if !args.amend => {
            bail!("refusing to amend an existing manifest list with no --amend flag")
        }
        Some(list) => list,
        None => List::new(&name),
    };
    let options = args.registry.options()?;
    for manifest in &args.manifests {
        list.add(&manifest.parse()?, &options)?;
    }
    lists.keep(&name, &list)?;
    output::line(format_args!("Created manifest list {name}"))?;
    Ok(ExitCode::SUCCESS)
}

fn annotate(args: Annotate, lists: &Lists) -> Result<ExitCode> {
    let name: Reference = args.list.parse()?;
    let manifest: Reference = args.manifest.parse()?;
    let mut list = known(lists, &name)?;
    let entry = list.entry(&manifest);
    let entry =
        entry.with_context(|| format!("manifest for image {manifest} does not exist in {name}"))?;
    let platform = entry.descriptor.platform.get_or_insert_with(Platform::host);
    let set = |field: &mut String, value: Option<String>| {
        if let Some(value) = value {
            *field = value;
        }
    };
    set(&mut platform.os, args.os);
    set(&mut platform.architecture, args.arch);
    platform.variant = args.variant.or(platform.variant.take());
    platform.os_version = args.os_version.or(platform.os_version.take());
    for feature in args.os_features {
        if !platform.os_features.contains(&feature) {
            platform.os_features.push(feature);
        }
    }
    lists.keep(&name, &list)?;
    Ok(ExitCode::SUCCESS)
}

fn push(args: &Push, lists: &Lists) -> Result<ExitCode> {
    let name: Reference = args.list.parse()?;
    let list = known(lists, &name)?;
    let pushed = list.push(&name, &args.registry.options()?)?;
    if args.purge {
        lists.remove(&name)?;
    }
    output::line(&pushed.digest)?;
    Ok(ExitCode::SUCCESS)
}

fn remove(args: &Rm, lists: &Lists) -> Result<ExitCode> {
    let mut each = Each::default();
    for text in &args.lists {
        each.check(remove_one(text, lists));
    }
    Ok(each.code())
}

fn remove_one(text: &str, lists: &Lists) -> Result<()> {
    let name: Reference = text.parse()?;
    known(lists, &name)?;
    Ok(lists.remove(&name)?)
}

/// A list that is kept here comes before what the registry has under its name.
fn inspect(args: &Inspect, lists: &Lists) -> Result<ExitCode> {
    let [names @ .., last] = args.names.as_slice() else {
        bail!("requires at least 1 argument");
    };
    let reference: Reference = last.parse()?;
    if let Some(list) = names.first() {
        let name: Reference = list.parse()?;
        let mut list = known(lists, &name)?;
        let entry = list.entry(&reference);
        let entry = entry
            .with_context(|| format!("manifest for image {reference} does not exist in {name}"))?;
        return pretty(&json!({"Ref": entry.reference, "Descriptor": entry.descriptor}));
    }
    if let Some(list) = lists.find(&reference)? {
        return pretty(&serde_json::to_value(list.index())?);
    }
    let options = args.registry.options()?;
    let found = manifest_list::inspect(&reference, &options)?;
    if !args.verbose {
        output::text(&String::from_utf8_lossy(&found.bytes))?;
        if !found.bytes.ends_with(b"\n") {
            output::text("\n")?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    match &found.document {
        Document::Manifest(_) => pretty(&described(&reference, &found)?),
        Document::Index(index) => {
            let children = index.manifests.iter().map(|child| {
                let reference = reference.with_digest(&child.digest);
                let mut found = manifest_list::inspect(&reference, &options)?;
                found.descriptor.platform.clone_from(&child.platform);
                described(&reference, &found)
            });
            pretty(&Value::Array(children.collect::<Result<_>>()?))
        }
    }
}

fn described(reference: &Reference, found: &Original) -> Result<Value> {
    let oci = found
        .descriptor
        .media_type
        .starts_with("application/vnd.oci");
    let member = if oci {
        "OCIManifest"
    } else {
        "SchemaV2Manifest"
    };
    let content: Value = serde_json::from_slice(&found.bytes)?;
    Ok(json!({"Ref": reference.to_string(), "Descriptor": found.descriptor, member: content}))
}

fn pretty(value: &Value) -> Result<ExitCode> {
    output::line(serde_json::to_string_pretty(value)?)?;
    Ok(ExitCode::SUCCESS)
}
