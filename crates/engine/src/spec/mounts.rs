//! What is mounted, in the order in which it is: the standard file systems, then mounts by depth of their target.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, MountBuilder};

use super::{HostMount, Surroundings};
use crate::Result;
use crate::config::{ContainerConfig, MountSource, NamespaceMode, NetworkMode, Propagation};

const SHM_SIZE: u64 = 64 << 20;

/// Every mount of the container.
pub(super) fn mounts(config: &ContainerConfig, around: &Surroundings) -> Result<Vec<Mount>> {
    let asked = |target: &str| {
        around
            .mounts
            .iter()
            .any(|mount| same_place(&mount.target, target))
    };
    let mut later: Vec<HostMount> = around.mounts.clone();
    for (source, target) in &around.etc {
        if !asked(target) {
            later.push(HostMount {
                source: source.clone(),
                kind: None,
                target: (*target).to_owned(),
                options: words("bind rprivate"),
            });
        }
    }
    // A mount below another one must come after it. Stable: what was asked for first stays first.
    later.sort_by_key(|mount| depth(&mount.target));
    let standard = standard(config, around.shm.as_deref())
        .into_iter()
        .filter(|mount| !asked(&mount.target));
    standard.chain(later).map(|mount| build(&mount)).collect()
}

fn standard(config: &ContainerConfig, shm: Option<&Path>) -> Vec<HostMount> {
    let mount = |target: &str, kind: &str, options: &str| HostMount {
        source: PathBuf::from(kind),
        kind: Some(kind.to_owned()),
        target: target.to_owned(),
        options: words(options),
    };
    let sys = if config.privileged {
        "nosuid noexec nodev"
    } else {
        "nosuid noexec nodev ro"
    };
    let mut mounts = vec![
        mount("/proc", "proc", "nosuid noexec nodev"),
        mount("/dev", "tmpfs", "nosuid strictatime mode=755 size=65536k"),
        mount(
            "/dev/pts",
            "devpts",
            "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5",
        ),
    ];
    // The host's /sys shows the host's interfaces; a sysfs of its own needs a network of its own.
    mounts.push(match config.network {
        NetworkMode::Host if config.userns != crate::config::UserNamespace::Host => {
            host("/sys", "rbind rprivate nosuid noexec nodev rro")
        }
        _ => mount("/sys", "sysfs", sys),
    });
    let cgroup = if config.privileged {
        "nosuid noexec nodev relatime"
    } else {
        "nosuid noexec nodev relatime ro"
    };
    mounts.push(mount("/sys/fs/cgroup", "cgroup", cgroup));
    // The queues are those of the ipc namespace, wherever they are mounted; only who has a user namespace of its own may
    // not mount those of the host.
    let owned = config.userns == crate::config::UserNamespace::Host;
    if config.ipc == NamespaceMode::Host {
        mounts.push(match owned {
            true => mount("/dev/mqueue", "mqueue", "nosuid noexec nodev"),
            false => host("/dev/mqueue", "bind rprivate nosuid noexec nodev"),
        });
        mounts.push(host("/dev/shm", "bind rprivate nosuid noexec nodev"));
    } else {
        mounts.push(mount("/dev/mqueue", "mqueue", "nosuid noexec nodev"));
        mounts.extend(dev_shm(config, shm));
    }
    mounts
}

/// `/dev/shm`: memory of its own, what it shares with others, or nothing.
fn dev_shm(config: &ContainerConfig, shared: Option<&Path>) -> Option<HostMount> {
    if config.ipc == NamespaceMode::None {
        return None;
    }
    let (source, kind, options) = match shared {
        Some(path) => (path, None, words("bind rprivate nosuid noexec nodev")),
        None => (
            Path::new("shm"),
            Some("tmpfs".to_owned()),
            shm_options(config),
        ),
    };
    Some(HostMount {
        source: source.to_owned(),
        kind,
        target: "/dev/shm".to_owned(),
        options,
    })
}

/// The options of the filesystem at `/dev/shm`.
pub(crate) fn shm_options(config: &ContainerConfig) -> Vec<String> {
    let size = config.resources.shm_size.unwrap_or(SHM_SIZE);
    words(&format!("nosuid noexec nodev mode=1777 size={size}"))
}

fn host(path: &str, options: &str) -> HostMount {
    HostMount {
        source: PathBuf::from(path),
        kind: None,
        target: path.to_owned(),
        options: words(options),
    }
}

/// The options of a bind mount.
pub(crate) fn bind_options(
    propagation: Option<Propagation>,
    read_only: bool,
    recursive: bool,
) -> Vec<String> {
    let bind = if recursive { "rbind" } else { "bind" };
    let mut options = vec![
        bind.to_owned(),
        propagation
            .unwrap_or(Propagation::Rprivate)
            .word()
            .to_owned(),
    ];
    if read_only {
        // Submounts too, or a read-only mount would have writable places in it.
        options.push(if recursive { "rro" } else { "ro" }.to_owned());
    }
    options
}

/// How mounts travel between the container's root and the host: only a mount that asks for it opens the way.
pub(super) fn root_propagation(config: &ContainerConfig) -> String {
    let asked = config
        .mounts
        .iter()
        .filter_map(|mount| match &mount.source {
            MountSource::Bind { propagation, .. } => *propagation,
            _ => None,
        });
    let mut root = "rprivate";
    for propagation in asked {
        match propagation {
            Propagation::Shared | Propagation::Rshared => return "rshared".to_owned(),
            Propagation::Slave | Propagation::Rslave => root = "rslave",
            Propagation::Private | Propagation::Rprivate => {}
        }
    }
    root.to_owned()
}

fn build(mount: &HostMount) -> Result<Mount> {
    let builder = MountBuilder::default()
        .destination(mount.target.clone())
        .source(mount.source.clone())
        .options(mount.options.clone());
    let kind = mount.kind.clone().unwrap_or_else(|| "bind".to_owned());
    Ok(builder.typ(kind).build()?)
}

fn depth(target: &str) -> usize {
    target.split('/').filter(|part| !part.is_empty()).count()
}

fn same_place(one: &str, other: &str) -> bool {
    one.split('/')
        .filter(|p| !p.is_empty())
        .eq(other.split('/').filter(|p| !p.is_empty()))
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(String::from).collect()
}
