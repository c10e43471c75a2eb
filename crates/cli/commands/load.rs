//! `lighter load`: images from an archive or an OCI layout.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use image::archive::{Source, load};
use image::{Platform, Silent, Store};

use crate::args::Global;
use crate::output;

/// Load an image from a tar archive or STDIN
#[derive(clap::Args)]
pub struct Args {
    /// Read from tar archive file or OCI layout directory, instead of STDIN
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Suppress the load output
    #[arg(short, long)]
    quiet: bool,
    /// Load only the given platform of images for several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
}

/// Loads all images of the archive, whatever its kind; prints their names.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let platform = args
        .platform
        .as_deref()
        .map(str::parse::<Platform>)
        .transpose()?;
    let source = match &args.input {
        Some(path) => Source::open(path)?,
        None if io::stdin().is_terminal() => {
            bail!("requested load from stdin, but stdin is empty");
        }
        None => Source::Archive(Box::new(io::stdin())),
    };
    let store = Store::open(&global.root)?;
    for loaded in load(&store, source, platform.as_ref(), &Silent)? {
        if args.quiet {
            continue;
        }
        if loaded.references.is_empty() {
            output::line(format_args!("Loaded image ID: {}", loaded.id))?;
        }
        for reference in &loaded.references {
            output::line(format_args!("Loaded image: {}", reference.familiar()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
