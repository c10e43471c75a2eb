//! What can go wrong between a bundle and a process.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// A failure of the runtime.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the bundle or of the state could not be read or written.
    #[error("{action} {path}")]
    File {
        /// As `read`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A JSON file does not hold what it should.
    #[error("{path} is not valid")]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The bundle's configuration asks for something impossible.
    #[error("config.json: {field}: {reason}")]
    Config {
        /// The field, as `process.cwd`.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The container's id cannot be used.
    #[error("the container id {id:?} is not valid: {reason}")]
    Id {
        /// The id.
        id: String,
        /// Why.
        reason: &'static str,
    },
    /// A container of this id exists.
    #[error("container {id:?} exists already")]
    Exists {
        /// The id.
        id: String,
    },
    /// There is no container of this id.
    #[error("container {id:?} does not exist")]
    Missing {
        /// The id.
        id: String,
    },
    /// The container is in a state in which this cannot be done.
    #[error("cannot {action} container {id:?}: it is {status}")]
    Status {
        /// What was asked.
        action: &'static str,
        /// The container.
        id: String,
        /// Its status.
        status: crate::Status,
    },
    /// A process could not be waited for.
    #[error("wait for process {pid}")]
    Wait {
        /// The process.
        pid: i32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A signal could not be sent.
    #[error("send signal {signal} to container {id:?}")]
    Signal {
        /// The signal's number.
        signal: i32,
        /// The container.
        id: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The container's cgroup did not do what was asked.
    #[error(transparent)]
    Cgroup(#[from] kernel::cgroup::Error),
    /// `criu` could not save or make the processes.
    #[error("criu {action}: {reason} (its log: {log})")]
    Criu {
        /// Its command, as `dump`.
        action: &'static str,
        /// What it says.
        reason: String,
        /// Where it says more.
        log: PathBuf,
    },
    /// The kernel refused a step.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
}

impl Error {
    pub(crate) fn file(action: &'static str, path: &Path, source: io::Error) -> Error {
        Error::File {
            action,
            path: path.into(),
            source,
        }
    }

    pub(crate) fn wait(pid: i32, errno: Errno) -> Error {
        Error::Wait {
            pid,
            source: errno.into(),
        }
    }

    pub(crate) fn signal(signal: i32, id: &str, errno: Errno) -> Error {
        Error::Signal {
            signal,
            id: id.into(),
            source: errno.into(),
        }
    }

    /// What a person can do about it, when that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::Kernel(error) => error.hint(),
            _ => None,
        }
    }

    /// The errno below, when there is one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::Kernel(error) => error.errno(),
            Error::File { source, .. }
            | Error::Wait { source, .. }
            | Error::Signal { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}
