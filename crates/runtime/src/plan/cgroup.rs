//! The container's cgroup: where it is, how it is made and limited, how the process gets in.
//!
//! In: `linux.cgroupsPath`, `linux.resources` and the host's hierarchies. Out: the [`Group`] that
//! the state keeps, and steps. The limits' values come from `resources.rs`.
//!
//! The process is in its group before it does anything else, so that all it uses is counted: born
//! there on v2 (`Clone3::cgroup`), and moved there by itself, first of all, on v1 ([`join`]). A new
//! cgroup namespace must come after that, for it shows the group it was made in as the root.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use kernel::cgroup::{Directory, Group, Version};
use kernel::device_program::legacy_line;
use kernel::namespace::Namespace;
use kernel::op::DeviceRule;
use kernel::{Op, Step};

use crate::resources::{self, Limit};
use crate::{Error, View};

/// Hierarchies of v1 that a container is in even without a limit there: they count what it uses.
const COUNTERS: [&str; 5] = ["blkio", "cpu", "cpuacct", "memory", "pids"];

/// The directories of the container's group.
///
/// # Errors
/// A path that is none, or a limit that this host cannot apply.
pub fn group(view: &View) -> Result<Group, Error> {
    let limits = limits(view)?;
    let mut controllers: BTreeSet<&str> = COUNTERS.into();
    controllers.extend(limits.iter().map(|limit| limit.controller.as_str()));
    if !resources::devices::rules(view.resources)?.is_empty() {
        controllers.insert("devices");
    }
    let host = &view.attach.cgroups;
    if host.unified().is_none() {
        controllers.insert("freezer");
    }
    let path = path(view)?;
    host.group(&path, &controllers)
        .map_err(|error| Error::Config {
            field: "linux.cgroupsPath".to_owned(),
            reason: error.to_string(),
        })
}

/// Host side, before the process exists: makes the group and gives it its limits.
///
/// # Errors
/// As [`group`].
pub fn create(view: &View, group: &Group) -> Result<Vec<Step>, Error> {
    let limits = limits(view)?;
    let mut steps = Vec::new();
    for directory in &group.directories {
        steps.extend(make(directory, &limits));
    }
    steps.extend(write(group, &limits));
    steps.extend(devices(group, &resources::devices::rules(view.resources)?));
    steps.extend(delegate(view, group));
    Ok(steps)
}

/// Container side, before anything else: enters the v1 directories.
#[must_use]
pub fn join(group: &Group) -> Vec<Step> {
    let enter = |directory: &Directory| {
        let why = format!("Count and limit by {}", directory.controllers.join(", "));
        Step::container(
            Op::CgroupJoin {
                path: directory.path.clone(),
            },
            why,
        )
    };
    group.legacy().map(enter).collect()
}

/// Host side, at the end: kills what is left in the group and removes it.
#[must_use]
pub fn remove(group: &Group) -> Vec<Step> {
    let delete = |directory: &Directory| {
        let op = Op::CgroupDelete {
            path: directory.path.clone(),
        };
        Step::host(op, "Nothing of the container stays")
    };
    group.directories.iter().map(delete).collect()
}

/// The steps that write `limits` into the directories of `group`.
#[must_use]
pub fn write(group: &Group, limits: &[Limit]) -> Vec<Step> {
    let write = |limit: &Limit| {
        let path = directory_for(group, &limit.controller)?.path.clone();
        let op = Op::CgroupWrite {
            path,
            file: limit.file.clone(),
            value: limit.value.clone(),
        };
        Some(Step::host(
            op,
            format!("Limit {}", subject(&limit.controller)),
        ))
    };
    limits.iter().filter_map(write).collect()
}

/// The steps that put device rules on `group`: an eBPF program on v2, lines on v1.
#[must_use]
pub fn devices(group: &Group, rules: &[DeviceRule]) -> Vec<Step> {
    let why = "Only the listed devices can be opened";
    if rules.is_empty() {
        return Vec::new();
    }
    match (group.with("devices"), group.unified()) {
        (Some(legacy), _) => rules
            .iter()
            .map(|rule| legacy_rule(legacy, rule, why))
            .collect(),
        (None, Some(unified)) => {
            let op = Op::CgroupDevices {
                path: unified.path.clone(),
                rules: rules.to_vec(),
            };
            vec![Step::host(op, why)]
        }
        (None, None) => Vec::new(),
    }
}

