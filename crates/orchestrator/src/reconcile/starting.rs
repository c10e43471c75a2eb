//! Starting: what a container waits for before, and which hooks run after.

use super::Up;
use super::containers::parents;
use crate::model::Condition;
use crate::plan::{Action, Cause, Until};

impl Up<'_> {
    /// Start, once its dependencies are in the asked state, and its hooks.
    pub(super) fn start(&mut self, service: &str, name: &str, cause: Cause, mut after: Vec<usize>) {
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
    pub(super) fn dependency(
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

    pub(super) fn wait_for_all(&mut self, services: &[String]) {
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
