//! What must be done: the project as wanted, the host as observed, and between them a [`Plan`]. Pure.
//!
//! A container is made anew if its normalised configuration, its image or a network it is on changed; the difference is
//! told key by key, with the place in the file. Order: what a container needs exists before it is made; what its service
//! depends on is in the asked state before it is started.
//!
//! This page is the order of it. `reconcile/images.rs`, `resources.rs` (networks and volumes), `containers.rs` and
//! `starting.rs` add the steps of their subject, `changes.rs` says what differs. Read next: `plan.rs` (the steps),
//! `execute.rs` (who plays them).

mod changes;
mod containers;
mod images;
mod resources;
mod starting;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::container;
use crate::model::Project;
use crate::observe::{Container, Observed};
use crate::plan::{Action, Cause, Plan, Until, Verdict};

/// What the user asks for beyond the files.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools)]
pub struct Options {
    /// Only these services; all if empty.
    pub services: Vec<String>,
    /// Without what they depend on.
    pub no_deps: bool,
    /// Make every container anew.
    pub force_recreate: bool,
    /// Make no container anew.
    pub no_recreate: bool,
    /// Make dependencies anew too, with `force_recreate` only for the services named.
    pub always_recreate_deps: bool,
    /// Give new containers new anonymous volumes.
    pub renew_anonymous: bool,
    /// Remove containers that no service wants.
    pub remove_orphans: bool,
    /// Number of containers by service.
    pub scale: BTreeMap<String, u32>,
    /// Stop before anything is started.
    pub no_start: bool,
    /// Wait until everything runs or is healthy.
    pub wait: bool,
    /// Time to stop, instead of the containers' own.
    pub timeout: Option<Duration>,
    /// When to pull, instead of the services' own policy.
    pub pull: Option<Pull>,
    /// An image that is not there is not built.
    pub no_build: bool,
    /// What is always pulled was pulled a moment ago, by [`refresh`].
    pub refreshed: bool,
}

/// When an image is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pull {
    /// Each time.
    Always,
    /// When the store does not have it.
    Missing,
    /// Never.
    Never,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A service is named that is none.
    #[error("no such service: {0}")]
    NoService(String),
    /// Something external is not there.
    #[error("the {kind} {name} is external and does not exist")]
    NoExternal {
        /// `network` or `volume`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// An image would have to be built.
    #[error(
        "services.{service} is built from {context}, and lighter cannot build yet; make the image {image} elsewhere and load or pull it"
    )]
    NeedsBuild {
        /// The service.
        service: String,
        /// The directory.
        context: String,
        /// The image.
        image: String,
    },
    /// An image that may not be built is not there.
    #[error(
        "services.{service}: the image {image} is not in the store, and --no-build says not to build it"
    )]
    NotBuilt {
        /// The service.
        service: String,
        /// The image.
        image: String,
    },
    /// An image that may not be pulled is not there.
    #[error(
        "services.{service}: the image {image} is not in the store, and its pull policy is never"
    )]
    NoImage {
        /// The service.
        service: String,
        /// The image.
        image: String,
    },
    /// A value that the engine cannot take.
    #[error(transparent)]
    Value(#[from] container::Error),
}

/// Plans `up`.
///
/// # Errors
/// See [`Error`].
pub fn reconcile(project: &Project, observed: &Observed, options: &Options) -> Result<Plan, Error> {
    for name in options.services.iter().chain(options.scale.keys()) {
        if !project.services.contains_key(name) {
            return Err(Error::NoService(name.clone()));
        }
    }
    let services = match (options.no_deps, options.services.is_empty()) {
        (true, false) => project
            .in_order()
            .into_iter()
            .filter(|s| options.services.iter().any(|o| o == s))
            .map(str::to_owned)
            .collect(),
        _ => project.with_dependencies(&options.services),
    };
    let mut up = Up::new(project, observed, options);
    up.warn_about_orphans();
    up.images(&services)?;
    up.networks(&services)?;
    up.volumes(&services)?;
    for name in &services {
        up.service(name)?;
    }
    up.rebuild_networks();
    up.begin_after_pulls();
    if options.wait {
        up.wait_for_all(&services);
    }
    Ok(up.plan)
}

