//! Limits and devices of the container's cgroup.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup,
    LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxMemory, LinuxPidsBuilder, LinuxResources,
    LinuxThrottleDevice, LinuxThrottleDeviceBuilder, LinuxWeightDevice, LinuxWeightDeviceBuilder,
};

use super::{HostDevice, Surroundings};
use crate::config::{ContainerConfig, Resources};
use crate::{Error, Result};

/// podman's limit; docker has none, and a fork bomb then takes the machine.
const PIDS: i64 = 2048;

/// null, zero, full, random, urandom, tty, console, ptmx and the terminals.
const ALLOWED: [(char, i64, Option<i64>); 9] = [
    ('c', 1, Some(3)),
    ('c', 1, Some(5)),
    ('c', 1, Some(7)),
    ('c', 1, Some(8)),
    ('c', 1, Some(9)),
    ('c', 5, Some(0)),
    ('c', 5, Some(1)),
    ('c', 5, Some(2)),
    ('c', 136, None),
];

/// Limits and device rules.
pub(super) fn resources(config: &ContainerConfig, around: &Surroundings) -> Result<LinuxResources> {
    let mut resources = limits(config, around)?;
    resources.set_devices(Some(device_rules(config, around)?));
    Ok(resources)
}

/// The limits alone.
pub(crate) fn limits(config: &ContainerConfig, around: &Surroundings) -> Result<LinuxResources> {
    let wish = &config.resources;
    let mut resources = LinuxResources::default();
    resources.set_memory(memory(wish)?);
    resources.set_cpu(cpu(wish)?);
    resources.set_block_io(block_io(wish, around)?);
    let pids = match wish.pids {
        None if !around.host.pids => None,
        None => Some(PIDS),
        Some(limit) if limit <= 0 => Some(-1),
        Some(limit) => Some(limit),
    };
    if let Some(limit) = pids {
        resources.set_pids(Some(LinuxPidsBuilder::default().limit(limit).build()?));
    }
    Ok(resources)
}

fn memory(wish: &Resources) -> Result<Option<LinuxMemory>> {
    let bytes = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut memory = LinuxMemory::default();
    memory.set_limit(wish.memory.map(bytes));
    memory.set_reservation(wish.memory_reservation.map(bytes));
    memory.set_swap(swap(wish)?);
    memory.set_swappiness(wish.memory_swappiness);
    memory.set_disable_oom_killer(wish.oom_kill_disable.then_some(true));
    Ok((memory != LinuxMemory::default()).then_some(memory))
}

/// Memory and swap together: docker's default is twice the memory.
fn swap(wish: &Resources) -> Result<Option<i64>> {
    let limit = wish.memory.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
    match (limit, wish.memory_swap) {
        (None, Some(swap)) if swap > 0 => Err(Error::invalid(
            "memory-swap",
            swap.to_string(),
            "it needs a memory limit beside it",
        )),
        (Some(limit), Some(swap)) if swap > 0 && swap < limit => Err(Error::invalid(
            "memory-swap",
            swap.to_string(),
            "it counts memory and swap together: give at least the memory limit",
        )),
        (Some(limit), None | Some(0)) => Ok(Some(limit.saturating_mul(2))),
        (_, swap) => Ok(swap.filter(|swap| *swap != 0)),
    }
}

fn cpu(wish: &Resources) -> Result<Option<LinuxCpu>> {
    let mut cpu = LinuxCpu::default();
    if let Some(nanos) = wish.nano_cpus.filter(|n| *n > 0) {
        if wish.cpu_quota.is_some() || wish.cpu_period.is_some() {
            return Err(Error::invalid(
                "cpus",
                format!("{nanos}e-9"),
                "it cannot go with cpu-quota or cpu-period",
            ));
        }
        let quota = i64::try_from(nanos / 10_000).unwrap_or(i64::MAX);
        // The kernel's least quota is 1 ms.
        cpu.set_period(Some(100_000));
        cpu.set_quota(Some(quota.max(1_000)));
    } else {
        cpu.set_period(wish.cpu_period.filter(|n| *n > 0));
        cpu.set_quota(wish.cpu_quota.filter(|n| *n != 0));
    }
    cpu.set_shares(wish.cpu_shares.filter(|n| *n > 0));
    cpu.set_cpus(wish.cpuset_cpus.clone().filter(|set| !set.is_empty()));
    cpu.set_mems(wish.cpuset_mems.clone().filter(|set| !set.is_empty()));
    Ok((cpu != LinuxCpu::default()).then_some(cpu))
}

