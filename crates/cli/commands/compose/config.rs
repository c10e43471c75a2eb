//! `lighter compose config`: the application after every file, variable and short form is resolved.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use orchestrator::container;
use orchestrator::load::Skip;
use orchestrator::model::Project;
use orchestrator::{config, profiles};

use super::project::Session;
use crate::output;

/// Parse, resolve and render Compose files in canonical format
#[derive(clap::Args)]
#[allow(clippy::struct_excessive_bools)]
pub struct Args {
    /// Format the output
    #[arg(long, value_name = "FORMAT", default_value = "yaml", value_parser = ["yaml", "json"])]
    format: String,
    /// Only validate the configuration, don't print anything
    #[arg(short, long)]
    quiet: bool,
    /// Print the service names, one per line
    #[arg(long)]
    services: bool,
    /// Print the image names, one per line
    #[arg(long)]
    images: bool,
    /// Print the volume names, one per line
    #[arg(long)]
    volumes: bool,
    /// Print the network names, one per line
    #[arg(long)]
    networks: bool,
    /// Print the profile names, one per line
    #[arg(long)]
    profiles: bool,
    /// Print the environment used for interpolation
    #[arg(long)]
    environment: bool,
    /// Print the service config hash, one per line; '*' for all services
    #[arg(long, value_name = "SERVICE")]
    hash: Option<String>,
    /// Don't interpolate environment variables
    #[arg(long)]
    no_interpolate: bool,
    /// Don't add what is implied
    #[arg(long)]
    no_normalize: bool,
    /// Don't resolve file paths
    #[arg(long)]
    no_path_resolution: bool,
    /// Don't check model consistency
    #[arg(long)]
    no_consistency: bool,
    /// Don't resolve service env files
    #[arg(long)]
    no_env_resolution: bool,
    /// Include resources that no service uses
    #[arg(long)]
    all_resources: bool,
    /// Save to file (default to stdout)
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only these services, and what they depend on
    #[arg(value_name = "SERVICE")]
    only: Vec<String>,
}

/// Prints what was asked for.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let skip = Skip {
        interpolation: args.no_interpolate,
        paths: args.no_path_resolution,
        normalisation: args.no_normalize,
        consistency: args.no_consistency,
        environment: args.no_env_resolution,
    };
    let mut project = session.load(&args.only, skip)?;
    if !args.only.is_empty() {
        keep_only(&mut project, &args.only)?;
    }
    if args.quiet {
        return Ok(ExitCode::SUCCESS);
    }
    let text = match lines(&args, &project)? {
        Some(lines) => lines.into_iter().map(|line| line + "\n").collect(),
        None => whole(
            &args,
            &project,
            args.all_resources || session.all_resources(),
        ),
    };
    match &args.output {
        Some(path) => {
            std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?
        }
        None => output::text(&text)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn keep_only(project: &mut Project, only: &[String]) -> Result<()> {
    if let Some(name) = only
        .iter()
        .find(|name| !project.services.contains_key(*name))
    {
        bail!("no such service: {name}");
    }
    let wanted = project.with_dependencies(only);
    project.services.retain(|name, _| wanted.contains(name));
    if let Some(services) = project
        .tree
        .get_mut("services")
        .and_then(|services| services.as_mapping_mut())
    {
        services.retain(|name, _| wanted.contains(name));
    }
    Ok(())
}

/// The lists, if one was asked for.
fn lines(args: &Args, project: &Project) -> Result<Option<Vec<String>>> {
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines.dedup();
        Some(lines)
    };
    Ok(if args.services {
        Some(project.in_order().into_iter().map(str::to_owned).collect())
    } else if args.images {
        sorted(
            project
                .services
                .iter()
                .map(|(name, service)| service.image_name(&project.name, name))
                .collect(),
        )
    } else if args.volumes {
        sorted(project.volumes.keys().cloned().collect())
    } else if args.networks {
        sorted(project.networks.keys().cloned().collect())
    } else if args.profiles {
        sorted(profiles::all(project))
    } else if args.environment {
        sorted(
            project
                .environment
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        )
    } else if let Some(wanted) = &args.hash {
        Some(hashes(project, wanted)?)
    } else {
        None
    })
}

fn hashes(project: &Project, wanted: &str) -> Result<Vec<String>> {
    let names: Vec<&str> = match wanted {
        "*" => project.services.keys().map(String::as_str).collect(),
        names => names.split(',').collect(),
    };
    let mut lines = Vec::new();
    for name in names {
        if !project.services.contains_key(name) {
            bail!("no such service: {name}");
        }
        lines.push(format!(
            "{name} {}",
            container::hash(&container::compared(project, name))
        ));
    }
    lines.sort();
    Ok(lines)
}

fn whole(args: &Args, project: &Project, all: bool) -> String {
    let tree = config::tree(project, all, !args.no_interpolate);
    match args.format.as_str() {
        "json" => format!("{:#}\n", config::json(&tree)),
        _ => config::yaml(&tree),
    }
}
