//! `lighter pull`: fetches an image and unpacks it.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use image::{Progress, PullOptions, Reference, Store};

use crate::args::Global;
use crate::options::RegistryOptions;
use crate::waterfall::{Form, Recorder};
use crate::{output, progress};

/// Download an image from a registry
#[derive(clap::Args)]
pub struct Args {
    /// Download all tagged images in the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Also fetch what is for other platforms, so that the whole can be pushed or saved
    #[arg(long)]
    all_platforms: bool,
    /// Set platform if server is multi-platform capable
    #[arg(
        long,
        value_name = "OS/ARCH[/VARIANT]",
        env = "DOCKER_DEFAULT_PLATFORM"
    )]
    platform: Option<String>,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    /// Draw where the time went, into FILE.svg or FILE.json
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Require a cosign signature by the owner of this public key
    #[arg(long, value_name = "FILE")]
    verify_key: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryOptions,
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    name: String,
}

/// Pulls one image, or all of a repository; prints its canonical name.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let reference: Reference = args.name.parse()?;
    let store = Store::open(&global.root)?;
    let options = PullOptions {
        platform: args.platform.as_deref().map(str::parse).transpose()?,
        all_platforms: args.all_platforms,
        registries: args.registry.options()?,
        verify_key: args.verify_key.clone(),
    };
    let references = if args.all_tags {
        all(&args.name, &reference, &options)?
    } else {
        vec![reference]
    };
    let recorder = Recorder::new(progress::transfer(args.quiet));
    let drawn = args.trace.as_deref().map(Form::of).transpose()?;
    let pulled = references
        .iter()
        .try_for_each(|reference| one(&store, reference, &options, args.quiet, &recorder));
    // A pull that failed has a trace too.
    if let (Some(path), Some(form)) = (&args.trace, drawn) {
        let text = recorder.waterfall().draw(form);
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    pulled?;
    Ok(ExitCode::SUCCESS)
}

fn all(name: &str, reference: &Reference, options: &PullOptions) -> Result<Vec<Reference>> {
    let tagged = name
        .rsplit('/')
        .next()
        .is_some_and(|last| last.contains([':', '@']));
    if tagged {
        bail!("tag can't be used with --all-tags/-a");
    }
    let tags = image::registry::tags(reference, &options.registries)?;
    Ok(tags
        .iter()
        .map(|tag| reference.with_tag(tag))
        .collect::<Result<_, _>>()?)
}

fn one(
    store: &Store,
    reference: &Reference,
    options: &PullOptions,
    quiet: bool,
    progress: &dyn Progress,
) -> Result<()> {
    let pulled = image::pull(store, reference, options, progress)?;
    if !quiet {
        eprintln!("Digest: {}", pulled.digest);
        let what = if pulled.downloaded {
            "Downloaded newer image for"
        } else {
            "Image is up to date for"
        };
        eprintln!("Status: {what} {}", reference.familiar());
    }
    output::line(reference)?;
    Ok(())
}
