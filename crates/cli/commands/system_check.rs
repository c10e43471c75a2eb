//! `lighter system check`: whether the images on disk are still what they were.

use std::process::ExitCode;

use anyhow::Result;
use image::registry::Options;
use image::{Store, check};

use crate::args::Global;
use crate::options::RegistryOptions;
use crate::output;
use crate::report::Each;

/// Check every image, blob and layer, and mend what is damaged
#[derive(clap::Args)]
pub struct Args {
    /// Bring back what is damaged: from its archive, else from the registry
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    registry: RegistryOptions,
}

/// Prints a line for each thing that is wrong; exit code 1 if anything stays so.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let store = Store::open(&global.root)?;
    let checked = check::check(&store)?;
    for finding in &checked.findings {
        output::line(format_args!(
            "{}: {} {}",
            finding.image, finding.subject, finding.problem
        ))?;
    }
    if checked.findings.is_empty() {
        let check::Checked {
            images,
            blobs,
            layers,
            ..
        } = checked;
        output::line(format_args!(
            "sound: {images} images, {blobs} blobs, {layers} layers"
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    if !args.repair {
        return Ok(ExitCode::FAILURE);
    }
    mend(&store, checked.findings, &args.registry.options()?)
}

/// A damaged blob hides what is wrong with its tree, so mending takes rounds.
fn mend(store: &Store, mut findings: Vec<check::Finding>, options: &Options) -> Result<ExitCode> {
    let mut mended = 0;
    loop {
        let mut each = Each::default();
        for (image, error) in check::repair(store, &findings, options)? {
            let error = anyhow::Error::new(error).context(format!("cannot mend {image}"));
            each.check::<()>(Err(error));
        }
        let left = check::check(store)?.findings;
        mended += findings
            .iter()
            .filter(|finding| !left.contains(finding))
            .count();
        if left.is_empty() || left == findings {
            output::line(format_args!("mended: {mended}, left: {}", left.len()))?;
            return Ok(each.code());
        }
        findings = left;
    }
}
