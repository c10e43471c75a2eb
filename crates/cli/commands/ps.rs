//! `lighter ps`: lists containers.

use std::process::ExitCode;

use anyhow::{Result, bail};
use engine::Engine;
use engine::list::{Filters, Summary};
use image::Store;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::args::Global;
use crate::output::{self, Table, container, units};

/// List containers
#[derive(clap::Args)]
pub struct Args {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Format output: 'table', 'table TEMPLATE', 'json', 'jsonarray' or a Go template
    #[arg(long)]
    format: Option<String>,
    /// Show n last created containers (includes all states)
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = -1, hide_default_value = true)]
    last: i64,
    /// Show the latest created container (includes all states)
    #[arg(short, long)]
    latest: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
    /// Only display container IDs
    #[arg(short, long)]
    quiet: bool,
}

const TABLE: Table = Table {
    headings: &[
        ("ID", "CONTAINER ID"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("CreatedAt", "CREATED AT"),
        ("RunningFor", "CREATED"),
        ("Status", "STATUS"),
        ("State", "STATE"),
        ("HealthStatus", "HEALTH"),
        ("Ports", "PORTS"),
        ("Names", "NAMES"),
        ("Labels", "LABELS"),
        ("Mounts", "MOUNTS"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("Networks", "NETWORKS"),
        ("Platform", "PLATFORM"),
        ("Size", "SIZE"),
    ],
    shown: &[
        "ID",
        "Image",
        "Command",
        "RunningFor",
        "Status",
        "Ports",
        "Names",
    ],
};

/// `-s`.
const TABLE_WITH_SIZE: Table = Table {
    headings: TABLE.headings,
    shown: &[
        "ID",
        "Image",
        "Command",
        "RunningFor",
        "Status",
        "Ports",
        "Names",
        "Size",
    ],
};

/// Lists the containers.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let last = match (args.latest, usize::try_from(args.last)) {
        (true, _) => Some(1),
        (_, Ok(0)) | (_, Err(_)) => None,
        (_, Ok(count)) => Some(count),
    };
    let filters = filters(&args.filter)?;
    // Asking for a state means containers in that state, running or not.
    let by_state = filters
        .iter()
        .any(|(key, _)| key == "status" || key == "exited");
    let which = Filters {
        all: args.all || last.is_some() || by_state,
        filters,
    };
    let engine = global.engine()?;
    let mut containers = engine.list(&which)?;
    containers.truncate(last.unwrap_or(usize::MAX));
    if args.quiet && args.format.is_none() {
        for container in &containers {
            output::line(id(container, args.no_trunc))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let now = Timestamp::now();
    // Measured only when it is shown: every file of every container is looked at.
    let sizes = args.size
        || args
            .format
            .as_deref()
            .is_some_and(|format| format.contains(".Size"));
    let store = sizes.then(|| Store::open(&global.root)).transpose()?;
    let rows: Vec<Value> = containers
        .iter()
        .map(|container| {
            let mut row = row(container, args.no_trunc, now);
            if let Some(store) = &store {
                row["Size"] = size(&engine, store, container).into();
            }
            row
        })
        .collect();
    let table = if args.size { &TABLE_WITH_SIZE } else { &TABLE };
    output::list(table, args.format.as_deref(), &rows)?;
    Ok(ExitCode::SUCCESS)
}

/// `1MB (virtual 5MB)`: its own files, and those with its image's.
fn size(engine: &Engine, store: &Store, container: &Summary) -> String {
    let own = engine.size(&container.id).unwrap_or(0);
    let image = store
        .find(&container.image_id)
        .map_or(0, |image| image.size());
    format!(
        "{} (virtual {})",
        units::size(own, 3),
        units::size(own + image, 3)
    )
}

/// `KEY=VALUE` of every `--filter`.
pub fn filters(given: &[String]) -> Result<Vec<(String, String)>> {
    given
        .iter()
        .map(|filter| match filter.split_once('=') {
            Some((key, value)) => Ok((key.trim().to_lowercase(), value.trim().to_owned())),
            None => bail!("invalid argument {filter:?} for \"-f, --filter\": bad format of filter (expected name=value)"),
        })
        .collect()
}

fn id(container: &Summary, whole: bool) -> &str {
    if whole {
        &container.id
    } else {
        units::short_id(&container.id)
    }
}

/// A container as a row of a listing.
pub fn row(container: &Summary, whole: bool, now: Timestamp) -> Value {
    let cut = |text: String, most| {
        if whole {
            text
        } else {
            units::ellipsis(&text, most)
        }
    };
    let command = container.command.join(" ");
    let labels: Vec<String> = container
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let mounts: Vec<String> = container
        .mounts
        .iter()
        .map(|mount| {
            cut(
                mount.name.clone().unwrap_or_else(|| mount.source.clone()),
                15,
            )
        })
        .collect();
    let volumes = container
        .mounts
        .iter()
        .filter(|mount| mount.kind == "volume")
        .count();
    let networks: Vec<&str> = container
        .networks
        .iter()
        .map(|network| network.name.as_str())
        .collect();
    json!({
        "Command": format!("\"{}\"", cut(command, 20)),
        "CreatedAt": units::moment(container.created),
        "HealthStatus": container.health.map_or("none", |health| health.word()),
        "ID": id(container, whole),
        "Image": container.image,
        "Labels": labels.join(","),
        "LocalVolumes": volumes.to_string(),
        "Mounts": mounts.join(","),
        "Names": container.name,
        "Networks": networks.join(","),
        "Platform": null,
        "Ports": container::ports_now(container),
        "RunningFor": units::ago(container.created),
        "Size": "0B",
        "State": container.status.word(),
        "Status": container::status(container, now),
    })
}
