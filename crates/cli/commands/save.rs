//! `lighter save`: images to one archive.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use image::archive::{Format, save};
use image::{Image, Reference, Store};

use crate::args::Global;

/// Save one or more images to a tar archive (streamed to STDOUT by default)
#[derive(clap::Args)]
pub struct Args {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Kind of archive: docker-archive (docker, podman and skopeo read it) or oci-archive
    #[arg(long, default_value = "docker-archive", value_parser = ["docker-archive", "oci-archive"])]
    format: String,
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

/// Writes the archive; a file that could not be finished is removed.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let store = Store::open(&global.root)?;
    let images = group(&store, &args.images)?;
    let format = if args.format == "oci-archive" {
        Format::Oci
    } else {
        Format::Docker
    };
    match &args.output {
        None if io::stdout().is_terminal() => {
            bail!("cowardly refusing to save to a terminal. Use the -o flag or redirect");
        }
        None => {
            let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
            save(&store, &images, format, &mut out)?;
        }
        Some(path) => {
            let failed = || format!("cannot write {}", path.display());
            let mut out =
                BufWriter::with_capacity(1 << 20, File::create(path).with_context(failed)?);
            let saved = save(&store, &images, format, &mut out);
            if saved.is_err() {
                let _ = std::fs::remove_file(path);
            }
            saved?;
            out.flush().with_context(failed)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Each image once, with all the names it was asked for by. A repository
/// without a tag means all its tags, as docker has it.
fn group(store: &Store, names: &[String]) -> Result<Vec<(Image, Vec<Reference>)>> {
    let mut images: Vec<(Image, Vec<Reference>)> = Vec::new();
    for name in names {
        for (image, reference) in meant(store, name)? {
            match images.iter_mut().find(|(known, _)| known.id == image.id) {
                Some((_, references)) => references.extend(reference),
                None => images.push((image, reference.into_iter().collect())),
            }
        }
    }
    Ok(images)
}

fn meant(store: &Store, name: &str) -> Result<Vec<(Image, Option<Reference>)>> {
    let tagged = name
        .rsplit('/')
        .next()
        .is_some_and(|last| last.contains([':', '@']));
    if let (false, Ok(wanted)) = (tagged, name.parse::<Reference>()) {
        let entries = store.entries()?;
        let of_repository = entries.iter().filter_map(|entry| {
            let reference = entry.reference.as_ref()?;
            (reference.name() == wanted.name()).then_some((entry, reference))
        });
        let all: Result<Vec<_>> = of_repository
            .map(|(entry, reference)| Ok((store.image(entry)?, Some(reference.clone()))))
            .collect();
        let all = all?;
        if !all.is_empty() {
            return Ok(all);
        }
    }
    let image = store.find(name)?;
    let reference = name
        .parse::<Reference>()
        .ok()
        .filter(|wanted| image.reference.as_ref() == Some(wanted));
    Ok(vec![(image, reference)])
}
