//! `config.json`, flattened once into a [`View`] that planners can read without asking twice.
//!
//! In goes the specification's tree of optional fields; out comes one struct
//! where a missing list is empty, a missing flag is false, names are sorted and
//! what the specification forbids has been refused. Read `plan/mod.rs` next.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use kernel::namespace::Namespace;
use kernel::op::IdMapping;
use oci_spec::runtime::{
    Hooks, LinuxDevice, LinuxIdMapping, LinuxMemoryPolicy, LinuxNamespaceType, LinuxPersonality,
    LinuxResources, LinuxSeccomp, Mount, Process,
};

use crate::{Attach, Bundle, Error};

/// A bundle's configuration, flat.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// The container's id.
    pub id: &'a str,
    /// The bundle's directory.
    pub bundle: &'a Path,
    /// `ociVersion`.
    pub oci_version: &'a str,
    /// The root filesystem's directory on the host, absolute.
    pub rootfs: PathBuf,
    /// `root.readonly`.
    pub readonly_root: bool,
    /// `hostname`.
    pub hostname: Option<&'a str>,
    /// `domainname`.
    pub domainname: Option<&'a str>,
    /// `mounts`, in order.
    pub mounts: &'a [Mount],
    /// `process`; without one the container can only be created, not started.
    pub process: Option<&'a Process>,
    /// `hooks`.
    pub hooks: Option<&'a Hooks>,
    /// `annotations`, sorted.
    pub annotations: BTreeMap<&'a str, &'a str>,
    /// Namespaces to make.
    pub new: Vec<Namespace>,
    /// Namespaces to join.
    pub join: Vec<(Namespace, PathBuf)>,
    /// `linux.uidMappings`.
    pub uids: Vec<IdMapping>,
    /// `linux.gidMappings`.
    pub gids: Vec<IdMapping>,
    /// `linux.sysctl`, sorted.
    pub sysctl: BTreeMap<&'a str, &'a str>,
    /// `linux.devices`.
    pub devices: &'a [LinuxDevice],
    /// `linux.netDevices`: name on the host, name inside; sorted.
    pub net_devices: BTreeMap<&'a str, &'a str>,
    /// `linux.maskedPaths`.
    pub masked: &'a [String],
    /// `linux.readonlyPaths`.
    pub readonly: &'a [String],
    /// `linux.rootfsPropagation`.
    pub propagation: Option<&'a str>,
    /// `linux.mountLabel`.
    pub mount_label: Option<&'a str>,
    /// `linux.cgroupsPath`.
    pub cgroups_path: Option<&'a Path>,
    /// `linux.resources`.
    pub resources: Option<&'a LinuxResources>,
    /// `linux.seccomp`.
    pub seccomp: Option<&'a LinuxSeccomp>,
    /// `linux.personality`.
    pub personality: Option<&'a LinuxPersonality>,
    /// `linux.memoryPolicy`.
    pub memory_policy: Option<&'a LinuxMemoryPolicy>,
    /// `linux.timeOffsets`: clock, seconds, nanoseconds; sorted.
    pub time_offsets: Vec<(String, i64, u32)>,
    /// What surrounds the bundle.
    pub attach: &'a Attach,
}

