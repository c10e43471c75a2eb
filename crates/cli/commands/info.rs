//! `lighter info`: what is here, and what this host can do.

use std::process::ExitCode;

use anyhow::Result;
use engine::list::{Filters, Status, Summary};
use serde_json::{Value, json};

use crate::args::Global;
use crate::output::{self, units};

/// Display system-wide information
#[derive(clap::Args)]
pub struct Args {
    /// Format output using a custom template: 'json' or a Go template
    #[arg(short, long)]
    format: Option<String>,
}

/// Prints the facts, under docker's names.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let facts = facts(global)?;
    match args.format {
        Some(format) => output::objects(&format, &[facts])?,
        None => output::text(&page(&facts))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn facts(global: &Global) -> Result<Value> {
    let containers = global.engine()?.list(&Filters {
        all: true,
        filters: Vec::new(),
    })?;
    let images = image::Store::open(&global.root)?.entries()?.len();
    let count = |wanted: fn(&Summary) -> bool| {
        containers
            .iter()
            .filter(|container| wanted(container))
            .count()
    };
    let system = rustix::system::uname();
    let hierarchies = kernel::cgroup::Hierarchies::discover();
    let layout = hierarchies
        .as_ref()
        .map_or("none", |found| match found.layout() {
            kernel::cgroup::Layout::Unified => "v2",
            kernel::cgroup::Layout::Hybrid => "v1 and v2",
            kernel::cgroup::Layout::Legacy => "v1",
            kernel::cgroup::Layout::Absent => "none",
        });
    Ok(json!({
        "ServerVersion": env!("CARGO_PKG_VERSION"),
        "Containers": containers.len(),
        "ContainersRunning": count(|container| container.status == Status::Running),
        "ContainersPaused": count(|container| container.status == Status::Paused),
        "ContainersStopped": count(|container| !container.status.is_up()),
        "Images": images,
        "Driver": "overlay",
        "LoggingDriver": "json-file",
        "CgroupVersion": layout,
        "KernelVersion": system.release().to_string_lossy(),
        "OSType": std::env::consts::OS,
        "Architecture": std::env::consts::ARCH,
        "NCPU": std::thread::available_parallelism().map_or(1, usize::from),
        "MemTotal": memory(),
        "Name": system.nodename().to_string_lossy(),
        "RootDir": global.root,
        "StateDir": global.state,
    }))
}

/// The host's memory in bytes.
fn memory() -> u64 {
    let info = rustix::system::sysinfo();
    u64::from(info.mem_unit) * info.totalram
}

fn page(facts: &Value) -> String {
    const LINES: &[(&str, &str)] = &[
        ("Containers", "Containers"),
        (" Running", "ContainersRunning"),
        (" Paused", "ContainersPaused"),
        (" Stopped", "ContainersStopped"),
        ("Images", "Images"),
        ("Version", "ServerVersion"),
        ("Storage Driver", "Driver"),
        ("Logging Driver", "LoggingDriver"),
        ("Cgroup Version", "CgroupVersion"),
        ("Kernel Version", "KernelVersion"),
        ("OSType", "OSType"),
        ("Architecture", "Architecture"),
        ("CPUs", "NCPU"),
        ("Total Memory", "MemTotal"),
        ("Name", "Name"),
        ("Root Dir", "RootDir"),
        ("State Dir", "StateDir"),
    ];
    LINES
        .iter()
        .map(|(title, key)| {
            let value = match &facts[key] {
                Value::String(text) => text.clone(),
                Value::Number(bytes) if *key == "MemTotal" => {
                    units::binary_size(bytes.as_u64().unwrap_or(0))
                }
                other => other.to_string(),
            };
            format!("{title}: {value}\n")
        })
        .collect()
}
