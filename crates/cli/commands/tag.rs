//! `lighter tag`: gives an image another name.

use std::process::ExitCode;

use anyhow::{Result, bail};
use image::{Reference, Store};

use crate::args::Global;

/// Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE
#[derive(clap::Args)]
pub struct Args {
    #[arg(value_name = "SOURCE_IMAGE[:TAG]")]
    source: String,
    #[arg(value_name = "TARGET_IMAGE[:TAG]")]
    target: String,
}

/// The image stays the same; a name that another image had moves here.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let target: Reference = args.target.parse()?;
    if target.digest().is_some() {
        bail!("refusing to create a tag with a digest reference");
    }
    let store = Store::open(&global.root)?;
    store.tag(&store.find(&args.source)?, &target)?;
    Ok(ExitCode::SUCCESS)
}
