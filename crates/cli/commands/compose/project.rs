//! Which project a verb is about: options to a loaded project, or to a name and the containers under it.
//!
//! Verbs that make containers need the files. Verbs that work on what exists take the project's name from `-p` or the
//! files, and go by labels.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use engine::list::Summary;
use kernel::interrupt;
use orchestrator::diagnostic::Diagnostics;
use orchestrator::discover::{self, Wish};
use orchestrator::environment::Environment;
use orchestrator::load::{self, Skip};
use orchestrator::lock::{self, Lock};
use orchestrator::model::Project;
use orchestrator::observe::{self, Container, Host};
use orchestrator::support;
use orchestrator::yaml::Sources;

use super::play::INTERRUPTED;
use crate::args::{Global, Level};

/// How the progress of a plan is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Progress {
    /// `tty` on a terminal, else `plain`
    Auto,
    /// Lines redrawn in place
    Tty,
    /// One line for each event
    Plain,
    /// One JSON object for each event
    Json,
    /// Nothing
    Quiet,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Ansi {
    /// On a terminal
    Auto,
    /// Not at all
    Never,
    /// Also into pipes
    Always,
}

/// Which application is meant.
#[derive(clap::Args)]
pub struct Files {
    /// Compose configuration files; later ones are laid over earlier ones
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Project name
    #[arg(short, long, value_name = "NAME")]
    project_name: Option<String>,
    /// Specify a profile to enable
    #[arg(long, value_name = "NAME")]
    profile: Vec<String>,
    /// Specify an alternate environment file
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Where relative paths start (default: the directory of the first file)
    #[arg(long, value_name = "DIR")]
    project_directory: Option<PathBuf>,
}

impl Files {
    /// Loads the application for a verb outside `compose`; what is wrong with it goes to stderr.
    pub fn project(&self) -> Result<Project> {
        let colours = std::io::stderr().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let environment = Environment::of_process();
        let request = discover::discover(&self.wish(), &std::env::current_dir()?, environment)?;
        load::load(&request).map_err(|failure| {
            eprint!("{}", failure.diagnostics.render(&failure.sources, colours));
            errors(failure.diagnostics.errors())
        })
    }

    fn wish(&self) -> Wish {
        Wish {
            files: self.file.clone(),
            name: self.project_name.clone(),
            directory: self.project_directory.clone(),
            env_files: self.env_file.clone(),
            profiles: self.profile.clone(),
        }
    }
}

/// The options before the verb.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    files: Files,
    /// Most steps at a time, -1 for no limit
    #[arg(long, value_name = "NUMBER", env = "COMPOSE_PARALLEL_LIMIT", hide_env = true, default_value_t = -1, allow_hyphen_values = true)]
    parallel: i32,
    /// When to print ANSI control characters
    #[arg(
        long,
        value_name = "WHEN",
        env = "COMPOSE_ANSI",
        hide_env = true,
        default_value = "auto"
    )]
    ansi: Ansi,
    /// How progress is shown
    #[arg(
        long,
        value_name = "TYPE",
        env = "COMPOSE_PROGRESS",
        hide_env = true,
        default_value = "auto"
    )]
    progress: Progress,
    /// Say what would be done and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Include resources that no service uses
    #[arg(long)]
    all_resources: bool,
}

/// A turn that takes longer to come is told about.
const MOMENT: Duration = Duration::from_millis(500);

/// A project that nobody else changes, as it is.
pub struct Turn {
    /// Its name.
    pub name: String,
    /// What the files say, if there are files.
    pub project: Option<Project>,
    /// The containers of the services named, of all if none is.
    pub containers: Vec<Container>,
    _lock: Option<Lock>,
}

/// One call of `lighter compose`.
pub struct Session<'a> {
    options: Options,
    pub global: &'a Global,
    pub host: Host,
}

impl<'a> Session<'a> {
    /// Opens the engine, the networks and the store.
    pub fn new(options: Options, global: &'a Global) -> Result<Self> {
        let host = Host {
            engine: global.engine()?,
            networks: network::Networks::open(&global.root, &global.state),
            store: image::Store::open(&global.root)?,
        };
        Ok(Self {
            options,
            global,
            host,
        })
    }

