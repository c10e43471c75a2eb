//! `lighter compose pull`: fetches the images of services.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Result, bail};
use orchestrator::plan::{Action, Cause, Plan};

use super::play::play_with;
use super::project::Session;

/// Pull service images
#[derive(clap::Args)]
pub struct Args {
    /// Pull what it can and ignore images with pull failures
    #[arg(long)]
    ignore_pull_failures: bool,
    /// Ignore images that can be built
    #[arg(long)]
    ignore_buildable: bool,
    /// Also pull services declared as dependencies
    #[arg(long)]
    include_deps: bool,
    /// When to pull: 'missing' or 'always'
    #[arg(long, value_name = "WHEN", value_parser = ["missing", "always"], default_value = "always", hide_possible_values = true)]
    policy: String,
    /// Pull without printing progress information
    #[arg(short, long)]
    quiet: bool,
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Fetches all at once.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let project = session.project_to_look_at(&args.services)?;
    let named = if args.include_deps {
        project.with_dependencies(&args.services)
    } else {
        args.services.clone()
    };
    let mut plan = Plan::default();
    let mut seen = BTreeSet::new();
    for name in &args.services {
        if !project.services.contains_key(name) {
            bail!("no such service: {name}");
        }
    }
    for (name, service) in &project.services {
        if !named.is_empty() && !named.contains(name) {
            continue;
        }
        let Some(image) = &service.image else {
            plan.warnings
                .push(format!("the service {name} has no image to pull"));
            continue;
        };
        let here = args.policy == "missing" && session.host.store.find(image).is_ok();
        if here || (args.ignore_buildable && service.build.is_some()) || !seen.insert(image.clone())
        {
            continue;
        }
        let action = Action::Pull {
            image: image.clone(),
            platform: service.platform.clone(),
        };
        plan.add(action, Cause::Asked("pull"), []);
    }
    match (
        play_with(&plan, session, None, args.quiet),
        args.ignore_pull_failures,
    ) {
        (Err(error), true) => session.global.warn(format_args!("{error:#}")),
        (result, _) => result?,
    }
    Ok(ExitCode::SUCCESS)
}
