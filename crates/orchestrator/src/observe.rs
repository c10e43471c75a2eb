//! What of a project is on this host: containers, networks, volumes and images, as plain facts.
//!
//! Comes in: the engine, the networks and the image store. Goes out: [`Observed`], which `reconcile.rs` compares with the
//! project. Belonging is told by labels alone, so it needs no file.

use std::collections::BTreeMap;

use engine::list::{Filters, HealthStatus, Status, Summary};
use serde_json::Value as Json;

use crate::container::label;
use crate::model::{Condition, Project};

/// Where a project lives: the three keepers of state.
pub struct Host {
    /// Containers and volumes.
    pub engine: engine::Engine,
    /// Networks.
    pub networks: network::Networks,
    /// Images.
    pub store: image::Store,
}

/// Everything that is there.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The project's containers, by name.
    pub containers: Vec<Container>,
    /// Networks by name, the project's and those that it could use.
    pub networks: BTreeMap<String, Resource>,
    /// Volumes by name.
    pub volumes: BTreeMap<String, Resource>,
    /// Id of each image that the project wants and the store has, by the name that the project gives it.
    pub images: BTreeMap<String, String>,
}

/// A network or volume.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// The project that made it.
    pub project: Option<String>,
    /// What it was made from.
    pub config: Option<Json>,
}

/// A container of a project.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its service.
    pub service: String,
    /// Its number within the service.
    pub number: u32,
    /// Made by `run`.
    pub one_off: bool,
    /// State.
    pub status: Status,
    /// Health, if it has a check.
    pub health: Option<HealthStatus>,
    /// Exit code of its last run.
    pub exit_code: Option<i32>,
    /// What it was made from.
    pub config: Option<Json>,
    /// Id of its image.
    pub image_id: String,
    /// Names of the networks it is on.
    pub networks: Vec<String>,
    /// Its anonymous volumes: target and name.
    pub anonymous: Vec<(String, String)>,
    /// What its service depends on.
    pub depends_on: Vec<Dependency>,
}

/// One service that a container's service depends on, as its label says.
#[derive(Clone, Debug, PartialEq)]
pub struct Dependency {
    /// The service.
    pub service: String,
    /// The state it must be in.
    pub condition: Condition,
    /// The container is restarted when the service is.
    pub restart: bool,
}

impl Container {
    /// Reads the labels of a container; none if it belongs to no service.
    #[must_use]
    pub fn of(summary: &Summary) -> Option<Self> {
        let label = |name: &str| summary.labels.get(name).map(String::as_str);
        Some(Self {
            id: summary.id.clone(),
            name: summary.name.clone(),
            service: label(label::SERVICE)?.to_owned(),
            number: label(label::NUMBER)
                .and_then(|number| number.parse().ok())
                .unwrap_or(1),
            one_off: label(label::ONE_OFF) == Some("True"),
            status: summary.status,
            health: summary.health,
            exit_code: summary.exit_code,
            config: label(label::CONFIG).and_then(|text| serde_json::from_str(text).ok()),
            image_id: label(label::IMAGE).unwrap_or(&summary.image_id).to_owned(),
            networks: summary
                .networks
                .iter()
                .map(|network| network.name.clone())
                .collect(),
            anonymous: anonymous(summary),
            depends_on: depends_on(label(label::DEPENDS_ON).unwrap_or_default()),
        })
    }

    /// It has processes, or is about to have some again.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.status.is_up() || self.status == Status::Restarting
    }
}

/// Anonymous volumes have names of 64 hexadecimal digits.
fn anonymous(summary: &Summary) -> Vec<(String, String)> {
    let volumes = summary.mounts.iter().filter(|mount| mount.kind == "volume");
    let named = volumes.filter_map(|mount| Some((mount.target.clone(), mount.name.clone()?)));
    named
        .filter(|(_, name)| name.len() == 64 && name.chars().all(|c| c.is_ascii_hexdigit()))
        .collect()
}

/// `db:service_healthy:true,cache:service_started:false`.
pub(crate) fn depends_on(text: &str) -> Vec<Dependency> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let mut fields = part.split(':');
            Dependency {
                service: fields.next().unwrap_or_default().to_owned(),
                condition: match fields.next() {
                    Some("service_healthy") => Condition::ServiceHealthy,
                    Some("service_completed_successfully") => {
                        Condition::ServiceCompletedSuccessfully
                    }
                    _ => Condition::ServiceStarted,
                },
                restart: fields.next() == Some("true"),
            }
        })
        .collect()
}

/// An error of one of the keepers of state.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Error {
    #[error(transparent)]
    Engine(#[from] engine::Error),
    #[error(transparent)]
    Network(#[from] network::Error),
    #[error(transparent)]
    Image(#[from] image::Error),
}

/// The containers of a project, one-off ones included, by name.
///
/// # Errors
/// The engine's.
pub fn containers(host: &Host, project: &str) -> Result<Vec<Container>, Error> {
    Ok(summaries(host, project)?
        .iter()
        .filter_map(Container::of)
        .collect())
}

/// The same, with everything that the engine tells.
///
/// # Errors
/// The engine's.
pub fn summaries(host: &Host, project: &str) -> Result<Vec<Summary>, Error> {
    let filter = ("label".to_owned(), format!("{}={project}", label::PROJECT));
    let mut all = host.engine.list(&Filters {
        all: true,
        filters: vec![filter],
    })?;
    all.sort_by_key(|container| natural(&container.name));
    Ok(all)
}

/// `web-2` before `web-10`.
fn natural(name: &str) -> (String, u64) {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (head, tail) = name.split_at(name.len() - digits);
    (head.to_owned(), tail.parse().unwrap_or(0))
}

/// Looks at the host.
///
/// # Errors
/// Those of the keepers of state.
pub fn observe(host: &Host, project: &Project) -> Result<Observed, Error> {
    let mut observed = resources(host)?;
    observed.containers = containers(host, &project.name)?;
    for (name, service) in &project.services {
        let image = service.image_name(&project.name, name);
        if let Ok(found) = host.store.find(&image) {
            observed.images.insert(image, found.id.to_string());
        }
    }
    Ok(observed)
}

/// The networks and volumes of the host.
///
/// # Errors
/// Those of the keepers of state.
pub fn resources(host: &Host) -> Result<Observed, Error> {
    let mut observed = Observed::default();
    for network in host.networks.list()? {
        observed
            .networks
            .insert(network.name.clone(), resource(&network.labels));
    }
    for volume in host.engine.volumes(&[])? {
        observed
            .volumes
            .insert(volume.name.clone(), resource(&volume.labels));
    }
    Ok(observed)
}

fn resource(labels: &BTreeMap<String, String>) -> Resource {
    Resource {
        project: labels.get(label::PROJECT).cloned(),
        config: labels
            .get(label::CONFIG)
            .and_then(|text| serde_json::from_str(text).ok()),
    }
}