fn legacy_rule(directory: &Directory, rule: &DeviceRule, why: &'static str) -> Step {
    let file = if rule.allow {
        "devices.allow"
    } else {
        "devices.deny"
    };
    // v1 knows "everything" by the letter alone.
    let value = if rule.kind == 'a' {
        "a".to_owned()
    } else {
        legacy_line(rule)
    };
    let path = directory.path.clone();
    Step::host(
        Op::CgroupWrite {
            path,
            file: file.to_owned(),
            value,
        },
        why,
    )
}

/// The directory whose files bear the controller's name; `cgroup.*` is in every v2 directory.
fn directory_for<'a>(group: &'a Group, controller: &str) -> Option<&'a Directory> {
    if controller == "cgroup" {
        group.unified()
    } else {
        group.with(controller)
    }
}

fn limits(view: &View) -> Result<Vec<Limit>, Error> {
    match view.resources {
        Some(resources) => resources::limits(resources, &view.attach.cgroups),
        None => Ok(Vec::new()),
    }
}

/// On v2 a controller works in a group only if every group above hands it down.
fn make(directory: &Directory, limits: &[Limit]) -> Vec<Step> {
    let controllers = match directory.version {
        Version::Unified => to_enable(directory, limits),
        Version::Legacy => Vec::new(),
    };
    let mut steps = Vec::new();
    let mut parent = directory.mount.clone();
    for path in directory.chain() {
        if !controllers.is_empty() {
            let file = "cgroup.subtree_control".to_owned();
            let value = controllers.join(" ");
            let op = Op::CgroupWrite {
                path: parent,
                file,
                value,
            };
            steps.push(Step::host(
                op,
                "Hand the controllers down to the groups below",
            ));
        }
        let op = Op::CgroupCreate { path: path.clone() };
        steps.push(Step::host(
            op,
            "A group in which the container's processes are counted",
        ));
        parent = path;
    }
    if directory.version == Version::Legacy {
        // Nothing has to be handed down: one step makes the whole chain.
        steps.drain(..steps.len() - 1);
    }
    steps
}

fn to_enable(directory: &Directory, limits: &[Limit]) -> Vec<String> {
    let counted = ["cpu", "io", "memory", "pids"].into_iter();
    let limited = limits.iter().map(|limit| limit.controller.as_str());
    let wanted: BTreeSet<&str> = counted.chain(limited).collect();
    let offered = |controller: &&str| directory.offers(controller);
    wanted
        .into_iter()
        .filter(offered)
        .map(|controller| format!("+{controller}"))
        .collect()
}

/// The container's root owns its group where it has a user namespace to be root of, a cgroup
/// namespace and a writable cgroup mount (config-linux.md, Cgroup ownership; v2 only).
fn delegate(view: &View, group: &Group) -> Option<Step> {
    let is_writable = |m: &oci_spec::runtime::Mount| {
        let options = m.options().as_deref().unwrap_or_default();
        m.destination() == Path::new("/sys/fs/cgroup") && !options.iter().any(|o| o == "ro")
    };
    let own = view.new.contains(&Namespace::User) && view.new.contains(&Namespace::Cgroup);
    let directory = group
        .unified()
        .filter(|_| own && view.mounts.iter().any(is_writable))?;
    let root = |mappings: &[kernel::op::IdMapping]| {
        mappings.iter().find(|m| m.inside == 0).map(|m| m.outside)
    };
    let (uid, gid) = (root(&view.uids)?, root(&view.gids)?);
    let op = Op::CgroupDelegate {
        path: directory.path.clone(),
        uid,
        gid,
    };
    Some(Step::host(
        op,
        "The container's root manages the groups below its own",
    ))
}

