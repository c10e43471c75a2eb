//! `lighter volume`: directories with a name that outlive containers.

use std::process::ExitCode;

use anyhow::Result;
use engine::volume::{Volume, VolumeConfig};
use serde_json::{Value, json};

use super::ps::filters;
use crate::args::Global;
use crate::options::pairs;
use crate::output::{self, Table, units};
use crate::report::{self, Each};

/// Manage volumes
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Create a volume
    Create(Create),
    /// Display detailed information on one or more volumes
    Inspect(Inspect),
    /// List volumes
    #[command(alias = "list")]
    Ls(Ls),
    /// Remove unused local volumes
    Prune(Prune),
    /// Remove one or more volumes
    #[command(alias = "remove")]
    Rm(Rm),
}

#[derive(clap::Args)]
struct Create {
    /// Only the driver that is built in is known: 'local'
    #[arg(short, long, default_value = "local", value_parser = ["local"])]
    driver: String,
    /// Set metadata for a volume
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Set driver specific options: type, device, o
    #[arg(short, long, value_name = "KEY=VALUE")]
    opt: Vec<String>,
    /// Its name; without one, a random name is printed
    #[arg(value_name = "VOLUME")]
    name: Option<String>,
}

#[derive(clap::Args)]
struct Inspect {
    /// Format output using a custom template: 'json' or a Go template
    #[arg(short, long)]
    format: Option<String>,
    #[arg(value_name = "VOLUME", required = true)]
    names: Vec<String>,
}

#[derive(clap::Args)]
struct Ls {
    /// Provide filter values (e.g. "dangling=true")
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long)]
    format: Option<String>,
    /// Only display volume names
    #[arg(short, long)]
    quiet: bool,
}

#[derive(clap::Args)]
struct Prune {
    /// Remove all unused volumes, not just anonymous ones
    #[arg(short, long)]
    all: bool,
    /// Provide filter values (e.g. "label=<label>")
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

#[derive(clap::Args)]
struct Rm {
    /// A volume that does not exist is no error
    #[arg(short, long)]
    force: bool,
    #[arg(value_name = "VOLUME", required = true)]
    names: Vec<String>,
}

const TABLE: Table = Table {
    headings: &[
        ("Driver", "DRIVER"),
        ("Name", "VOLUME NAME"),
        ("Labels", "LABELS"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Scope", "SCOPE"),
    ],
    shown: &["Driver", "Name"],
};

/// Does what the second word says.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    match args.verb {
        Verb::Create(args) => create(args, global),
        Verb::Inspect(args) => inspect(args, global),
        Verb::Ls(args) => list(args, global),
        Verb::Prune(args) => prune(args, global),
        Verb::Rm(args) => {
            let engine = global.engine()?;
            report::each(&args.names, |name| engine.volume_remove(name, args.force))
        }
    }
}

fn create(args: Create, global: &Global) -> Result<ExitCode> {
    let wish = VolumeConfig {
        name: args.name,
        labels: pairs("label", &args.label)?,
        options: pairs("option", &args.opt)?,
    };
    output::line(global.engine()?.volume_create(&wish)?.name)?;
    Ok(ExitCode::SUCCESS)
}

fn inspect(args: Inspect, global: &Global) -> Result<ExitCode> {
    let engine = global.engine()?;
    let mut each = Each::default();
    let found: Vec<Value> = args
        .names
        .iter()
        .filter_map(|name| each.check(engine.volume(name)))
        .map(|volume| describe(&volume))
        .collect();
    output::inspected(args.format.as_deref(), &found)?;
    Ok(each.code())
}

/// A volume as docker's `inspect` prints it.
pub fn describe(volume: &Volume) -> Value {
    json!({
        "CreatedAt": volume.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "Driver": "local",
        "Labels": volume.labels,
        "Mountpoint": volume.path,
        "Name": volume.name,
        "Options": volume.options,
        "Scope": "local",
    })
}

fn list(args: Ls, global: &Global) -> Result<ExitCode> {
    let volumes = global.engine()?.volumes(&filters(&args.filter)?)?;
    if args.quiet && args.format.is_none() {
        for volume in &volumes {
            output::line(&volume.name)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Value> = volumes.iter().map(row).collect();
    output::list(&TABLE, args.format.as_deref(), &rows)?;
    Ok(ExitCode::SUCCESS)
}

fn row(volume: &Volume) -> Value {
    let labels: Vec<String> = volume
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    json!({
        "Driver": "local",
        "Labels": labels.join(","),
        "Mountpoint": volume.path,
        "Name": volume.name,
        "Scope": "local",
    })
}

fn prune(args: Prune, global: &Global) -> Result<ExitCode> {
    let what = if args.all {
        "all local volumes"
    } else {
        "anonymous local volumes"
    };
    if !args.force
        && !report::confirm(&format!(
            "This will remove {what} not used by at least one container."
        ))?
    {
        return Ok(ExitCode::SUCCESS);
    }
    let engine::volume::PrunedVolumes {
        removed: names,
        bytes,
    } = global
        .engine()?
        .volume_prune(args.all, &filters(&args.filter)?)?;
    report::deleted("Volumes", &names)?;
    output::line(format_args!(
        "Total reclaimed space: {}",
        units::size(bytes, 4)
    ))?;
    Ok(ExitCode::SUCCESS)
}
