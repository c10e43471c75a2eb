//! Limits as cgroup v2 takes them.
//!
//! In: the OCI resources. Out: files and values of Documentation/admin-guide/cgroup-v2.rst, which
//! for cpuset, pids and rdma are those of v1 too. Weights, which have other ranges in v2, are
//! converted here.

use kernel::cgroup::{Hierarchies, Version};
use oci_spec::runtime::{LinuxResources, LinuxThrottleDevice};

use super::{Limit, bytes, config};
use crate::Error;

pub(super) fn memory(resources: &LinuxResources) -> Result<Vec<Limit>, Error> {
    let Some(memory) = resources.memory() else {
        return Ok(Vec::new());
    };
    let absent = |what: &str, field: &str| {
        Err(config(
            &format!("memory.{field}"),
            format!("cgroup v2 has no {what}"),
        ))
    };
    if memory.kernel().is_some_and(|n| n > 0) {
        return absent("limit for kernel memory alone", "kernel");
    }
    if memory.kernel_tcp().is_some_and(|n| n > 0) {
        return absent("limit for TCP buffers alone", "kernelTCP");
    }
    if memory.swappiness().is_some() {
        return absent("swappiness of its own for a group", "swappiness");
    }
    if memory.disable_oom_killer() == Some(true) {
        return absent(
            "way to switch the out-of-memory killer off",
            "disableOOMKiller",
        );
    }
    let mut limits = Vec::new();
    if let Some(value) = swap(memory.limit(), memory.swap())? {
        limits.push(Limit::new("memory", "memory.swap.max", value));
    }
    if let Some(value) = bytes(memory.limit(), "max") {
        limits.push(Limit::new("memory", "memory.max", value));
    }
    if let Some(value) = bytes(memory.reservation(), "max") {
        limits.push(Limit::new("memory", "memory.low", value));
    }
    Ok(limits)
}

/// OCI (and v1) count memory and swap together, v2 counts swap alone.
fn swap(limit: Option<i64>, both: Option<i64>) -> Result<Option<String>, Error> {
    let limit = limit.unwrap_or(0);
    match both.unwrap_or(0) {
        // Without a limit of memory there is none of swap either.
        0 if limit == -1 => Ok(Some("max".to_owned())),
        0 => Ok(None),
        both if both < 0 => Ok(Some("max".to_owned())),
        _ if limit <= 0 => Err(config("memory.swap", "a limit of swap needs memory.limit")),
        both if both < limit => Err(config(
            "memory.swap",
            format!("memory and swap together ({both}) are less than memory.limit ({limit})"),
        )),
        both => Ok(Some((both - limit).to_string())),
    }
}

pub(super) fn cpu(resources: &LinuxResources) -> Result<Vec<Limit>, Error> {
    let Some(cpu) = resources.cpu() else {
        return Ok(Vec::new());
    };
    if cpu.realtime_runtime().is_some_and(|n| n > 0) || cpu.realtime_period().is_some_and(|n| n > 0)
    {
        return Err(config(
            "cpu.realtimeRuntime",
            "cgroup v2 has no limit for real-time processes",
        ));
    }
    let mut limits = Vec::new();
    if let Some(idle) = cpu.idle() {
        limits.push(Limit::new("cpu", "cpu.idle", idle));
    }
    // An idle group has no weight of its own and refuses one.
    if let Some(shares) = cpu.shares().filter(|n| *n != 0 && cpu.idle() != Some(1)) {
        limits.push(Limit::new("cpu", "cpu.weight", weight_of_shares(shares)));
    }
    let quota = cpu.quota().filter(|n| *n != 0);
    let period = cpu.period().filter(|n| *n != 0);
    // A burst must not be above the quota, old or new: it goes before a quota that
    // shrinks and comes after one that grows, so zero first is right for both.
    let burst = cpu.burst();
    if burst.is_some() && quota.is_some() {
        limits.push(Limit::new("cpu", "cpu.max.burst", 0));
    }
    if quota.is_some() || period.is_some() {
        let quota = quota
            .filter(|n| *n > 0)
            .map_or_else(|| "max".to_owned(), |n| n.to_string());
        limits.push(Limit::new(
            "cpu",
            "cpu.max",
            format!("{quota} {}", period.unwrap_or(100_000)),
        ));
    }
    if let Some(burst) = burst {
        limits.push(Limit::new("cpu", "cpu.max.burst", burst));
    }
    Ok(limits)
}

/// v1's shares (2 to 262144, normally 1024) as v2's weight (1 to 10000, normally 100).
///
/// A quadratic curve through the three points that have the same meaning, (2, 1), (1024, 100) and
/// (262144, 10000) in logarithms; runc and crun use it since 2025, the straight line before it gave
/// the normal 1024 a weight of 39.
fn weight_of_shares(shares: u64) -> u64 {
    match shares {
        ..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10_f64.powf(exponent).ceil() as u64
        }
    }
}

pub(super) fn cpuset(resources: &LinuxResources) -> Result<Vec<Limit>, Error> {
    let Some(cpu) = resources.cpu() else {
        return Ok(Vec::new());
    };
    let files = [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())];
    let asked = |(file, list): (&str, &Option<String>)| {
        let list = list.as_deref().filter(|list| !list.is_empty())?;
        Some(Limit::new("cpuset", file, list))
    };
    Ok(files.into_iter().filter_map(asked).collect())
}

