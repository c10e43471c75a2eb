//! `lighter system df`: what images, containers and volumes take on disk.
//!
//! Sizes are what is on disk, so an image counts its packed blobs and its
//! unpacked layers, each once however many images share them.

use std::process::ExitCode;

use anyhow::Result;
use engine::list::{Filters, Summary};
use engine::volume::Volume;
use image::Store;
use image::store::{ImageUsage, Usage};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{images, ps};
use crate::args::Global;
use crate::output::{self, Table, units};

/// Show disk usage
#[derive(clap::Args)]
pub struct Args {
    /// Format output: 'table', 'table TEMPLATE', 'json', 'jsonarray' or a Go template
    #[arg(long)]
    format: Option<String>,
    /// Show detailed information on space usage
    #[arg(short, long)]
    verbose: bool,
}

const TABLE: Table = Table {
    headings: &[
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    ],
    shown: &["Type", "TotalCount", "Active", "Size", "Reclaimable"],
};
const IMAGES: Table = Table {
    headings: &[
        ("Repository", "REPOSITORY"),
        ("Tag", "TAG"),
        ("ID", "IMAGE ID"),
        ("CreatedSince", "CREATED"),
        ("Size", "SIZE"),
        ("SharedSize", "SHARED SIZE"),
        ("UniqueSize", "UNIQUE SIZE"),
        ("Containers", "CONTAINERS"),
    ],
    shown: &[
        "Repository",
        "Tag",
        "ID",
        "CreatedSince",
        "Size",
        "SharedSize",
        "UniqueSize",
        "Containers",
    ],
};
const CONTAINERS: Table = Table {
    headings: &[
        ("ID", "CONTAINER ID"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("Size", "SIZE"),
        ("RunningFor", "CREATED"),
        ("Status", "STATUS"),
        ("Names", "NAMES"),
    ],
    shown: &[
        "ID",
        "Image",
        "Command",
        "LocalVolumes",
        "Size",
        "RunningFor",
        "Status",
        "Names",
    ],
};
const VOLUMES: Table = Table {
    headings: &[
        ("Name", "VOLUME NAME"),
        ("Links", "LINKS"),
        ("Size", "SIZE"),
    ],
    shown: &["Name", "Links", "Size"],
};

/// All there is, with sizes.
struct Found {
    images: Usage,
    containers: Vec<(Summary, u64)>,
    volumes: Vec<(Volume, u64, usize)>,
}

/// Adds up, or lists everything with `-v`.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let found = look(global)?;
    if !args.verbose {
        output::list(&TABLE, args.format.as_deref(), &totals(&found))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (images, containers, volumes) = details(&found);
    match args.format.as_deref() {
        None | Some("" | "table") => {
            let mut text = String::new();
            for (title, table, rows) in [
                ("Images", &IMAGES, &images),
                ("Containers", &CONTAINERS, &containers),
                ("Local Volumes", &VOLUMES, &volumes),
            ] {
                text += &format!("{title} space usage:\n\n{}\n", table.text(None, rows)?);
            }
            output::text(&(text + "Build cache usage: 0B\n"))?;
        }
        Some(format) => {
            let all = json!({
                "Images": images, "Containers": containers, "Volumes": volumes, "BuildCache": [],
            });
            output::objects(format, &[all])?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn look(global: &Global) -> Result<Found> {
    let engine = global.engine()?;
    let all = Filters {
        all: true,
        filters: Vec::new(),
    };
    let users = engine.volume_users()?;
    let links = |volume: &Volume| users.get(&volume.name).map_or(0, Vec::len);
    Ok(Found {
        images: Store::open(&global.root)?.usage()?,
        containers: engine
            .list(&all)?
            .into_iter()
            .map(|container| {
                let size = engine.container_size(&container.id);
                (container, size)
            })
            .collect(),
        volumes: engine
            .volumes(&[])?
            .into_iter()
            .map(|volume| {
                let (size, links) = (engine.volume_size(&volume), links(&volume));
                (volume, size, links)
            })
            .collect(),
    })
}

fn totals(found: &Found) -> Vec<Value> {
    let images = &found.images;
    let used = images.images.iter().filter(|image| image.used).count();
    let (running, stopped): (Vec<_>, Vec<_>) = found
        .containers
        .iter()
        .partition(|(container, _)| container.status.is_up());
    let bytes = |all: &[&(Summary, u64)]| all.iter().map(|(_, size)| size).sum::<u64>();
    let (linked, free): (Vec<_>, Vec<_>) =
        found.volumes.iter().partition(|(_, _, links)| *links > 0);
    let volume_bytes =
        |all: &[&(Volume, u64, usize)]| all.iter().map(|(_, size, _)| size).sum::<u64>();
    vec![
        total(
            "Images",
            images.images.len(),
            used,
            images.total,
            images.reclaimable,
        ),
        total(
            "Containers",
            found.containers.len(),
            running.len(),
            bytes(&running) + bytes(&stopped),
            bytes(&stopped),
        ),
        total(
            "Local Volumes",
            found.volumes.len(),
            linked.len(),
            volume_bytes(&linked) + volume_bytes(&free),
            volume_bytes(&free),
        ),
        total("Build Cache", 0, 0, 0, 0),
    ]
}

fn total(kind: &str, count: usize, active: usize, size: u64, reclaimable: u64) -> Value {
    let percent = (u128::from(reclaimable) * 100)
        .checked_div(u128::from(size))
        .map_or_else(String::new, |percent| format!(" ({percent}%)"));
    json!({
        "Type": kind,
        "TotalCount": count.to_string(),
        "Active": active.to_string(),
        "Size": units::size(size, 4),
        "Reclaimable": format!("{}{percent}", units::size(reclaimable, 4)),
    })
}

/// The rows of `-v`: images, containers, volumes.
fn details(found: &Found) -> (Vec<Value>, Vec<Value>, Vec<Value>) {
    let now = Timestamp::now();
    let images = &found.images.images;
    let images = images
        .iter()
        .flat_map(|image| image_rows(image, &found.containers));
    let containers = found.containers.iter().map(|(container, size)| {
        let mut row = ps::row(container, false, now);
        row["Size"] = units::size(*size, 3).into();
        row
    });
    let volumes = found.volumes.iter().map(|(volume, size, links)| {
        json!({
            "Name": volume.name,
            "Links": links.to_string(),
            "Size": units::size(*size, 4),
        })
    });
    (images.collect(), containers.collect(), volumes.collect())
}

fn image_rows(image: &ImageUsage, containers: &[(Summary, u64)]) -> Vec<Value> {
    let row = |entry| {
        let mut row = images::row(entry, false);
        let id = entry.id.to_string();
        let users = containers.iter().filter(|(one, _)| one.image_id == id);
        row["Containers"] = users.count().to_string().into();
        row["Size"] = units::size(image.shared + image.unique, 3).into();
        row["SharedSize"] = units::size(image.shared, 4).into();
        row["UniqueSize"] = units::size(image.unique, 4).into();
        row
    };
    image.entries.iter().map(row).collect()
}