    /// Loads the project; its warnings go to stderr. Services that are named activate their profiles.
    pub fn project(&self, services: &[String]) -> Result<Project> {
        self.load(services, Skip::default())
    }

    /// Loads the project for a verb that changes nothing on this host: what can wait for one that does is not told.
    pub fn project_to_look_at(&self, services: &[String]) -> Result<Project> {
        let project = self.read(services, Skip::default(), false)?;
        self.show(&project.warnings.without_brief(), &project.sources);
        Ok(project)
    }

    /// Loads the project without the phases to skip.
    pub fn load(&self, services: &[String], skip: Skip) -> Result<Project> {
        self.read(services, skip, true)
    }

    fn read(&self, services: &[String], skip: Skip, warn: bool) -> Result<Project> {
        let mut request = discover::discover(
            &self.options.files.wish(),
            &std::env::current_dir()?,
            Environment::of_process(),
        )?;
        request.services = services.to_vec();
        request.skip = skip;
        match load::load(&request) {
            Ok(project) => {
                if warn {
                    self.show(&project.warnings, &project.sources);
                }
                Ok(project)
            }
            Err(failure) => {
                self.show(&failure.diagnostics, &failure.sources);
                Err(errors(failure.diagnostics.errors()))
            }
        }
    }

    /// Refuses what the engine cannot do, for these services and what they need; all if none is named.
    pub fn check_support(&self, project: &Project, services: &[String]) -> Result<()> {
        let mut diagnostics = Diagnostics::default();
        support::check(
            project,
            &project.with_dependencies(services),
            &mut diagnostics,
        );
        self.show(&diagnostics, &project.sources);
        if diagnostics.failed() {
            Err(errors(diagnostics.errors()))
        } else {
            Ok(())
        }
    }

    fn show(&self, diagnostics: &Diagnostics, sources: &Sources) {
        if diagnostics.failed() || self.global.level >= Level::Warn {
            eprint!(
                "{}",
                diagnostics.render(sources, self.colours(std::io::stderr().is_terminal()))
            );
        }
    }

    /// The project's name and, if there are files, the project. Warnings are left to the verbs that make containers.
    pub fn named(&self, services: &[String]) -> Result<(String, Option<Project>)> {
        let environment = std::env::var("COMPOSE_PROJECT_NAME")
            .ok()
            .filter(|name| !name.is_empty());
        let name = self.options.files.project_name.clone().or(environment);
        let without_files = self.options.files.file.is_empty()
            && name.is_some()
            && discover::discover(
                &self.options.files.wish(),
                &std::env::current_dir()?,
                Environment::of_process(),
            )
            .is_err();
        match name {
            Some(name) if without_files => Ok((name, None)),
            _ => {
                let project = self.read(services, Skip::default(), false)?;
                Ok((project.name.clone(), Some(project)))
            }
        }
    }

    /// The containers of the services named, of all if none is: what most verbs work on.
    pub fn containers(&self, services: &[String]) -> Result<Vec<Container>> {
        let (name, project) = self.named(services)?;
        self.containers_of(&name, project.as_ref(), services)
    }

    /// The containers of the services named, of a project that is found already.
    fn containers_of(
        &self,
        name: &str,
        project: Option<&Project>,
        services: &[String],
    ) -> Result<Vec<Container>> {
        let all = observe::containers(&self.host, name)?;
        known(services, project, &all)?;
        Ok(all
            .into_iter()
            .filter(|c| !c.one_off && (services.is_empty() || services.contains(&c.service)))
            .collect())
    }

    /// The same for a verb that changes them: looked at when it is its turn.
    pub fn turn_with(&self, services: &[String]) -> Result<Turn> {
        let (name, project) = self.named(services)?;
        let lock = self.turn(&name)?;
        let containers = self.containers_of(&name, project.as_ref(), services)?;
        Ok(Turn {
            name,
            project,
            containers,
            _lock: lock,
        })
    }

