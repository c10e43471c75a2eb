//! What must be done: the project as wanted, the host as observed, and between them a [`Plan`]. Pure.
//!
//! A container is made anew if its normalised configuration, its image or a network it is on changed; the difference is
//! told key by key, with the place in the file. Order: what a container needs exists before it is made; what its service
//! depends on is in the asked state before it is started.
//!
//! Read next: `plan.rs` (the steps), `execute.rs` (who plays them).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use engine::config::{ContainerConfig, MountSource};
use engine::list::Status;
use serde_json::Value as Json;

use crate::container::{self, label};
use crate::model::{Condition, Project};
use crate::observe::{Container, Observed};
use crate::plan::{Action, Cause, Change, Plan, Undo, Until, Verdict};
use crate::yaml::Node;

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
    for (other, dependency) in &project.services[service].depends_on {
        up.dependency(other, dependency.condition, dependency.required, service);
    }
    Ok(up.plan)
}

/// When the image of a service is fetched. Policies that go by age are asked each time: nothing is downloaded twice.
fn policy(service: &crate::model::Service, options: &Options) -> Pull {
    options
        .pull
        .unwrap_or(match service.pull_policy.as_deref() {
            Some("always" | "refresh" | "daily" | "weekly") => Pull::Always,
            Some(text) if text.starts_with("every_") => Pull::Always,
            Some("never" | "build") => Pull::Never,
            _ => Pull::Missing,
        })
}

