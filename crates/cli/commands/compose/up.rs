//! `lighter compose up`: makes what is missing, makes anew what changed, starts it, and stays with it unless `-d`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use engine::list::Status;
use engine::logs::LogQuery;
use jiff::Timestamp;
use kernel::interrupt;
use orchestrator::lifecycle;
use orchestrator::model::Project;
use orchestrator::observe::{self, Container};
use orchestrator::reconcile::{self, Pull};

use super::logs::{Names, Printer};
use super::play::{INTERRUPTED, play};
use super::project::Session;
use crate::commands::run::code_of;

/// Create and start containers
#[derive(clap::Args)]
pub struct Args {
    /// Run containers in background
    #[arg(short, long)]
    detach: bool,
    #[command(flatten)]
    pub making: Making,
    /// Don't start the services after creating them
    #[arg(long)]
    no_start: bool,
    /// Wait for services to be running or healthy; implies detached mode
    #[arg(long)]
    wait: bool,
    /// Most seconds to wait for the project to be running or healthy
    #[arg(long, value_name = "SECONDS")]
    wait_timeout: Option<u64>,
    /// Stop all containers if any container stops
    #[arg(long, conflicts_with_all = ["detach", "wait"])]
    abort_on_container_exit: bool,
    /// Stop all containers if any container exits with failure
    #[arg(long, conflicts_with_all = ["detach", "wait", "abort_on_container_exit"])]
    abort_on_container_failure: bool,
    /// Return the exit code of this service's container; implies --abort-on-container-exit
    #[arg(long, value_name = "SERVICE", conflicts_with_all = ["detach", "wait"])]
    exit_code_from: Option<String>,
    /// Restrict attaching to these services
    #[arg(long, value_name = "SERVICE", conflicts_with_all = ["detach", "wait"])]
    attach: Vec<String>,
    /// Do not attach to these services
    #[arg(long, value_name = "SERVICE")]
    no_attach: Vec<String>,
    /// Attach to log output of dependent services too
    #[arg(long)]
    attach_dependencies: bool,
    /// Show timestamps
    #[arg(long)]
    timestamps: bool,
    /// Produce monochrome output
    #[arg(long)]
    no_color: bool,
    /// Don't print prefix in logs
    #[arg(long)]
    no_log_prefix: bool,
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// How containers are made: shared by `up`, `create`, `scale` and `plan`.
#[derive(clap::Args, Clone, Default)]
#[allow(clippy::struct_excessive_bools)]
pub struct Making {
    /// Build images before starting containers
    #[arg(long)]
    pub build: bool,
    /// Don't build an image, even if it's missing
    #[arg(long, conflicts_with = "build")]
    pub no_build: bool,
    /// When to pull images: 'always', 'missing', 'never' or 'policy', each service's own
    #[arg(long, value_name = "WHEN", default_value = "policy", value_parser = ["always", "missing", "never", "policy"], hide_possible_values = true)]
    pub pull: String,
    /// Recreate containers even if nothing changed
    #[arg(long)]
    pub force_recreate: bool,
    /// If containers already exist, don't recreate them
    #[arg(long, conflicts_with_all = ["force_recreate", "always_recreate_deps", "renew_anon_volumes"])]
    pub no_recreate: bool,
    /// Recreate dependent containers
    #[arg(long)]
    pub always_recreate_deps: bool,
    /// Don't start linked services
    #[arg(long)]
    pub no_deps: bool,
    /// Remove containers for services not defined in the Compose file
    #[arg(long, env = "COMPOSE_REMOVE_ORPHANS", hide_env = true, value_parser = crate::args::go_bool, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", default_value = "false", action = clap::ArgAction::Set)]
    pub remove_orphans: bool,
    /// Recreate anonymous volumes instead of keeping their data
    #[arg(short = 'V', long)]
    pub renew_anon_volumes: bool,
    /// Scale SERVICE to NUM instances; overrides the file
    #[arg(long, value_name = "SERVICE=NUM", value_parser = number_of)]
    pub scale: Vec<(String, u32)>,
    /// Seconds to wait for a container to stop
    #[arg(short, long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
}

pub fn number_of(text: &str) -> std::result::Result<(String, u32), String> {
    let (service, number) = text.split_once('=').ok_or("must be SERVICE=NUM")?;
    Ok((
        service.to_owned(),
        number
            .parse()
            .map_err(|_| format!("{number:?} is not a number of containers"))?,
    ))
}

impl Making {
    /// The options of a plan.
    pub fn options(&self, services: &[String]) -> Result<reconcile::Options> {
        if self.build {
            bail!(
                "lighter cannot build images yet; make them elsewhere and load or pull them, and leave --build out"
            );
        }
        Ok(reconcile::Options {
            services: services.to_vec(),
            no_deps: self.no_deps,
            force_recreate: self.force_recreate,
            no_recreate: self.no_recreate,
            always_recreate_deps: self.always_recreate_deps,
            renew_anonymous: self.renew_anon_volumes,
            remove_orphans: self.remove_orphans,
            scale: self.scale.iter().cloned().collect::<BTreeMap<_, _>>(),
            timeout: self.timeout.map(Duration::from_secs),
            pull: match self.pull.as_str() {
                "always" => Some(Pull::Always),
                "missing" => Some(Pull::Missing),
                "never" => Some(Pull::Never),
                _ => None,
            },
            no_build: self.no_build,
            ..reconcile::Options::default()
        })
    }
}

/// Brings the project up.
pub fn run(args: Args, session: &Session) -> Result<ExitCode> {
    let project = session.project(&args.services)?;
    check_names(&args, &project)?;
    session.check_support(&project, &args.services)?;
    let options = reconcile::Options {
        no_start: args.no_start,
        wait: args.wait,
        ..args.making.options(&args.services)?
    };
    let began = Timestamp::now();
    bring_up(&project, &options, session, args.wait_timeout)?;
    if args.detach || args.wait || args.no_start || session.dry_run() {
        return Ok(ExitCode::SUCCESS);
    }
    let containers = observe::containers(&session.host, &project.name)?;
    let ours = if args.making.no_deps {
        args.services.clone()
    } else {
        project.with_dependencies(&args.services)
    };
    let containers: Vec<Container> = containers
        .into_iter()
        .filter(|c| !c.one_off && ours.contains(&c.service))
        .collect();
    stay(&args, session, &project, &containers, began)
}

/// When it is our turn: fetches what is always fetched, then does what is left to do.
pub fn bring_up(
    project: &Project,
    options: &reconcile::Options,
    session: &Session,
    wait_timeout: Option<u64>,
) -> Result<()> {
    let _turn = session.turn(&project.name)?;
    play(&reconcile::refresh(project, options), session, None)?;
    let options = reconcile::Options {
        refreshed: true,
        ..options.clone()
    };
    let observed = observe::observe(&session.host, project)?;
    let plan = reconcile::reconcile(project, &observed, &options)?;
    play(&plan, session, wait_timeout.map(Duration::from_secs))
}

fn check_names(args: &Args, project: &Project) -> Result<()> {
    let mut named = args
        .attach
        .iter()
        .chain(&args.no_attach)
        .chain(&args.exit_code_from);
    if let Some(name) = named.find(|name| !project.services.contains_key(*name)) {
        bail!("no such service: {name}");
    }
    Ok(())
}

/// Which containers' output is shown.
fn attached(args: &Args, project: &Project, containers: &[Container]) -> Vec<String> {
    let wanted = |service: &str| {
        let own = project
            .services
            .get(service)
            .and_then(|service| service.attach)
            .unwrap_or(true);
        let named = args.services.is_empty()
            || args.attach_dependencies
            || args.services.iter().any(|s| s == service);
        let chosen = if args.attach.is_empty() {
            own && named
        } else {
            args.attach.iter().any(|s| s == service)
        };
        chosen && !args.no_attach.iter().any(|s| s == service)
    };
    containers
        .iter()
        .filter(|c| wanted(&c.service))
        .map(|c| c.name.clone())
        .collect()
}

/// Shows the output until every container ended, one of them ends the others, or Ctrl-C.
fn stay(
    args: &Args,
    session: &Session,
    project: &Project,
    containers: &[Container],
    began: Timestamp,
) -> Result<ExitCode> {
    let names = attached(args, project, containers);
    let colours = !args.no_color && session.colours(std::io::stdout().is_terminal());
    let mut printer = Printer::new(
        Names::of(&project.name, &names, args.no_log_prefix),
        colours,
        args.timestamps,
    );
    eprintln!("Attaching to {}", names.join(", "));
    let caught = interrupt::count_caught();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let end = watch(args, session, project, containers, caught);
            over.store(true, Ordering::Relaxed);
            end
        });
        let query = LogQuery {
            follow: true,
            since: Some(began),
            ..LogQuery::default()
        };
        let stop = || over.load(Ordering::Relaxed);
        let shown =
            orchestrator::logs::logs(&session.host.engine, &names, &query, &stop, &mut |line| {
                match printer.print(line) {
                    Ok(()) => ControlFlow::Continue(()),
                    // Whoever read our output is gone; the containers go on.
                    Err(_) => std::process::exit(0),
                }
            });
        let end = watch
            .join()
            .map_err(|_| anyhow!("the watch over the containers ended early"))??;
        shown?;
        Ok(end)
    })
}

