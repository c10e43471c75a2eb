//! A container's state on disk: what any later process needs to find, judge, stop and remove it.
//!
//! One directory for each container below the state root, with `state.json`
//! written by atomic rename. runtime.md, State.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

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

/// What is kept of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The version of the specification of `config.json`.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
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
}

/// The state's file in a container's directory.
const FILE: &str = "state.json";

impl State {
    /// Write the state into a container's directory, whole or not at all.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(FILE);
        let failed = |source| Error::File {
            action: "write",
            path: path.clone(),
            source,
        };
        let draft = dir.join(".state.json");
        let text = serde_json::to_vec(self).map_err(|e| failed(e.into()))?;
        let mut options = fs::OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&draft).map_err(failed)?;
        file.write_all(&text).map_err(failed)?;
        fs::rename(&draft, &path).map_err(failed)
    }

    /// Read the state in a container's directory.
    pub fn read(dir: &Path) -> Result<State, Error> {
        let path = dir.join(FILE);
        let text = fs::read(&path);
        let text = text.map_err(|source| Error::File {
            action: "read",
            path: path.clone(),
            source,
        })?;
        serde_json::from_slice(&text).map_err(|source| Error::Json { path, source })
    }
}
