//! Finds the cgroup hierarchies from `/proc/self/mountinfo` and names a group's directories.
//!
//! In: the text of mountinfo (proc_pid_mountinfo(5)), so that everything but [`Hierarchies::discover`]
//! is pure. Out: [`Hierarchies`], and from it a [`Group`] for one path. Next: `tree.rs`.
//!
//! Paths are those of this process's own cgroup namespace (cgroup_namespaces(7)): a group `/a` is
//! the directory `a` below each hierarchy's mount point, wherever that is mounted.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;

/// The v1 controllers this program knows; everything else in the mount options is an option.
const LEGACY_CONTROLLERS: [&str; 14] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
    "rdma",
];

/// Which generations of cgroups are mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// cgroup v2 alone.
    Unified,
    /// cgroup v2 beside v1 controllers.
    Hybrid,
    /// cgroup v1 alone.
    Legacy,
    /// None at all.
    Absent,
}

/// The generation of one hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// cgroups(7), version 2.
    Unified,
    /// cgroups(7), version 1.
    Legacy,
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// v1 or v2.
    pub version: Version,
    /// The controllers it offers, such as `memory`; a named v1 hierarchy offers `name=systemd`.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
}

/// All hierarchies this process can reach.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hierarchies {
    /// In the order of mountinfo, each hierarchy once.
    pub list: Vec<Hierarchy>,
}

/// A group's directory in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// v1 or v2.
    pub version: Version,
    /// The controllers of the hierarchy.
    pub controllers: Vec<String>,
    /// Where the hierarchy is mounted.
    pub mount: PathBuf,
    /// The directory itself, below `mount`.
    pub path: PathBuf,
}

/// One control group: a directory in each hierarchy that it takes part in.
///
/// Kept in a container's state, so that later commands find the same directories.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Group {
    /// The v2 directory first, where there is one.
    pub directories: Vec<Directory>,
}

impl Hierarchies {
    /// Reads the mounts of this process and the controllers of the v2 hierarchy.
    ///
    /// # Errors
    /// `/proc/self/mountinfo` or `cgroup.controllers` cannot be read.
    pub fn discover() -> Result<Self, Error> {
        let mountinfo = Path::new("/proc/self/mountinfo");
        let text = fs::read_to_string(mountinfo).map_err(Error::read(mountinfo))?;
        let mut found = Self::parse(&text);
        for hierarchy in &mut found.list {
            if hierarchy.version == Version::Unified {
                let file = hierarchy.mount.join("cgroup.controllers");
                let words = fs::read_to_string(&file).map_err(Error::read(&file))?;
                hierarchy.controllers = words.split_whitespace().map(str::to_owned).collect();
            }
        }
        Ok(found)
    }

    /// Finds the hierarchies in the text of mountinfo; v2's controllers are not in it.
    #[must_use]
    pub fn parse(mountinfo: &str) -> Self {
        let mut list: Vec<Hierarchy> = Vec::new();
        for hierarchy in mountinfo.lines().filter_map(parse_line) {
            // A hierarchy may be mounted many times (in every container's rootfs, for one): the
            // first mount, the host's own, stands for it.
            let known = |h: &Hierarchy| {
                h.version == hierarchy.version && h.controllers == hierarchy.controllers
            };
            if !list.iter().any(known) {
                list.push(hierarchy);
            }
        }
        Self { list }
    }

    /// Which generations are present.
    #[must_use]
    pub fn layout(&self) -> Layout {
        let has = |version| self.list.iter().any(|h| h.version == version);
        match (has(Version::Unified), has(Version::Legacy)) {
            (true, false) => Layout::Unified,
            (true, true) => Layout::Hybrid,
            (false, true) => Layout::Legacy,
            (false, false) => Layout::Absent,
        }
    }

    /// The hierarchy that offers `controller`; a controller is only ever in one.
    #[must_use]
    pub fn with(&self, controller: &str) -> Option<&Hierarchy> {
        self.list.iter().find(|h| h.offers(controller))
    }

    /// The cgroup v2 hierarchy.
    #[must_use]
    pub fn unified(&self) -> Option<&Hierarchy> {
        self.list.iter().find(|h| h.version == Version::Unified)
    }

    /// Names the directories of the group at `path`: in the v2 hierarchy always, in a v1
    /// hierarchy when it offers one of `controllers`.
    ///
    /// Joining a hierarchy costs a tenth of a millisecond, so a group takes part only where it
    /// has a limit, is counted, or is frozen and killed.
    ///
    /// # Errors
    /// The path contains `..`, or is the root.
    pub fn group(&self, path: &Path, controllers: &BTreeSet<&str>) -> Result<Group, Error> {
        let relative = below_root(path)?;
        let wanted = |h: &&Hierarchy| match h.version {
            Version::Unified => true,
            Version::Legacy => controllers.iter().any(|c| h.offers(c)),
        };
        let mut directories: Vec<Directory> = self
            .list
            .iter()
            .filter(wanted)
            .map(|h| h.directory(&relative))
            .collect();
        directories.sort_by_key(|d| d.version == Version::Legacy);
        Ok(Group { directories })
    }
}

impl Hierarchy {
    fn offers(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }

    fn directory(&self, relative: &Path) -> Directory {
        Directory {
            version: self.version,
            controllers: self.controllers.clone(),
            mount: self.mount.clone(),
            path: self.mount.join(relative),
        }
    }
}

impl Directory {
    /// True if the hierarchy of this directory offers `controller`.
    #[must_use]
    pub fn offers(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }

