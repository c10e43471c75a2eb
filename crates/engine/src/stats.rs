//! `stats`: one reading of a container's cgroup and interfaces.

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
        let _ = who;
        todo!()
    }
}
