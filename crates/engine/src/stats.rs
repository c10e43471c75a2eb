//! `stats`: one reading of a container's cgroup and interfaces.

use rustix::time::{ClockId, clock_gettime};

use crate::{Engine, Result};

/// One reading. A front end takes two to get rates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Processor time used since the start, in nanoseconds.
    pub cpu_nanos: u64,
    /// Clock of the reading (CLOCK_MONOTONIC), in nanoseconds.
    pub at_nanos: u64,
    /// Number of online processors.
    pub cpus: u32,
    /// Memory in use without inactive file cache, in bytes.
    pub memory: u64,
    /// Memory limit in bytes; the host's memory when there is none.
    pub memory_limit: u64,
    /// Received and sent bytes of all interfaces but loopback.
    pub network: (u64, u64),
    /// Read and written bytes of block devices.
    pub block: (u64, u64),
    /// Number of processes and threads.
    pub pids: u64,
}

impl Engine {
    /// One reading of a running container.
    pub fn stats(&self, who: &str) -> Result<Stats> {
        let seen = self.observe_as(who)?;
        let pid = seen.pid()?;
        let read = runtime::stats::read(&self.container(&seen.record.id)?.state.cgroup);
        let now = clock_gettime(ClockId::Monotonic);
        let whole = host_memory();
        let inactive = ["total_inactive_file", "inactive_file"];
        let cache = inactive
            .iter()
            .find_map(|key| read.memory.raw.get(*key))
            .copied()
            .unwrap_or(0);
        let blocks = |kind: &str| {
            let entries = read.blkio.io_service_bytes_recursive.iter();
            entries
                .filter(|entry| entry.op.eq_ignore_ascii_case(kind))
                .map(|entry| entry.value)
                .sum()
        };
        Ok(Stats {
            cpu_nanos: read.cpu.usage.total,
            at_nanos: now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned(),
            cpus: std::thread::available_parallelism()
                .map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
            memory: read.memory.usage.usage.saturating_sub(cache),
            memory_limit: if read.memory.usage.limit == 0 {
                whole
            } else {
                read.memory.usage.limit.min(whole)
            },
            network: traffic(pid),
            block: (blocks("read"), blocks("write")),
            pids: read.pids.current,
        })
    }
}

/// `MemTotal` of proc_meminfo(5), in bytes.
fn host_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?
            .trim()
            .split(' ')
            .next()?
            .parse::<u64>()
            .ok()
    });
    kib.unwrap_or(0) * 1024
}

/// Received and sent bytes in a process's network namespace, loopback aside.
fn traffic(pid: i32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let interface = |line: &str| -> Option<(u64, u64)> {
        let (name, counters) = line.split_once(':')?;
        let fields: Vec<&str> = counters.split_whitespace().collect();
        (name.trim() != "lo")
            .then_some((fields.first()?.parse().ok()?, fields.get(8)?.parse().ok()?))
    };
    text.lines()
        .filter_map(interface)
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}