/// Plans the fetching of images that are asked for each time: it comes before the rest is planned, because an image that
/// moved makes containers anew.
#[must_use]
pub fn refresh(project: &Project, options: &Options) -> Plan {
    let mut plan = Plan::default();
    let services = if options.no_deps && !options.services.is_empty() {
        options.services.clone()
    } else {
        project.with_dependencies(&options.services)
    };
    let mut seen = BTreeSet::new();
    for service in services
        .iter()
        .filter_map(|name| project.services.get(name))
    {
        let Some(image) = service
            .image
            .clone()
            .filter(|_| policy(service, options) == Pull::Always)
        else {
            continue;
        };
        if seen.insert(image.clone()) {
            let action = Action::Pull {
                image,
                platform: service.platform.clone(),
            };
            plan.add(action, Cause::Asked("the pull policy asks for it"), []);
        }
    }
    plan
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

    fn images(&mut self, services: &[String]) -> Result<(), Error> {
        for name in services {
            let service = &self.project.services[name];
            let image = service.image_name(&self.project.name, name);
            let there = self.observed.images.contains_key(&image);
            let policy = match policy(service, self.options) {
                Pull::Always if self.options.refreshed => Pull::Missing,
                policy => policy,
            };
            let built = service
                .build
                .as_ref()
                .filter(|_| service.image.is_none() || policy == Pull::Never);
            match (there, policy, built) {
                (false, _, Some(build)) => {
                    return Err(Error::NeedsBuild {
                        service: name.clone(),
                        context: build.context.clone(),
                        image,
                    });
                }
                (false, Pull::Never, None) => {
                    return Err(Error::NoImage {
                        service: name.clone(),
                        image,
                    });
                }
                (false, _, None) => self.pull(name, image, Cause::Missing),
                (true, Pull::Always, None) => {
                    self.pull(name, image, Cause::Asked("the pull policy asks for it"))
                }
                (true, _, _) => {}
            }
        }
        Ok(())
    }

    fn pull(&mut self, service: &str, image: String, cause: Cause) {
        let key = ("image", image.clone());
        if !self.made.contains_key(&key) {
            let platform = self.project.services[service].platform.clone();
            self.plan
                .fate("image", &image, Verdict::Create, Some(cause.clone()));
            let step = self.plan.add(Action::Pull { image, platform }, cause, []);
            self.made.insert(key, step);
        }
    }

    /// Plans missing networks, and notes those that must be made anew.
    fn networks(&mut self, services: &[String]) -> Result<(), Error> {
        for key in used(services, |name| {
            self.project.services[name]
                .networks
                .keys()
                .cloned()
                .collect()
        }) {
            let Some(network) = self.project.networks.get(&key) else {
                continue;
            };
            let name = if network.name.is_empty() {
                key.clone()
            } else {
                network.name.clone()
            };
            let there = self.observed.networks.get(&name);
            if network.external {
                if there.is_none() {
                    return Err(Error::NoExternal {
                        kind: "network",
                        name,
                    });
                }
                continue;
            }
            let wanted = resource_config(self.project, "networks", &key);
            match there {
                None => {
                    self.plan
                        .fate("network", &name, Verdict::Create, Some(Cause::Missing));
                    self.create_network(&key, &wanted, Cause::Missing, [])?;
                }
                Some(there) => match there
                    .config
                    .as_ref()
                    .filter(|config| **config != wanted && !self.options.no_recreate)
                {
                    Some(config) => {
                        let changes = self.changes(&["networks", &key], config, &wanted);
                        self.plan.fate(
                            "network",
                            &name,
                            Verdict::Recreate,
                            Some(Cause::Changed(changes)),
                        );
                        self.stale.insert(key);
                    }
                    None => self.plan.fate("network", &name, Verdict::Keep, None),
                },
            }
        }
        Ok(())
    }

    fn create_network(
        &mut self,
        key: &str,
        wanted: &Json,
        cause: Cause,
        after: impl IntoIterator<Item = usize>,
    ) -> Result<usize, Error> {
        let definition = network_definition(self.project, key, wanted)?;
        let name = definition.name.clone();
        let step = self
            .plan
            .add(Action::CreateNetwork(definition), cause, after);
        self.made.insert(("network", name), step);
        Ok(step)
    }

    fn volumes(&mut self, services: &[String]) -> Result<(), Error> {
        let sources = |name: &String| {
            let mounts = self.project.services[name]
                .volumes
                .iter()
                .filter(|mount| mount.r#type == "volume");
            mounts.filter_map(|mount| mount.source.clone()).collect()
        };
        for key in used(services, sources) {
            let Some(volume) = self.project.volumes.get(&key) else {
                continue;
            };
            let name = if volume.name.is_empty() {
                key.clone()
            } else {
                volume.name.clone()
            };
            let there = self.observed.volumes.get(&name);
            if volume.external {
                if there.is_none() {
                    return Err(Error::NoExternal {
                        kind: "volume",
                        name,
                    });
                }
                continue;
            }
            let wanted = resource_config(self.project, "volumes", &key);
            let Some(there) = there else {
                let wish = engine::volume::VolumeConfig {
                    name: Some(name.clone()),
                    labels: resource_labels(
                        self.project,
                        label::VOLUME,
                        &key,
                        &volume.labels,
                        &wanted,
                    ),
                    options: volume.driver_opts.clone().into_iter().collect(),
                };
                self.plan
                    .fate("volume", &name, Verdict::Create, Some(Cause::Missing));
                let step = self
                    .plan
                    .add(Action::CreateVolume(wish), Cause::Missing, []);
                self.made.insert(("volume", name), step);
                continue;
            };
            self.plan.fate("volume", &name, Verdict::Keep, None);
            if there.project.as_deref() != Some(&self.project.name) {
                self.plan.warnings.push(format!(
                    "the volume {name} exists and was not made by this project; `external: true` says that this is meant"
                ));
            } else if there
                .config
                .as_ref()
                .is_some_and(|config| *config != wanted)
            {
                self.plan.warnings.push(format!(
                    "the volume {name} was made from another configuration and is kept as it is; making it anew would lose its data (`lighter volume rm {name}` does)"
                ));
            }
        }
        Ok(())
    }

    fn changes(&self, path: &[&str], old: &Json, new: &Json) -> Vec<Change> {
        let mut changes = Vec::new();
        difference(old, new, &mut Vec::new(), &mut changes);
        if let Some(node) = self.project.node(path) {
            for change in &mut changes {
                let node: &Node = container::node_at(node, &change.path);
                change.place = Some(self.project.sources.place(node.span));
            }
        }
        changes
    }

    /// The containers of one service: which to make, make anew, start, keep or remove.
    fn service(&mut self, name: &str) -> Result<(), Error> {
        let service = &self.project.services[name];
        let wanted = self
            .options
            .scale
            .get(name)
            .copied()
            .unwrap_or_else(|| service.replicas());
        let (mut current, leftovers) = self.current(name);
        let swept: Vec<usize> = leftovers
            .iter()
            .map(|leftover| self.remove(leftover, Cause::Interrupted, false))
            .collect();
        let causes: BTreeMap<String, Cause> = current
            .iter()
            .filter_map(|container| Some((container.id.clone(), self.cause(name, container)?)))
            .collect();
        // Of too many, first those that would be made anew, then the highest numbers.
        current.sort_by_key(|container| (causes.contains_key(&container.id), container.number));
        for surplus in current.split_off(current.len().min(wanted as usize)) {
            self.remove(&surplus, Cause::NotWanted("fewer are asked for"), true);
        }
        current.sort_by_key(|container| container.number);
        let first_new = current
            .iter()
            .map(|container| container.number)
            .max()
            .unwrap_or(0)
            + 1;
        let missing = wanted - u32::try_from(current.len()).unwrap_or(wanted).min(wanted);
        let planned = Planned {
            swept,
            ..Planned::default()
        };
        self.services.insert(name.to_owned(), planned);
        for container in current {
            match causes.get(&container.id) {
                Some(cause) => self.recreate(name, &container, cause.clone())?,
                None => self.keep(name, &container),
            }
        }
        for number in first_new..first_new + missing {
            self.create(name, number)?;
        }
        Ok(())
    }

    /// The containers of a service, and what an interrupted recreation left beside them.
    fn current(&self, service: &str) -> (Vec<Container>, Vec<Container>) {
        let own = self.project.services[service].container_name.as_deref();
        let all = self
            .observed
            .containers
            .iter()
            .filter(|c| c.service == service && !c.one_off)
            .cloned();
        let (mut current, others): (Vec<_>, Vec<_>) = all
            .partition(|c| c.name == container::name(&self.project.name, service, c.number, own));
        let mut leftovers = Vec::new();
        for other in others {
            if current.iter().any(|c| c.number == other.number) {
                leftovers.push(other);
            } else {
                current.push(other);
            }
        }
        (current, leftovers)
    }

    /// Why a container must be made anew; none if it can stay.
    fn cause(&self, service: &str, container: &Container) -> Option<Cause> {
        let definition = &self.project.services[service];
        let image = definition.image_name(&self.project.name, service);
        if self.options.no_recreate {
            return None;
        }
        let named =
            self.options.services.is_empty() || self.options.services.iter().any(|s| s == service);
        if self.options.force_recreate && (named || self.options.always_recreate_deps) {
            return Some(Cause::Asked("--force-recreate"));
        }
        if self.options.always_recreate_deps && !named {
            return Some(Cause::Asked("--always-recreate-deps"));
        }
        let wanted = container::compared(self.project, service);
        match &container.config {
            None => return Some(Cause::Asked("its configuration is not known")),
            Some(config) if *config != wanted => {
                return Some(Cause::Changed(self.changes(
                    &["services", service],
                    config,
                    &wanted,
                )));
            }
            Some(_) => {}
        }
        if let Some(id) = self
            .observed
            .images
            .get(&image)
            .filter(|id| **id != container.image_id)
        {
            return Some(Cause::ImageMoved {
                from: container.image_id.clone(),
                to: id.clone(),
            });
        }
        if let Some(key) = definition
            .networks
            .keys()
            .find(|key| self.stale.contains(*key))
        {
            return Some(Cause::Follows(format!("the network {key}")));
        }
        let parents = parents(definition);
        let moved = parents.iter().find(|parent| {
            self.services
                .get(**parent)
                .is_some_and(|planned| planned.recreated)
        });
        moved.map(|parent| Cause::Follows((*parent).to_owned()))
    }

    fn keep(&mut self, service: &str, container: &Container) {
        let step = self.renamed(service, container);
        let name = self.proper_name(service, container.number);
        if container.is_up() {
            let restart =
                self.project.services[service]
                    .depends_on
                    .iter()
                    .any(|(other, dependency)| {
                        dependency.restart
                            && self
                                .services
                                .get(other)
                                .is_some_and(|planned| planned.recreated)
                    });
            if restart && !self.options.no_start {
                let cause = Cause::Follows("a service that it depends on".into());
                let stop = self.stop(container, &cause, step);
                self.start(service, &name, cause.clone(), stop.into_iter().collect());
                self.plan
                    .fate("container", &name, Verdict::Restart, Some(cause));
            } else {
                self.plan.fate("container", &name, Verdict::Keep, None);
                self.planned(service).started.extend(step);
            }
        } else if self.options.no_start {
            self.plan.fate("container", &name, Verdict::Keep, None);
        } else {
            let state = match container.status {
                Status::Created => "was never started".to_owned(),
                _ => format!("exited with {}", container.exit_code.unwrap_or(0)),
            };
            let cause = Cause::NotRunning(state);
            self.start(service, &name, cause.clone(), step.into_iter().collect());
            self.plan
                .fate("container", &name, Verdict::Start, Some(cause));
        }
        self.planned(service).names.push(name);
    }

    /// An interrupted recreation left the new container under its temporary name: it gets its own.
    fn renamed(&mut self, service: &str, container: &Container) -> Option<usize> {
        let name = self.proper_name(service, container.number);
        (container.name != name).then(|| {
            let action = Action::Rename {
                from: container.name.clone(),
                to: name,
            };
            self.plan.add(action, Cause::Interrupted, [])
        })
    }

    fn proper_name(&self, service: &str, number: u32) -> String {
        let own = self.project.services[service].container_name.as_deref();
        container::name(&self.project.name, service, number, own)
    }

    fn planned(&mut self, service: &str) -> &mut Planned {
        self.services.entry(service.to_owned()).or_default()
    }

    /// Steps that must be done before a container of the service can be made.
    fn needs(&self, service: &str) -> Vec<usize> {
        let definition = &self.project.services[service];
        let image = definition.image_name(&self.project.name, service);
        let networks = definition
            .networks
            .keys()
            .filter_map(|key| self.project.networks.get(key));
        let volumes = definition
            .volumes
            .iter()
            .filter_map(|mount| self.project.volumes.get(mount.source.as_ref()?));
        let names = std::iter::once(("image", image))
            .chain(networks.map(|network| ("network", network.name.clone())))
            .chain(volumes.map(|volume| ("volume", volume.name.clone())));
        let mut steps: Vec<usize> = names
            .filter_map(|key| self.made.get(&key).copied())
            .collect();
        for parent in parents(definition) {
            steps.extend(
                self.services
                    .get(parent)
                    .map(|planned| planned.created.clone())
                    .unwrap_or_default(),
            );
        }
        steps
    }

    fn wish(&self, service: &str, number: u32) -> Result<ContainerConfig, Error> {
        let mut wish = container::container(self.project, service, number)?;
        wish.labels = container::labels(self.project, service, number, false);
        Ok(wish)
    }

    fn create(&mut self, service: &str, number: u32) -> Result<(), Error> {
        let wish = self.wish(service, number)?;
        let name = wish.name.clone().unwrap_or_default();
        let needs = self.needs(service);
        let step = self
            .plan
            .add(Action::Create(Box::new(wish)), Cause::Missing, needs);
        self.plan
            .fate("container", &name, Verdict::Create, Some(Cause::Missing));
        self.planned(service).created.push(step);
        self.planned(service).names.push(name.clone());
        if !self.options.no_start {
            self.start(service, &name, Cause::Missing, vec![step]);
        }
        Ok(())
    }

    /// The new one is made under a temporary name before the old one is stopped: what cannot be made costs nothing.
    fn recreate(&mut self, service: &str, old: &Container, cause: Cause) -> Result<(), Error> {
        let mut wish = self.wish(service, old.number)?;
        let name = wish.name.clone().unwrap_or_default();
        wish.name = Some(format!("{}_{name}", old.id.get(..12).unwrap_or(&old.id)));
        let temporary = wish.name.clone().unwrap_or_default();
        if !self.options.renew_anonymous {
            inherit(&mut wish, old);
        }
        self.plan
            .fate("container", &name, Verdict::Recreate, Some(cause.clone()));
        let mut needs = self.needs(service);
        needs.extend(&self.planned(service).swept);
        let definition = &self.project.services[service];
        let on_stale_network = definition
            .networks
            .keys()
            .any(|key| self.stale.contains(key));
        if on_stale_network {
            // Its network cannot be removed while it is there, nor it be made before the network is.
            let stop = self.stop(old, &cause, []);
            let action = Action::Remove {
                name: old.name.clone(),
                volumes: self.options.renew_anonymous,
            };
            let removed = self.plan.add(action, cause.clone(), stop);
            wish.name = Some(name.clone());
            needs.push(removed);
        }
        let create = self
            .plan
            .add(Action::Create(Box::new(wish)), cause.clone(), needs);
        let last = if on_stale_network {
            create
        } else {
            let stop = self.stop(old, &cause, [create]).unwrap_or(create);
            let action = Action::Remove {
                name: old.name.clone(),
                volumes: self.options.renew_anonymous,
            };
            let removed = self.plan.add(action, cause.clone(), [create, stop]);
            let undo = Action::Remove {
                name: temporary.clone(),
                volumes: false,
            };
            self.plan.undo.push(Undo {
                done: create,
                unless: removed,
                action: undo,
            });
            self.plan.add(
                Action::Rename {
                    from: temporary,
                    to: name.clone(),
                },
                cause.clone(),
                [removed],
            )
        };
        let planned = self.planned(service);
        planned.recreated = true;
        planned.created.push(last);
        planned.names.push(name.clone());
        if !self.options.no_start {
            self.start(service, &name, cause, vec![last]);
        }
        Ok(())
    }

    /// Start, once its dependencies are in the asked state, and its hooks.
    fn start(&mut self, service: &str, name: &str, cause: Cause, mut after: Vec<usize>) {
        let definition = &self.project.services[service];
        for (other, dependency) in &definition.depends_on {
            after.extend(self.dependency(
                other,
                dependency.condition,
                dependency.required,
                service,
            ));
        }
        for parent in parents(definition) {
            after.extend(
                self.services
                    .get(parent)
                    .map(|planned| planned.started.clone())
                    .unwrap_or_default(),
            );
        }
        let mut last = self
            .plan
            .add(Action::Start(name.to_owned()), cause.clone(), after);
        for exec in definition.post_start.iter().filter_map(hook) {
            last = self.plan.add(
                Action::Exec {
                    name: name.to_owned(),
                    exec,
                },
                cause.clone(),
                [last],
            );
        }
        self.planned(service).started.push(last);
    }

    /// Steps after which `other` is in the state that `by` waits for.
    fn dependency(
        &mut self,
        other: &str,
        condition: Condition,
        required: bool,
        by: &str,
    ) -> Vec<usize> {
        let Some(planned) = self.services.get(other) else {
            return Vec::new();
        };
        let until = match condition {
            Condition::ServiceStarted => return planned.started.clone(),
            Condition::ServiceHealthy => Until::Healthy,
            Condition::ServiceCompletedSuccessfully => Until::Completed,
        };
        if let Some((_, _, steps)) = planned
            .waits
            .iter()
            .find(|wait| (wait.0, wait.1) == (until, required))
        {
            return steps.clone();
        }
        let (names, started) = (planned.names.clone(), planned.started.clone());
        let cause = Cause::Needed(by.to_owned());
        let steps: Vec<usize> = names
            .into_iter()
            .map(|name| {
                self.plan.add(
                    Action::Wait {
                        name,
                        until,
                        required,
                    },
                    cause.clone(),
                    started.clone(),
                )
            })
            .collect();
        self.planned(other)
            .waits
            .push((until, required, steps.clone()));
        steps
    }

    /// A network whose definition changed is made anew once nobody is on it; who was on it comes after.
    fn rebuild_networks(&mut self) {
        for key in &self.stale.clone() {
            let Some(network) = self.project.networks.get(key) else {
                continue;
            };
            let wanted = resource_config(self.project, "networks", key);
            let Ok(definition) = network_definition(self.project, key, &wanted) else {
                continue;
            };
            let on_it: Vec<&str> = self
                .observed
                .containers
                .iter()
                .filter(|container| container.networks.contains(&network.name))
                .map(|container| container.name.as_str())
                .collect();
            insert_rebuild(&mut self.plan, &network.name, definition, &on_it);
        }
    }

    fn wait_for_all(&mut self, services: &[String]) {
        for service in services {
            let Some(planned) = self.services.get(service) else {
                continue;
            };
            let (names, started) = (planned.names.clone(), planned.started.clone());
            for name in names {
                let action = Action::Wait {
                    name,
                    until: Until::Settled,
                    required: true,
                };
                self.plan
                    .add(action, Cause::Asked("--wait"), started.clone());
            }
        }
    }
}

/// Puts removal and creation of a network between the removal of the containers on it and the creation of new ones.
fn insert_rebuild(plan: &mut Plan, name: &str, definition: network::Definition, on_it: &[&str]) {
    let removed: Vec<usize> = plan.steps.iter().enumerate()
        .filter(|(_, step)| matches!(&step.action, Action::Remove { name, .. } if on_it.contains(&name.as_str())))
        .map(|(n, _)| n)
        .collect();
    let remove = plan.add(
        Action::RemoveNetwork(name.to_owned()),
        Cause::Asked("its definition changed"),
        removed,
    );
    let create = plan.add(
        Action::CreateNetwork(definition),
        Cause::Asked("its definition changed"),
        [remove],
    );
    for step in &mut plan.steps {
        if let Action::Create(wish) = &step.action
            && wish
                .networks
                .iter()
                .any(|attachment| attachment.network == name)
        {
            step.after.push(create);
        }
    }
}

/// Keys that any of the services uses, each once, in order.
fn used(services: &[String], of: impl Fn(&String) -> Vec<String>) -> Vec<String> {
    let mut keys = Vec::new();
    for key in services.iter().flat_map(of) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// Services that this one shares a namespace or volumes with: they must be there before it, and it is made anew with them.
fn parents(service: &crate::model::Service) -> Vec<&str> {
    let modes = [
        &service.network_mode,
        &service.ipc,
        &service.pid,
        &service.uts,
        &service.cgroup,
    ];
    let shared = modes
        .into_iter()
        .filter_map(|mode| mode.as_deref()?.strip_prefix("service:"));
    let from = service
        .volumes_from
        .iter()
        .filter(|from| !from.starts_with("container:"));
    shared
        .chain(from.filter_map(|from| from.split(':').next()))
        .collect()
}

/// A hook as a program to run.
pub(crate) fn hook(hook: &crate::model::Hook) -> Option<engine::exec::Exec> {
    Some(engine::exec::Exec {
        command: hook.command.clone()?,
        env: hook
            .environment
            .iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)))
            .collect(),
        user: hook.user.clone(),
        workdir: hook.working_dir.clone(),
        privileged: hook.privileged,
        ..engine::exec::Exec::default()
    })
}