    /// The directories between the mount point and this one, outermost first, this one last.
    #[must_use]
    pub fn chain(&self) -> Vec<PathBuf> {
        let above = self.path.ancestors().take_while(|p| *p != self.mount);
        let mut chain: Vec<PathBuf> = above.map(Path::to_owned).collect();
        chain.reverse();
        chain
    }
}

impl Group {
    /// The directory in the v2 hierarchy.
    #[must_use]
    pub fn unified(&self) -> Option<&Directory> {
        self.directories
            .iter()
            .find(|d| d.version == Version::Unified)
    }

    /// The directories in v1 hierarchies.
    pub fn legacy(&self) -> impl Iterator<Item = &Directory> {
        self.directories
            .iter()
            .filter(|d| d.version == Version::Legacy)
    }

    /// The directory whose hierarchy offers `controller`.
    #[must_use]
    pub fn with(&self, controller: &str) -> Option<&Directory> {
        self.directories.iter().find(|d| d.offers(controller))
    }
}

/// Makes an absolute or relative cgroup path relative to a hierarchy's root.
fn below_root(path: &Path) -> Result<PathBuf, Error> {
    let mut relative = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => relative.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(Error::Path(path.to_owned()));
            }
        }
    }
    if relative.as_os_str().is_empty() {
        return Err(Error::Path(path.to_owned()));
    }
    Ok(relative)
}

/// One line of mountinfo: `id parent major:minor root mount options... - type source super-options`.
fn parse_line(line: &str) -> Option<Hierarchy> {
    let (before, after) = line.split_once(" - ")?;
    let mut filesystem = after.split(' ');
    let version = match filesystem.next()? {
        "cgroup2" => Version::Unified,
        "cgroup" => Version::Legacy,
        _ => return None,
    };
    let super_options = filesystem.nth(1)?;
    let controllers = match version {
        Version::Unified => Vec::new(),
        Version::Legacy => legacy_controllers(super_options),
    };
    if version == Version::Legacy && controllers.is_empty() {
        return None;
    }
    let mount = PathBuf::from(unescape(before.split(' ').nth(4)?));
    Some(Hierarchy {
        version,
        controllers,
        mount,
    })
}

fn legacy_controllers(super_options: &str) -> Vec<String> {
    let is_controller = |o: &&str| LEGACY_CONTROLLERS.contains(o) || o.starts_with("name=");
    super_options
        .split(',')
        .filter(is_controller)
        .map(str::to_owned)
        .collect()
}

/// mountinfo writes space, tab, newline and backslash as `\040` and the like.
fn unescape(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part
            .get(..3)
            .and_then(|code| u8::from_str_radix(code, 8).ok())
        {
            Some(byte) => {
                text.push(char::from(byte));
                text.push_str(&part[3..]);
            }
            None => {
                text.push('\\');
                text.push_str(part);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime shared:9 - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
95 31 0:32 /x /srv/a\\040b/sys/fs/cgroup/memory ro - cgroup cgroup rw,memory
";

    #[test]
    fn a_hybrid_host_has_each_hierarchy_once_at_its_first_mount() {
        let found = Hierarchies::parse(HYBRID);
        assert_eq!(found.layout(), Layout::Hybrid);
        let seen: Vec<_> = found
            .list
            .iter()
            .map(|h| (h.controllers.join(","), h.mount.display().to_string()))
            .collect();
        let expected = [
            ("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct"),
            ("memory", "/sys/fs/cgroup/memory"),
            ("name=systemd", "/sys/fs/cgroup/systemd"),
            ("", "/sys/fs/cgroup/unified"),
        ];
        assert_eq!(seen, expected.map(|(c, m)| (c.to_owned(), m.to_owned())));
    }

    #[test]
    fn the_layout_follows_the_mounted_generations() {
        let v2 = "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate";
        let v1 = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu";
        assert_eq!(Hierarchies::parse(v2).layout(), Layout::Unified);
        assert_eq!(Hierarchies::parse(v1).layout(), Layout::Legacy);
        assert_eq!(Hierarchies::parse("").layout(), Layout::Absent);
    }

    #[test]
    fn a_group_joins_the_v2_hierarchy_first_and_v1_only_where_wanted() {
        let group = Hierarchies::parse(HYBRID)
            .group(Path::new("/pods/one"), &BTreeSet::from(["memory"]))
            .unwrap();
        let paths: Vec<_> = group
            .directories
            .iter()
            .map(|d| d.path.display().to_string())
            .collect();
        assert_eq!(
            paths,
            [
                "/sys/fs/cgroup/unified/pods/one",
                "/sys/fs/cgroup/memory/pods/one"
            ]
        );
        assert_eq!(
            group.directories[1].chain(),
            [
                "/sys/fs/cgroup/memory/pods",
                "/sys/fs/cgroup/memory/pods/one"
            ]
            .map(PathBuf::from)
        );
    }

    #[test]
    fn a_group_is_neither_outside_nor_the_root_of_its_hierarchy() {
        for path in ["/a/../../b", "..", "/", ""] {
            let group = Hierarchies::parse(HYBRID).group(Path::new(path), &BTreeSet::new());
            assert!(matches!(group, Err(Error::Path(_))), "{path}");
        }
    }

    #[test]
    fn escaped_mount_points_are_read_as_the_kernel_means_them() {
        assert_eq!(unescape("/a\\040b\\134c"), "/a b\\c");
        assert_eq!(unescape("/a\\04"), "/a\\04");
    }
}
