//! An operation and its errno, in words: what was attempted, and what a person can do.
//!
//! In goes plain data, out come two sentences. Nothing is asked of the kernel.
//! Which errno means what is from the man page that the operation names.

use crate::namespace::Namespace;
use crate::op::{Clone3, Device, Mount, MountSource, Op, Propagation};

/// What was attempted, on which path or name.
pub(crate) fn what(op: &Op) -> String {
    format!("cannot {}", attempt(op))
}

/// The same as what one does: `mount proc at /proc`.
pub(crate) fn attempt(op: &Op) -> String {
    match op {
        Op::Clone(how) => format!("create the container's process{}", in_which(how)),
        Op::Join { namespace, path } => {
            format!("join the {} namespace {}", namespace.file(), path.display())
        }
        Op::HoldProcess { pid, .. } => format!("find the container's process {pid}"),
        Op::JoinHeld { namespaces } => {
            format!("join the container's {} namespaces", list(namespaces))
        }
        Op::Unshare { namespaces } => format!("make a new {} namespace", list(namespaces)),
        Op::MapIds { .. } => "map the user and group ids of the user namespace".into(),
        Op::BecomeRoot => "become root of the user namespace".into(),
        Op::EnterTimeNamespace { .. } => "make a time namespace with these offsets".into(),
        Op::SetHostname { name } => format!("set the host name {name:?}"),
        Op::SetDomainname { name } => format!("set the domain name {name:?}"),
        Op::OpenTree(tree) => format!("take the mount {}", tree.path.display()),
        Op::SetPropagation { propagation, .. } => {
            format!("make the mounts below / {}", propagation_name(*propagation))
        }
        Op::IsolateMount { path } => format!("make the mount of {} private", path.display()),
        Op::MountOverlay(overlay) => format!(
            "mount an overlay of {} layers at {}",
            overlay.lower.len(),
            overlay.target.display()
        ),
        Op::BindRoot { path, .. } => format!("use {} as the root filesystem", path.display()),
        Op::Mount(mount) => format!("mount {} at {}", source(mount), mount.target),
        Op::ChangeMount { path, .. } => format!("change the mount at {path}"),
        Op::MakeDevice(device) => format!("make the device {}", device_name(device)),
        Op::MakeInside { path, .. } => format!("create the directory {path}"),
        Op::Symlink { target, link } => format!("link {link} to {}", target.display()),
        Op::Mask { path } => format!("hide {path}"),
        Op::ReadOnly { path } => format!("make {path} read-only"),
        Op::ReadOnlyRoot => "make the root filesystem read-only".into(),
        Op::PivotRoot => "make the container's root filesystem / (pivot_root)".into(),
        Op::MoveRoot { .. } => "make the container's root filesystem / (move and chroot)".into(),
        Op::EnterRoot { path } => format!("make {} the root (chroot)", path.display()),
        Op::UnmountRoot { path } => format!("unmount {}", path.display()),
        Op::Sysctl { name, value } => format!("set the kernel parameter {name} to {value:?}"),
        other => attempt_on_process(other),
    }
}

fn attempt_on_process(op: &Op) -> String {
    match op {
        Op::NewSession => "start a session".into(),
        Op::NewKeyring { name } => format!("start the session keyring {name}"),
        Op::OpenTerminal { .. } => "open a terminal in the container's /dev/pts".into(),
        Op::ControlTerminal => "make the terminal the controlling one".into(),
        Op::SetRlimit {
            resource,
            soft,
            hard,
        } => {
            format!("set {resource} to {} (hard {})", limit(*soft), limit(*hard))
        }
        Op::SetOomScore { adjustment } => format!("set oom_score_adj to {adjustment}"),
        Op::SetScheduler(_) => "set the scheduling policy".into(),
        Op::SetIoPriority { .. } => "set the input and output priority".into(),
        Op::SetAffinity { cpus } => format!("run on the processors {cpus} only"),
        Op::SetMemoryPolicy { nodes, .. } => format!("take memory from the nodes {nodes:?}"),
        Op::SetPersonality { persona } => format!("set the personality {persona}"),
        Op::SetUmask { mask } => format!("set the umask {mask:03o}"),
        Op::SetUser { uid, gid, .. } => format!("become the user {uid}:{gid}"),
        Op::ChangeDirectory { path } => format!("enter the working directory {path} (chdir)"),
        Op::LimitCapabilities { .. } => "limit the bounding set of capabilities".into(),
        Op::KeepCapabilities { .. } => "give capabilities up".into(),
        Op::SetCapabilities(_) => "set the capabilities".into(),
        Op::DieWithCreator => "ask to be killed with the creator".into(),
        Op::BecomeInit => "stay as init and go on in a child".into(),
        Op::NoNewPrivileges => "set no_new_privs".into(),
        Op::SetAppArmor { profile } => format!("use the AppArmor profile {profile}"),
        Op::SetSelinux { label } => format!("use the SELinux label {label}"),
        Op::Seccomp(_) => "load the seccomp filter".into(),
        Op::RunHook(hook) => format!("run the {} hook {}", hook.kind, hook.path.display()),
        Op::FindProgram { program, .. } => format!("start {program:?}"),
        Op::FindHome { uid } => format!("find the home directory of the user {uid}"),
        Op::Exec(exec) => format!("start {:?}", exec.args.first().map_or("", String::as_str)),
        Op::CloseOnExec { .. } => "keep descriptors of the host from the program".into(),
        Op::AwaitStart => "wait for the start".into(),
        other => attempt_on_host(other),
    }
}

