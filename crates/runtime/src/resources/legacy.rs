//! Limits as cgroup v1 takes them, where they differ from v2.
//!
//! In: the OCI resources. Out: files and values of Documentation/admin-guide/cgroup-v1/. OCI's
//! fields are v1's own, so that nothing has to be converted.

use oci_spec::runtime::{LinuxResources, LinuxThrottleDevice, LinuxWeightDevice};

use super::{Limit, bytes, config};
use crate::Error;

pub(super) fn memory(resources: &LinuxResources) -> Result<Vec<Limit>, Error> {
    let Some(memory) = resources.memory() else {
        return Ok(Vec::new());
    };
    let limit = bytes(memory.limit(), "-1");
    let swap = match (memory.limit(), memory.swap().filter(|n| *n != 0)) {
        (Some(-1), None) => Some("-1".to_owned()),
        (limit, Some(swap)) if swap > 0 && limit.is_none_or(|n| n == 0) => {
            return Err(config("memory.swap", "a limit of swap needs memory.limit"));
        }
        (Some(limit), Some(swap)) if swap > 0 && swap < limit => {
            return Err(config(
                "memory.swap",
                format!("memory and swap together ({swap}) are less than memory.limit ({limit})"),
            ));
        }
        (_, swap) => bytes(swap, "-1"),
    };
    let value = |n: Option<u64>| n.map(|n| n.to_string());
    let files = [
        ("memory.limit_in_bytes", limit),
        ("memory.memsw.limit_in_bytes", swap),
        (
            "memory.soft_limit_in_bytes",
            bytes(memory.reservation(), "-1"),
        ),
        ("memory.kmem.limit_in_bytes", bytes(memory.kernel(), "-1")),
        (
            "memory.kmem.tcp.limit_in_bytes",
            bytes(memory.kernel_tcp(), "-1"),
        ),
        ("memory.swappiness", value(memory.swappiness())),
        (
            "memory.oom_control",
            (memory.disable_oom_killer() == Some(true)).then(|| "1".to_owned()),
        ),
    ];
    let limit = |(file, value): (&str, Option<String>)| Some(Limit::new("memory", file, value?));
    Ok(files.into_iter().filter_map(limit).collect())
}

pub(super) fn cpu(resources: &LinuxResources) -> Result<Vec<Limit>, Error> {
    let Some(cpu) = resources.cpu() else {
        return Ok(Vec::new());
    };
    let unsigned = |n: Option<u64>| n.filter(|n| *n != 0).map(|n| n.to_string());
    let signed = |n: Option<i64>| n.filter(|n| *n != 0).map(|n| n.to_string());
    let burst = cpu.burst();
    let files = [
        (
            "cpu.shares",
            unsigned(cpu.shares()).filter(|_| cpu.idle() != Some(1)),
        ),
        ("cpu.idle", cpu.idle().map(|n| n.to_string())),
        // See unified.rs: a burst must not be above the quota at any moment.
        (
            "cpu.cfs_burst_us",
            burst.and(signed(cpu.quota())).map(|_| "0".to_owned()),
        ),
        ("cpu.cfs_period_us", unsigned(cpu.period())),
        ("cpu.cfs_quota_us", signed(cpu.quota())),
        ("cpu.cfs_burst_us", burst.map(|n| n.to_string())),
        ("cpu.rt_period_us", unsigned(cpu.realtime_period())),
        ("cpu.rt_runtime_us", signed(cpu.realtime_runtime())),
    ];
    let limit = |(file, value): (&str, Option<String>)| Some(Limit::new("cpu", file, value?));
    Ok(files.into_iter().filter_map(limit).collect())
}

pub(super) fn block_io(resources: &LinuxResources) -> Result<Vec<Limit>, Error> {
    let Some(io) = resources.block_io() else {
        return Ok(Vec::new());
    };
    let mut limits = Vec::new();
    let own = [
        ("blkio.bfq.weight", io.weight()),
        ("blkio.leaf_weight", io.leaf_weight()),
    ];
    for (file, weight) in own {
        let weight = weight.filter(|w| *w != 0);
        limits.extend(weight.map(|weight| Limit::new("blkio", file, weight)));
    }
    type Weight = fn(&LinuxWeightDevice) -> Option<u16>;
    let per_device: [(&str, Weight); 2] = [
        ("blkio.bfq.weight_device", LinuxWeightDevice::weight),
        ("blkio.leaf_weight_device", LinuxWeightDevice::leaf_weight),
    ];
    for device in io.weight_device().as_deref().unwrap_or_default() {
        for (file, weight) in per_device {
            let value = |w| format!("{}:{} {w}", device.major(), device.minor());
            let value = weight(device).filter(|w| *w != 0).map(value);
            limits.extend(value.map(|value| Limit::new("blkio", file, value)));
        }
    }
    let throttles = [
        (
            "blkio.throttle.read_bps_device",
            io.throttle_read_bps_device(),
        ),
        (
            "blkio.throttle.write_bps_device",
            io.throttle_write_bps_device(),
        ),
        (
            "blkio.throttle.read_iops_device",
            io.throttle_read_iops_device(),
        ),
        (
            "blkio.throttle.write_iops_device",
            io.throttle_write_iops_device(),
        ),
    ];
    for (file, devices) in throttles {
        let value = |d: &LinuxThrottleDevice| format!("{}:{} {}", d.major(), d.minor(), d.rate());
        let devices = devices.as_deref().unwrap_or_default();
        limits.extend(devices.iter().map(|d| Limit::new("blkio", file, value(d))));
    }
    Ok(limits)
}

pub(super) fn hugetlb(resources: &LinuxResources) -> Result<Vec<Limit>, Error> {
    let pages = resources.hugepage_limits().as_deref().unwrap_or_default();
    let limit = |page: &oci_spec::runtime::LinuxHugepageLimit| {
        ["", "rsvd."].map(|kind| {
            let file = format!("hugetlb.{}.{kind}limit_in_bytes", page.page_size());
            Limit::new("hugetlb", file, page.limit())
        })
    };
    Ok(pages.iter().flat_map(limit).collect())
}

pub(super) fn network_class(resources: &LinuxResources) -> Result<Vec<Limit>, Error> {
    let class = resources
        .network()
        .as_ref()
        .and_then(|n| n.class_id())
        .filter(|id| *id != 0);
    Ok(class
        .map(|id| Limit::new("net_cls", "net_cls.classid", id))
        .into_iter()
        .collect())
}

pub(super) fn network_priorities(resources: &LinuxResources) -> Result<Vec<Limit>, Error> {
    let network = resources.network().as_ref();
    let priorities = network
        .and_then(|n| n.priorities().as_deref())
        .unwrap_or_default();
    let limit = |p: &oci_spec::runtime::LinuxInterfacePriority| {
        Limit::new(
            "net_prio",
            "net_prio.ifpriomap",
            format!("{} {}", p.name(), p.priority()),
        )
    };
    Ok(priorities.iter().map(limit).collect())
}
