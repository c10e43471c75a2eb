//! `linux.resources` of config.json as values for cgroup files.
//!
//! In: the OCI resources and which generation of cgroups has which controller. Out: [`Limit`]s in
//! the order in which the kernel takes them. The two generations have a file each, [`unified`] (v2)
//! and [`legacy`] (v1); on a hybrid host each controller goes to its own. [`devices`] has the rules
//! of the device cgroup.
//!
//! A limit that the host cannot apply is an error that names the controller, never silence.
//! config-linux.md, Control groups; Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/.

pub mod devices;
mod legacy;
mod unified;

use kernel::cgroup::{Hierarchies, Version};
use oci_spec::runtime::LinuxResources;

use crate::Error;

/// One value for one file of a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The controller, such as `memory`: it says in which hierarchy the file is.
    pub controller: String,
    /// The file, such as `memory.max`.
    pub file: String,
    /// What is written.
    pub value: String,
}

impl Limit {
    fn new(controller: &str, file: impl Into<String>, value: impl ToString) -> Self {
        Self {
            controller: controller.to_owned(),
            file: file.into(),
            value: value.to_string(),
        }
    }
}

/// The values that bring `resources` about on this host, without the device rules.
///
/// # Errors
/// [`Error::Config`] with the field: the host lacks the controller, or its generation of cgroups
/// has no such limit, or the values contradict each other.
pub fn limits(resources: &LinuxResources, host: &Hierarchies) -> Result<Vec<Limit>, Error> {
    let mut limits = Vec::new();
    for part in PARTS {
        let version = host.with(part.legacy).map(|h| h.version);
        let unified = host
            .unified()
            .is_some_and(|h| h.controllers.iter().any(|c| c == part.unified));
        let found = match version {
            Some(Version::Legacy) => (part.legacy_limits)(resources)?,
            _ if unified => (part.unified_limits)(resources)?,
            // To learn whether anything was asked for, any generation will do.
            _ => refuse((part.legacy_limits)(resources)?, part)?,
        };
        limits.extend(found);
    }
    limits.extend(unified::verbatim(resources, host)?);
    Ok(limits)
}

/// One field of the resources and its controller's name in each generation.
struct Part {
    field: &'static str,
    legacy: &'static str,
    unified: &'static str,
    legacy_limits: fn(&LinuxResources) -> Result<Vec<Limit>, Error>,
    unified_limits: fn(&LinuxResources) -> Result<Vec<Limit>, Error>,
}

/// cpuset stands first: without it no process can enter a v1 group.
const PARTS: &[Part] = &[
    Part {
        field: "cpu",
        legacy: "cpuset",
        unified: "cpuset",
        legacy_limits: unified::cpuset,
        unified_limits: unified::cpuset,
    },
    Part {
        field: "memory",
        legacy: "memory",
        unified: "memory",
        legacy_limits: legacy::memory,
        unified_limits: unified::memory,
    },
    Part {
        field: "cpu",
        legacy: "cpu",
        unified: "cpu",
        legacy_limits: legacy::cpu,
        unified_limits: unified::cpu,
    },
    Part {
        field: "pids",
        legacy: "pids",
        unified: "pids",
        legacy_limits: unified::pids,
        unified_limits: unified::pids,
    },
    Part {
        field: "blockIO",
        legacy: "blkio",
        unified: "io",
        legacy_limits: legacy::block_io,
        unified_limits: unified::block_io,
    },
    Part {
        field: "hugepageLimits",
        legacy: "hugetlb",
        unified: "hugetlb",
        legacy_limits: legacy::hugetlb,
        unified_limits: unified::hugetlb,
    },
    Part {
        field: "network.classID",
        legacy: "net_cls",
        unified: "net_cls",
        legacy_limits: legacy::network_class,
        unified_limits: legacy::network_class,
    },
    Part {
        field: "network.priorities",
        legacy: "net_prio",
        unified: "net_prio",
        legacy_limits: legacy::network_priorities,
        unified_limits: legacy::network_priorities,
    },
    Part {
        field: "rdma",
        legacy: "rdma",
        unified: "rdma",
        legacy_limits: unified::rdma,
        unified_limits: unified::rdma,
    },
];