fn attempt_on_host(op: &Op) -> String {
    match op {
        Op::CgroupCreate { path } => format!("create the cgroup {}", path.display()),
        Op::CgroupWrite { path, file, value } => {
            format!("write {value:?} to {}", path.join(file).display())
        }
        Op::CgroupDevices { path, .. } => {
            format!("load the device rules of the cgroup {}", path.display())
        }
        Op::CgroupDelegate { path, .. } => {
            format!("give the cgroup {} to the container", path.display())
        }
        Op::CgroupJoin { path } => format!("enter the cgroup {}", path.display()),
        Op::CgroupDelete { path } => format!("remove the cgroup {}", path.display()),
        Op::VethAdd(veth) => format!("connect the container by the interface {}", veth.name),
        Op::BridgeAdd(bridge) => format!("create the bridge {}", bridge.name),
        Op::LinkMove { name, rename } => {
            format!("move the interface {name} into the container as {rename}")
        }
        Op::LinkUp { name } => format!("switch on the interface {name}"),
        Op::LinkDelete { name } => format!("delete the interface {name}"),
        Op::AddressAdd(address) => format!("give an address to the interface {}", address.link),
        Op::RouteAdd(_) => "add a route".into(),
        Op::FirewallAdd { table, .. } => format!("add to the firewall table {}", table.name),
        Op::FirewallRemove { table, .. } => format!("take out of the firewall table {table}"),
        Op::FirewallDelete { table } => format!("delete the firewall table {table}"),
        Op::ConnectionsForget { port, .. } => format!("forget the connections to port {port}"),
        Op::ForwardAllow { bridge } | Op::ForwardForget { bridge } => {
            format!("change what is forwarded for the bridge {bridge}")
        }
        Op::MakeDirectory { path, .. } => format!("create the directory {}", path.display()),
        Op::WriteFile { path, .. } => format!("write {}", path.display()),
        Op::Remove { path } => format!("remove {}", path.display()),
        other => format!("do {other:?}"),
    }
}

/// What a person can do about it; nothing where the errno says it all.
pub(crate) fn hint(op: &Op, errno: i32) -> &'static str {
    match op {
        Op::Clone(how) => clone_hint(how, errno),
        Op::MountOverlay(_) => overlay_hint(errno),
        Op::Mount(mount) => mount_hint(mount, errno),
        Op::PivotRoot if errno == libc::EINVAL => {
            "pivot_root(2) wants three things: the new root is a mount, the mount above it is not shared, and the \
             old root is not the initramfs (there: --no-pivot)"
        }
        Op::PivotRoot | Op::MoveRoot { .. } => "",
        other => process_hint(other, errno),
    }
}

