//! `lighter push`: sends an image to a registry.

use std::process::ExitCode;

use anyhow::{Result, bail};
use image::media_type::Packing;
use image::{PushOptions, Reference, Repacking, Store};

use crate::args::Global;
use crate::options::RegistryOptions;
use crate::options::values::bytes;
use crate::{output, progress};

/// Upload an image to a registry
#[derive(clap::Args)]
pub struct Args {
    /// Push all tags of an image to the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    /// Also push layers that their owner forbids to distribute
    #[arg(long)]
    allow_nondistributable_artifacts: bool,
    /// Send layers in chunks of this size instead of in one piece (e.g. "16m")
    #[arg(long, value_name = "BYTES")]
    chunk_size: Option<String>,
    /// Pack the layers anew: gzip or zstd
    #[arg(long, value_name = "FORMAT", value_parser = ["gzip", "zstd"])]
    compression_format: Option<String>,
    /// How hard to pack: 1 to 9 for gzip, 1 to 22 for zstd
    #[arg(long, value_name = "N", requires = "compression_format")]
    compression_level: Option<u32>,
    #[command(flatten)]
    registry: RegistryOptions,
    #[arg(value_name = "NAME[:TAG]")]
    name: String,
}

/// Pushes one tag, or all of a repository; prints the name with `--quiet`, as docker does.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let reference: Reference = args.name.parse()?;
    let store = Store::open(&global.root)?;
    let options = PushOptions {
        registries: args.registry.options()?,
        chunk: args
            .chunk_size
            .as_deref()
            .map(|text| bytes("chunk-size", text))
            .transpose()?,
        repacking: repacking(&args)?,
        nondistributable: args.allow_nondistributable_artifacts,
    };
    let references = if args.all_tags {
        all(&store, &reference)?
    } else {
        vec![reference]
    };
    for reference in &references {
        one(&store, reference, &options, args.quiet)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn repacking(args: &Args) -> Result<Option<Repacking>> {
    let (packing, hardest) = match args.compression_format.as_deref() {
        None => return Ok(None),
        Some("gzip") => (Packing::Gzip, 9),
        Some(_) => (Packing::Zstd, 22),
    };
    let level = args.compression_level;
    if level.is_some_and(|level| !(1..=hardest).contains(&level)) {
        bail!("--compression-level takes 1 to {hardest} for this format");
    }
    Ok(Some(Repacking { packing, level }))
}

fn all(store: &Store, wanted: &Reference) -> Result<Vec<Reference>> {
    let entries = store.entries()?;
    let names = entries.iter().filter_map(|entry| entry.reference.clone());
    let of_repository: Vec<Reference> = names
        .filter(|name| name.name() == wanted.name() && name.tag().is_some())
        .collect();
    if of_repository.is_empty() {
        bail!(
            "An image does not exist locally with the tag: {}",
            wanted.familiar_repository()
        );
    }
    Ok(of_repository)
}

fn one(store: &Store, reference: &Reference, options: &PushOptions, quiet: bool) -> Result<()> {
    let image = store.find(&reference.to_string())?;
    if !quiet {
        eprintln!("The push refers to repository [{}]", reference.name());
    }
    let pushed = image::push(
        store,
        &image,
        reference,
        options,
        &*progress::transfer(quiet),
    )?;
    if quiet {
        output::line(reference)?;
    } else {
        let tag = reference.wanted();
        output::line(format_args!(
            "{tag}: digest: {} size: {}",
            pushed.digest, pushed.size
        ))?;
    }
    Ok(())
}
