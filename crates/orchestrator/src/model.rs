//! The project as the rest of lighter sees it: typed, complete, every fact at one place.
//!
//! Comes in: the canonical tree of `load.rs`. Goes out: [`Project`] with its [`Service`]s. The types mirror the keys of
//! the Compose specification; their meaning is there. The tree stays at hand, for positions and for `config`.
//! Read next: `support.rs` (what of this is refused), `container.rs` (a service as a container).

use std::path::PathBuf;

use indexmap::IndexMap;
use serde::Deserialize;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::environment::Environment;
use crate::load::Request;
use crate::quantity;
use crate::render;
use crate::yaml::{Mapping, Node, Sources, Span};

/// A loaded project.
#[derive(Clone, Debug)]
pub struct Project {
    /// Its name.
    pub name: String,
    /// Where relative paths start.
    pub directory: PathBuf,
    /// The files it was read from.
    pub files: Vec<PathBuf>,
    /// Variables that interpolation saw; secrets from the environment are read from here.
    pub environment: Environment,
    /// The canonical tree of what is on.
    pub tree: Node,
    /// Services whose profiles are not active.
    pub disabled: Mapping,
    /// The services that are on, by name.
    pub services: IndexMap<String, Service>,
    /// Networks by key.
    pub networks: IndexMap<String, Network>,
    /// Volumes by key.
    pub volumes: IndexMap<String, Volume>,
    /// Secrets by key.
    pub secrets: IndexMap<String, Content>,
    /// Configs by key.
    pub configs: IndexMap<String, Content>,
    /// The files, for positions.
    pub sources: Sources,
    /// What was odd.
    pub warnings: Diagnostics,
}

impl Project {
    /// A project with nothing in it.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            name: String::new(),
            directory: PathBuf::new(),
            files: Vec::new(),
            environment: Environment::default(),
            tree: Node::mapping(Span::nowhere()),
            disabled: Mapping::new(),
            services: IndexMap::new(),
            networks: IndexMap::new(),
            volumes: IndexMap::new(),
            secrets: IndexMap::new(),
            configs: IndexMap::new(),
            sources: Sources::default(),
            warnings: Diagnostics::default(),
        }
    }

    /// The node at a path from the top of the tree.
    #[must_use]
    pub fn node(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(&self.tree, |node, key| node.get(key))
    }

    /// Where a service is written.
    #[must_use]
    pub fn service_span(&self, service: &str) -> Option<Span> {
        self.tree
            .get("services")?
            .as_mapping()?
            .get(service)
            .map(|entry| entry.key)
    }

    /// Services in an order in which each comes after those that it depends on.
    #[must_use]
    pub fn in_order(&self) -> Vec<&str> {
        let mut order: Vec<&str> = Vec::with_capacity(self.services.len());
        for name in self.services.keys() {
            self.visit(name, &mut order, 0);
        }
        order
    }

    fn visit<'a>(&'a self, name: &'a str, order: &mut Vec<&'a str>, depth: usize) {
        // The loader refuses circles; without its check (`--no-consistency`) the depth ends them.
        if order.contains(&name) || depth > self.services.len() {
            return;
        }
        let Some(service) = self.services.get(name) else {
            return;
        };
        for other in service.depends_on.keys() {
            self.visit(other, order, depth + 1);
        }
        if !order.contains(&name) {
            order.push(name);
        }
    }

    /// The named services and everything that they depend on; all if none is named.
    #[must_use]
    pub fn with_dependencies(&self, named: &[String]) -> Vec<String> {
        let mut wanted: Vec<String> = Vec::new();
        let mut todo: Vec<String> = if named.is_empty() {
            self.services.keys().cloned().collect()
        } else {
            named.to_vec()
        };
        while let Some(name) = todo.pop() {
            if let Some(service) = self.services.get(&name).filter(|_| !wanted.contains(&name)) {
                todo.extend(service.depends_on.keys().cloned());
                wanted.push(name);
            }
        }
        self.in_order()
            .into_iter()
            .filter(|name| wanted.iter().any(|w| w == name))
            .map(str::to_owned)
            .collect()
    }
}

