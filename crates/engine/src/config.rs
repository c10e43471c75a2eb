//! The wish: everything a person can ask of one container, independent of clap and of YAML.
//!
//! In: the command line (`RunArgs`) and a Compose service are each converted to a `ContainerConfig` once, at the border.
//! Out: [`ContainerConfig::over`] lays the wish over the image's own configuration; `spec.rs` turns the sum into an OCI
//! runtime spec. The sum is kept on disk in `config.json`, so every type here is plain data with defaults: a file written by
//! an older `lighter` stays readable.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One container, as asked for. `Default` is a plain `run` with docker's defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerConfig {
    /// The name; none lets the engine choose one.
    pub name: Option<String>,
    /// The image it is made from.
    pub image: ImageSource,
    /// Arguments after the image (docker's CMD); none takes the image's.
    pub command: Option<Vec<String>>,
    /// Program before the command; none takes the image's, an empty list takes none at all.
    pub entrypoint: Option<Vec<String>>,
    /// `NAME=value`, later ones win; `NAME` alone removes one that the image sets.
    pub env: Vec<String>,
    /// `user`, `uid`, `user:group` or `uid:gid`; resolved in the container's own passwd and group.
    pub user: Option<String>,
    /// Working directory; absolute, made when missing.
    pub workdir: Option<String>,
    /// Host name; none gives the short id.
    pub hostname: Option<String>,
    /// NIS domain name.
    pub domainname: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// OCI annotations, handed to the runtime spec as they are.
    pub annotations: BTreeMap<String, String>,

    /// Bind mounts, volumes and tmpfs, in the order asked for.
    pub mounts: Vec<Mount>,
    /// Containers whose mounts are taken over: `name` or `name:ro`.
    pub volumes_from: Vec<String>,
    /// Image `VOLUME`s, filled in from the image by [`ContainerConfig::over`].
    pub image_volumes: Vec<String>,

    /// How it meets the network.
    pub network: NetworkMode,
    /// The networks it joins when `network` is [`NetworkMode::Bridged`]; none joins the default bridge.
    pub networks: Vec<NetworkAttachment>,
    /// Published ports.
    pub ports: Vec<PortBinding>,
    /// Publish every exposed port on a free port of the host (`-P`).
    pub publish_all: bool,
    /// Exposed ports, the image's included.
    pub exposed: Vec<ExposedPort>,
    /// Lines for `/etc/hosts`: name and address, or `host-gateway`.
    pub extra_hosts: Vec<ExtraHost>,
    /// Names in `resolv.conf`.
    pub dns: Dns,

    /// Give it a terminal of its own.
    pub tty: bool,
    /// Keep its standard input open even when nobody is attached.
    pub open_stdin: bool,
    /// Close standard input when the first attached client leaves.
    pub stdin_once: bool,
    /// Run a tiny init as PID 1 that reaps and forwards signals.
    pub init: bool,

    /// What happens after it ends.
    pub restart: RestartPolicy,
    /// Its health check; none takes the image's.
    pub healthcheck: Option<Healthcheck>,
    /// Signal that asks it to end (`SIGTERM`, `TERM` or a number); none takes the image's, then SIGTERM.
    pub stop_signal: Option<String>,
    /// How long `stop` waits before SIGKILL; none is 10 s.
    pub stop_timeout: Option<Duration>,
    /// Remove it, and its anonymous volumes, when it ends (`--rm`).
    pub auto_remove: bool,
    /// Its log.
    pub log: LogConfig,

    /// Limits.
    pub resources: Resources,
    /// Devices handed in.
    pub devices: Vec<Device>,
    /// Device cgroup rules as docker writes them: `c 42:* rmw`.
    pub device_cgroup_rules: Vec<String>,

    /// Capabilities on top of the default set (`ALL`, `NET_ADMIN` or `CAP_NET_ADMIN`).
    pub cap_add: Vec<String>,
    /// Capabilities taken away.
    pub cap_drop: Vec<String>,
    /// `no-new-privileges`, `seccomp=...`, `apparmor=...`, `label=...`, `systempaths=unconfined`.
    pub security_opt: Vec<String>,
    /// All capabilities and devices, no seccomp, nothing masked.
    pub privileged: bool,
    /// Root file system read-only.
    pub read_only: bool,
    /// Namespaced kernel settings.
    pub sysctls: BTreeMap<String, String>,
    /// Supplementary groups by name or number.
    pub group_add: Vec<String>,
    /// umask of its first process; none is 0022.
    pub umask: Option<u32>,

    /// Process ids.
    pub pid: NamespaceMode,
    /// System V and POSIX queues and `/dev/shm`.
    pub ipc: NamespaceMode,
    /// Host name.
    pub uts: NamespaceMode,
    /// User ids.
    pub userns: UserNamespace,
    /// View of the cgroup tree.
    pub cgroupns: NamespaceMode,
    /// Parent in the cgroup tree; none is `/lighter`.
    pub cgroup_parent: Option<String>,
    /// Platform that was asked for, as `os/arch[/variant]`.
    pub platform: Option<String>,
}

