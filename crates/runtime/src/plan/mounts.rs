//! The mounts inside the root, and the devices in `/dev`.
//!
//! In go `mounts` and `linux.devices`; out comes one step for each, its options
//! sorted into attributes of the mount, propagation and options of the
//! filesystem. config.md, Mounts; config-linux.md, Default Filesystems, Devices.

use std::path::{Component, Path, PathBuf};

use kernel::cgroup::Layout;
use kernel::namespace::Namespace;
use kernel::op::{Attributes, Device, IdMap, Inside, Mount, MountSource, Tree};
use kernel::{Op, Step};
use oci_spec::runtime::LinuxDeviceType;

use super::mount_options::{self, Options};
use super::rootfs::ROOT_SLOT;
use crate::spec::mappings;
use crate::{Error, View};

/// Host side, before the clone: hold what the process inside could not take itself.
pub fn open_trees(view: &View) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    for (index, mount) in view.mounts.iter().enumerate() {
        let options = mount_options::parse(mount)?;
        if needs_tree(view, &options) {
            let tree = Tree {
                slot: slot(index),
                path: source(view, mount),
                recursive: options.recursive_bind,
                no_follow: options.no_follow_source,
                id_map: id_map(view, mount, &options)?,
            };
            steps.push(Step::host(
                Op::OpenTree(tree),
                "Only the host can take this mount",
            ));
        }
    }
    Ok(steps)
}

fn slot(index: usize) -> usize {
    ROOT_SLOT + 1 + index
}

fn needs_tree(view: &View, options: &Options) -> bool {
    options.bind && (view.own(Namespace::User) || options.id_map.is_some())
}

/// The mount's own mappings, or the user namespace's.
fn id_map(
    view: &View,
    mount: &oci_spec::runtime::Mount,
    options: &Options,
) -> Result<Option<IdMap>, Error> {
    let own = mount
        .uid_mappings()
        .as_ref()
        .is_some_and(|list| !list.is_empty());
    let Some(recursive) = options.id_map.or(own.then_some(false)) else {
        return Ok(None);
    };
    let (mut uids, mut gids) = (
        mappings(mount.uid_mappings().as_deref()),
        mappings(mount.gid_mappings().as_deref()),
    );
    if uids.is_empty() && gids.is_empty() {
        (uids, gids) = (view.uids.clone(), view.gids.clone());
    }
    if uids.is_empty() || gids.is_empty() {
        return Err(refuse(
            mount,
            "an id-mapped mount needs user and group mappings",
        ));
    }
    Ok(Some(IdMap {
        uids,
        gids,
        recursive,
    }))
}

fn refuse(mount: &oci_spec::runtime::Mount, reason: &str) -> Error {
    Error::Config {
        field: format!("mounts[{}]", mount.destination().display()),
        reason: reason.into(),
    }
}

/// Where a bind mount's source is on the host; a relative one starts at the bundle.
fn source(view: &View, mount: &oci_spec::runtime::Mount) -> PathBuf {
    view.bundle
        .join(mount.source().as_deref().unwrap_or(Path::new("")))
}

/// Container side: everything that `mounts` lists, in its order.
pub fn mount_all(view: &View) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    for (index, mount) in view.mounts.iter().enumerate() {
        steps.extend(mount_one(view, index, mount)?);
    }
    Ok(steps)
}

/// Where a program finds the socket of its service manager, as runc and crun have it.
pub const NOTIFY_SOCKET: &str = "/run/notify/notify.sock";

/// Container side: the service manager's socket is shown to the program that tells it of itself.
pub fn notify_socket(view: &View) -> Option<Step> {
    let socket = view.attach.activation.notify.as_ref()?;
    let mount = Mount::bind(socket, false, Inside::new(NOTIFY_SOCKET));
    let why = "The service manager learns that the program is ready";
    Some(Step::container(Op::Mount(mount), why))
}

