//! `lighter compose push`: sends the images of services that are built to their registries.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Result, bail};
use orchestrator::plan::{Action, Cause, Plan};

use super::play::play;
use super::project::Session;

/// Push service images
#[derive(clap::Args)]
pub struct Args {
    /// Push what it can and ignore images with push failures
    #[arg(long)]
    ignore_push_failures: bool,
    /// Also push images of services declared as dependencies
    #[arg(long)]
    include_deps: bool,
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Sends all at once. As in docker, a service without a build of its own has nothing to push.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let project = session.project_to_look_at(&args.services)?;
    if let Some(name) = args
        .services
        .iter()
        .find(|name| !project.services.contains_key(*name))
    {
        bail!("no such service: {name}");
    }
    let named = if args.include_deps {
        project.with_dependencies(&args.services)
    } else {
        args.services.clone()
    };
    let mut plan = Plan::default();
    let mut seen = BTreeSet::new();
    for (name, service) in &project.services {
        if !named.is_empty() && !named.contains(name) || service.build.is_none() {
            continue;
        }
        match &service.image {
            Some(image) if seen.insert(image.clone()) => {
                plan.add(Action::Push(image.clone()), Cause::Asked("push"), []);
            }
            Some(_) => {}
            None => plan.warnings.push(format!(
                "the service {name} has no image name to push under"
            )),
        }
    }
    match (play(&plan, session, None), args.ignore_push_failures) {
        (Err(error), true) => session.global.warn(format_args!("{error:#}")),
        (result, _) => result?,
    }
    Ok(ExitCode::SUCCESS)
}