/// Which image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageSource {
    /// What the person wrote: `nginx`.
    pub reference: String,
    /// Digest of the image's configuration: `sha256:...`.
    pub id: String,
}

/// One mount the person asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What is mounted.
    pub source: MountSource,
    /// Where in the container; absolute.
    pub target: String,
    /// Without write access.
    #[serde(default)]
    pub read_only: bool,
}

/// What a [`Mount`] mounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountSource {
    /// A path of the host.
    Bind {
        /// Absolute path on the host.
        path: PathBuf,
        /// Make a directory there when nothing is (`-v` does, `--mount` does not).
        create: bool,
        /// Mount propagation; none is `rprivate`.
        propagation: Option<Propagation>,
        /// Do not take submounts along.
        non_recursive: bool,
    },
    /// A named or anonymous volume.
    Volume {
        /// Name; none makes an anonymous volume.
        name: Option<String>,
        /// Do not copy the image's content into an empty volume.
        no_copy: bool,
        /// Directory inside the volume.
        subpath: Option<String>,
        /// Labels of a volume made for this mount.
        labels: BTreeMap<String, String>,
    },
    /// Memory.
    Tmpfs {
        /// Size in bytes.
        size: Option<u64>,
        /// Mode of its root.
        mode: Option<u32>,
        /// Further mount options (`noexec`, `uid=1000`).
        options: Vec<String>,
    },
    /// A file whose content the caller gives (Compose configs and secrets).
    Content {
        /// The content.
        content: Vec<u8>,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Mode.
        mode: u32,
    },
}

/// Mount propagation (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Propagation {
    Private,
    Rprivate,
    Shared,
    Rshared,
    Slave,
    Rslave,
}

impl Propagation {
    /// The word of mount(8) and of the runtime spec.
    pub fn word(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Rprivate => "rprivate",
            Self::Shared => "shared",
            Self::Rshared => "rshared",
            Self::Slave => "slave",
            Self::Rslave => "rslave",
        }
    }
}

/// How a container meets the network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkMode {
    /// Joins the networks of `networks`, or the default bridge when there are none.
    #[default]
    Bridged,
    /// Only its own loopback.
    None,
    /// The host's network.
    Host,
    /// The network of another container (name or id).
    Container(String),
}

/// One network it joins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkAttachment {
    /// Name or id of the network.
    pub network: String,
    /// Further names in the network's DNS.
    pub aliases: Vec<String>,
    /// Fixed IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Fixed IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// Fixed hardware address, as `02:42:ac:11:00:02`.
    pub mac: Option<String>,
    /// Name of the interface inside; none gives `ethN`.
    pub interface: Option<String>,
    /// The network with the highest number gives the default route.
    pub gateway_priority: i32,
    /// Names for others on the network that only this container knows (`--link`).
    #[serde(default)]
    pub links: Vec<Link>,
}

/// A name for another container that only one container knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// A name of the other on the network.
    pub target: String,
    /// What this container calls it.
    pub alias: String,
}

/// Transport protocol of a port.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// `tcp`, `udp` or `sctp`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// One published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortBinding {
    /// Port inside.
    pub container_port: u16,
    /// Protocol.
    #[serde(default)]
    pub protocol: Protocol,
    /// Address on the host; none is every address, IPv4 and IPv6.
    #[serde(default)]
    pub host_ip: Option<IpAddr>,
    /// Port on the host; none lets the engine choose a free one.
    #[serde(default)]
    pub host_port: Option<u16>,
    /// Last port of the range on the host from which the first free one is taken (`8000-8010:80`).
    #[serde(default)]
    pub host_port_end: Option<u16>,
}

/// One exposed port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExposedPort {
    /// Port inside.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
}

/// One `--add-host`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraHost {
    /// Name.
    pub name: String,
    /// Address, or the word `host-gateway`.
    pub address: String,
}

/// Names in `resolv.conf`; empty lists take the host's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Name servers.
    pub servers: Vec<IpAddr>,
    /// Search domains.
    pub search: Vec<String>,
    /// Resolver options.
    pub options: Vec<String>,
}

/// What happens after a container ends by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Nothing.
    #[default]
    No,
    /// Start it again, also at boot.
    Always,
    /// Start it again, at boot only when nobody had stopped it.
    UnlessStopped,
    /// Start it again when it failed, at most so many times (none: without end).
    OnFailure {
        /// Highest number of restarts.
        max_retries: Option<u32>,
    },
}