fn mount_one(
    view: &View,
    index: usize,
    mount: &oci_spec::runtime::Mount,
) -> Result<Vec<Step>, Error> {
    let target = target(mount)?;
    let mut options = mount_options::parse(mount)?;
    let kind = mount.typ().as_deref().unwrap_or("");
    check_target(&target, kind, &options, mount)?;
    if options.remount {
        let op = |recursive, attributes| Op::ChangeMount {
            path: target.clone(),
            attributes,
            recursive,
        };
        let why = "Other rules for a mount that exists";
        return Ok(vec![
            Step::container(op(false, options.attributes), why),
            Step::container(op(true, options.recursive), why),
        ]);
    }
    if options.bind {
        let source = if needs_tree(view, &options) {
            MountSource::Prepared { slot: slot(index) }
        } else {
            MountSource::Bind {
                path: source(view, mount),
                recursive: options.recursive_bind,
            }
        };
        return Ok(vec![step(
            source,
            target,
            options,
            "A part of the host, shown inside",
        )]);
    }
    if kind.is_empty() {
        return Err(refuse(mount, "it has neither a type nor the option bind"));
    }
    if kind == "cgroup" || kind == "cgroup2" {
        return Ok(cgroups(view, &target, &options));
    }
    if target.as_path() == Path::new("/dev") {
        // Nodes are made in it first; see `finish_dev`.
        options.attributes.set &= !kernel::mount::READ_ONLY;
    }
    let take_mode = kind == "tmpfs" && !options.data.iter().any(|(key, _)| key == "mode");
    label(view, kind, &mut options);
    let mut step = step(
        new_filesystem(mount, &mut options),
        target,
        options,
        why(kind),
    );
    if let Op::Mount(mount) = &mut step.op {
        mount.take_mode = take_mode;
    }
    Ok(vec![step])
}

/// A mount of a filesystem as an operation by itself: for the host, which mounts what containers share.
///
/// # Errors
/// When its options contradict each other, or its destination is none.
pub fn filesystem(mount: &oci_spec::runtime::Mount) -> Result<Mount, Error> {
    let mut options = mount_options::parse(mount)?;
    let source = new_filesystem(mount, &mut options);
    Ok(operation(source, target(mount)?, options))
}

fn new_filesystem(mount: &oci_spec::runtime::Mount, options: &mut Options) -> MountSource {
    let kind = mount.typ().as_deref().unwrap_or("");
    let name = mount.source().as_deref().unwrap_or(Path::new(kind));
    MountSource::Filesystem {
        kind: kind.into(),
        source: name.to_string_lossy().into_owned(),
        options: std::mem::take(&mut options.data),
    }
}

/// SELinux: files of a new filesystem get the container's label. Kernel filesystems keep theirs.
fn label(view: &View, kind: &str, options: &mut Options) {
    let own = !matches!(kind, "proc" | "sysfs" | "mqueue");
    if let Some(label) = view.mount_label.filter(|_| own) {
        options.data.push(("context".into(), Some(label.into())));
    }
}

fn why(kind: &str) -> &'static str {
    match kind {
        "proc" => "Processes of this container only",
        "sysfs" => "Devices of the kernel; of the network, only the container's",
        "devpts" => "Terminals of this container only",
        "mqueue" => "Message queues of this container only",
        "tmpfs" => "Memory that goes with the container",
        _ => "A filesystem of its own",
    }
}

fn step(source: MountSource, target: Inside, options: Options, why: &'static str) -> Step {
    Step::container(Op::Mount(operation(source, target, options)), why)
}

fn operation(source: MountSource, target: Inside, options: Options) -> Mount {
    Mount {
        source,
        target,
        attributes: options.attributes,
        recursive: options.recursive,
        propagation: options.propagation,
        copy_up: options.copy_up,
        take_mode: false,
        no_follow: options.no_follow_target,
    }
}

/// The path inside, without `..`: a destination is absolute (config.md), and old bundles have it without `/`.
fn target(mount: &oci_spec::runtime::Mount) -> Result<Inside, Error> {
    let path = mount.destination();
    if path.as_os_str().is_empty() {
        return Err(refuse(mount, "it has no destination"));
    }
    let mut clean = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    Ok(Inside(clean))
}

/// Files of procfs that may be covered: lxcfs shows the container's own numbers there.
const COVERED: [&str; 10] = [
    "cpuinfo",
    "diskstats",
    "loadavg",
    "meminfo",
    "slabinfo",
    "stat",
    "swaps",
    "sysrq-trigger",
    "uptime",
    "net/dev",
];