impl<'a> View<'a> {
    /// Flatten a bundle's configuration and refuse what cannot be.
    pub fn of(bundle: &'a Bundle, attach: &'a Attach) -> Result<View<'a>, Error> {
        let spec = &bundle.spec;
        let linux = spec.linux().as_ref();
        check_version(spec.version())?;
        if linux.is_some_and(|linux| linux.intel_rdt().is_some()) {
            return Err(Error::Config {
                field: "linux.intelRdt".into(),
                reason: "allocating cache and memory bandwidth is not supported".into(),
            });
        }
        let (new, join) = namespaces(linux.and_then(|l| l.namespaces().as_deref()).unwrap_or(&[]))?;
        let view = View {
            id: &attach.id,
            bundle: &bundle.dir,
            oci_version: spec.version(),
            rootfs: rootfs(bundle)?,
            readonly_root: spec
                .root()
                .as_ref()
                .and_then(|r| r.readonly())
                .unwrap_or(false),
            hostname: spec.hostname().as_deref().filter(|h| !h.is_empty()),
            domainname: spec.domainname().as_deref().filter(|d| !d.is_empty()),
            mounts: spec.mounts().as_deref().unwrap_or(&[]),
            process: spec.process().as_ref(),
            hooks: spec.hooks().as_ref(),
            annotations: sorted(spec.annotations().as_ref()),
            new,
            join,
            uids: mappings(linux.and_then(|l| l.uid_mappings().as_deref())),
            gids: mappings(linux.and_then(|l| l.gid_mappings().as_deref())),
            sysctl: sorted(linux.and_then(|l| l.sysctl().as_ref())),
            devices: linux.and_then(|l| l.devices().as_deref()).unwrap_or(&[]),
            net_devices: net_devices(spec),
            masked: linux
                .and_then(|l| l.masked_paths().as_deref())
                .unwrap_or(&[]),
            readonly: linux
                .and_then(|l| l.readonly_paths().as_deref())
                .unwrap_or(&[]),
            propagation: linux
                .and_then(|l| l.rootfs_propagation().as_deref())
                .filter(|p| !p.is_empty()),
            mount_label: linux
                .and_then(|l| l.mount_label().as_deref())
                .filter(|l| !l.is_empty()),
            cgroups_path: linux
                .and_then(|l| l.cgroups_path().as_deref())
                .filter(|p| !p.as_os_str().is_empty()),
            resources: linux.and_then(|l| l.resources().as_ref()),
            seccomp: linux.and_then(|l| l.seccomp().as_ref()),
            personality: linux.and_then(|l| l.personality().as_ref()),
            memory_policy: linux.and_then(|l| l.memory_policy().as_ref()),
            time_offsets: time_offsets(spec),
            attach,
        };
        view.check()?;
        Ok(view)
    }

    /// Is this namespace new or joined, and so not the host's?
    pub fn own(&self, namespace: Namespace) -> bool {
        self.new.contains(&namespace) || self.join.iter().any(|(kind, _)| *kind == namespace)
    }

    /// Where the root is mounted, when that is in the host's mount namespace.
    pub fn shared_root(&self) -> Option<&'a Path> {
        let path = self.attach.root_mount.as_deref()?;
        (!self.own(Namespace::Mount)).then_some(path)
    }

    /// What the specification says must not be combined.
    fn check(&self) -> Result<(), Error> {
        let config = |field: &str, reason: &str| {
            Err(Error::Config {
                field: field.into(),
                reason: reason.into(),
            })
        };
        if !self.own(Namespace::Mount) && self.attach.root_mount.is_none() {
            return config("linux.namespaces", "a container needs a mount namespace");
        }
        if !self.own(Namespace::Mount) && self.own(Namespace::User) {
            return config(
                "linux.namespaces",
                "a user namespace may not mount in the host's mount namespace: it needs one of its own",
            );
        }
        if self.hostname.is_some() && !self.own(Namespace::Uts) {
            return config(
                "hostname",
                "a host name needs a uts namespace of the container's own",
            );
        }
        if self.domainname.is_some() && !self.own(Namespace::Uts) {
            return config(
                "domainname",
                "a domain name needs a uts namespace of the container's own",
            );
        }
        let user = self.new.contains(&Namespace::User);
        if user && (self.uids.is_empty() || self.gids.is_empty()) {
            return config(
                "linux.uidMappings",
                "a new user namespace needs user and group mappings",
            );
        }
        let mapped = !self.uids.is_empty() || !self.gids.is_empty();
        if mapped && !user && !self.own(Namespace::User) {
            return config("linux.uidMappings", "mappings need a user namespace");
        }
        if !self.net_devices.is_empty() && !self.own(Namespace::Network) {
            return config(
                "linux.netDevices",
                "interfaces can only move into a network namespace of the container's own",
            );
        }
        if !self.time_offsets.is_empty() && !self.new.contains(&Namespace::Time) {
            return config(
                "linux.timeOffsets",
                "clock offsets need a new time namespace",
            );
        }
        if let Some(process) = self.process {
            check_process(process)?;
        }
        Ok(())
    }
}

