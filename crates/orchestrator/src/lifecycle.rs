//! Plans for what exists: stop, start, restart, remove, `down`. Pure, and by labels alone, so that they work without files.
//!
//! Order comes from what each container's service depends on: stopped in reverse, started forwards, the replicas of one
//! service at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{Condition, Project};
use crate::observe::{Container, Dependency, Observed};
use crate::plan::{Action, Cause, Plan, Until, Verdict};

/// How to take a project down.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools)]
pub struct Down {
    /// Only these services; all, and the networks, if empty.
    pub services: Vec<String>,
    /// With the project's volumes.
    pub volumes: bool,
    /// With these images.
    pub images: Vec<String>,
    /// With containers that no service wants, and those of `run`.
    pub remove_orphans: bool,
    /// Time to stop, instead of the containers' own.
    pub timeout: Option<Duration>,
}

/// Plans `down`. Without a project every container counts.
#[must_use]
pub fn down(name: &str, project: Option<&Project>, observed: &Observed, how: &Down) -> Plan {
    let mut plan = Plan::default();
    let asked = Cause::Asked("down");
    let known = |container: &Container| match project {
        Some(project) => {
            project.services.contains_key(&container.service)
                || project.disabled.contains_key(&container.service)
        }
        None => true,
    };
    let goes = |container: &&Container| match how.services.is_empty() {
        false => how.services.contains(&container.service) && !container.one_off,
        true => how.remove_orphans || (known(container) && !container.one_off),
    };
    let containers: Vec<&Container> = observed.containers.iter().filter(goes).collect();
    let stops = stop_steps(&mut plan, &containers, project, how.timeout, &asked);
    let mut removed = Vec::new();
    for container in &containers {
        let action = Action::Remove {
            name: container.name.clone(),
            volumes: how.volumes,
        };
        removed.push(plan.add(action, asked.clone(), stops.get(&container.name).copied()));
        plan.fate(
            "container",
            &container.name,
            Verdict::Remove,
            Some(asked.clone()),
        );
    }
    if !how.services.is_empty() {
        return plan;
    }
    let own = |resources: &BTreeMap<String, crate::observe::Resource>| -> Vec<String> {
        let own = resources
            .iter()
            .filter(|(_, resource)| resource.project.as_deref() == Some(name));
        own.map(|(name, _)| name.clone()).collect()
    };
    for network in own(&observed.networks) {
        plan.fate("network", &network, Verdict::Remove, Some(asked.clone()));
        plan.add(
            Action::RemoveNetwork(network),
            asked.clone(),
            removed.clone(),
        );
    }
    for volume in own(&observed.volumes).into_iter().filter(|_| how.volumes) {
        plan.fate("volume", &volume, Verdict::Remove, Some(asked.clone()));
        plan.add(Action::RemoveVolume(volume), asked.clone(), removed.clone());
    }
    for image in &how.images {
        plan.fate("image", image, Verdict::Remove, Some(asked.clone()));
        plan.add(
            Action::RemoveImage(image.clone()),
            asked.clone(),
            removed.clone(),
        );
    }
    plan
}

/// Plans `stop` of these containers.
#[must_use]
pub fn stop(
    containers: &[Container],
    project: Option<&Project>,
    timeout: Option<Duration>,
) -> Plan {
    let mut plan = Plan::default();
    let containers: Vec<&Container> = containers.iter().collect();
    stop_steps(
        &mut plan,
        &containers,
        project,
        timeout,
        &Cause::Asked("stop"),
    );
    plan
}

/// Plans `start` of these containers.
#[must_use]
pub fn start(containers: &[Container]) -> Plan {
    let mut plan = Plan::default();
    let containers: Vec<&Container> = containers.iter().collect();
    start_steps(
        &mut plan,
        &containers,
        &BTreeMap::new(),
        &Cause::Asked("start"),
    );
    plan
}

/// Plans `restart` of these containers, and of those of `all` that ask to be restarted with them.
#[must_use]
pub fn restart(
    containers: &[Container],
    all: &[Container],
    project: Option<&Project>,
    timeout: Option<Duration>,
) -> Plan {
    let mut plan = Plan::default();
    let services: BTreeSet<&str> = containers
        .iter()
        .map(|container| container.service.as_str())
        .collect();
    let follows = |container: &&Container| {
        !services.contains(container.service.as_str())
            && container.is_up()
            && container
                .depends_on
                .iter()
                .any(|other| other.restart && services.contains(other.service.as_str()))
    };
    let mut chosen: Vec<&Container> = containers.iter().collect();
    chosen.extend(all.iter().filter(follows));
    let cause = Cause::Asked("restart");
    let stops = stop_steps(&mut plan, &chosen, project, timeout, &cause);
    let whole: BTreeMap<String, Vec<usize>> = chosen
        .iter()
        .map(|container| (container.name.clone(), stops.values().copied().collect()))
        .collect();
    start_steps(&mut plan, &chosen, &whole, &cause);
    plan
}