fn path(view: &View) -> Result<PathBuf, Error> {
    match view.cgroups_path {
        None => Ok(PathBuf::from(format!("/lighter-{}", view.id))),
        Some(path) if view.attach.systemd_cgroup => systemd_path(path),
        Some(path) => Ok(path.to_owned()),
    }
}

/// `slice:prefix:name` as the directory that systemd would make: a dash in a slice's name means
/// "inside of" (systemd.slice(5)), and what runs there is a scope.
fn systemd_path(path: &Path) -> Result<PathBuf, Error> {
    let refused = |reason: &str| Error::Config {
        field: "linux.cgroupsPath".to_owned(),
        reason: format!("{} {reason}", path.display()),
    };
    let text = path.to_str().ok_or_else(|| refused("is not UTF-8"))?;
    let parts: Vec<&str> = text.split(':').collect();
    let [slice, prefix, name] = parts.as_slice() else {
        return Err(refused(
            "is not slice:prefix:name, as --systemd-cgroup asks",
        ));
    };
    if name.is_empty() || text.contains('/') {
        return Err(refused("does not name a scope"));
    }
    let slice = if slice.is_empty() {
        "system.slice"
    } else {
        slice
    };
    let stem = slice
        .strip_suffix(".slice")
        .ok_or_else(|| refused("has no slice that ends in .slice"))?;
    let mut directory = PathBuf::from("/");
    // "-.slice" is the root of all slices.
    if stem != "-" {
        let dashes = stem.match_indices('-').map(|(at, _)| at);
        for end in dashes.chain([stem.len()]) {
            directory.push(format!("{}.slice", &stem[..end]));
        }
    }
    let scope = match (prefix.is_empty(), name.ends_with(".slice")) {
        (_, true) => (*name).to_owned(),
        (true, false) => format!("{name}.scope"),
        (false, false) => format!("{prefix}-{name}.scope"),
    };
    directory.push(scope);
    Ok(directory)
}

