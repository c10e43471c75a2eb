//! `lighter artifact`: files in a registry, and what a registry has about an image.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use image::Reference;
use image::artifact::{self, Artifact};
use serde_json::json;

use crate::args::Global;
use crate::options::{RegistryOptions, pairs};
use crate::output::{self, Table, units};

/// Push and pull files that are no images
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// List what a registry has about an image: signatures, lists of materials, ...
    Ls(Ls),
    /// Download the files of an artifact
    Pull(Pull),
    /// Upload files as an artifact
    Push(Push),
}

#[derive(clap::Args)]
struct Ls {
    /// Only those of this type
    #[arg(long, value_name = "TYPE")]
    artifact_type: Option<String>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long)]
    format: Option<String>,
    #[command(flatten)]
    registry: RegistryOptions,
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    name: String,
}

#[derive(clap::Args)]
struct Pull {
    /// Directory to write the files to
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    #[command(flatten)]
    registry: RegistryOptions,
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    name: String,
}

#[derive(clap::Args)]
struct Push {
    /// What kind of thing it is
    #[arg(
        long,
        value_name = "TYPE",
        default_value = "application/vnd.unknown.artifact.v1"
    )]
    artifact_type: String,
    /// Add a note to the artifact
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<String>,
    /// The image of the same repository that it is about
    #[arg(long, value_name = "TAG|DIGEST")]
    subject: Option<String>,
    #[command(flatten)]
    registry: RegistryOptions,
    #[arg(value_name = "NAME[:TAG]")]
    name: String,
    #[arg(value_name = "FILE[:TYPE]", required = true)]
    files: Vec<String>,
}

const TABLE: Table = Table {
    headings: &[
        ("Digest", "DIGEST"),
        ("ArtifactType", "ARTIFACT TYPE"),
        ("MediaType", "MEDIA TYPE"),
        ("Size", "SIZE"),
    ],
    shown: &["Digest", "ArtifactType", "Size"],
};

/// Calls the verb.
pub fn run(args: Args, _: &Global) -> Result<ExitCode> {
    match args.verb {
        Verb::Ls(ls) => list(&ls),
        Verb::Pull(args) => pull(&args),
        Verb::Push(args) => push(&args),
    }
}

fn list(args: &Ls) -> Result<ExitCode> {
    let reference: Reference = args.name.parse()?;
    let options = args.registry.options()?;
    let found = artifact::referrers(&reference, args.artifact_type.as_deref(), &options)?;
    let rows: Vec<_> = found
        .iter()
        .map(|referrer| {
            json!({
                "Digest": referrer.digest,
                "ArtifactType": referrer.artifact_type.clone().unwrap_or_default(),
                "MediaType": referrer.media_type,
                "Size": units::size(referrer.size, 3),
                "Annotations": referrer.annotations,
            })
        })
        .collect();
    output::list(&TABLE, args.format.as_deref(), &rows)?;
    Ok(ExitCode::SUCCESS)
}

fn pull(args: &Pull) -> Result<ExitCode> {
    let reference: Reference = args.name.parse()?;
    let written = artifact::fetch(&reference, &args.output, &args.registry.options()?)?;
    for path in written {
        output::line(path.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn push(args: &Push) -> Result<ExitCode> {
    let reference: Reference = args.name.parse()?;
    let artifact = Artifact {
        kind: args.artifact_type.clone(),
        files: args
            .files
            .iter()
            .map(|text| file(text))
            .collect::<Result<_>>()?,
        annotations: pairs("annotation", &args.annotation)?,
        subject: args.subject.clone(),
    };
    let pushed = artifact::push(&reference, &artifact, &args.registry.options()?)?;
    output::line(format_args!(
        "{}: digest: {} size: {}",
        reference.wanted(),
        pushed.digest,
        pushed.size
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// `report.json:application/json`; a colon may also be part of the file's name.
fn file(text: &str) -> Result<(PathBuf, Option<String>)> {
    let whole = PathBuf::from(text);
    let found = match text.rsplit_once(':') {
        Some((path, kind)) if !whole.exists() && kind.contains('/') => {
            (PathBuf::from(path), Some(kind.to_owned()))
        }
        _ => (whole, None),
    };
    let metadata = found.0.metadata();
    let metadata = metadata.with_context(|| format!("cannot read {}", found.0.display()))?;
    if !metadata.is_file() {
        bail!("{} is no file", found.0.display());
    }
    Ok(found)
}
