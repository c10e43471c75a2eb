//! `lighter import`: an image from a plain tree.

use std::fs::File;
use std::io;
use std::process::ExitCode;

use anyhow::{Context, Result};
use image::archive::{ImportOptions, Origin, import};
use image::{Silent, Store};

use crate::args::Global;
use crate::output;

/// Import the contents from a tarball to create a filesystem image
#[derive(clap::Args)]
pub struct Args {
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Set commit message for imported image
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,
    /// Set platform of the image
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// A tar archive, packed or not: a file, a web address, or - for STDIN
    #[arg(value_name = "FILE|URL|-")]
    source: String,
    #[arg(value_name = "REPOSITORY[:TAG]")]
    reference: Option<String>,
}

/// Makes the image and prints its id.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let options = ImportOptions {
        reference: args.reference.as_deref().map(str::parse).transpose()?,
        message: args.message,
        changes: args.change,
        platform: args.platform.as_deref().map(str::parse).transpose()?,
        created: None,
    };
    let origin = match args.source.as_str() {
        "-" => Origin::Stream(Box::new(io::stdin())),
        url if url.starts_with("http://") || url.starts_with("https://") => {
            Origin::Url(url.to_owned())
        }
        path => {
            let file = File::open(path).with_context(|| format!("cannot open {path}"))?;
            Origin::Stream(Box::new(file))
        }
    };
    let id = import(&Store::open(&global.root)?, origin, &options, &Silent)?;
    output::line(id)?;
    Ok(ExitCode::SUCCESS)
}