fn subject(controller: &str) -> &str {
    match controller {
        "blkio" | "io" => "reading and writing of disks",
        "cpu" => "processor time",
        "cpuset" => "the processors and memory nodes in use",
        "hugetlb" => "huge pages",
        "memory" => "memory",
        "net_cls" | "net_prio" => "network traffic by its mark",
        "pids" => "the number of processes",
        "rdma" => "remote direct memory access",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attach, Bundle};
    use kernel::cgroup::Hierarchies;

    fn host(legacy: &[&str], unified: &[&str]) -> Hierarchies {
        let mut text = String::new();
        for controller in legacy {
            text += &format!("1 1 0:1 / /v1/{controller} rw - cgroup cgroup rw,{controller}\n");
        }
        text += "1 1 0:1 / /v2 rw - cgroup2 cgroup2 rw\n";
        let mut host = Hierarchies::parse(&text);
        for hierarchy in host
            .list
            .iter_mut()
            .filter(|h| h.version == Version::Unified)
        {
            hierarchy.controllers = unified.iter().map(|c| (*c).to_owned()).collect();
        }
        host
    }

    fn planned(linux: serde_json::Value, cgroups: Hierarchies) -> String {
        let spec = serde_json::json!({
            "ociVersion": "1.2.0", "root": {"path": "rootfs"}, "linux": linux,
        });
        let bundle = Bundle {
            dir: "/bundle".into(),
            spec: serde_json::from_value(spec).unwrap(),
        };
        let attach = Attach {
            id: "web".to_owned(),
            cgroups,
            ..Attach::default()
        };
        let view = View::of(&bundle, &attach).unwrap();
        let group = group(&view).unwrap();
        let steps = create(&view, &group)
            .unwrap()
            .into_iter()
            .chain(join(&group))
            .chain(remove(&group));
        let line = |step: Step| match step.op {
            Op::CgroupWrite { path, file, value } => format!("{}/{file} = {value}", path.display()),
            Op::CgroupDevices { path, rules } => {
                format!("{} {} rules", path.display(), rules.len())
            }
            Op::CgroupCreate { path } => format!("mkdir {}", path.display()),
            Op::CgroupJoin { path } => format!("enter {}", path.display()),
            Op::CgroupDelete { path } => format!("rmdir {}", path.display()),
            other => format!("{other:?}"),
        };
        steps.map(line).collect::<Vec<_>>().join("\n")
    }

    fn linux() -> serde_json::Value {
        serde_json::json!({
            "cgroupsPath": "/apps/web", "namespaces": [{"type": "mount"}],
            "resources": {"memory": {"limit": 4096}, "pids": {"limit": 9}, "cpu": {"cpus": "0"}},
        })
    }

    #[test]
    fn on_v2_controllers_are_handed_down_before_the_group_is_made() {
        let host = host(&[], &["cpu", "cpuset", "io", "memory", "pids"]);
        insta::assert_snapshot!(planned(linux(), host), @r"
        /v2/cgroup.subtree_control = +cpu +cpuset +io +memory +pids
        mkdir /v2/apps
        /v2/apps/cgroup.subtree_control = +cpu +cpuset +io +memory +pids
        mkdir /v2/apps/web
        /v2/apps/web/cpuset.cpus = 0
        /v2/apps/web/memory.max = 4096
        /v2/apps/web/pids.max = 9
        /v2/apps/web 12 rules
        rmdir /v2/apps/web
        ");
    }

    #[test]
    fn on_a_hybrid_host_limits_go_to_v1_and_the_rest_to_v2() {
        let host = host(
            &["cpu", "cpuset", "devices", "memory", "pids", "freezer"],
            &[],
        );
        insta::assert_snapshot!(planned(linux(), host), @r"
        mkdir /v2/apps
        mkdir /v2/apps/web
        mkdir /v1/cpu/apps/web
        mkdir /v1/cpuset/apps/web
        mkdir /v1/devices/apps/web
        mkdir /v1/memory/apps/web
        mkdir /v1/pids/apps/web
        /v1/cpuset/apps/web/cpuset.cpus = 0
        /v1/memory/apps/web/memory.limit_in_bytes = 4096
        /v1/pids/apps/web/pids.max = 9
        /v1/devices/apps/web/devices.deny = a
        /v1/devices/apps/web/devices.allow = b *:* m
        /v1/devices/apps/web/devices.allow = c *:* m
        /v1/devices/apps/web/devices.allow = c 1:3 rwm
        /v1/devices/apps/web/devices.allow = c 1:5 rwm
        /v1/devices/apps/web/devices.allow = c 1:7 rwm
        /v1/devices/apps/web/devices.allow = c 1:8 rwm
        /v1/devices/apps/web/devices.allow = c 1:9 rwm
        /v1/devices/apps/web/devices.allow = c 5:0 rwm
        /v1/devices/apps/web/devices.allow = c 5:1 rwm
        /v1/devices/apps/web/devices.allow = c 5:2 rwm
        /v1/devices/apps/web/devices.allow = c 136:* rwm
        enter /v1/cpu/apps/web
        enter /v1/cpuset/apps/web
        enter /v1/devices/apps/web
        enter /v1/memory/apps/web
        enter /v1/pids/apps/web
        rmdir /v2/apps/web
        rmdir /v1/cpu/apps/web
        rmdir /v1/cpuset/apps/web
        rmdir /v1/devices/apps/web
        rmdir /v1/memory/apps/web
        rmdir /v1/pids/apps/web
        ");
    }

    #[test]
    fn systemd_names_become_the_directories_systemd_would_make() {
        let path = |text: &str| match systemd_path(Path::new(text)) {
            Ok(path) => path.display().to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            path("system.slice:docker:abc"),
            "/system.slice/docker-abc.scope"
        );
        assert_eq!(
            path("user-1000-app.slice:libpod:x"),
            "/user.slice/user-1000.slice/user-1000-app.slice/libpod-x.scope"
        );
        assert_eq!(path(":runc:x"), "/system.slice/runc-x.scope");
        assert_eq!(path("-.slice::x"), "/x.scope");
        for wrong in ["/a/b", "a.slice:b", "a:b:c", "a.slice:b:", "a.slice:../b:c"] {
            assert!(
                path(wrong).starts_with("config.json: linux.cgroupsPath: "),
                "{wrong}"
            );
        }
    }
}
