//! Plans for what exists: stop, start, restart, remove, `down`. Pure, and by labels alone, so that they work without files.
//!
//! Order comes from what each container's service depends on: stopped in reverse, started forwards, the replicas of one
//! service at the same time. What depends on a service's health or end is started when that is so, as `up` does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{Condition, Hook, Project};
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

/// Plans `start` of these containers, and of those of `all` that they depend on.
#[must_use]
pub fn start(containers: &[Container], all: &[Container], project: Option<&Project>) -> Plan {
    let mut chosen: Vec<&Container> = containers.iter().collect();
    loop {
        let needed = |container: &&Container| {
            !chosen.iter().any(|other| other.id == container.id)
                && chosen
                    .iter()
                    .flat_map(|other| &other.depends_on)
                    .any(|dependency| dependency.service == container.service)
        };
        match all.iter().find(needed) {
            Some(container) => chosen.push(container),
            None => break,
        }
    }
    let begin =
        |container: &Container| (!container.is_up()).then(|| Action::Start(container.name.clone()));
    begin_steps(&chosen, project, &Cause::Asked("start"), &begin)
}

/// Plans `restart` of these containers, and of those of `all` that ask to be restarted with them.
#[must_use]
pub fn restart(
    containers: &[Container],
    all: &[Container],
    project: Option<&Project>,
    timeout: Option<Duration>,
) -> Plan {
    let services: BTreeSet<&str> = containers
        .iter()
        .map(|container| container.service.as_str())
        .collect();
    let follows = |container: &&Container| {
        !services.contains(container.service.as_str())
            && container.is_up()
            && container.depends_on.iter().any(|dependency| {
                dependency.restart && services.contains(dependency.service.as_str())
            })
    };
    let mut chosen: Vec<&Container> = containers.iter().collect();
    chosen.extend(all.iter().filter(follows));
    let begin = |container: &Container| {
        let name = container.name.clone();
        Some(Action::Restart { name, timeout })
    };
    begin_steps(&chosen, project, &Cause::Asked("restart"), &begin)
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
        let depends_on_it =
            |other: &&&Container| other.depends_on.iter().any(|d| d.service == service);
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

/// Begins containers, with the hooks of their services; each when what it depends on is in the state that it waits for.
fn begin_steps(
    containers: &[&Container],
    project: Option<&Project>,
    cause: &Cause,
    begin: &dyn Fn(&Container) -> Option<Action>,
) -> Plan {
    let mut plan = Plan::default();
    let mut begun: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for service in in_order(containers) {
        let definition = project.and_then(|project| project.services.get(&service));
        for container in containers.iter().filter(|c| c.service == service) {
            let Some(action) = begin(container) else {
                continue;
            };
            let mut after: Vec<usize> = Vec::new();
            for dependency in &container.depends_on {
                let required = definition
                    .and_then(|service| service.depends_on.get(&dependency.service))
                    .is_none_or(|dependency| dependency.required);
                let others = containers
                    .iter()
                    .filter(|c| c.service == dependency.service);
                let names: Vec<&str> = others.map(|other| other.name.as_str()).collect();
                let steps = begun.get(&dependency.service).cloned().unwrap_or_default();
                after.extend(wait_steps(
                    &mut plan, dependency, &names, required, &steps, &service,
                ));
            }
            let hooks = |hooks: &[Hook]| -> Vec<Action> {
                let execs = hooks.iter().filter_map(crate::reconcile::hook);
                let name = &container.name;
                execs
                    .map(|exec| Action::Exec {
                        name: name.clone(),
                        exec,
                    })
                    .collect()
            };
            let (before, behind) = definition.map_or_else(Default::default, |service| {
                (hooks(&service.pre_stop), hooks(&service.post_start))
            });
            let before = before.into_iter().filter(|_| container.is_up());
            for action in before.chain([action]).chain(behind) {
                after = vec![plan.add(action, cause.clone(), after)];
            }
            begun.entry(service.clone()).or_default().extend(after);
        }
    }
    plan
}

/// Steps after which a dependency is in its state: waits, planned once for all who wait for the same.
fn wait_steps(
    plan: &mut Plan,
    dependency: &Dependency,
    names: &[&str],
    required: bool,
    begun: &[usize],
    by: &str,
) -> Vec<usize> {
    let until = match dependency.condition {
        Condition::ServiceStarted => return begun.to_vec(),
        Condition::ServiceHealthy => Until::Healthy,
        Condition::ServiceCompletedSuccessfully => Until::Completed,
    };
    let wait = |name: &&str| {
        let same = |action: &Action| {
            matches!(action, Action::Wait { name: other, until: state, required: r }
                if other == name && *state == until && *r == required)
        };
        if let Some(planned) = plan.steps.iter().position(|step| same(&step.action)) {
            return planned;
        }
        let name = (*name).to_owned();
        let action = Action::Wait {
            name,
            until,
            required,
        };
        plan.add(action, Cause::Needed(by.to_owned()), begun.iter().copied())
    };
    names.iter().map(wait).collect()
}

/// The services of these containers, each after those that it depends on.
#[must_use]
pub fn in_order(containers: &[&Container]) -> Vec<String> {
    let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in containers {
        let own = needs.entry(&container.service).or_default();
        own.extend(container.depends_on.iter().map(|d| d.service.as_str()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use engine::list::Status;

    fn container(service: &str, status: Status, depends_on: &str) -> Container {
        Container {
            id: service.to_owned(),
            name: format!("app-{service}-1"),
            service: service.to_owned(),
            number: 1,
            one_off: false,
            status,
            health: None,
            exit_code: None,
            config: None,
            image_id: String::new(),
            networks: Vec::new(),
            anonymous: Vec::new(),
            depends_on: crate::observe::depends_on(depends_on),
        }
    }

    fn steps(plan: &Plan) -> Vec<String> {
        let line = |step: &crate::plan::Step| {
            format!(
                "{} {} {:?}",
                step.action.word(),
                step.action.object(),
                step.after
            )
        };
        plan.steps.iter().map(line).collect()
    }

    fn shop(status: Status) -> Vec<Container> {
        vec![
            container(
                "web",
                status,
                "db:service_healthy:true,task:service_completed_successfully:false",
            ),
            container("admin", status, "db:service_healthy:false"),
            container("db", status, ""),
            container("task", status, "db:service_started:false"),
        ]
    }

    #[test]
    fn start_waits_as_up_does_and_once_for_all() {
        let all = shop(Status::Exited);
        let wanted = [
            "start app-db-1 []",
            "wait app-db-1 [0]",
            "start app-admin-1 [1]",
            "start app-task-1 [0]",
            "wait app-task-1 [3]",
            "start app-web-1 [1, 4]",
        ];
        assert_eq!(steps(&start(&all, &all, None)), wanted);
    }

    #[test]
    fn start_of_one_takes_what_it_needs_and_waits_for_what_runs_already() {
        let mut all = shop(Status::Exited);
        let admin = [all[1].clone()];
        let wanted = [
            "start app-db-1 []",
            "wait app-db-1 [0]",
            "start app-admin-1 [1]",
        ];
        assert_eq!(steps(&start(&admin, &all, None)), wanted);
        all[2].status = Status::Running;
        let wanted = ["wait app-db-1 []", "start app-admin-1 [0]"];
        assert_eq!(steps(&start(&admin, &all, None)), wanted);
        let up = shop(Status::Running);
        assert!(start(&up, &up, None).steps.is_empty());
    }

    #[test]
    fn restart_takes_along_who_asks_for_it_after_the_wait() {
        let all = shop(Status::Running);
        let db = [all[2].clone()];
        let wanted = [
            "restart app-db-1 []",
            "wait app-db-1 [0]",
            "restart app-web-1 [1]",
        ];
        assert_eq!(steps(&restart(&db, &all, None, None)), wanted);
    }
}