/// What a service is.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs, clippy::struct_excessive_bools)]
pub struct Service {
    pub annotations: IndexMap<String, String>,
    pub attach: Option<bool>,
    pub build: Option<Build>,
    pub blkio_config: Option<Blkio>,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub cgroup: Option<String>,
    pub cgroup_parent: Option<String>,
    pub command: Option<Vec<String>>,
    pub configs: Vec<ContentMount>,
    pub container_name: Option<String>,
    pub cpu_shares: Option<i64>,
    pub cpu_quota: Option<i64>,
    pub cpu_period: Option<i64>,
    pub cpus: Option<f64>,
    pub cpuset: Option<String>,
    pub depends_on: IndexMap<String, Dependency>,
    pub deploy: Option<Deploy>,
    pub device_cgroup_rules: Vec<String>,
    pub devices: Vec<Device>,
    pub dns: Vec<String>,
    pub dns_opt: Vec<String>,
    pub dns_search: Vec<String>,
    pub domainname: Option<String>,
    pub entrypoint: Option<Vec<String>>,
    pub environment: IndexMap<String, Option<String>>,
    pub expose: Vec<String>,
    pub extra_hosts: Vec<String>,
    pub group_add: Vec<String>,
    pub healthcheck: Option<Healthcheck>,
    pub hostname: Option<String>,
    pub image: Option<String>,
    pub init: Option<bool>,
    pub ipc: Option<String>,
    pub labels: IndexMap<String, String>,
    pub links: Vec<String>,
    pub logging: Option<Logging>,
    pub mac_address: Option<String>,
    pub mem_limit: Option<Bytes>,
    pub mem_reservation: Option<Bytes>,
    pub mem_swappiness: Option<Bytes>,
    pub memswap_limit: Option<Bytes>,
    pub network_mode: Option<String>,
    pub networks: IndexMap<String, Option<ServiceNetwork>>,
    pub oom_kill_disable: bool,
    pub oom_score_adj: Option<i32>,
    pub pid: Option<String>,
    pub pids_limit: Option<i64>,
    pub platform: Option<String>,
    pub ports: Vec<Port>,
    pub post_start: Vec<Hook>,
    pub pre_stop: Vec<Hook>,
    pub privileged: bool,
    pub pull_policy: Option<String>,
    pub read_only: bool,
    pub restart: Option<String>,
    pub scale: Option<u32>,
    pub secrets: Vec<ContentMount>,
    pub security_opt: Vec<String>,
    pub shm_size: Option<Bytes>,
    pub stdin_open: bool,
    pub stop_grace_period: Option<Duration>,
    pub stop_signal: Option<String>,
    pub sysctls: IndexMap<String, String>,
    pub tmpfs: Vec<String>,
    pub tty: bool,
    pub ulimits: IndexMap<String, Ulimit>,
    pub user: Option<String>,
    pub userns_mode: Option<String>,
    pub uts: Option<String>,
    pub volumes: Vec<Mount>,
    pub volumes_from: Vec<String>,
    pub working_dir: Option<String>,
}

impl Service {
    /// How many containers it has.
    #[must_use]
    pub fn replicas(&self) -> u32 {
        self.scale
            .or(self.deploy.as_ref().and_then(|deploy| deploy.replicas))
            .unwrap_or(1)
    }

    /// The image it runs: its own name for one, or the one that a build gives its result.
    #[must_use]
    pub fn image_name(&self, project: &str, service: &str) -> String {
        self.image
            .clone()
            .unwrap_or_else(|| format!("{project}-{service}"))
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub i64);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Bytes).map_err(serde::de::Error::custom)
    }
}