/// Waits for the end, stops what is left, and says with which code to exit.
fn watch(
    args: &Args,
    session: &Session,
    project: &Project,
    containers: &[Container],
    caught: u32,
) -> Result<ExitCode> {
    let abort_on_any = args.abort_on_container_exit || args.exit_code_from.is_some();
    let mut first_exit: Option<i32> = None;
    let mut exits = Exits {
        project: &project.name,
        told: BTreeSet::new(),
    };
    let interrupted = loop {
        if interrupt::count_caught() > caught {
            break true;
        }
        let now = current(session, containers);
        exits.tell(&now);
        let ended = |c: &&Container| matches!(c.status, Status::Exited | Status::Dead);
        let failed = |c: &&Container| ended(c) && c.exit_code != Some(0);
        let trigger = match (abort_on_any, args.abort_on_container_failure) {
            (true, _) => now.iter().find(ended),
            (_, true) => now.iter().find(failed),
            _ => None,
        };
        if let Some(container) = trigger {
            eprintln!("Aborting on container exit...");
            first_exit = container.exit_code;
            break false;
        }
        if !now.iter().any(Container::is_up) {
            break false;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let left: Vec<Container> = current(session, containers)
        .into_iter()
        .filter(Container::is_up)
        .collect();
    if !left.is_empty() {
        if interrupted {
            eprintln!("Gracefully stopping... (press Ctrl+C again to force)");
        }
        let timeout = args.making.timeout.map(Duration::from_secs);
        let plan = lifecycle::stop(&left, Some(project), timeout);
        let result = kill_when_asked_again(session, &left, || {
            let _turn = session.turn(&project.name)?;
            play(&plan, session, None)
        });
        if let Err(error) = result
            && !interrupted
        {
            return Err(error);
        }
    }
    exits.tell(&current(session, containers));
    if let Some(service) = &args.exit_code_from {
        let code = current(session, containers)
            .into_iter()
            .filter(|c| c.service == *service)
            .find_map(|c| c.exit_code);
        return Ok(code_of(code.unwrap_or(0)));
    }
    match (interrupted, first_exit) {
        (true, _) => Ok(ExitCode::from(INTERRUPTED)),
        (false, Some(code)) => Ok(code_of(code)),
        (false, None) => Ok(ExitCode::SUCCESS),
    }
}

/// Says once of each container how it ended.
struct Exits<'a> {
    project: &'a str,
    told: BTreeSet<String>,
}

impl Exits<'_> {
    fn tell(&mut self, containers: &[Container]) {
        for container in containers {
            if !matches!(container.status, Status::Exited | Status::Dead) {
                self.told.remove(&container.name);
            } else if self.told.insert(container.name.clone()) {
                let name = container.name.strip_prefix(self.project);
                let name = name.and_then(|name| name.strip_prefix('-'));
                let name = name.unwrap_or(&container.name);
                eprintln!(
                    "{name} exited with code {}",
                    container.exit_code.unwrap_or(0)
                );
            }
        }
    }
}

/// Does something that the next Ctrl-C shortens: it kills these containers.
fn kill_when_asked_again<T>(
    session: &Session,
    containers: &[Container],
    act: impl FnOnce() -> T,
) -> T {
    let before = interrupt::count_caught();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while interrupt::count_caught() == before {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            for container in containers {
                // One that has ended needs no killing.
                let _ = session.host.engine.kill(&container.id, "KILL");
            }
        });
        let result = act();
        over.store(true, Ordering::Relaxed);
        result
    })
}

/// The same containers as they are now; those that are gone are left out.
fn current(session: &Session, containers: &[Container]) -> Vec<Container> {
    let found = containers
        .iter()
        .filter_map(|container| session.host.engine.find(&container.id).ok());
    found
        .filter_map(|summary| Container::of(&summary))
        .collect()
}
