//! `lighter compose down`: stops and removes containers and networks; volumes and images if asked.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use orchestrator::lifecycle::{self, Down};
use orchestrator::model::Project;
use orchestrator::observe::{self, Observed};

use super::play::play;
use super::project::Session;

/// Stop and remove containers and networks
#[derive(clap::Args)]
pub struct Args {
    /// Remove the project's volumes and the containers' anonymous volumes
    #[arg(short, long)]
    volumes: bool,
    /// Remove images used by services: 'local' removes only images that have no custom name
    #[arg(long, value_name = "TYPE", value_parser = ["local", "all"])]
    rmi: Option<String>,
    /// Remove containers for services not defined in the Compose file, and those of `run`
    #[arg(long, env = "COMPOSE_REMOVE_ORPHANS", hide_env = true, value_parser = crate::args::go_bool, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", default_value = "false", action = clap::ArgAction::Set)]
    remove_orphans: bool,
    /// Seconds to wait for a container to stop
    #[arg(short, long, value_name = "SECONDS")]
    timeout: Option<u64>,
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Takes the project down.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let (name, project) = session.named(&args.services)?;
    let _turn = session.turn(&name)?;
    let observed = Observed {
        containers: observe::containers(&session.host, &name)?,
        ..observe::resources(&session.host)?
    };
    let how = Down {
        images: images(&args, &name, project.as_ref(), session),
        services: args.services,
        volumes: args.volumes,
        remove_orphans: args.remove_orphans,
        timeout: args.timeout.map(Duration::from_secs),
    };
    let plan = lifecycle::down(&name, project.as_ref(), &observed, &how);
    if plan.steps.is_empty() {
        session.global.warn(format_args!(
            "there is nothing of the project {name} to remove"
        ));
    }
    play(&plan, session, None)?;
    Ok(ExitCode::SUCCESS)
}

/// Images of the services that are here: all, or those named after the service because no name was given.
fn images(args: &Args, name: &str, project: Option<&Project>, session: &Session) -> Vec<String> {
    let Some(which) = &args.rmi else {
        return Vec::new();
    };
    let services = project.into_iter().flat_map(|project| &project.services);
    let mut images: Vec<String> = services
        .filter(|(_, service)| which == "all" || service.image.is_none())
        .map(|(service_name, service)| service.image_name(name, service_name))
        .filter(|image| session.host.store.find(image).is_ok())
        .collect();
    images.sort();
    images.dedup();
    images
}