/// A duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duration(pub std::time::Duration);

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        quantity::duration(&text)
            .map(Duration)
            .map_err(serde::de::Error::custom)
    }
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Build {
    pub context: String,
    pub dockerfile: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Blkio {
    pub weight: Option<u16>,
    pub weight_device: Vec<WeightDevice>,
    pub device_read_bps: Vec<Throttle>,
    pub device_read_iops: Vec<Throttle>,
    pub device_write_bps: Vec<Throttle>,
    pub device_write_iops: Vec<Throttle>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[allow(missing_docs)]
pub struct WeightDevice {
    pub path: PathBuf,
    #[serde(default)]
    pub weight: u16,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[allow(missing_docs)]
pub struct Throttle {
    pub path: PathBuf,
    pub rate: Bytes,
}

/// A secret or config of a service.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ContentMount {
    pub source: String,
    pub target: Option<String>,
    pub uid: Option<String>,
    pub gid: Option<String>,
    /// Octal, with a leading zero.
    pub mode: Option<String>,
}

/// What must be true of another service first.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Dependency {
    pub condition: Condition,
    #[serde(default)]
    pub restart: bool,
    #[serde(default = "yes")]
    pub required: bool,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Condition {
    ServiceStarted,
    ServiceHealthy,
    ServiceCompletedSuccessfully,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Deploy {
    pub replicas: Option<u32>,
    pub resources: Option<Resources>,
    pub restart_policy: Option<RestartPolicy>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Resources {
    pub limits: Option<Amounts>,
    pub reservations: Option<Amounts>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Amounts {
    pub cpus: Option<f64>,
    pub memory: Option<Bytes>,
    pub pids: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct RestartPolicy {
    pub condition: Option<String>,
    pub max_attempts: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Device {
    pub source: PathBuf,
    pub target: String,
    pub permissions: String,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Healthcheck {
    pub disable: bool,
    pub test: Vec<String>,
    pub interval: Option<Duration>,
    pub timeout: Option<Duration>,
    pub start_period: Option<Duration>,
    pub start_interval: Option<Duration>,
    pub retries: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Logging {
    pub driver: Option<String>,
    pub options: IndexMap<String, Option<String>>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ServiceNetwork {
    pub aliases: Vec<String>,
    pub interface_name: Option<String>,
    pub ipv4_address: Option<String>,
    pub ipv6_address: Option<String>,
    pub mac_address: Option<String>,
    pub priority: f64,
    pub gw_priority: f64,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Port {
    pub host_ip: Option<String>,
    pub target: u16,
    pub published: Option<String>,
    pub protocol: String,
}

/// A command in a running container at a point of its life.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Hook {
    pub command: Option<Vec<String>>,
    pub user: Option<String>,
    pub privileged: bool,
    pub working_dir: Option<String>,
    pub environment: IndexMap<String, Option<String>>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum Ulimit {
    Both(i64),
    Each { soft: i64, hard: i64 },
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Mount {
    pub r#type: String,
    pub source: Option<String>,
    pub target: String,
    pub read_only: bool,
    pub bind: Option<Bind>,
    pub volume: Option<MountVolume>,
    pub tmpfs: Option<Tmpfs>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[allow(missing_docs)]
pub struct Bind {
    #[serde(default)]
    pub propagation: Option<String>,
    #[serde(default = "yes")]
    pub create_host_path: bool,
    #[serde(default)]
    pub recursive: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct MountVolume {
    pub labels: IndexMap<String, String>,
    pub nocopy: bool,
    pub subpath: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Tmpfs {
    pub size: Option<Bytes>,
    pub mode: Option<u32>,
}

/// A network of the project.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Network {
    pub name: String,
    pub driver: Option<String>,
    pub driver_opts: IndexMap<String, String>,
    pub ipam: Ipam,
    pub external: bool,
    pub internal: bool,
    pub enable_ipv6: bool,
    pub attachable: bool,
    pub labels: IndexMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Ipam {
    pub config: Vec<Pool>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Pool {
    pub subnet: Option<String>,
    pub gateway: Option<String>,
    pub ip_range: Option<String>,
    pub aux_addresses: IndexMap<String, String>,
}

/// A volume of the project.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Volume {
    pub name: String,
    pub driver_opts: IndexMap<String, String>,
    pub external: bool,
    pub labels: IndexMap<String, String>,
}

/// A secret or config of the project.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Content {
    pub name: String,
    pub file: Option<PathBuf>,
    pub environment: Option<String>,
    pub content: Option<String>,
    pub external: bool,
}

/// Binds a canonical tree to the types. What the table let through and the types do not take is reported, not lost.
pub(crate) fn project(
    name: String,
    tree: Node,
    disabled: Mapping,
    request: &Request,
    environment: &Environment,
    diagnostics: &mut Diagnostics,
) -> Project {
    Project {
        name,
        directory: request.directory.clone(),
        files: request.files.clone(),
        environment: environment.clone(),
        services: section(&tree, "services", diagnostics),
        networks: section(&tree, "networks", diagnostics),
        volumes: section(&tree, "volumes", diagnostics),
        secrets: section(&tree, "secrets", diagnostics),
        configs: section(&tree, "configs", diagnostics),
        tree,
        disabled,
        sources: Sources::default(),
        warnings: Diagnostics::default(),
    }
}

fn section<T: for<'de> Deserialize<'de>>(
    tree: &Node,
    key: &str,
    diagnostics: &mut Diagnostics,
) -> IndexMap<String, T> {
    let mut resources = IndexMap::new();
    for (name, entry) in tree
        .get(key)
        .and_then(Node::as_mapping)
        .into_iter()
        .flatten()
    {
        match bind(&entry.value) {
            Ok(resource) => drop(resources.insert(name.clone(), resource)),
            Err(reason) => diagnostics.push(Diagnostic::error(
                format!("{key}.{name}: {reason}"),
                entry.key,
            )),
        }
    }
    resources
}

/// One canonical node as its type. An empty text is the same as none (a variable that is not set).
fn bind<T: for<'de> Deserialize<'de>>(node: &Node) -> Result<T, serde_json::Error> {
    let mut value = render::json(node);
    if let serde_json::Value::Object(map) = &mut value {
        map.retain(|_, value| value.as_str() != Some(""));
    }
    serde_json::from_value(value)
}