/// Nothing but procfs may be at `/proc`, and nothing in it: what is written to its files by name
/// would be written elsewhere (CVE-2019-16884).
fn check_target(
    target: &Inside,
    kind: &str,
    options: &Options,
    mount: &oci_spec::runtime::Mount,
) -> Result<(), Error> {
    let Ok(inside) = target.as_path().strip_prefix("/proc") else {
        return Ok(());
    };
    let whole_proc = kind == "proc"
        || (options.bind
            && mount
                .source()
                .as_deref()
                .is_some_and(|source| source.starts_with("/proc")));
    if inside.as_os_str().is_empty() {
        return match whole_proc || options.remount {
            true => Ok(()),
            false => Err(refuse(mount, "only procfs can be mounted at /proc")),
        };
    }
    let allowed = COVERED.iter().any(|name| inside == Path::new(name)) || inside.starts_with("sys");
    if allowed || options.remount || whole_proc {
        return Ok(());
    }
    Err(refuse(mount, "it is inside of /proc"))
}

/// The container's groups. On v2 one filesystem; beside v1 a directory with one for each hierarchy.
fn cgroups(view: &View, target: &Inside, options: &Options) -> Vec<Step> {
    let why = "The container's own groups";
    let filesystem = |kind: &str, data: Vec<(String, Option<String>)>, target: Inside| {
        let source = MountSource::Filesystem {
            kind: kind.into(),
            source: kind.into(),
            options: data,
        };
        step(source, target, options.clone(), why)
    };
    let host = &view.attach.cgroups;
    if host.layout() == Layout::Unified {
        return vec![filesystem("cgroup2", Vec::new(), target.clone())];
    }
    let mut steps = Vec::new();
    let mut top = options.clone();
    top.attributes.set &= !kernel::mount::READ_ONLY;
    let data = vec![("mode".into(), Some("755".into()))];
    let source = MountSource::Filesystem {
        kind: "tmpfs".into(),
        source: "cgroup".into(),
        options: data,
    };
    steps.push(step(source, target.clone(), top, why));
    for hierarchy in &host.list {
        let Some(name) = hierarchy.mount.file_name() else {
            continue;
        };
        let place = Inside(target.as_path().join(name));
        let made = match (view.own(Namespace::Cgroup), hierarchy.version) {
            (true, kernel::cgroup::Version::Unified) => filesystem("cgroup2", Vec::new(), place),
            (true, kernel::cgroup::Version::Legacy) => filesystem(
                "cgroup",
                legacy_options(&hierarchy.controllers, name),
                place,
            ),
            // Without a namespace a new mount would show every group of the host.
            (false, _) => {
                let path = own_directory(view, hierarchy);
                step(
                    MountSource::Bind {
                        path,
                        recursive: false,
                    },
                    place,
                    options.clone(),
                    why,
                )
            }
        };
        steps.push(made);
    }
    steps.extend(controller_links(view, target));
    if options.attributes.set & kernel::mount::READ_ONLY != 0 {
        let attributes = Attributes {
            set: kernel::mount::READ_ONLY,
            clear: 0,
        };
        let op = Op::ChangeMount {
            path: target.clone(),
            attributes,
            recursive: false,
        };
        steps.push(Step::container(op, why));
    }
    steps
}

/// The container's directory in a hierarchy, or the hierarchy's root when it has none there.
fn own_directory(view: &View, hierarchy: &kernel::cgroup::Hierarchy) -> PathBuf {
    let group = super::cgroup::group(view).ok();
    let found = group.into_iter().flat_map(|group| group.directories);
    let own = found
        .filter(|directory| directory.mount == hierarchy.mount)
        .map(|d| d.path)
        .next();
    own.unwrap_or_else(|| hierarchy.mount.clone())
}

/// `-o cpu,cpuacct`, or `-o none,name=systemd` for a hierarchy without a controller.
fn legacy_options(controllers: &[String], name: &std::ffi::OsStr) -> Vec<(String, Option<String>)> {
    let named = |controller: &String| controller.strip_prefix("name=").map(str::to_string);
    match controllers.first() {
        None => {
            vec![
                ("none".into(), None),
                ("name".into(), Some(name.to_string_lossy().into_owned())),
            ]
        }
        Some(first) => match named(first) {
            Some(name) => vec![("none".into(), None), ("name".into(), Some(name))],
            None => controllers
                .iter()
                .map(|controller| (controller.clone(), None))
                .collect(),
        },
    }
}