fn clone_hint(how: &Clone3, errno: i32) -> &'static str {
    let user = how.new.contains(&Namespace::User);
    match errno {
        libc::EINVAL if user => {
            "the kernel lacks a kind of namespace that is asked for (CONFIG_USER_NS and its kin)"
        }
        libc::EINVAL => {
            "the kernel lacks a kind of namespace that is asked for (CONFIG_NAMESPACES, CONFIG_PID_NS, CONFIG_NET_NS, CONFIG_IPC_NS, CONFIG_UTS_NS)"
        }
        libc::ENOSPC => "a limit on namespaces is reached: see /proc/sys/user/max_*_namespaces",
        libc::EPERM if user => {
            "user namespaces are restricted here: see kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns"
        }
        libc::EPERM => "making namespaces needs root (CAP_SYS_ADMIN)",
        libc::EAGAIN => {
            "a limit on processes is reached: pids.max of a cgroup above, or RLIMIT_NPROC"
        }
        libc::EBUSY => {
            "the cgroup hands controllers down to groups below it, so it cannot hold processes itself"
        }
        libc::ENOSYS => "clone3(2) needs Linux 5.3, and a sandbox around lighter must allow it",
        _ => "",
    }
}

fn overlay_hint(errno: i32) -> &'static str {
    match errno {
        libc::ENODEV => "the kernel lacks overlayfs (CONFIG_OVERLAY_FS)",
        libc::EBUSY => "the writable directory is in use by another overlay",
        libc::ESTALE => "the writable directory was used with other layers before",
        libc::EINVAL => {
            "the writable directory may lie on a filesystem that cannot hold one, such as another overlay"
        }
        libc::ENOSPC => "the filesystem of the writable directory is full",
        libc::ENOENT => "a layer is missing",
        _ => "",
    }
}

fn mount_hint(mount: &Mount, errno: i32) -> &'static str {
    let bound = !matches!(mount.source, MountSource::Filesystem { .. });
    match errno {
        libc::ENOENT if bound => "the source does not exist on the host",
        libc::ENODEV => {
            "the kernel does not know this filesystem, or its module is not loaded (/proc/filesystems)"
        }
        libc::EINVAL if bound => {
            "an option that the mount cannot have; an id-mapped mount needs a filesystem that allows it"
        }
        libc::EINVAL => {
            "an option that this filesystem does not know, or a value that it does not take"
        }
        libc::EPERM if bound => {
            "what the host locked in a mount cannot be unlocked in a user namespace"
        }
        libc::EPERM => {
            "a user namespace may mount only filesystems that are made for it, and proc and sysfs only if nothing covers parts of the host's"
        }
        libc::EROFS => "the place for it has to be made, and the filesystem there is read-only",
        libc::ELOOP => "the place for it is a symbolic link that leads to itself, or into procfs",
        libc::EBUSY => "it is in use elsewhere with other options",
        _ => "",
    }
}

