//! The wish as an OCI runtime spec, following the image-spec's conversion document and docker's defaults.
//!
//! In: a [`ContainerConfig`] laid over its image, and the [`Surroundings`] that were looked up for it (the user's numbers, host
//! paths of mounts, namespaces of others, limits of the host). Out: a [`Spec`]. Pure: the same in gives the same out.
//!
//! `process.rs` user, environment, limits · `sandbox.rs` capabilities, seccomp, masks, namespaces · `mounts.rs` what is mounted ·
//! `resources.rs` cgroup limits and devices.

mod mounts;
mod process;
mod resources;
mod sandbox;
mod seccomp;

use std::collections::HashMap;
use std::path::PathBuf;

use oci_spec::runtime::{LinuxBuilder, Root, RootBuilder, Spec, SpecBuilder};

use crate::Result;
use crate::config::ContainerConfig;
use crate::user::User;

pub(crate) use mounts::{bind_options, shm_options};
pub(crate) use process::exec_process;
pub(crate) use resources::limits;
pub(crate) use sandbox::namespace_path;

/// What the engine looked up for one start.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Numbers and home of the user.
    pub user: User,
    /// Mount point of the root file system on the host.
    pub root: PathBuf,
    /// The mounts asked for, with host paths.
    pub mounts: Vec<HostMount>,
    /// `/dev/shm` on the host, when it is shared with other containers.
    pub shm: Option<PathBuf>,
    /// Files shown as `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`.
    pub etc: Vec<(PathBuf, &'static str)>,
    /// Namespaces of others to join: kind and `/proc/PID/ns/...`.
    pub joined: Vec<(oci_spec::runtime::LinuxNamespaceType, PathBuf)>,
    /// Device nodes of the host that are handed in, with their permissions.
    pub devices: Vec<HostDevice>,
    /// Device numbers by path, for block I/O limits.
    pub device_numbers: HashMap<PathBuf, (u32, u32)>,
    /// What this host allows.
    pub host: Host,
}

/// What the host allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Host {
    /// Highest hard limit of open files that may be set.
    pub nofile: u64,
    /// The number of processes can be limited.
    pub pids: bool,
    /// Processors that it has or may get.
    pub processors: u32,
}

/// A mount with its place on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostMount {
    /// Path on the host; for others than binds, what mount(8) calls the source.
    pub source: PathBuf,
    /// File system type; none is a bind mount.
    pub kind: Option<String>,
    /// Path in the container.
    pub target: String,
    /// Options as mount(8) has them.
    pub options: Vec<String>,
}

/// A device node of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostDevice {
    /// Path in the container.
    pub path: String,
    /// `c` or `b`.
    pub kind: char,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Some of `rwm`.
    pub permissions: String,
}

/// Turns a wish into a spec.
///
/// # Errors
/// When a value of the wish cannot be what it says (a capability that does not exist, a sysctl that is not the container's).
pub fn spec(config: &ContainerConfig, around: &Surroundings) -> Result<Spec> {
    let linux = LinuxBuilder::default()
        .namespaces(sandbox::namespaces(config, around)?)
        .uid_mappings(sandbox::uid_mappings(config)?)
        .gid_mappings(sandbox::gid_mappings(config)?)
        .sysctl(sandbox::sysctls(config)?)
        .resources(resources::resources(config, around)?)
        .cgroups_path(cgroup_path(config, &around.id))
        .devices(resources::devices(around)?)
        .rootfs_propagation(mounts::root_propagation(config))
        .masked_paths(sandbox::masked_paths(config, around.host.processors))
        .readonly_paths(sandbox::readonly_paths(config));
    let linux = match seccomp::profile(config)? {
        Some(profile) => linux.seccomp(profile),
        None => linux,
    };
    let spec = SpecBuilder::default()
        .version("1.2.0")
        .root(root(config, around)?)
        .mounts(mounts::mounts(config, around)?)
        .process(process::process(config, around)?)
        .annotations(
            config
                .annotations
                .clone()
                .into_iter()
                .collect::<HashMap<_, _>>(),
        )
        .linux(linux.build()?);
    let mut spec = spec.build()?;
    // The builder starts from a default of its own; none of it is ours.
    spec.set_hostname(sandbox::hostname(config, &around.id));
    spec.set_domainname(config.domainname.clone());
    Ok(spec)
}

/// Paths that are hidden and paths that are read-only, for people to see.
pub(crate) fn masks(config: &ContainerConfig) -> (Vec<String>, Vec<String>) {
    (
        sandbox::masked_paths(config, 0),
        sandbox::readonly_paths(config),
    )
}

/// The container's place in the cgroup tree.
pub(crate) fn cgroup_path(config: &ContainerConfig, id: &str) -> PathBuf {
    let parent = config.cgroup_parent.as_deref().unwrap_or("/lighter");
    PathBuf::from("/").join(parent).join(id)
}

fn root(config: &ContainerConfig, around: &Surroundings) -> Result<Root> {
    Ok(RootBuilder::default()
        .path(around.root.clone())
        .readonly(config.read_only)
        .build()?)
}
