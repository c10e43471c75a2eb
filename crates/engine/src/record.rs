//! What is on disk about one container: three JSON files, each with one writer.
//!
//! [`Record`] (`config.json`) is what was asked for; `create`, `rename` and `update` write it under the container's lock.
//! [`State`] (`state.json`) is what runs; only its monitor writes it. [`Last`] (`last.json`) is how the last run went.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::ContainerConfig;
use crate::health::Health;
use crate::list::JoinedNetwork;

/// Version of the three files; a change that an older `lighter` cannot read raises it.
pub(crate) const FORMAT: u32 = 1;

/// What was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    /// Name.
    pub(crate) name: String,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// The wish laid over the image's configuration, every volume named.
    pub(crate) config: ContainerConfig,
    /// Read-only layers, topmost first.
    pub(crate) lower: Vec<PathBuf>,
    /// The image's SHELL, for health checks.
    #[serde(default)]
    pub(crate) shell: Vec<String>,
}

/// A process named so that a later one with the same number is not mistaken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    /// Number on the host.
    pub(crate) pid: i32,
    /// Start time in clock ticks since boot (proc_pid_stat(5), field 22).
    pub(crate) start: u64,
}

/// What runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// The monitor.
    pub(crate) monitor: ProcessId,
    /// The container's first process; none while it waits to be restarted.
    pub(crate) init: Option<ProcessId>,
    /// Start of this run.
    pub(crate) started: Timestamp,
    /// Restarts by the policy.
    pub(crate) restart_count: u32,
    /// How the run before a restart ended.
    pub(crate) before: Option<Last>,
    /// Health, when there is a check.
    pub(crate) health: Option<Health>,
}

/// How the last run went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Last {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// Start.
    pub(crate) started: Option<Timestamp>,
    /// End; none: it was up when the machine went down, or still is.
    pub(crate) finished: Option<Timestamp>,
    /// Exit code, 128 + n for signal n.
    pub(crate) exit_code: i32,
    /// The kernel killed one of its processes for memory.
    pub(crate) oom_killed: bool,
    /// Somebody asked it to end: `unless-stopped` leaves it down at boot.
    pub(crate) stopped: bool,
    /// Restarts by the policy.
    pub(crate) restart_count: u32,
    /// Why it could not start, or what ended it.
    pub(crate) error: Option<String>,
    /// Last health.
    pub(crate) health: Option<Health>,
    /// The networks it was on: the next run gets the same addresses when they are free.
    #[serde(default)]
    pub(crate) networks: Vec<JoinedNetwork>,
}
