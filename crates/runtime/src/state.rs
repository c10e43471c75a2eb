//! A container's state on disk: what any later process needs to find, judge, stop and remove it.
//!
//! One directory for each container below the state root, with `state.json`
//! written by atomic rename. runtime.md, State.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use kernel::Script;
use serde::{Deserialize, Serialize};

use crate::Error;

/// Where a container is in its life. runtime.md, Lifecycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being created.
    Creating,
    /// Created, the program not started.
    Created,
    /// The program runs.
    Running,
    /// The program is frozen.
    Paused,
    /// The program ended.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        })
    }
}

/// How far the runtime itself got. The kernel knows the rest; see [`State::status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The script is being played.
    Creating,
    /// The process waits for the start.
    Created,
    /// The program was started.
    Started,
}

/// A process, named so that another one with its pid is not taken for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its pid on the host.
    pub pid: i32,
    /// Clock ticks since boot.
    pub start_time: u64,
}

/// What is kept of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The version of the specification of `config.json`.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// How far its creation got.
    pub phase: Phase,
    /// The process that creates it.
    pub creator: Identity,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// The root filesystem's directory.
    pub rootfs: PathBuf,
    /// The process on the host; 0 before it exists.
    pub pid: i32,
    /// Its start time in clock ticks since boot, field 22 of proc_pid_stat(5): with the pid it names the process.
    pub start_time: u64,
    /// When it was created, RFC 3339.
    pub created: String,
    /// Its cgroup: a directory in each hierarchy that it takes part in.
    #[serde(default)]
    pub cgroup: kernel::cgroup::Group,
    /// From `config.json`.
    pub annotations: BTreeMap<String, String>,
    /// Where the root is mounted, when that is in the host's mount namespace.
    #[serde(default)]
    pub root_mount: Option<PathBuf>,
    /// Undoes what was done on the host for it, such as its network.
    pub undo: Script,
    /// Hooks after the start.
    pub poststart: Script,
    /// Hooks after everything was removed.
    pub poststop: Script,
    /// The agent that gets the notify descriptor of the seccomp filter.
    #[serde(default)]
    pub agent: Option<crate::container::Agent>,
}

const FILE: &str = "state.json";

impl State {
    /// Read the state in a container's directory.
    pub fn read(dir: &Path) -> Result<State, Error> {
        let path = dir.join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                let id = dir
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                return Err(Error::Missing { id });
            }
            Err(source) => {
                return Err(Error::File {
                    action: "read",
                    path,
                    source,
                });
            }
        };
        serde_json::from_slice(&text).map_err(|source| Error::Json { path, source })
    }

    /// Write it, by atomic rename.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(FILE);
        let text = serde_json::to_vec(self).map_err(|source| Error::Json {
            path: path.clone(),
            source,
        })?;
        kernel::file::write_host_file(&path, &text, 0o600).map_err(|source| Error::File {
            action: "write",
            path,
            source,
        })
    }

    /// Where the container is in its life, as the kernel shows it now.
    pub fn status(&self) -> Status {
        let creator_lives = || Identity::lives(&self.creator);
        match (self.phase, self.process().lives()) {
            (Phase::Creating, alive) if creator_lives() && (alive || self.pid == 0) => {
                Status::Creating
            }
            (_, false) | (Phase::Creating, true) => Status::Stopped,
            (_, true) if self.cgroup.is_frozen() => Status::Paused,
            (Phase::Created, true) => Status::Created,
            (Phase::Started, true) => Status::Running,
        }
    }

    /// The container's process.
    pub fn process(&self) -> Identity {
        Identity {
            pid: self.pid,
            start_time: self.start_time,
        }
    }
}

impl Identity {
    /// Identify a process that exists.
    pub fn of(pid: i32) -> Option<Identity> {
        let stat = kernel::process::stat(pid)?;
        Some(Identity {
            pid,
            start_time: stat.start_time,
        })
    }

    /// Does it still run? A process that ended and is not reaped yet does not.
    pub fn lives(&self) -> bool {
        let stat = if self.pid > 0 {
            kernel::process::stat(self.pid)
        } else {
            None
        };
        stat.is_some_and(|stat| stat.start_time == self.start_time && !stat.ended)
    }
}

/// Now, as RFC 3339 in UTC with nanoseconds.
pub(crate) fn now() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    rfc3339(now.as_secs(), now.subsec_nanos())
}

/// The civil date of a count of seconds (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn rfc3339(seconds: u64, nanoseconds: u32) -> String {
    let (days, rest) = ((seconds / 86400) as i64 + 719_468, seconds % 86400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanoseconds:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        assert_eq!(rfc3339(0, 0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc3339(1_709_210_096, 5), "2024-02-29T12:34:56.000000005Z");
        assert_eq!(rfc3339(1_767_225_599, 0), "2025-12-31T23:59:59.000000000Z");
    }

    #[test]
    fn a_process_with_another_start_time_is_another_process() {
        let own = Identity::of(std::process::id() as i32).unwrap();
        assert!(own.lives());
        assert!(
            !Identity {
                start_time: own.start_time + 1,
                ..own
            }
            .lives()
        );
        assert!(!Identity::default().lives());
    }
}
