//! The walls: namespaces, capabilities, masked paths, kernel settings.

use std::collections::HashMap;
use std::path::PathBuf;
use std::str::FromStr;

use oci_spec::runtime::{
    Capabilities, Capability, LinuxCapabilities, LinuxCapabilitiesBuilder, LinuxIdMapping,
    LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType,
};

use super::Surroundings;
use crate::config::{ContainerConfig, NamespaceMode, NetworkMode, UserNamespace};
use crate::find::short;
use crate::{Error, Result};

/// docker's set without MKNOD and NET_RAW: nodes are handed in, and `ping_group_range` is for those ping programs that use
/// a datagram socket (iputils does, Debian's busybox does not).
const DEFAULT: [Capability; 12] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setfcap,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
    Capability::AuditWrite,
];

/// docker's and podman's lists joined.
const MASKED: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
];

const READONLY: [&str; 6] = [
    "/proc/asound",
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// The namespaces it gets: new ones, and those of others.
pub(super) fn namespaces(
    config: &ContainerConfig,
    around: &Surroundings,
) -> Result<Vec<LinuxNamespace>> {
    use LinuxNamespaceType as Kind;
    let own = |mode: &NamespaceMode| *mode != NamespaceMode::Host;
    let wanted = [
        (Kind::Mount, true),
        (Kind::Pid, own(&config.pid)),
        (Kind::Uts, own(&config.uts)),
        (Kind::Ipc, own(&config.ipc)),
        (Kind::Network, config.network != NetworkMode::Host),
        (Kind::Cgroup, own(&config.cgroupns)),
        (Kind::User, config.userns != UserNamespace::Host),
    ];
    let mut namespaces = Vec::new();
    for (kind, _) in wanted.into_iter().filter(|(_, wanted)| *wanted) {
        let builder = LinuxNamespaceBuilder::default().typ(kind);
        let builder = match around.joined.iter().find(|(joined, _)| *joined == kind) {
            Some((_, path)) => builder.path(path.clone()),
            None => builder,
        };
        namespaces.push(builder.build()?);
    }
    Ok(namespaces)
}

/// The host name it gets; none when it shares the host's.
pub(super) fn hostname(config: &ContainerConfig, id: &str) -> Option<String> {
    match config.uts {
        NamespaceMode::Host | NamespaceMode::Container(_) => None,
        _ => Some(
            config
                .hostname
                .clone()
                .unwrap_or_else(|| short(id).to_owned()),
        ),
    }
}

pub(super) fn uid_mappings(config: &ContainerConfig) -> Result<Vec<LinuxIdMapping>> {
    match &config.userns {
        UserNamespace::Host => Ok(Vec::new()),
        UserNamespace::Mapped { uids, .. } => mappings(uids),
    }
}

pub(super) fn gid_mappings(config: &ContainerConfig) -> Result<Vec<LinuxIdMapping>> {
    match &config.userns {
        UserNamespace::Host => Ok(Vec::new()),
        UserNamespace::Mapped { gids, .. } => mappings(gids),
    }
}

fn mappings(triples: &[(u32, u32, u32)]) -> Result<Vec<LinuxIdMapping>> {
    let build = |(inside, outside, size): &(u32, u32, u32)| {
        Ok(LinuxIdMappingBuilder::default()
            .container_id(*inside)
            .host_id(*outside)
            .size(*size)
            .build()?)
    };
    triples.iter().map(build).collect()
}

/// The five sets. Inheritable is always empty; only what was added by name is left to a user who is not root.
pub(super) fn capabilities(config: &ContainerConfig, uid: u32) -> Result<LinuxCapabilities> {
    let bounding = bounding(config)?;
    let (held, ambient) = if uid == 0 {
        (bounding.clone(), Capabilities::new())
    } else {
        let added = if config.privileged {
            Capabilities::new()
        } else {
            named(&config.cap_add)?
        };
        let kept: Capabilities = added.intersection(&bounding).copied().collect();
        (kept.clone(), kept)
    };
    // Ambient needs inheritable (capabilities(7)); both stay empty for root.
    Ok(LinuxCapabilitiesBuilder::default()
        .bounding(bounding)
        .effective(held.clone())
        .permitted(held)
        .inheritable(ambient.clone())
        .ambient(ambient)
        .build()?)
}

fn bounding(config: &ContainerConfig) -> Result<Capabilities> {
    if config.privileged {
        return Ok(all());
    }
    let dropped = named(&config.cap_drop)?;
    let mut set: Capabilities = DEFAULT.into_iter().collect();
    if config.cap_drop.iter().any(|name| is_all(name)) {
        set.clear();
    }
    if config.cap_add.iter().any(|name| is_all(name)) {
        set = all();
    }
    // What is named beats `ALL`, whichever side it is on.
    if !config.cap_drop.iter().any(|name| is_all(name)) {
        set.retain(|capability| !dropped.contains(capability));
    }
    set.extend(named(
        config
            .cap_add
            .iter()
            .filter(|name| !is_all(name))
            .cloned()
            .collect::<Vec<_>>()
            .as_slice(),
    )?);
    Ok(set)
}

/// The names of the bounding set, without `CAP_`.
pub(super) fn bounding_names(config: &ContainerConfig) -> Result<Vec<String>> {
    let set = bounding(config)?;
    let held = |name: &&&str| capability(name).is_ok_and(|capability| set.contains(&capability));
    Ok(kernel_capabilities()
        .iter()
        .filter(held)
        .map(|name| (*name).to_owned())
        .collect())
}

fn is_all(name: &str) -> bool {
    name.eq_ignore_ascii_case("all") || name.eq_ignore_ascii_case("cap_all")
}

fn named(names: &[String]) -> Result<Capabilities> {
    if names.iter().any(|name| is_all(name)) {
        return Ok(all());
    }
    names.iter().map(|name| capability(name)).collect()
}

fn capability(name: &str) -> Result<Capability> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    Capability::from_str(bare)
        .or_else(|_| Capability::from_str(&format!("CAP_{bare}")))
        .map_err(|_| {
            Error::invalid(
                "capability",
                name,
                "no such capability (capabilities(7) lists them)",
            )
        })
}