    /// Waits until no other lighter changes the project, and says so when that takes a moment. Whoever changes a project
    /// looks at it after this, and lets go of the lock when it is done. A dry run changes nothing and waits for nobody.
    pub fn turn(&self, project: &str) -> Result<Option<Lock>> {
        if self.dry_run() {
            return Ok(None);
        }
        let (began, caught) = (Instant::now(), interrupt::count_caught());
        let mut told = false;
        let mut patient = |holder: Option<u32>| {
            if !told && began.elapsed() >= MOMENT {
                told = true;
                let who = holder.map_or_else(String::new, |pid| format!(" (pid {pid})"));
                self.global.note(format_args!(
                    "another lighter{who} works on the project {project}: waiting for it"
                ));
            }
            interrupt::count_caught() == caught
        };
        match lock::lock(&self.global.state, project, &mut patient)? {
            Some(lock) => Ok(Some(lock)),
            None => Err(crate::report::failure(INTERRUPTED, anyhow!("interrupted"))),
        }
    }

    /// The same with everything that the engine tells; those of `run` only if asked for.
    pub fn summaries(
        &self,
        services: &[String],
        one_off: bool,
    ) -> Result<Vec<(Container, Summary)>> {
        let (name, project) = self.named(services)?;
        let all = observe::summaries(&self.host, &name)?;
        let all: Vec<_> = all
            .into_iter()
            .filter_map(|summary| Some((Container::of(&summary)?, summary)))
            .collect();
        let containers: Vec<Container> =
            all.iter().map(|(container, _)| container.clone()).collect();
        known(services, project.as_ref(), &containers)?;
        let wanted = |container: &Container| {
            (one_off || !container.one_off)
                && (services.is_empty() || services.contains(&container.service))
        };
        Ok(all
            .into_iter()
            .filter(|(container, _)| wanted(container))
            .collect())
    }

    /// One running container of a service: the lowest number, or the one asked for.
    pub fn container(&self, service: &str, index: Option<u32>) -> Result<Container> {
        let services = [service.to_owned()];
        let containers = self.containers(&services)?;
        let mut running = containers.into_iter().filter(Container::is_up);
        let found = match index {
            Some(index) => running.find(|container| container.number == index),
            None => running.min_by_key(|container| container.number),
        };
        match (found, index) {
            (Some(container), _) => Ok(container),
            (None, Some(index)) => bail!("service {service:?} is not running container #{index}"),
            (None, None) => bail!("service {service:?} is not running"),
        }
    }

    /// Resources that no service uses too.
    pub fn all_resources(&self) -> bool {
        self.options.all_resources
    }

    /// Whether to do nothing.
    pub fn dry_run(&self) -> bool {
        self.options.dry_run
    }

    /// Most steps at a time.
    pub fn parallel(&self) -> usize {
        usize::try_from(self.options.parallel)
            .ok()
            .filter(|limit| *limit > 0)
            .unwrap_or(64)
    }

    /// How progress is shown, decided.
    pub fn progress(&self) -> Progress {
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        match self.options.progress {
            Progress::Auto
                if std::io::stderr().is_terminal() && !dumb && self.options.ansi != Ansi::Never =>
            {
                Progress::Tty
            }
            Progress::Auto => Progress::Plain,
            other => other,
        }
    }

    /// Whether to colour what goes to a stream that is a terminal or not.
    pub fn colours(&self, terminal: bool) -> bool {
        match self.options.ansi {
            Ansi::Always => true,
            Ansi::Never => false,
            Ansi::Auto => {
                terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        }
    }
}

fn errors(count: usize) -> anyhow::Error {
    match count {
        1 => anyhow!("the application has an error"),
        _ => anyhow!("the application has {count} errors"),
    }
}

/// Refuses a service that neither the files nor the containers know.
fn known(services: &[String], project: Option<&Project>, containers: &[Container]) -> Result<()> {
    let mut names: BTreeSet<&str> = containers
        .iter()
        .map(|container| container.service.as_str())
        .collect();
    if let Some(project) = project {
        names.extend(project.services.keys().map(String::as_str));
        names.extend(project.disabled.keys().map(String::as_str));
    }
    if let Some(service) = services
        .iter()
        .find(|service| !names.contains(service.as_str()))
    {
        match orchestrator::diagnostic::nearest(service, names.iter().copied()) {
            Some(close) => bail!("no such service: {service} (did you mean {close}?)"),
            None => bail!("no such service: {service}"),
        }
    }
    Ok(())
}