fn refuse(limits: Vec<Limit>, part: &Part) -> Result<Vec<Limit>, Error> {
    match limits.first() {
        None => Ok(limits),
        Some(_) if part.legacy == part.unified => Err(config(
            part.field,
            format!("this host has no {} cgroup controller", part.unified),
        )),
        Some(_) => Err(config(
            part.field,
            format!(
                "this host has no cgroup controller {} (v2) or {} (v1)",
                part.unified, part.legacy
            ),
        )),
    }
}

fn config(field: &str, reason: impl Into<String>) -> Error {
    Error::Config {
        field: format!("linux.resources.{field}"),
        reason: reason.into(),
    }
}

/// A limit of -1 is none, of 0 is unset (engines send 0 for what nobody asked).
fn bytes(value: Option<i64>, unlimited: &str) -> Option<String> {
    match value {
        None | Some(0) => None,
        Some(n) if n < 0 => Some(unlimited.to_owned()),
        Some(n) => Some(n.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host with these v1 and v2 controllers.
    pub(super) fn host(legacy: &[&str], unified: &[&str]) -> Hierarchies {
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

    fn written(json: &serde_json::Value, host: &Hierarchies) -> String {
        let resources = serde_json::from_value(json.clone()).unwrap();
        match limits(&resources, host) {
            Ok(limits) => limits
                .iter()
                .map(|l| format!("{} = {}", l.file, l.value))
                .collect::<Vec<_>>()
                .join("\n"),
            Err(error) => error.to_string(),
        }
    }

    fn everything() -> serde_json::Value {
        serde_json::json!({
            "memory": {"limit": 104857600, "swap": 157286400, "reservation": 52428800},
            "cpu": {"shares": 512, "quota": 50000, "period": 100000, "burst": 1000, "idle": 0,
                "cpus": "0-1", "mems": "0"},
            "pids": {"limit": 32},
            "blockIO": {"weight": 500, "weightDevice": [{"major": 8, "minor": 0, "weight": 300}],
                "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1024}],
                "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 100}]},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}],
            "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}},
        })
    }

    #[test]
    fn a_v2_host_gets_v2_files() {
        let host = host(
            &[],
            &["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma"],
        );
        insta::assert_snapshot!(written(&everything(), &host), @r"
        cpuset.cpus = 0-1
        cpuset.mems = 0
        memory.swap.max = 52428800
        memory.max = 104857600
        memory.low = 52428800
        cpu.idle = 0
        cpu.weight = 59
        cpu.max.burst = 0
        cpu.max = 50000 100000
        cpu.max.burst = 1000
        pids.max = 32
        io.bfq.weight = 500
        io.bfq.weight = 8:0 300
        io.max = 8:0 rbps=1024
        io.max = 8:0 wiops=100
        hugetlb.2MB.max = 4194304
        hugetlb.2MB.rsvd.max = 4194304
        rdma.max = mlx5_1 hca_handle=3 hca_object=10000
        ");
    }

    #[test]
    fn a_v1_host_gets_v1_files() {
        let host = host(
            &[
                "cpuset", "cpu", "blkio", "memory", "hugetlb", "pids", "rdma",
            ],
            &[],
        );
        insta::assert_snapshot!(written(&everything(), &host), @r"
        cpuset.cpus = 0-1
        cpuset.mems = 0
        memory.limit_in_bytes = 104857600
        memory.memsw.limit_in_bytes = 157286400
        memory.soft_limit_in_bytes = 52428800
        cpu.shares = 512
        cpu.idle = 0
        cpu.cfs_burst_us = 0
        cpu.cfs_period_us = 100000
        cpu.cfs_quota_us = 50000
        cpu.cfs_burst_us = 1000
        pids.max = 32
        blkio.bfq.weight = 500
        blkio.bfq.weight_device = 8:0 300
        blkio.throttle.read_bps_device = 8:0 1024
        blkio.throttle.write_iops_device = 8:0 100
        hugetlb.2MB.limit_in_bytes = 4194304
        hugetlb.2MB.rsvd.limit_in_bytes = 4194304
        rdma.max = mlx5_1 hca_handle=3 hca_object=10000
        ");
    }

    #[test]
    fn on_a_hybrid_host_each_controller_goes_to_its_hierarchy() {
        let host = host(&["memory"], &["pids"]);
        let json = serde_json::json!({"memory": {"limit": 4096}, "pids": {"limit": 5}});
        insta::assert_snapshot!(written(&json, &host), @r"
        memory.limit_in_bytes = 4096
        pids.max = 5
        ");
    }

    #[test]
    fn what_nobody_asked_for_needs_no_controller() {
        let json = serde_json::json!({
            "memory": {"limit": 0, "swap": 0, "reservation": 0, "disableOOMKiller": false},
            "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": ""},
            "blockIO": {"weight": 0}, "hugepageLimits": [],
        });
        assert_eq!(written(&json, &host(&[], &[])), "");
    }

    #[test]
    fn no_limit_is_a_limit_that_has_to_be_written() {
        let json = serde_json::json!({
            "memory": {"limit": -1}, "pids": {"limit": 0}, "cpu": {"quota": -1},
        });
        let v2 = written(&json, &host(&[], &["memory", "pids", "cpu"]));
        let v1 = written(&json, &host(&["memory", "pids", "cpu"], &[]));
        insta::assert_snapshot!(format!("{v2}\n--\n{v1}"), @r"
        memory.swap.max = max
        memory.max = max
        cpu.max = max 100000
        pids.max = max
        --
        memory.limit_in_bytes = -1
        memory.memsw.limit_in_bytes = -1
        cpu.cfs_quota_us = -1
        pids.max = max
        ");
    }

    #[test]
    fn what_the_host_cannot_do_is_an_error_with_its_field() {
        let v2 = host(&[], &["memory", "cpu"]);
        let refusals = [
            serde_json::json!({"pids": {"limit": 5}}),
            serde_json::json!({"blockIO": {"weight": 100}}),
            serde_json::json!({"network": {"classID": 5}}),
            serde_json::json!({"memory": {"swap": 4096}}),
            serde_json::json!({"memory": {"limit": 8192, "swap": 4096}}),
            serde_json::json!({"memory": {"swappiness": 10}}),
            serde_json::json!({"memory": {"disableOOMKiller": true}}),
            serde_json::json!({"memory": {"kernelTCP": 4096}}),
            serde_json::json!({"cpu": {"realtimeRuntime": 100}}),
            serde_json::json!({"unified": {"io.max": "8:0 rbps=1"}}),
            serde_json::json!({"unified": {"../memory.max": "1"}}),
            serde_json::json!({"unified": {"memory": "1"}}),
        ];
        let texts: Vec<_> = refusals.iter().map(|json| written(json, &v2)).collect();
        insta::assert_snapshot!(texts.join("\n"), @r"
        config.json: linux.resources.pids: this host has no pids cgroup controller
        config.json: linux.resources.blockIO: this host has no cgroup controller io (v2) or blkio (v1)
        config.json: linux.resources.network.classID: this host has no net_cls cgroup controller
        config.json: linux.resources.memory.swap: a limit of swap needs memory.limit
        config.json: linux.resources.memory.swap: memory and swap together (4096) are less than memory.limit (8192)
        config.json: linux.resources.memory.swappiness: cgroup v2 has no swappiness of its own for a group
        config.json: linux.resources.memory.disableOOMKiller: cgroup v2 has no way to switch the out-of-memory killer off
        config.json: linux.resources.memory.kernelTCP: cgroup v2 has no limit for TCP buffers alone
        config.json: linux.resources.cpu.realtimeRuntime: cgroup v2 has no limit for real-time processes
        config.json: linux.resources.unified.io.max: this host has no io cgroup controller
        config.json: linux.resources.unified.../memory.max: is not named controller.file
        config.json: linux.resources.unified.memory: is not named controller.file
        ");
    }
}