/// Every capability that lighter itself may hand on: inside another container that is not every one.
fn all() -> Capabilities {
    let ours = kernel::caps::available();
    kernel_capabilities()
        .iter()
        .enumerate()
        .filter(|(number, _)| ours >> number & 1 == 1)
        .filter_map(|(_, name)| capability(name).ok())
        .collect()
}

/// Every capability of capabilities(7), in the order of their numbers.
fn kernel_capabilities() -> &'static [&'static str] {
    &[
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
    ]
}

/// One `--security-opt`: key and value.
pub(super) fn security_options(config: &ContainerConfig) -> impl Iterator<Item = (&str, &str)> {
    config.security_opt.iter().map(|option| {
        option
            .split_once('=')
            .or_else(|| option.split_once(':'))
            .unwrap_or((option.as_str(), ""))
    })
}

pub(super) fn no_new_privileges(config: &ContainerConfig) -> Result<bool> {
    let mut on = false;
    for (key, value) in security_options(config) {
        match (key, value) {
            ("no-new-privileges", "" | "true") => on = true,
            ("no-new-privileges", "false") => on = false,
            ("seccomp" | "apparmor" | "label", _) | ("systempaths", "unconfined") => {}
            (key, value) => {
                return Err(Error::invalid(
                    "security option",
                    format!("{key}={value}"),
                    "give no-new-privileges, seccomp=..., apparmor=..., label=... or systempaths=unconfined",
                ));
            }
        }
    }
    Ok(on)
}

pub(super) fn apparmor(config: &ContainerConfig) -> Option<String> {
    let asked = security_options(config)
        .filter(|(key, _)| *key == "apparmor")
        .last();
    asked
        .map(|(_, profile)| profile.to_owned())
        .filter(|profile| profile != "unconfined")
}

