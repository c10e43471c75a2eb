//! `list`: one summary per container, typed, for `ps` and for Compose.

mod filter;

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::{ContainerConfig, ExposedPort, Mount, MountSource, NetworkMode, PortBinding};
use crate::find::Observed;
use crate::{Engine, Result, networking};

/// docker's container states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Status {
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
}

impl Status {
    /// docker's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }

    /// It has processes (frozen ones count).
    pub fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// docker's health states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum HealthStatus {
    Starting,
    Healthy,
    Unhealthy,
}

impl HealthStatus {
    /// docker's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One container in short.
#[derive(Debug, Clone)]
pub struct Summary {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Name.
    pub name: String,
    /// Reference of its image.
    pub image: String,
    /// Id of its image.
    pub image_id: String,
    /// Entrypoint and command.
    pub command: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// State.
    pub status: Status,
    /// Health, when it has a check and runs.
    pub health: Option<HealthStatus>,
    /// What the last health check printed.
    pub health_output: Option<String>,
    /// Exit code of the last run, when it does not run.
    pub exit_code: Option<i32>,
    /// The kernel killed one of its processes for memory in the last run.
    pub oom_killed: bool,
    /// Why the last start failed, or what ended the last run.
    pub error: Option<String>,
    /// First process, when it runs.
    pub pid: Option<i32>,
    /// Start of the last run.
    pub started: Option<Timestamp>,
    /// End of the last run.
    pub finished: Option<Timestamp>,
    /// Restarts by the policy since the last `start`.
    pub restart_count: u32,
    /// Published ports as they are bound, when it runs; as asked for otherwise.
    pub ports: Vec<PortBinding>,
    /// Exposed ports.
    pub exposed: Vec<ExposedPort>,
    /// Networks with addresses, when it runs.
    pub networks: Vec<JoinedNetwork>,
    /// Labels, the image's included.
    pub labels: BTreeMap<String, String>,
    /// Mounts: volume name or host path, and target.
    pub mounts: Vec<MountPoint>,
    /// Made with `--rm`.
    pub auto_remove: bool,
}

/// One mount as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPoint {
    /// `bind`, `volume` or `tmpfs`.
    pub kind: String,
    /// Name of the volume.
    pub name: Option<String>,
    /// Path on the host.
    pub source: String,
    /// Path in the container.
    pub target: String,
    /// Without write access.
    pub read_only: bool,
}

/// One network it is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinedNetwork {
    /// Name.
    pub name: String,
    /// Further names in its DNS.
    pub aliases: Vec<String>,
    /// Address, when it runs.
    pub address: Option<IpAddr>,
    /// IPv6 address, when it runs and has one.
    pub address6: Option<IpAddr>,
}

/// Which containers.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    /// Stopped ones too.
    pub all: bool,
    /// docker's `key=value` filters: id name label exited status ancestor before since volume network publish expose health.
    /// Values of one key are alternatives, keys are all required; labels are all required.
    pub filters: Vec<(String, String)>,
}

impl Engine {
    /// The containers that pass, newest first.
    pub fn list(&self, which: &Filters) -> Result<Vec<Summary>> {
        let filter = filter::Filter::new(self, which)?;
        let mut passing = Vec::new();
        for id in self.ids()? {
            // Being made, or removed since the directory was read.
            let Ok(seen) = self.observe(&id) else {
                continue;
            };
            let summary = summary(&seen);
            if filter.passes(&summary) {
                passing.push(summary);
            }
        }
        passing.sort_by(|one, other| other.created.cmp(&one.created).then(one.id.cmp(&other.id)));
        Ok(passing)
    }

    /// One container by name, id or unique id prefix.
    pub fn find(&self, who: &str) -> Result<Summary> {
        Ok(summary(&self.observe_as(who)?))
    }
}

fn summary(seen: &Observed) -> Summary {
    let Observed {
        record,
        state,
        endpoints,
        last,
        status,
    } = seen;
    let config = &record.config;
    let up = status.is_up();
    let before = state
        .as_ref()
        .and_then(|state| state.before.as_ref())
        .or(last.as_ref());
    let health = state
        .as_ref()
        .and_then(|state| state.health.as_ref())
        .filter(|_| up);
    Summary {
        id: record.id.clone(),
        name: record.name.clone(),
        image: config.image.reference.clone(),
        image_id: config.image.id.clone(),
        command: config.arguments(),
        created: record.created,
        status: *status,
        health: health.map(|health| health.status),
        health_output: health
            .and_then(|health| health.log.last())
            .map(|probe| probe.output.clone()),
        exit_code: before.filter(|_| !up).map(|last| last.exit_code),
        oom_killed: before.is_some_and(|last| last.oom_killed && !up),
        error: before.filter(|_| !up).and_then(|last| last.error.clone()),
        pid: state
            .as_ref()
            .and_then(|state| state.init)
            .map(|init| init.pid)
            .filter(|_| up),
        started: state
            .as_ref()
            .map(|state| state.started)
            .or(before.and_then(|last| last.started)),
        finished: before.and_then(|last| last.finished),
        restart_count: state
            .as_ref()
            .map(|s| s.restart_count)
            .or(before.map(|l| l.restart_count))
            .unwrap_or(0),
        ports: networking::bound_ports(endpoints),
        exposed: config.exposed.clone(),
        networks: match up && config.network == NetworkMode::Bridged {
            true => networking::joined(endpoints),
            false => planned_networks(config, &record.name),
        },
        labels: config.labels.clone(),
        mounts: config.mounts.iter().filter_map(mount_point).collect(),
        auto_remove: config.auto_remove,
    }
}

fn planned_networks(config: &ContainerConfig, name: &str) -> Vec<JoinedNetwork> {
    let planned = |attachment: crate::config::NetworkAttachment| JoinedNetwork {
        name: attachment.network,
        aliases: std::iter::once(name.to_owned())
            .chain(attachment.aliases)
            .collect(),
        address: None,
        address6: None,
    };
    let alone = |name: &str| JoinedNetwork {
        name: name.to_owned(),
        aliases: Vec::new(),
        address: None,
        address6: None,
    };
    match config.network {
        NetworkMode::Host => vec![alone("host")],
        NetworkMode::None => vec![alone("none")],
        _ => networking::attachments(config)
            .into_iter()
            .map(planned)
            .collect(),
    }
}

/// A mount as people name it; files whose content was given are the engine's own affair.
pub(crate) fn mount_point(mount: &Mount) -> Option<MountPoint> {
    let (kind, name, source) = match &mount.source {
        MountSource::Bind { path, .. } => ("bind", None, path.display().to_string()),
        MountSource::Volume { name, .. } => ("volume", name.clone(), String::new()),
        MountSource::Tmpfs { .. } => ("tmpfs", None, String::new()),
        MountSource::Content { .. } => return None,
    };
    Some(MountPoint {
        kind: kind.to_owned(),
        name,
        source,
        target: mount.target.clone(),
        read_only: mount.read_only,
    })
}
