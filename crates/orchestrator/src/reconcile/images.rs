//! Images: which are fetched, and which must be there already.
//!
//! In: each service's image and pull policy. Out: `Pull` steps, or why there can be no plan.

use std::collections::BTreeSet;

use super::{Error, Options, Pull, Up};
use crate::model::{Project, Service};
use crate::plan::{Action, Cause, Plan, Step, Verdict};

impl Up<'_> {
    pub(super) fn images(&mut self, services: &[String]) -> Result<(), Error> {
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
                (false, _, Some(_)) if self.options.no_build => {
                    return Err(Error::NotBuilt {
                        service: name.clone(),
                        image,
                    });
                }
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

    /// Nothing else begins before every image is here: one that cannot be had then changes nothing.
    pub(super) fn begin_after_pulls(&mut self) {
        let is_pull = |step: &Step| matches!(step.action, Action::Pull { .. });
        let steps = self.plan.steps.iter().enumerate();
        let pulls: Vec<usize> = steps.filter(|(_, s)| is_pull(s)).map(|(n, _)| n).collect();
        for step in &mut self.plan.steps {
            if step.after.is_empty() && !is_pull(step) {
                step.after.clone_from(&pulls);
            }
        }
    }

    pub(super) fn pull(&mut self, service: &str, image: String, cause: Cause) {
        let key = ("image", image.clone());
        if !self.made.contains_key(&key) {
            let platform = self.project.services[service].platform.clone();
            self.plan
                .fate("image", &image, Verdict::Create, Some(cause.clone()));
            let step = self.plan.add(Action::Pull { image, platform }, cause, []);
            self.made.insert(key, step);
        }
    }
}

/// When the image of a service is fetched. Policies that go by age are asked each time: nothing is downloaded twice.
pub(super) fn policy(service: &Service, options: &Options) -> Pull {
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