pub(super) fn selinux(config: &ContainerConfig) -> Result<Option<String>> {
    let (mut user, mut role, mut kind, mut level) = ("system_u", "system_r", None, "s0");
    for (_, label) in security_options(config).filter(|(key, _)| *key == "label") {
        match label.split_once(':') {
            _ if label == "disable" => return Ok(None),
            Some(("user", value)) => user = value,
            Some(("role", value)) => role = value,
            Some(("type", value)) => kind = Some(value),
            Some(("level", value)) => level = value,
            _ => {
                return Err(Error::invalid(
                    "security option",
                    format!("label={label}"),
                    "give label=disable or label=user:U, role:R, type:T, level:L",
                ));
            }
        }
    }
    Ok(kind.map(|kind| format!("{user}:{role}:{kind}:{level}")))
}

fn unmasked(config: &ContainerConfig) -> bool {
    config.privileged
        || security_options(config).any(|option| option == ("systempaths", "unconfined"))
}

pub(super) fn masked_paths(config: &ContainerConfig, processors: u32) -> Vec<String> {
    if unmasked(config) {
        return Vec::new();
    }
    let mut paths: Vec<String> = MASKED.map(String::from).to_vec();
    // One directory per processor: how often it was throttled tells what the host does.
    paths.extend(
        (0..processors).map(|n| format!("/sys/devices/system/cpu/cpu{n}/thermal_throttle")),
    );
    paths
}

pub(super) fn readonly_paths(config: &ContainerConfig) -> Vec<String> {
    if unmasked(config) {
        Vec::new()
    } else {
        READONLY.map(String::from).to_vec()
    }
}

/// Kernel settings: docker's two for a network of its own, and those asked for.
///
/// # Errors
/// A setting that is not the container's alone.
pub(super) fn sysctls(config: &ContainerConfig) -> Result<HashMap<String, String>> {
    let own_network = matches!(config.network, NetworkMode::Bridged | NetworkMode::None);
    let mut settings = HashMap::new();
    // In a user namespace the highest group is not mapped, and the kernel refuses the range.
    if own_network && config.userns == UserNamespace::Host {
        settings.insert(
            "net.ipv4.ping_group_range".to_owned(),
            "0 2147483647".to_owned(),
        );
    }
    if own_network {
        settings.insert(
            "net.ipv4.ip_unprivileged_port_start".to_owned(),
            "0".to_owned(),
        );
    }
    for (name, value) in &config.sysctls {
        check_sysctl(config, name, value)?;
        settings.insert(name.clone(), value.clone());
    }
    Ok(settings)
}

fn check_sysctl(config: &ContainerConfig, name: &str, value: &str) -> Result<()> {
    let refuse = |why: &str| Err(Error::invalid("sysctl", format!("{name}={value}"), why));
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/');
    if name.is_empty()
        || !name.bytes().all(good)
        || name.contains("..")
        || value.contains(['\n', '\0'])
    {
        return refuse("a name is words with dots, a value is one line");
    }
    let ipc = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    if ipc.contains(&name) || name.starts_with("fs.mqueue.") {
        return if config.ipc == NamespaceMode::Host {
            refuse("it is the host's: the container shares its ipc")
        } else {
            Ok(())
        };
    }
    if name.starts_with("net.") {
        return match config.network {
            NetworkMode::Bridged | NetworkMode::None => Ok(()),
            _ => refuse("it is another's: the container has no network of its own"),
        };
    }
    refuse("this setting is the whole machine's, not a container's")
}

/// A namespace file of a running process.
pub(crate) fn namespace_path(pid: i32, kind: LinuxNamespaceType) -> PathBuf {
    let name = match kind {
        LinuxNamespaceType::Mount => "mnt",
        LinuxNamespaceType::Cgroup => "cgroup",
        LinuxNamespaceType::Uts => "uts",
        LinuxNamespaceType::Ipc => "ipc",
        LinuxNamespaceType::User => "user",
        LinuxNamespaceType::Pid => "pid",
        LinuxNamespaceType::Network => "net",
        LinuxNamespaceType::Time => "time",
    };
    PathBuf::from(format!("/proc/{pid}/ns/{name}"))
}