/// `cpu -> cpu,cpuacct` where controllers share a hierarchy.
fn controller_links(view: &View, target: &Inside) -> Vec<Step> {
    let mut steps = Vec::new();
    for hierarchy in &view.attach.cgroups.list {
        let Some(name) = hierarchy.mount.file_name() else {
            continue;
        };
        for controller in &hierarchy.controllers {
            if hierarchy.controllers.len() > 1 && name != controller.as_str() {
                let link = Inside(target.as_path().join(controller));
                let op = Op::Symlink {
                    target: PathBuf::from(name),
                    link,
                };
                steps.push(Step::container(
                    op,
                    "Controllers that share a hierarchy have one place",
                ));
            }
        }
    }
    steps
}

/// A bind mount at `/dev` is the host's `/dev`: nothing is made in it.
fn makes_dev(view: &View) -> bool {
    let is_bound = |mount: &oci_spec::runtime::Mount| {
        let options = mount.options().as_deref().unwrap_or(&[]);
        let bind = mount.typ().as_deref() == Some("bind")
            || options
                .iter()
                .any(|option| option == "bind" || option == "rbind");
        bind && mount
            .destination()
            .components()
            .eq(Path::new("/dev").components())
    };
    !view.mounts.iter().any(is_bound)
}

/// Devices that every container has. config-linux.md, Default Devices.
const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Links that every container has. config-linux.md, Dev symbolic links; Default Devices for ptmx.
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
];

/// Container side: nodes and links in `/dev`.
pub fn devices(view: &View) -> Result<Vec<Step>, Error> {
    if !makes_dev(view) {
        return Ok(Vec::new());
    }
    let mut devices = view
        .devices
        .iter()
        .map(device)
        .collect::<Result<Vec<_>, _>>()?;
    for (name, major, minor) in DEVICES {
        let path = Inside::new(format!("/dev/{name}"));
        if !devices.iter().any(|device| device.path == path) {
            devices.push(Device {
                path,
                kind: 'c',
                major,
                minor,
                mode: 0o666,
                uid: 0,
                gid: 0,
            });
        }
    }
    let node = |device| Step::container(Op::MakeDevice(device), "A device that programs expect");
    let link = |(target, link): (&str, &str)| {
        let op = Op::Symlink {
            target: target.into(),
            link: Inside::new(link),
        };
        Step::container(op, "A name that programs expect")
    };
    Ok(devices
        .into_iter()
        .map(node)
        .chain(LINKS.into_iter().map(link))
        .collect())
}

fn device(device: &oci_spec::runtime::LinuxDevice) -> Result<Device, Error> {
    let kind = match device.typ() {
        LinuxDeviceType::B => 'b',
        LinuxDeviceType::C | LinuxDeviceType::U => 'c',
        LinuxDeviceType::P => 'p',
        LinuxDeviceType::A => {
            let reason = "a device node is of type c, b, u or p".into();
            let field = format!("linux.devices[{}]", device.path().display());
            return Err(Error::Config { field, reason });
        }
    };
    Ok(Device {
        path: Inside::new(device.path().as_path()),
        kind,
        major: device.major() as u32,
        minor: device.minor() as u32,
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    })
}

/// Container side: a `/dev` that was asked to be read-only becomes so now.
pub fn finish_dev(view: &View) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    for mount in view.mounts {
        let options = mount_options::parse(mount)?;
        let read_only = options.attributes.set & kernel::mount::READ_ONLY != 0;
        let path = target(mount)?;
        if read_only && !options.bind && !options.remount && path.as_path() == Path::new("/dev") {
            let attributes = Attributes {
                set: kernel::mount::READ_ONLY,
                clear: 0,
            };
            let op = Op::ChangeMount {
                path,
                attributes,
                recursive: false,
            };
            steps.push(Step::container(op, "All nodes are made"));
        }
    }
    Ok(steps)
}