fn process_hint(op: &Op, errno: i32) -> &'static str {
    match (op, errno) {
        (Op::MapIds { .. }, libc::EINVAL) => "mappings must not overlap",
        (Op::MapIds { .. }, libc::EPERM) => "only root, or newuidmap, may map ids of others",
        (Op::BecomeRoot, libc::EINVAL) => "the id 0 is not mapped",
        (Op::EnterTimeNamespace { .. } | Op::Unshare { .. }, libc::EINVAL) => {
            "the kernel lacks this kind of namespace (CONFIG_TIME_NS, CONFIG_CGROUPS)"
        }
        (Op::Join { .. }, libc::EINVAL) => {
            "the file is no namespace of this kind, or one that cannot be joined from here"
        }
        (Op::Sysctl { .. }, libc::ENOENT) => "the kernel has no such parameter in this namespace",
        (Op::Sysctl { .. }, libc::EINVAL) => "the kernel does not take this value",
        (Op::Sysctl { .. }, libc::EXDEV) => "something is mounted over the host's /proc/sys",
        (Op::OpenTerminal { .. }, libc::ENOENT | libc::ENODEV) => {
            "a terminal needs a devpts that is mounted at /dev/pts"
        }
        (Op::SetRlimit { .. }, libc::EPERM) => {
            "raising a hard limit needs CAP_SYS_RESOURCE; it is higher than lighter's own"
        }
        (Op::SetOomScore { .. }, libc::EACCES) => {
            "a lower value than lighter's own needs CAP_SYS_RESOURCE"
        }
        (Op::SetUser { .. }, libc::EINVAL) => "an id is not mapped in the user namespace",
        (Op::SetUser { .. }, libc::EAGAIN) => {
            "the user has as many processes as RLIMIT_NPROC allows"
        }
        (Op::ChangeDirectory { .. }, libc::ELOOP) => {
            "links of procfs, such as /proc/self/fd/7, are not followed"
        }
        (Op::SetCapabilities(_), libc::EPERM) => {
            "a capability is asked for that lighter itself does not have"
        }
        (Op::SetAppArmor { .. }, libc::ENOENT) => {
            "the profile is not loaded, or the kernel has no AppArmor"
        }
        (Op::SetSelinux { .. }, libc::EINVAL | libc::ENOENT) => {
            "the kernel has no SELinux, or its policy does not know the label"
        }
        (Op::Seccomp(_), libc::EINVAL) => {
            "the kernel lacks seccomp filters (CONFIG_SECCOMP_FILTER), or one of the filter's flags or actions"
        }
        (Op::SetScheduler(_), libc::EPERM) => {
            "this policy needs CAP_SYS_NICE, and on v1 cpu.rt_runtime_us of the cgroup"
        }
        (Op::SetMemoryPolicy { .. }, libc::ENOSYS) => "the kernel lacks NUMA (CONFIG_NUMA)",
        (Op::CgroupDevices { .. }, libc::EINVAL | libc::EPERM) => {
            "the kernel lacks CONFIG_CGROUP_BPF, or lighter lacks CAP_BPF"
        }
        (Op::CgroupWrite { .. }, libc::ENOENT) => {
            "the controller of this file is not switched on for the cgroup"
        }
        (Op::CgroupWrite { .. }, libc::EINVAL | libc::ERANGE) => {
            "the kernel does not take this value"
        }
        (Op::CgroupWrite { .. } | Op::CgroupJoin { .. } | Op::CgroupCreate { .. }, libc::EROFS) => {
            "the cgroup filesystem is mounted read-only"
        }
        (Op::CgroupJoin { .. }, libc::EBUSY) => {
            "the cgroup hands controllers down to groups below it, so it cannot hold processes itself"
        }
        (Op::RunHook(_), libc::ENOENT) => "the hook does not exist",
        (Op::VethAdd(_) | Op::BridgeAdd(_), libc::EOPNOTSUPP) => {
            "the kernel lacks bridges or veth (CONFIG_BRIDGE, CONFIG_VETH)"
        }
        _ => "",
    }
}

fn in_which(how: &Clone3) -> String {
    let mut text = String::new();
    if !how.new.is_empty() {
        text += &format!(" in new {} namespaces", list(&how.new));
    }
    if let Some(cgroup) = &how.cgroup {
        text += &format!(" in the cgroup {}", cgroup.display());
    }
    text
}

fn list(namespaces: &[Namespace]) -> String {
    let names: Vec<_> = namespaces
        .iter()
        .map(|namespace| namespace.file())
        .collect();
    names.join(", ")
}

fn propagation_name(propagation: Propagation) -> &'static str {
    match propagation {
        Propagation::Private => "private",
        Propagation::Shared => "shared",
        Propagation::Slave => "slaves of the host's",
        Propagation::Unbindable => "unbindable",
    }
}

fn source(mount: &Mount) -> String {
    match &mount.source {
        MountSource::Filesystem { kind, source, .. } if kind == source => kind.clone(),
        MountSource::Filesystem { kind, source, .. } => format!("{source} ({kind})"),
        MountSource::Bind { path, .. } => path.display().to_string(),
        MountSource::BindInside { path, .. } => path.to_string(),
        MountSource::Prepared { .. } => "a part of the host".into(),
    }
}

fn device_name(device: &Device) -> String {
    format!(
        "{} ({} {}:{})",
        device.path, device.kind, device.major, device.minor
    )
}

fn limit(value: u64) -> String {
    if value == u64::MAX {
        "unlimited".into()
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::op::Inside;

    #[test]
    fn a_mount_names_its_source_and_target() {
        let mount = Mount::bind("/srv/data", true, Inside::new("/data"));
        let op = Op::Mount(mount);
        assert_eq!(what(&op), "cannot mount /srv/data at /data");
        assert_eq!(
            hint(&op, libc::ENOENT),
            "the source does not exist on the host"
        );
    }

    #[test]
    fn a_clone_names_its_namespaces_and_cgroup() {
        let how = Clone3 {
            new: vec![Namespace::Mount, Namespace::Pid],
            cgroup: Some(PathBuf::from("/sys/fs/cgroup/web")),
            ..Clone3::default()
        };
        assert_eq!(
            what(&Op::Clone(how)),
            "cannot create the container's process in new mnt, pid namespaces in the cgroup /sys/fs/cgroup/web"
        );
    }
}