/// Plans `rm` of these containers; running ones are stopped first.
#[must_use]
pub fn remove(containers: &[Container], volumes: bool, timeout: Option<Duration>) -> Plan {
    let mut plan = Plan::default();
    let containers: Vec<&Container> = containers.iter().collect();
    let cause = Cause::Asked("rm");
    let stops = stop_steps(&mut plan, &containers, None, timeout, &cause);
    for container in containers {
        let action = Action::Remove {
            name: container.name.clone(),
            volumes,
        };
        plan.add(action, cause.clone(), stops.get(&container.name).copied());
    }
    plan
}

/// Stops what runs; each after those that depend on it. Gives the step of each container.
fn stop_steps(
    plan: &mut Plan,
    containers: &[&Container],
    project: Option<&Project>,
    timeout: Option<Duration>,
    cause: &Cause,
) -> BTreeMap<String, usize> {
    let mut steps: BTreeMap<String, usize> = BTreeMap::new();
    for service in in_order(containers).into_iter().rev() {
        let depends_on_it = |other: &&&Container| {
            other
                .depends_on
                .iter()
                .any(|needed| needed.service == service)
        };
        let before: Vec<usize> = containers
            .iter()
            .filter(depends_on_it)
            .filter_map(|c| steps.get(&c.name).copied())
            .collect();
        for container in containers
            .iter()
            .filter(|c| c.service == service && c.is_up())
        {
            let mut after = before.clone();
            let hooks = project
                .and_then(|project| project.services.get(&service))
                .map(|service| &service.pre_stop);
            for exec in hooks
                .into_iter()
                .flatten()
                .filter_map(crate::reconcile::hook)
            {
                after = vec![plan.add(
                    Action::Exec {
                        name: container.name.clone(),
                        exec,
                    },
                    cause.clone(),
                    after,
                )];
            }
            let action = Action::Stop {
                name: container.name.clone(),
                timeout,
            };
            steps.insert(
                container.name.clone(),
                plan.add(action, cause.clone(), after),
            );
        }
    }
    steps
}

/// Starts containers; each once those that it depends on are in the state that it asks for, and after the steps that
/// `after` names for it.
fn start_steps(
    plan: &mut Plan,
    containers: &[&Container],
    after: &BTreeMap<String, Vec<usize>>,
    cause: &Cause,
) {
    let mut started: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for service in in_order(containers) {
        let own = containers
            .iter()
            .filter(|container| container.service == service);
        let down =
            own.filter(|container| !container.is_up() || after.contains_key(&container.name));
        let down: Vec<&&Container> = down.collect();
        let mut needed: Vec<usize> = Vec::new();
        for dependency in down
            .first()
            .into_iter()
            .flat_map(|container| &container.depends_on)
        {
            needed.extend(reached(plan, containers, dependency, &started, &service));
        }
        for container in down {
            let own = after.get(&container.name).into_iter().flatten();
            let steps: Vec<usize> = needed.iter().chain(own).copied().collect();
            let step = plan.add(Action::Start(container.name.clone()), cause.clone(), steps);
            started.entry(service.clone()).or_default().push(step);
        }
    }
}

/// Steps after which a dependency is in the state that `by` asks for.
fn reached(
    plan: &mut Plan,
    containers: &[&Container],
    dependency: &Dependency,
    started: &BTreeMap<String, Vec<usize>>,
    by: &str,
) -> Vec<usize> {
    let begun = started
        .get(&dependency.service)
        .cloned()
        .unwrap_or_default();
    let until = match dependency.condition {
        Condition::ServiceStarted => return begun,
        Condition::ServiceHealthy => Until::Healthy,
        Condition::ServiceCompletedSuccessfully => Until::Completed,
    };
    let all = containers
        .iter()
        .filter(|other| other.service == dependency.service);
    let wait = |other: &&Container| Action::Wait {
        name: other.name.clone(),
        until,
        required: true,
    };
    let waits: Vec<Action> = all.map(wait).collect();
    let cause = Cause::Needed(by.to_owned());
    waits
        .into_iter()
        .map(|wait| plan.add(wait, cause.clone(), begun.clone()))
        .collect()
}

/// The services of these containers, each after those that it depends on.
#[must_use]
pub fn in_order(containers: &[&Container]) -> Vec<String> {
    let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in containers {
        let own = needs.entry(&container.service).or_default();
        own.extend(
            container
                .depends_on
                .iter()
                .map(|needed| needed.service.as_str()),
        );
    }
    let mut order: Vec<String> = Vec::new();
    while order.len() < needs.len() {
        let ready = |(service, others): &(&&str, &BTreeSet<&str>)| {
            !order.iter().any(|done| done == **service)
                && others.iter().all(|other| {
                    !needs.contains_key(other) || order.iter().any(|done| done == other)
                })
        };
        // Containers of different versions of a file can wait for each other in a circle: then any is as good.
        let next = needs
            .iter()
            .find(ready)
            .or_else(|| needs.iter().find(|(s, _)| !order.iter().any(|d| d == **s)));
        match next {
            Some((service, _)) => order.push((*service).to_owned()),
            None => break,
        }
    }
    order
}
