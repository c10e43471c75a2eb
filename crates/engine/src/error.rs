//! What can go wrong, in words a person can act on.
//!
//! A variant says what was attempted and on which container, path or name; where a command helps, the text names it.
//! [`Error::exit_code`] gives docker's exit codes (125, 126, 127, 1).

use std::io;
use std::path::{Path, PathBuf};

/// The engine's result.
pub type Result<T> = std::result::Result<T, Error>;

/// The engine's errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No container has this name or id.
    #[error("no such container: {0} (`lighter ps -a` lists them)")]
    NoSuchContainer(String),
    /// An id prefix fits several containers.
    #[error(
        "the id {prefix} fits {count} containers: give more of its characters (`lighter ps -a --no-trunc`)"
    )]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// How many fit.
        count: usize,
    },
    /// The name is taken.
    #[error(
        "the name {name} is used by the container {id}: remove it (`lighter rm {name}`) or rename it (`lighter rename {name} NEW`)"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// Short id of its holder.
        id: String,
    },
    /// A name, path or value that cannot be taken.
    #[error("{what} `{value}`: {why}")]
    Invalid {
        /// Which value.
        what: &'static str,
        /// The value itself.
        value: String,
        /// What it must look like.
        why: String,
    },
    /// The verb needs a running container.
    #[error("the container {name} is not running (`lighter start {name}` starts it)")]
    NotRunning {
        /// Name.
        name: String,
    },
    /// The verb needs a stopped container.
    #[error(
        "the container {name} is running: stop it first (`lighter stop {name}`) or force it (`lighter rm -f {name}`)"
    )]
    Running {
        /// Name.
        name: String,
    },
    /// The container is paused.
    #[error("the container {name} is paused (`lighter unpause {name}`)")]
    Paused {
        /// Name.
        name: String,
    },
    /// The container is not paused.
    #[error("the container {name} is not paused")]
    NotPaused {
        /// Name.
        name: String,
    },
    /// Its first process did not come to life.
    #[error("cannot start the container {name}: {cause}")]
    Start {
        /// Name.
        name: String,
        /// The cause as the monitor found it.
        cause: String,
        /// 125, 126 or 127.
        code: u8,
    },
    /// A program could not be run in a running container.
    #[error("cannot run `{program}` in the container {name}: {cause}")]
    Exec {
        /// The program.
        program: String,
        /// Name.
        name: String,
        /// The cause.
        cause: String,
        /// 125, 126 or 127.
        code: u8,
    },
    /// Nobody can tell how it ended.
    #[error("lost the container {name}: {cause}")]
    Lost {
        /// Name.
        name: String,
        /// What is known.
        cause: String,
    },
    /// Another command works on it.
    #[error(
        "another command works on the container {name} for a minute already: try again when it is done (`fuser -v` on its directory tells who)"
    )]
    Busy {
        /// Short id.
        name: String,
    },
    /// It did not end even after SIGKILL.
    #[error("the container {name} does not end: process {pid} hangs in the kernel ({stack})")]
    Unkillable {
        /// Name.
        name: String,
        /// Its first process.
        pid: i32,
        /// Where it hangs (`/proc/PID/wchan`).
        stack: String,
    },
    /// The container has no such mount, port, process column and the like.
    #[error("{0}")]
    NotFound(String),
    /// No volume has this name.
    #[error("no such volume: {0} (`lighter volume ls` lists them)")]
    NoSuchVolume(String),
    /// Containers use the volume.
    #[error(
        "the volume {name} is used by {containers}: remove them first (`lighter rm -v {containers}`)"
    )]
    VolumeInUse {
        /// Name.
        name: String,
        /// Names of the containers.
        containers: String,
    },
    /// A file system operation.
    #[error("cannot {action} {}", path.display())]
    Path {
        /// `read`, `write`, `make`, ...
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The errno.
        source: io::Error,
    },
    /// A filesystem that containers share.
    #[error("cannot mount {what} at {}{note}", path.display())]
    Mount {
        /// Device and type.
        what: String,
        /// Where on the host.
        path: PathBuf,
        /// What the kernel said beyond the errno.
        note: String,
        /// The errno.
        source: io::Error,
    },
    /// A file of ours that does not read as it should.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        why: String,
    },
    /// A part of the runtime spec that cannot be built.
    #[error("the runtime spec cannot be built")]
    Spec(#[from] oci_spec::OciSpecError),
    /// The runtime.
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    /// The host's cgroups.
    #[error(transparent)]
    Cgroup(#[from] kernel::cgroup::Error),
    /// The network.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// The image store.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// A system call that concerns no path.
    #[error("cannot {action}")]
    System {
        /// What was attempted.
        action: &'static str,
        /// The errno.
        source: io::Error,
    },
}

impl Error {
    /// docker's exit code for this error: 125 the engine's, 126 not executable, 127 not found.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Start { code, .. } | Self::Exec { code, .. } => *code,
            Self::Invalid { .. } | Self::NameTaken { .. } => 125,
            _ => 1,
        }
    }

    pub(crate) fn path(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Path {
            action,
            path,
            source,
        }
    }

    pub(crate) fn system(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { action, source }
    }

    pub(crate) fn invalid(
        what: &'static str,
        value: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self::Invalid {
            what,
            value: value.into(),
            why: why.into(),
        }
    }
}