fn check_process(process: &Process) -> Result<(), Error> {
    let config = |field: &str, reason: String| {
        Err(Error::Config {
            field: field.into(),
            reason,
        })
    };
    if !process.cwd().is_absolute() {
        return config(
            "process.cwd",
            format!("{} is not an absolute path", process.cwd().display()),
        );
    }
    if process
        .args()
        .as_deref()
        .unwrap_or(&[])
        .first()
        .is_none_or(String::is_empty)
    {
        return config("process.args", "there is no program to run".into());
    }
    let limits = process.rlimits().as_deref().unwrap_or(&[]);
    for (index, limit) in limits.iter().enumerate() {
        if limits[..index]
            .iter()
            .any(|other| other.typ() == limit.typ())
        {
            return config(
                "process.rlimits",
                format!("{} is listed twice", limit.typ()),
            );
        }
    }
    let strings = process
        .args()
        .iter()
        .flatten()
        .chain(process.env().iter().flatten());
    if strings.into_iter().any(|text| text.contains('\0')) {
        return config(
            "process",
            "an argument or variable contains a NUL byte".into(),
        );
    }
    Ok(())
}

/// Every 1.x version of the specification is understood; fields that are not known to it are ignored.
fn check_version(version: &str) -> Result<(), Error> {
    if version == "1" || version.starts_with("1.") {
        return Ok(());
    }
    let reason = format!("{version:?} is not a version that is understood (1.x)");
    Err(Error::Config {
        field: "ociVersion".into(),
        reason,
    })
}

fn rootfs(bundle: &Bundle) -> Result<PathBuf, Error> {
    let root = bundle.spec.root().as_ref().ok_or_else(|| Error::Config {
        field: "root".into(),
        reason: "a container needs a root filesystem".into(),
    })?;
    Ok(normal(&bundle.dir.join(root.path())))
}

/// The path without `.` and without a trailing slash; `..` stays, because what it means is the kernel's to say.
fn normal(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| *part != Component::CurDir)
        .collect()
}

type Namespaces = (Vec<Namespace>, Vec<(Namespace, PathBuf)>);

fn namespaces(list: &[oci_spec::runtime::LinuxNamespace]) -> Result<Namespaces, Error> {
    let (mut new, mut join) = (Vec::new(), Vec::new());
    for entry in list {
        let kind = namespace(entry.typ());
        if new.contains(&kind) || join.iter().any(|(other, _)| *other == kind) {
            let reason = format!("the {} namespace is listed twice", kind.file());
            return Err(Error::Config {
                field: "linux.namespaces".into(),
                reason,
            });
        }
        match entry
            .path()
            .as_deref()
            .filter(|path| !path.as_os_str().is_empty())
        {
            None => new.push(kind),
            Some(path) => join.push((kind, path.to_path_buf())),
        }
    }
    new.sort();
    join.sort();
    Ok((new, join))
}

fn namespace(kind: LinuxNamespaceType) -> Namespace {
    match kind {
        LinuxNamespaceType::User => Namespace::User,
        LinuxNamespaceType::Mount => Namespace::Mount,
        LinuxNamespaceType::Uts => Namespace::Uts,
        LinuxNamespaceType::Ipc => Namespace::Ipc,
        LinuxNamespaceType::Network => Namespace::Network,
        LinuxNamespaceType::Pid => Namespace::Pid,
        LinuxNamespaceType::Cgroup => Namespace::Cgroup,
        LinuxNamespaceType::Time => Namespace::Time,
    }
}

/// Lines of an id map.
pub fn mappings(list: Option<&[LinuxIdMapping]>) -> Vec<IdMapping> {
    let line = |m: &LinuxIdMapping| IdMapping {
        inside: m.container_id(),
        outside: m.host_id(),
        count: m.size(),
    };
    list.unwrap_or(&[]).iter().map(line).collect()
}

fn sorted(map: Option<&std::collections::HashMap<String, String>>) -> BTreeMap<&str, &str> {
    map.into_iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

fn net_devices(spec: &oci_spec::runtime::Spec) -> BTreeMap<&str, &str> {
    let devices = spec.linux().as_ref().and_then(|l| l.net_devices().as_ref());
    let names = devices.into_iter().flatten();
    names
        .map(|(host, device)| {
            let name = device.name().as_deref().filter(|name| !name.is_empty());
            (host.as_str(), name.unwrap_or(host))
        })
        .collect()
}

fn time_offsets(spec: &oci_spec::runtime::Spec) -> Vec<(String, i64, u32)> {
    let offsets = spec
        .linux()
        .as_ref()
        .and_then(|l| l.time_offsets().as_ref());
    let mut list: Vec<_> = offsets
        .into_iter()
        .flatten()
        .map(|(clock, o)| {
            (
                clock.clone(),
                o.secs().unwrap_or(0),
                o.nanosecs().unwrap_or(0),
            )
        })
        .collect();
    list.sort();
    list
}
