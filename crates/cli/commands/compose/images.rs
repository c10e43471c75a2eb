//! `lighter compose images`: the images that the project's containers were made from.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};

use super::project::Session;
use crate::output::{self, Table, units};

/// List images used by the created containers
#[derive(clap::Args)]
pub struct Args {
    /// Format the output: 'table', 'json' or a Go template
    #[arg(long)]
    format: Option<String>,
    /// Only display IDs
    #[arg(short, long)]
    quiet: bool,
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

const TABLE: Table = Table {
    headings: &[
        ("ContainerName", "CONTAINER"),
        ("Repository", "REPOSITORY"),
        ("Tag", "TAG"),
        ("Platform", "PLATFORM"),
        ("ID", "IMAGE ID"),
        ("Size", "SIZE"),
    ],
    shown: &[
        "ContainerName",
        "Repository",
        "Tag",
        "Platform",
        "ID",
        "Size",
    ],
};

/// Lists them.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let containers = session.summaries(&args.services, false)?;
    if args.quiet {
        let mut ids: Vec<&str> = containers
            .iter()
            .map(|(_, summary)| summary.image_id.as_str())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            output::line(id.strip_prefix("sha256:").unwrap_or(id))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Value> = containers
        .iter()
        .map(|(_, summary)| {
            let image = session.host.store.find(&summary.image_id).ok();
            let reference: Option<image::Reference> = summary.image.parse().ok();
            let of = |part: fn(&image::Reference) -> String| reference.as_ref().map_or("<none>".into(), part);
            json!({
                "ContainerName": summary.name,
                "Repository": of(image::Reference::familiar_repository),
                "Tag": of(|reference| reference.tag().unwrap_or("<none>").to_owned()),
                "Platform": image.as_ref().map(|image| image.config.platform().to_string()),
                "ID": units::short_id(summary.image_id.strip_prefix("sha256:").unwrap_or(&summary.image_id)),
                "Size": image.as_ref().map(|image| units::size(image.size(), 3)),
            })
        })
        .collect();
    output::list(&TABLE, args.format.as_deref(), &rows)?;
    Ok(ExitCode::SUCCESS)
}