fn block_io(wish: &Resources, around: &Surroundings) -> Result<Option<LinuxBlockIo>> {
    let throttle = |limits: &[(PathBuf, u64)]| -> Result<Vec<LinuxThrottleDevice>> {
        limits
            .iter()
            .map(|(device, rate)| {
                let (major, minor) = number(device, around)?;
                Ok(LinuxThrottleDeviceBuilder::default()
                    .major(major)
                    .minor(minor)
                    .rate(*rate)
                    .build()?)
            })
            .collect()
    };
    let weights = |limits: &[(PathBuf, u16)]| -> Result<Vec<LinuxWeightDevice>> {
        limits
            .iter()
            .map(|(device, weight)| {
                let (major, minor) = number(device, around)?;
                Ok(LinuxWeightDeviceBuilder::default()
                    .major(major)
                    .minor(minor)
                    .weight(*weight)
                    .build()?)
            })
            .collect()
    };
    let mut block_io = LinuxBlockIo::default();
    let some = |list: Vec<LinuxThrottleDevice>| (!list.is_empty()).then_some(list);
    block_io.set_weight(wish.blkio_weight);
    block_io.set_weight_device(
        Some(weights(&wish.blkio_weight_device)?).filter(|list| !list.is_empty()),
    );
    block_io.set_throttle_read_bps_device(some(throttle(&wish.device_read_bps)?));
    block_io.set_throttle_write_bps_device(some(throttle(&wish.device_write_bps)?));
    block_io.set_throttle_read_iops_device(some(throttle(&wish.device_read_iops)?));
    block_io.set_throttle_write_iops_device(some(throttle(&wish.device_write_iops)?));
    Ok((block_io != LinuxBlockIo::default()).then_some(block_io))
}

fn number(device: &Path, around: &Surroundings) -> Result<(i64, i64)> {
    let found = around.device_numbers.get(device).ok_or_else(|| {
        Error::invalid(
            "device",
            device.display().to_string(),
            "it is no block device of this host",
        )
    })?;
    Ok((i64::from(found.0), i64::from(found.1)))
}

/// Deny all, then allow what every program expects, what was handed in, and what was asked for by rule.
fn device_rules(config: &ContainerConfig, around: &Surroundings) -> Result<Vec<LinuxDeviceCgroup>> {
    if config.privileged {
        return Ok(vec![rule(true, 'a', None, None, "rwm")?]);
    }
    let mut rules = vec![rule(false, 'a', None, None, "rwm")?];
    for (kind, major, minor) in ALLOWED {
        rules.push(rule(true, kind, Some(major), minor, "rwm")?);
    }
    for device in &around.devices {
        let (major, minor) = (i64::from(device.major), i64::from(device.minor));
        rules.push(rule(
            true,
            device.kind,
            Some(major),
            Some(minor),
            &device.permissions,
        )?);
    }
    for text in &config.device_cgroup_rules {
        rules.push(parse_rule(text)?);
    }
    Ok(rules)
}

fn rule(
    allow: bool,
    kind: char,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> Result<LinuxDeviceCgroup> {
    let kind = match kind {
        'b' => LinuxDeviceType::B,
        'c' => LinuxDeviceType::C,
        _ => LinuxDeviceType::A,
    };
    let mut rule = LinuxDeviceCgroupBuilder::default()
        .allow(allow)
        .typ(kind)
        .access(access)
        .build()?;
    rule.set_major(major);
    rule.set_minor(minor);
    Ok(rule)
}

/// docker's form: `c 42:* rmw`.
fn parse_rule(text: &str) -> Result<LinuxDeviceCgroup> {
    let refuse = || Error::invalid("device cgroup rule", text, "write it as `c 42:* rmw`");
    let mut words = text.split(' ');
    let (Some(kind), Some(numbers), Some(access), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(refuse());
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(refuse)?;
    let number = |text: &str| match text {
        "*" => Ok(None),
        text => text
            .parse::<u32>()
            .map(|n| Some(i64::from(n)))
            .map_err(|_| refuse()),
    };
    let good = matches!(kind, "a" | "b" | "c")
        && !access.is_empty()
        && access.chars().all(|c| matches!(c, 'r' | 'w' | 'm'));
    if !good {
        return Err(refuse());
    }
    rule(
        true,
        kind.chars().next().unwrap_or('a'),
        number(major)?,
        number(minor)?,
        access,
    )
}

/// The nodes that are made in the container's /dev.
pub(super) fn devices(around: &Surroundings) -> Result<Vec<LinuxDevice>> {
    around.devices.iter().map(node).collect()
}

fn node(device: &HostDevice) -> Result<LinuxDevice> {
    let kind = if device.kind == 'b' {
        LinuxDeviceType::B
    } else {
        LinuxDeviceType::C
    };
    Ok(LinuxDeviceBuilder::default()
        .path(device.path.clone())
        .typ(kind)
        .major(i64::from(device.major))
        .minor(i64::from(device.minor))
        .file_mode(device.mode)
        .uid(device.uid)
        .gid(device.gid)
        .build()?)
}