impl RestartPolicy {
    /// docker's name of the policy.
    pub fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
            Self::OnFailure { .. } => "on-failure",
        }
    }
}

/// A health check; an unset field takes the image's, then docker's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Healthcheck {
    /// What is run.
    pub test: Option<HealthTest>,
    /// Time between two checks; default 30 s.
    pub interval: Option<Duration>,
    /// How long one check may take; default 30 s.
    pub timeout: Option<Duration>,
    /// Time at the start in which failures do not count; default 0 s.
    pub start_period: Option<Duration>,
    /// Time between two checks in the start period; default 5 s.
    pub start_interval: Option<Duration>,
    /// Failures in a row that make it unhealthy; default 3.
    pub retries: Option<u32>,
}

/// What a health check runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthTest {
    /// No check, not even the image's.
    None,
    /// A program with arguments (`CMD`).
    Command(Vec<String>),
    /// A line for the image's shell (`CMD-SHELL`).
    Shell(String),
}

/// Where output goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// Driver.
    pub driver: LogDriver,
    /// Size in bytes at which the file is rotated; none is 10 MiB.
    pub max_size: Option<u64>,
    /// Number of files kept; none is 3.
    pub max_file: Option<u32>,
    /// Labels that `logs --details` shows.
    pub labels: Vec<String>,
    /// Variables that `logs --details` shows.
    pub env: Vec<String>,
}

/// Which log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    /// docker's `json-file` lines, rotated.
    #[default]
    JsonFile,
    /// Nothing is kept.
    None,
}

/// Limits; none is no limit, or the default said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Memory and swap together in bytes; -1 is unlimited swap; none is twice `memory`.
    pub memory_swap: Option<i64>,
    /// Soft limit in bytes.
    pub memory_reservation: Option<u64>,
    /// 0 to 100 (cgroup v1 only).
    pub memory_swappiness: Option<u64>,
    /// Do not kill when out of memory (cgroup v1 only).
    pub oom_kill_disable: bool,
    /// Processors, in billionths (docker's NanoCpus).
    pub nano_cpus: Option<u64>,
    /// Relative weight, docker's scale with 1024 as default.
    pub cpu_shares: Option<u64>,
    /// CFS quota in microseconds.
    pub cpu_quota: Option<i64>,
    /// CFS period in microseconds.
    pub cpu_period: Option<u64>,
    /// Processors allowed: `0-2,4`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes allowed.
    pub cpuset_mems: Option<String>,
    /// Number of processes; -1 or 0 is no limit; none is 2048.
    pub pids: Option<i64>,
    /// Relative weight of block I/O, 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// Weight for one device: path and weight.
    pub blkio_weight_device: Vec<(PathBuf, u16)>,
    /// Bytes read in a second: device path and rate.
    pub device_read_bps: Vec<(PathBuf, u64)>,
    /// Bytes written in a second: device path and rate.
    pub device_write_bps: Vec<(PathBuf, u64)>,
    /// Reads in a second: device path and rate.
    pub device_read_iops: Vec<(PathBuf, u64)>,
    /// Writes in a second: device path and rate.
    pub device_write_iops: Vec<(PathBuf, u64)>,
    /// rlimits.
    pub ulimits: Vec<Ulimit>,
    /// Size of `/dev/shm` in bytes; none is 64 MiB.
    pub shm_size: Option<u64>,
    /// -1000 to 1000; higher is killed sooner.
    pub oom_score_adj: Option<i32>,
}

/// One rlimit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// docker's name: `nofile`.
    pub name: String,
    /// Soft limit; -1 is unlimited.
    pub soft: i64,
    /// Hard limit; -1 is unlimited.
    pub hard: i64,
}

/// One `--device`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Path on the host; a directory takes every device in it.
    pub host: PathBuf,
    /// Path in the container.
    pub container: String,
    /// Some of `rwm`.
    pub permissions: String,
}

/// One namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamespaceMode {
    /// Its own (for cgroup: its own on v2, the host's on v1, as docker does).
    #[default]
    Private,
    /// Its own, and others may join it (only ipc tells the two apart).
    Shareable,
    /// Its own, with nothing in it: no `/dev/shm` (only ipc has this).
    None,
    /// The host's.
    Host,
    /// Another container's (name or id).
    Container(String),
}

/// User ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserNamespace {
    /// The host's.
    #[default]
    Host,
    /// Its own, with these mappings: (inside, outside, size).
    Mapped {
        /// User ids.
        uids: Vec<(u32, u32, u32)>,
        /// Group ids.
        gids: Vec<(u32, u32, u32)>,
    },
}