/// The new container takes over the old one's anonymous volumes.
fn inherit(wish: &mut ContainerConfig, old: &Container) {
    for (target, volume) in &old.anonymous {
        let own = wish.mounts.iter_mut().find(|mount| mount.target == *target);
        let source = MountSource::Volume {
            name: Some(volume.clone()),
            no_copy: true,
            subpath: None,
            labels: BTreeMap::new(),
        };
        match own {
            Some(mount) if matches!(mount.source, MountSource::Volume { name: None, .. }) => {
                mount.source = source
            }
            Some(_) => {}
            None => wish.mounts.push(engine::config::Mount {
                source,
                target: target.clone(),
                read_only: false,
            }),
        }
    }
}

/// What a network or volume is compared by.
fn resource_config(project: &Project, section: &str, key: &str) -> Json {
    let mut json = project
        .node(&[section, key])
        .map_or(Json::Null, crate::render::json);
    if let Json::Object(map) = &mut json {
        map.retain(|key, _| !key.starts_with("x-"));
    }
    json
}

fn resource_labels(
    project: &Project,
    kind: &str,
    key: &str,
    own: &indexmap::IndexMap<String, String>,
    config: &Json,
) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = own.clone().into_iter().collect();
    labels.extend([
        (label::PROJECT.to_owned(), project.name.clone()),
        (kind.to_owned(), key.to_owned()),
        (
            label::VERSION.to_owned(),
            env!("CARGO_PKG_VERSION").to_owned(),
        ),
        (label::CONFIG_HASH.to_owned(), container::hash(config)),
        (label::CONFIG.to_owned(), config.to_string()),
    ]);
    labels
}