pub(super) fn pids(resources: &LinuxResources) -> Result<Vec<Limit>, Error> {
    let value = resources.pids().map(|pids| match pids.limit() {
        n if n > 0 => n.to_string(),
        _ => "max".to_owned(),
    });
    Ok(value
        .into_iter()
        .map(|value| Limit::new("pids", "pids.max", value))
        .collect())
}

pub(super) fn block_io(resources: &LinuxResources) -> Result<Vec<Limit>, Error> {
    let Some(io) = resources.block_io() else {
        return Ok(Vec::new());
    };
    let weights = io.weight_device().as_deref().unwrap_or_default();
    let has_leaf = |n: Option<u16>| n.is_some_and(|n| n != 0);
    if has_leaf(io.leaf_weight()) || weights.iter().any(|w| has_leaf(w.leaf_weight())) {
        return Err(config(
            "blockIO.leafWeight",
            "cgroup v2 has no weight for leaves",
        ));
    }
    let mut limits = Vec::new();
    if let Some(weight) = io.weight().filter(|w| *w != 0) {
        limits.push(Limit::new("io", "io.bfq.weight", weight));
    }
    for device in weights {
        if let Some(weight) = device.weight().filter(|w| *w != 0) {
            let value = format!("{}:{} {weight}", device.major(), device.minor());
            limits.push(Limit::new("io", "io.bfq.weight", value));
        }
    }
    let throttles = [
        ("rbps", io.throttle_read_bps_device()),
        ("wbps", io.throttle_write_bps_device()),
        ("riops", io.throttle_read_iops_device()),
        ("wiops", io.throttle_write_iops_device()),
    ];
    for (key, devices) in throttles {
        for device in devices.as_deref().unwrap_or_default() {
            limits.push(Limit::new("io", "io.max", throttle(key, device)));
        }
    }
    Ok(limits)
}

fn throttle(key: &str, device: &LinuxThrottleDevice) -> String {
    let rate = match device.rate() {
        0 => "max".to_owned(),
        rate => rate.to_string(),
    };
    format!("{}:{} {key}={rate}", device.major(), device.minor())
}

pub(super) fn hugetlb(resources: &LinuxResources) -> Result<Vec<Limit>, Error> {
    let pages = resources.hugepage_limits().as_deref().unwrap_or_default();
    let limit = |page: &oci_spec::runtime::LinuxHugepageLimit| {
        let value = if page.limit() < 0 {
            "max".to_owned()
        } else {
            page.limit().to_string()
        };
        // What is reserved counts as used, or a mapping would be granted and then fail (SIGBUS).
        ["max", "rsvd.max"].map(|suffix| {
            Limit::new(
                "hugetlb",
                format!("hugetlb.{}.{suffix}", page.page_size()),
                &value,
            )
        })
    };
    Ok(pages.iter().flat_map(limit).collect())
}

pub(super) fn rdma(resources: &LinuxResources) -> Result<Vec<Limit>, Error> {
    let devices = resources.rdma().iter().flatten();
    let mut limits: Vec<Limit> = devices
        .map(|(device, limit)| {
            let handles = limit.hca_handles().map(|n| format!(" hca_handle={n}"));
            let objects = limit.hca_objects().map(|n| format!(" hca_object={n}"));
            let value = format!(
                "{device}{}{}",
                handles.unwrap_or_default(),
                objects.unwrap_or_default()
            );
            Limit::new("rdma", "rdma.max", value)
        })
        .collect();
    limits.sort_by(|a, b| a.value.cmp(&b.value));
    Ok(limits)
}

/// `linux.resources.unified`: files of v2 and their content, as they stand.
pub(super) fn verbatim(
    resources: &LinuxResources,
    host: &Hierarchies,
) -> Result<Vec<Limit>, Error> {
    let mut files: Vec<_> = resources.unified().iter().flatten().collect();
    files.sort();
    files
        .into_iter()
        .map(|(file, value)| verbatim_file(file, value, host))
        .collect()
}

fn verbatim_file(file: &str, value: &str, host: &Hierarchies) -> Result<Limit, Error> {
    let refused = |reason: String| Err(config(&format!("unified.{file}"), reason));
    let controller = match file.split_once('.') {
        Some((controller, rest)) if !controller.is_empty() && !rest.is_empty() => controller,
        _ => return refused("is not named controller.file".to_owned()),
    };
    if file.contains('/') {
        return refused("must not contain a slash".to_owned());
    }
    let Some(unified) = host.unified() else {
        return refused("this host has no cgroup v2".to_owned());
    };
    // `cgroup.max.depth` and its kin are there without any controller.
    if controller != "cgroup" && !unified.controllers.iter().any(|c| c == controller) {
        let legacy = host
            .with(controller)
            .is_some_and(|h| h.version == Version::Legacy);
        return refused(match legacy {
            true => format!("this host has the {controller} controller in cgroup v1 only"),
            false => format!("this host has no {controller} cgroup controller"),
        });
    }
    Ok(Limit::new(controller, file, value))
}

#[cfg(test)]
mod tests {
    use super::weight_of_shares;

    #[test]
    fn shares_keep_their_meaning_as_weights() {
        let weights = [1, 2, 512, 1024, 2048, 262_144, u64::MAX].map(weight_of_shares);
        assert_eq!(weights, [1, 1, 59, 100, 174, 10_000, 10_000]);
    }
}
