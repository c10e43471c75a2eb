//! `lighter compose cp`: files between a service's container and the host.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use engine::copy::CopyOptions;
use orchestrator::observe::Container;

use super::project::Session;
use crate::commands::cp::{End, end};

/// Copy files/folders between a service container and the local filesystem
#[derive(clap::Args)]
#[command(
    override_usage = "lighter compose cp [OPTIONS] SERVICE:SRC_PATH DEST_PATH|-\n        \
    lighter compose cp [OPTIONS] SRC_PATH|- SERVICE:DEST_PATH"
)]
pub struct Args {
    /// Archive mode (copy all uid/gid information)
    #[arg(short, long)]
    archive: bool,
    /// Include containers created by the run command
    #[arg(long)]
    all: bool,
    /// Always follow symbol link in SRC_PATH
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "NUMBER")]
    index: Option<u32>,
    #[arg(value_name = "SOURCE", allow_hyphen_values = true)]
    source: String,
    #[arg(value_name = "DESTINATION", allow_hyphen_values = true)]
    destination: String,
}

/// Copies from one container, or to one or all of a service.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let how = CopyOptions {
        archive: args.archive,
        follow_link: args.follow_link,
    };
    let engine = &session.host.engine;
    match (end(&args.source), end(&args.destination)) {
        (End::Host(host), End::Container(service, inside)) => {
            for container in chosen(&args, session, service)? {
                engine.copy_to(&container.id, Path::new(host), inside, how)?;
            }
        }
        (End::Stream, End::Container(service, inside)) => {
            let container = session.container(service, args.index)?;
            engine.unpack_to(&container.id, &mut std::io::stdin().lock(), inside, how)?;
        }
        (End::Container(service, inside), End::Host(host)) => {
            let container = session.container(service, args.index)?;
            engine.copy_from(&container.id, inside, Path::new(host), how)?;
        }
        (End::Container(service, inside), End::Stream) => {
            let container = session.container(service, args.index)?;
            engine.pack_from(&container.id, inside, &mut std::io::stdout().lock(), how)?;
        }
        (End::Container(..), End::Container(..)) => {
            bail!("copying between services is not supported")
        }
        _ => bail!("one of the two must be SERVICE:PATH"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Every replica, unless one of them is named.
fn chosen(args: &Args, session: &Session, service: &str) -> Result<Vec<Container>> {
    if args.index.is_some() {
        return Ok(vec![session.container(service, args.index)?]);
    }
    let all = session.summaries(&[service.to_owned()], args.all)?;
    let chosen: Vec<Container> = all.into_iter().map(|(container, _)| container).collect();
    if chosen.is_empty() {
        bail!("no container found for service {service:?}");
    }
    Ok(chosen)
}
