//! Control groups: which hierarchies this host has, and one container's place in them.
//!
//! In: `/proc/self/mountinfo` and a path such as `/lighter-web`. Out: a [`Group`], the directories
//! of that path in each hierarchy, with what can be done to them: create, write, enter, freeze,
//! kill, remove, read. What to write into them is decided in the runtime crate
//! (`plan/cgroup.rs`); here is only how the kernel wants it.
//!
//! Three layouts exist: *unified* (cgroup v2 alone), *hybrid* (v2 beside v1 controllers) and
//! *legacy* (v1 alone). [`hierarchy`] reads the layout; [`tree`] works on the directories.

pub mod hierarchy;
pub mod tree;

use std::io;
use std::path::{Path, PathBuf};

pub use hierarchy::{Directory, Group, Hierarchies, Hierarchy, Layout, Version};

/// What was attempted on which path, for the work that is not a step of a script.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of a cgroup, or the list of mounts, could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file of a cgroup did not take a value.
    #[error("cannot write \"{value}\" to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The value that was refused.
        value: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A cgroup directory could not be removed.
    #[error("cannot remove cgroup {}", path.display())]
    Remove {
        /// The directory.
        path: PathBuf,
        /// What the kernel said; `EBUSY` when processes or a mount still hold it.
        source: io::Error,
    },
    /// The processes of a cgroup did not reach the wanted state in time.
    #[error("the processes in cgroup {} did not become {wanted} within {seconds} s", path.display())]
    Timeout {
        /// The directory.
        path: PathBuf,
        /// `frozen`, `thawed` or `dead`.
        wanted: &'static str,
        /// How long was waited.
        seconds: u64,
    },
    /// The host offers no hierarchy for the work.
    #[error("this host has no cgroup hierarchy that can {0}")]
    Unsupported(&'static str),
    /// A cgroup path that would leave its hierarchy, or that is the hierarchy's root itself (where
    /// the host's own processes live: to kill or remove "the group" there would be to kill the host).
    #[error("cgroup path {} must name a group below the root, without \"..\"", .0.display())]
    Path(PathBuf),
}

impl Error {
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Error::Read { path, source }
    }

    pub(crate) fn write(path: &Path, value: &str) -> impl FnOnce(io::Error) -> Self {
        let (path, value) = (path.to_owned(), value.to_owned());
        move |source| Error::Write {
            path,
            value,
            source,
        }
    }
}
