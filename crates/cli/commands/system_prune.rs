//! `lighter system prune`: removes containers, networks, volumes and images that nothing uses.

use std::process::ExitCode;

use anyhow::{Result, bail};
use image::Store;
use network::Networks;

use super::{image_prune, network::prune_unused, ps::filters};
use crate::args::Global;
use crate::output::{self, units};
use crate::report;

/// Remove unused data
#[derive(clap::Args)]
pub struct Args {
    /// Remove all unused images not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Provide filter values (e.g. "label=<key>=<value>")
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
    /// Prune anonymous volumes
    #[arg(long)]
    volumes: bool,
}

/// Asks, then removes in the order in which one thing keeps another in use.
pub fn run(args: Args, global: &Global) -> Result<ExitCode> {
    let filters = filters(&args.filter)?;
    for (key, _) in &filters {
        match key.as_str() {
            "label" | "label!" => {}
            "until" if args.volumes => {
                bail!("the \"until\" filter is not supported with \"--volumes\"")
            }
            "until" => {}
            _ => bail!("invalid filter '{key}': give label, label! or until"),
        }
    }
    if !args.force && !report::confirm(&warning(&args))? {
        return Ok(ExitCode::SUCCESS);
    }
    let engine = global.engine()?;
    let containers = engine.prune(&filters)?;
    report::deleted("Containers", &containers.removed)?;
    let networks = Networks::open(&global.root, &global.state);
    report::deleted("Networks", &prune_unused(&networks, global, &filters)?)?;
    let mut bytes = containers.bytes;
    if args.volumes {
        let volumes = engine.volume_prune(false, &filters)?;
        report::deleted("Volumes", &volumes.removed)?;
        bytes += volumes.bytes;
    }
    let store = Store::open(&global.root)?;
    let (removed, reclaimed) = image_prune::prune(&store, args.all, &filters)?;
    report::deleted("Images", &image_prune::lines(&removed, &reclaimed))?;
    bytes += reclaimed.bytes;
    output::line(format_args!(
        "Total reclaimed space: {}",
        units::size(bytes, 4)
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn warning(args: &Args) -> String {
    let mut lines = vec![
        "This will remove:".to_owned(),
        "  - all stopped containers".to_owned(),
        "  - all networks not used by at least one container".to_owned(),
    ];
    if args.volumes {
        lines.push("  - all anonymous volumes not used by at least one container".to_owned());
    }
    lines.push(if args.all {
        "  - all images without at least one container associated to them".to_owned()
    } else {
        "  - all dangling images".to_owned()
    });
    if !args.filter.is_empty() {
        lines.push("\n  Items to be pruned will be filtered with:".to_owned());
        lines.extend(args.filter.iter().map(|filter| format!("  - {filter}")));
    }
    lines.join("\n") + "\n"
}
