//! `update`: other limits and another restart policy for a container, live when it runs.

use crate::config::{Resources, RestartPolicy};
use crate::disk::{self, Keep};
use crate::spec::{self, Surroundings};
use crate::{Engine, Error, Result, prepare};

/// What to change; unset fields stay.
#[derive(Debug, Clone, Default)]
pub struct Update {
    /// Limits: only fields that are set are taken.
    pub resources: Resources,
    /// Restart policy.
    pub restart: Option<RestartPolicy>,
}

impl Engine {
    /// Changes a container. What runs is changed first: when the kernel refuses, nothing is written down.
    pub fn update(&self, who: &str, change: &Update) -> Result<()> {
        let id = self.resolve(who)?;
        let _lock = self.lock(&id)?;
        let seen = self.observe(&id)?;
        let mut record = seen.record.clone();
        if let Some(restart) = change.restart {
            if record.config.auto_remove && restart != RestartPolicy::No {
                return Err(Error::invalid(
                    "restart policy",
                    restart.word(),
                    "the container was made with --rm",
                ));
            }
            record.config.restart = restart;
        }
        lay(&mut record.config.resources, &change.resources);
        let changed = spec::limits(&record.config, &Surroundings::default())?;
        if change.resources != Resources::default() && seen.status.is_up() {
            let mut container = self.container(&id)?;
            container.state.cgroup =
                runtime::update(&container.state.cgroup, &changed, &prepare::hierarchies()?)?;
            container.state.write(&container.dir)?;
        }
        disk::replace_json(&self.paths.container(&id).config(), &record, Keep::Durable)?;
        self.note(&record, "update", &[])
    }
}

/// Takes over what is set.
fn lay(resources: &mut Resources, change: &Resources) {
    fn take<T: Clone>(field: &mut Option<T>, change: &Option<T>) {
        if change.is_some() {
            field.clone_from(change);
        }
    }
    take(&mut resources.memory, &change.memory);
    take(&mut resources.memory_swap, &change.memory_swap);
    take(
        &mut resources.memory_reservation,
        &change.memory_reservation,
    );
    take(&mut resources.nano_cpus, &change.nano_cpus);
    take(&mut resources.cpu_shares, &change.cpu_shares);
    take(&mut resources.cpu_quota, &change.cpu_quota);
    take(&mut resources.cpu_period, &change.cpu_period);
    take(&mut resources.cpuset_cpus, &change.cpuset_cpus);
    take(&mut resources.cpuset_mems, &change.cpuset_mems);
    take(&mut resources.pids, &change.pids);
    take(&mut resources.blkio_weight, &change.blkio_weight);
}