fn network_definition(
    project: &Project,
    key: &str,
    config: &Json,
) -> Result<network::Definition, Error> {
    let network = &project.networks[key];
    let error = |reason: String| container::Error {
        service: format!("../networks.{key}"),
        key: "ipam".into(),
        reason,
    };
    let mut subnets = Vec::new();
    for pool in &network.ipam.config {
        let cidr = |text: &Option<String>| {
            text.as_deref()
                .map(|text| {
                    text.parse()
                        .map_err(|_| error(format!("{text:?} is not a subnet")))
                })
                .transpose()
        };
        let address = |text: &str| {
            text.parse()
                .map_err(|_| error(format!("{text:?} is not an address")))
        };
        let mut reserved = BTreeMap::new();
        for (name, text) in &pool.aux_addresses {
            reserved.insert(name.clone(), address(text)?);
        }
        subnets.push(network::network::SubnetWish {
            subnet: cidr(&pool.subnet)?,
            gateway: pool.gateway.as_deref().map(address).transpose()?,
            range: cidr(&pool.ip_range)?,
            reserved,
        });
    }
    Ok(network::Definition {
        name: if network.name.is_empty() {
            key.to_owned()
        } else {
            network.name.clone()
        },
        driver: network::Driver::Bridge,
        internal: network.internal,
        ipv6: network.enable_ipv6,
        subnets,
        options: network.driver_opts.clone().into_iter().collect(),
        labels: resource_labels(project, label::NETWORK, key, &network.labels, config),
        attachable: network.attachable,
    })
}