/// Plans what a one-off container of `service` needs: its image, networks, volumes, and the services that it depends on
/// in the states that it waits for.
///
/// # Errors
/// See [`Error`].
pub fn dependencies(
    project: &Project,
    observed: &Observed,
    options: &Options,
    service: &str,
) -> Result<Plan, Error> {
    if !project.services.contains_key(service) {
        return Err(Error::NoService(service.to_owned()));
    }
    let mut up = Up::new(project, observed, options);
    up.warn_about_orphans();
    let own = vec![service.to_owned()];
    let all = if options.no_deps {
        own.clone()
    } else {
        project.with_dependencies(&own)
    };
    up.images(&all)?;
    up.networks(&all)?;
    up.volumes(&all)?;
    for name in all.iter().filter(|name| *name != service) {
        up.service(name)?;
    }
    up.rebuild_networks();
    up.begin_after_pulls();
    for (other, dependency) in &project.services[service].depends_on {
        up.dependency(other, dependency.condition, dependency.required, service);
    }
    Ok(up.plan)
}

/// What is known of a service once its steps are planned.
#[derive(Default)]
struct Planned {
    /// Its containers, by name.
    names: Vec<String>,
    /// Steps after which they are all started.
    started: Vec<usize>,
    /// Steps after which they exist.
    created: Vec<usize>,
    /// Whether any was made anew.
    recreated: bool,
    /// Steps after which nothing of an interrupted change is left: its names are free again.
    swept: Vec<usize>,
    /// Waits already planned.
    waits: Vec<(Until, bool, Vec<usize>)>,
}

struct Up<'a> {
    project: &'a Project,
    observed: &'a Observed,
    options: &'a Options,
    plan: Plan,
    services: BTreeMap<String, Planned>,
    /// Steps that make networks, volumes and images, by kind and name.
    made: BTreeMap<(&'static str, String), usize>,
    /// Keys of networks whose definition changed.
    stale: BTreeSet<String>,
}

impl<'a> Up<'a> {
    fn new(project: &'a Project, observed: &'a Observed, options: &'a Options) -> Self {
        Self {
            project,
            observed,
            options,
            plan: Plan::default(),
            services: BTreeMap::new(),
            made: BTreeMap::new(),
            stale: BTreeSet::new(),
        }
    }

    fn warn_about_orphans(&mut self) {
        for container in &self.observed.containers {
            let known = self.project.services.contains_key(&container.service)
                || self.project.disabled.contains_key(&container.service);
            let orphan = if container.one_off {
                !container.is_up()
            } else {
                !known
            };
            if !orphan {
                continue;
            }
            if self.options.remove_orphans {
                let why = if container.one_off {
                    "a finished run"
                } else {
                    "no service of this name"
                };
                self.remove(container, Cause::NotWanted(why), true);
            } else if !container.one_off {
                self.plan.warnings.push(format!(
                    "the container {} belongs to no service of this project; --remove-orphans removes it",
                    container.name
                ));
            }
        }
    }

    /// Stop and remove; gives the last step.
    fn remove(&mut self, container: &Container, cause: Cause, volumes: bool) -> usize {
        let stop = self.stop(container, &cause, []);
        let action = Action::Remove {
            name: container.name.clone(),
            volumes,
        };
        let step = self.plan.add(action, cause.clone(), stop);
        self.plan
            .fate("container", &container.name, Verdict::Remove, Some(cause));
        step
    }

    /// Hooks and stop of a running container; none if it does not run.
    fn stop(
        &mut self,
        container: &Container,
        cause: &Cause,
        after: impl IntoIterator<Item = usize>,
    ) -> Option<usize> {
        if !container.is_up() {
            return None;
        }
        let mut after: Vec<usize> = after.into_iter().collect();
        if let Some(service) = self.project.services.get(&container.service) {
            for exec in service.pre_stop.iter().filter_map(hook) {
                let action = Action::Exec {
                    name: container.name.clone(),
                    exec,
                };
                after = vec![self.plan.add(action, cause.clone(), after)];
            }
        }
        let action = Action::Stop {
            name: container.name.clone(),
            timeout: self.options.timeout,
        };
        Some(self.plan.add(action, cause.clone(), after))
    }

    fn planned(&mut self, service: &str) -> &mut Planned {
        self.services.entry(service.to_owned()).or_default()
    }
}

pub use images::refresh;
pub(crate) use starting::hook;

#[cfg(test)]
mod tests;
