//! Networks and volumes: which are made, made anew or found as they are.
//!
//! A network whose definition changed is made anew between the removal of the containers on it and the creation of new
//! ones; a volume never is, for it holds data.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{Error, Up};
use crate::container::{self, label};
use crate::model::Project;
use crate::plan::{Action, Cause, Plan, Verdict};

impl Up<'_> {
    /// Plans missing networks, and notes those that must be made anew.
    pub(super) fn networks(&mut self, services: &[String]) -> Result<(), Error> {
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

    pub(super) fn create_network(
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

    pub(super) fn volumes(&mut self, services: &[String]) -> Result<(), Error> {
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

    /// A network whose definition changed is made anew once nobody is on it; who was on it comes after.
    pub(super) fn rebuild_networks(&mut self) {
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
}

/// Puts removal and creation of a network between the removal of the containers on it and the creation of new ones.
pub(super) fn insert_rebuild(
    plan: &mut Plan,
    name: &str,
    definition: network::Definition,
    on_it: &[&str],
) {
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
pub(super) fn used(services: &[String], of: impl Fn(&String) -> Vec<String>) -> Vec<String> {
    let mut keys = Vec::new();
    for key in services.iter().flat_map(of) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// What a network or volume is compared by.
pub(super) fn resource_config(project: &Project, section: &str, key: &str) -> Json {
    let mut json = project
        .node(&[section, key])
        .map_or(Json::Null, crate::render::json);
    if let Json::Object(map) = &mut json {
        map.retain(|key, _| !key.starts_with("x-"));
    }
    json
}

pub(super) fn resource_labels(
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

pub(super) fn network_definition(
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