/// Every path at which two values differ.
fn difference(old: &Json, new: &Json, path: &mut Vec<String>, changes: &mut Vec<Change>) {
    match (old, new) {
        (Json::Object(a), Json::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                path.push(key.clone());
                compare(a.get(key), b.get(key), path, changes);
                path.pop();
            }
        }
        (Json::Array(a), Json::Array(b)) if a.len() == b.len() => {
            for (n, (old, new)) in a.iter().zip(b).enumerate() {
                path.push(n.to_string());
                difference(old, new, path, changes);
                path.pop();
            }
        }
        _ => compare(Some(old), Some(new), path, changes),
    }
}

fn compare(
    old: Option<&Json>,
    new: Option<&Json>,
    path: &mut Vec<String>,
    changes: &mut Vec<Change>,
) {
    match (old, new) {
        (Some(old), Some(new)) if old == new => {}
        (
            Some(old @ (Json::Object(_) | Json::Array(_))),
            Some(new @ (Json::Object(_) | Json::Array(_))),
        ) if std::mem::discriminant(old) == std::mem::discriminant(new)
            && !matches!((old, new), (Json::Array(a), Json::Array(b)) if a.len() != b.len()) =>
        {
            difference(old, new, path, changes);
        }
        _ => changes.push(Change {
            path: path.clone(),
            old: old.cloned(),
            new: new.cloned(),
            place: None,
        }),
    }
}

#[cfg(test)]
mod tests;
