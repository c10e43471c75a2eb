//! The containers of one service: which are kept, started, made, made anew or removed, and why.

use std::collections::BTreeMap;

use engine::config::{ContainerConfig, MountSource};
use engine::list::Status;

use super::{Error, Planned, Up};
use crate::container;
use crate::observe::Container;
use crate::plan::{Action, Cause, Undo, Verdict};

impl Up<'_> {
    /// The containers of one service: which to make, make anew, start, keep or remove.
    pub(super) fn service(&mut self, name: &str) -> Result<(), Error> {
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
    pub(super) fn current(&self, service: &str) -> (Vec<Container>, Vec<Container>) {
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
    pub(super) fn cause(&self, service: &str, container: &Container) -> Option<Cause> {
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

    pub(super) fn keep(&mut self, service: &str, container: &Container) {
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
                self.plan.running.push(name.clone());
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
    pub(super) fn renamed(&mut self, service: &str, container: &Container) -> Option<usize> {
        let name = self.proper_name(service, container.number);
        (container.name != name).then(|| {
            let action = Action::Rename {
                from: container.name.clone(),
                to: name,
            };
            self.plan.add(action, Cause::Interrupted, [])
        })
    }

    pub(super) fn proper_name(&self, service: &str, number: u32) -> String {
        let own = self.project.services[service].container_name.as_deref();
        container::name(&self.project.name, service, number, own)
    }

    /// Steps that must be done before a container of the service can be made.
    pub(super) fn needs(&self, service: &str) -> Vec<usize> {
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

    pub(super) fn wish(&self, service: &str, number: u32) -> Result<ContainerConfig, Error> {
        let mut wish = container::container(self.project, service, number)?;
        wish.labels = container::labels(self.project, service, number, false);
        Ok(wish)
    }

    pub(super) fn create(&mut self, service: &str, number: u32) -> Result<(), Error> {
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
    pub(super) fn recreate(
        &mut self,
        service: &str,
        old: &Container,
        cause: Cause,
    ) -> Result<(), Error> {
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
        let first = self.plan.steps.len();
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
        let steps = first..self.plan.steps.len();
        self.plan.recreations.push((name.clone(), steps));
        let planned = self.planned(service);
        planned.recreated = true;
        planned.created.push(last);
        planned.names.push(name.clone());
        if !self.options.no_start {
            self.start(service, &name, cause, vec![last]);
        }
        Ok(())
    }
}

/// The new container takes over the old one's anonymous volumes.
pub(super) fn inherit(wish: &mut ContainerConfig, old: &Container) {
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

/// Services that this one shares a namespace or volumes with: they must be there before it, and it is made anew with them.
pub(super) fn parents(service: &crate::model::Service) -> Vec<&str> {
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
