//! Changes the limits of a container while it runs.
//!
//! In: a container's [`Group`] and the resources to change; what they leave out stays as it is.
//! Out: the limits in force, and the group with the hierarchies it had to join for them. They are
//! written by the same steps as at creation (`plan/cgroup.rs`), played at once.

use std::collections::BTreeSet;
use std::path::Path;

use kernel::cgroup::{Group, Hierarchies, Version, tree};
use kernel::op::DeviceRule;
use kernel::play::Child;
use kernel::{Audience, Op, Playground, Script, Step};
use oci_spec::runtime::LinuxResources;

use crate::resources::{self, Limit};
use crate::{Error, plan};

/// Applies `resources` to `group`; gives back the group as it is then.
///
/// # Errors
/// [`Error::Config`] for what the host cannot do, and what the kernel refuses.
pub fn update(
    group: &Group,
    resources: &LinuxResources,
    host: &Hierarchies,
) -> Result<Group, Error> {
    let mut limits = resources::limits(resources, host)?;
    let rules = device_rules(resources)?;
    check_memory(group, resources)?;
    order(group, &mut limits);
    let group = join(group, &limits, rules.as_deref(), host)?;
    let mut steps = plan::cgroup::write(&group, &limits);
    steps.extend(
        rules
            .iter()
            .flat_map(|rules| plan::cgroup::devices(&group, rules)),
    );
    play(steps)?;
    Ok(group)
}

/// Device rules are changed only when some are given; then all of them.
fn device_rules(resources: &LinuxResources) -> Result<Option<Vec<DeviceRule>>, Error> {
    if resources.devices().as_ref().is_none_or(Vec::is_empty) {
        return Ok(None);
    }
    let mut rules = resources::devices::rules(Some(resources))?;
    if rules.is_empty() {
        // "Everything" must be said here: other rules may be in force.
        let access = "rwm".to_owned();
        rules.push(DeviceRule {
            allow: true,
            kind: 'a',
            major: None,
            minor: None,
            access,
        });
    }
    Ok(Some(rules))
}

/// `memory.checkBeforeUpdate`: v2 would kill processes until the new limit is kept; v1 refuses by
/// itself.
fn check_memory(group: &Group, resources: &LinuxResources) -> Result<(), Error> {
    let Some(memory) = resources
        .memory()
        .filter(|m| m.check_before_update() == Some(true))
    else {
        return Ok(());
    };
    let usage = group.read("memory", "memory.current");
    let usage: Option<i64> = usage.and_then(|text| text.trim().parse().ok());
    match (usage, memory.limit().filter(|limit| *limit > 0)) {
        (Some(usage), Some(limit)) if usage > limit => Err(Error::Config {
            field: "linux.resources.memory.limit".to_owned(),
            reason: format!("{limit} is less than the {usage} bytes in use (checkBeforeUpdate)"),
        }),
        _ => Ok(()),
    }
}

/// v1 keeps memory at or below memory and swap at every moment: when both grow, the second comes
/// first.
fn order(group: &Group, limits: &mut [Limit]) {
    let at = |limits: &[Limit], file: &str| limits.iter().position(|limit| limit.file == file);
    let memory = at(limits, "memory.limit_in_bytes");
    let both = at(limits, "memory.memsw.limit_in_bytes");
    let (Some(memory), Some(both)) = (memory, both) else {
        return;
    };
    let now = group.read("memory", "memory.memsw.limit_in_bytes");
    let now: u64 = now
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(u64::MAX);
    let grows = match limits[memory].value.parse::<i64>() {
        Ok(new) if new < 0 => true,
        Ok(new) => new.unsigned_abs() > now,
        Err(_) => false,
    };
    if grows && memory < both {
        limits.swap(memory, both);
    }
}

/// Brings all processes of the group into the v1 hierarchies that the new limits need.
fn join(
    group: &Group,
    limits: &[Limit],
    rules: Option<&[DeviceRule]>,
    host: &Hierarchies,
) -> Result<Group, Error> {
    let mut needed: BTreeSet<&str> = limits
        .iter()
        .map(|limit| limit.controller.as_str())
        .collect();
    if rules.is_some() {
        needed.insert("devices");
    }
    needed.retain(|controller| group.with(controller).is_none());
    let path = group
        .directories
        .first()
        .and_then(|d| d.path.strip_prefix(&d.mount).ok());
    let Some(path) = path.map(Path::to_owned).filter(|_| !needed.is_empty()) else {
        return Ok(group.clone());
    };
    let mut joined = group.clone();
    let more = host.group(&path, &needed)?;
    for directory in more.directories {
        if directory.version == Version::Unified || group.directories.contains(&directory) {
            continue;
        }
        let op = Op::CgroupCreate {
            path: directory.path.clone(),
        };
        play(vec![Step::host(op, "Limit what was not limited")])?;
        adopt_all(group, &directory.path)?;
        joined.directories.push(directory);
    }
    Ok(joined)
}

/// Moves processes until none is left behind, for they may fork meanwhile.
fn adopt_all(group: &Group, directory: &Path) -> Result<(), Error> {
    let mut moved = BTreeSet::new();
    loop {
        let pids: Vec<i32> = group
            .pids()?
            .into_iter()
            .filter(|pid| moved.insert(*pid))
            .collect();
        if pids.is_empty() {
            return Ok(());
        }
        for pid in pids {
            match tree::adopt(directory, pid) {
                Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
                    return Err(Error::File {
                        action: "move a process into",
                        path: directory.to_owned(),
                        source: error,
                    });
                }
                _ => {}
            }
        }
    }
}

fn play(steps: Vec<Step>) -> Result<(), Error> {
    kernel::play(&Script::new(steps), Playground::default(), &mut Nobody)?;
    Ok(())
}

/// Hears of a birth in a script without one.
struct Nobody;

impl Audience for Nobody {
    fn born(&mut self, _: &Child) -> std::io::Result<()> {
        Ok(())
    }

    fn listening(&mut self, _: &Child, _: i32) -> std::io::Result<()> {
        Ok(())
    }
}
