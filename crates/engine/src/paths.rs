//! Every path the engine owns, in one table.
//!
//! `root` outlives a reboot, `state` (a tmpfs) does not. The image store and the networks keep their own tables in their
//! own crates; all share the two directories. Every directory is 0700, every file 0600, all of root's.
//!
//! ```text
//! root/containers/ID/config.json   what was asked for, laid over the image (record.rs: Record)
//!                   /last.json      how the last run went (record.rs: Last)
//!                   /upper work     the container's own layer
//!                   /log.json[.N]   its output (logs.rs)
//! root/names/NAME                  a symbolic link whose text is the id: taking a name is one exclusive symlinkat(2)
//! root/volumes/NAME/_data          a volume's content
//!                  /volume.json     its labels and options
//! state/containers/ID/alive        locked for as long as somebody answers for this container: its creator, its monitor
//!                    /state.json    what runs (record.rs: State), written by the monitor only
//!                    /stopping      present: somebody asked it to end, do not restart it
//!                    /paused        present: frozen
//!                    /attach        the monitor's socket
//!                    /hosts hostname resolv.conf   bind-mounted over /etc
//!                    /config.json rootfs   the OCI bundle; the root is mounted in the container's view only
//!                    /shm           its /dev/shm, when others may share it (shared.rs)
//! state/volumes/NAME               locked by whoever uses a volume that is mounted on the host (shared.rs)
//! state/runtime/ID                 what the OCI runtime keeps of it
//! state/events                     one JSON line per event
//! state/booted                     present: the repair after a boot was done
//! ```

use std::path::{Path, PathBuf};

/// The two roots.
#[derive(Debug, Clone)]
pub struct Paths {
    root: PathBuf,
    state: PathBuf,
}

impl Paths {
    /// Over these two directories.
    pub fn new(root: &Path, state: &Path) -> Self {
        Self {
            root: root.to_owned(),
            state: state.to_owned(),
        }
    }

    /// Kept over reboots.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Lost with a reboot.
    pub fn state(&self) -> &Path {
        &self.state
    }

    pub(crate) fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    pub(crate) fn names(&self) -> PathBuf {
        self.root.join("names")
    }

    pub(crate) fn name(&self, name: &str) -> PathBuf {
        self.names().join(name)
    }

    pub(crate) fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    pub(crate) fn volume(&self, name: &str) -> PathBuf {
        self.volumes().join(name)
    }

    pub(crate) fn active(&self) -> PathBuf {
        self.state.join("containers")
    }

    pub(crate) fn runtime(&self) -> PathBuf {
        self.state.join("runtime")
    }

    pub(crate) fn events(&self) -> PathBuf {
        self.state.join("events")
    }

    pub(crate) fn held_volumes(&self) -> PathBuf {
        self.state.join("volumes")
    }

    pub(crate) fn held_volume(&self, name: &str) -> PathBuf {
        self.held_volumes().join(name)
    }

    pub(crate) fn booted(&self) -> PathBuf {
        self.state.join("booted")
    }

    pub(crate) fn container(&self, id: &str) -> ContainerPaths {
        ContainerPaths {
            kept: self.containers().join(id),
            live: self.active().join(id),
        }
    }
}

/// The paths of one container.
#[derive(Debug, Clone)]
pub(crate) struct ContainerPaths {
    /// Its directory under root.
    pub(crate) kept: PathBuf,
    /// Its directory under state.
    pub(crate) live: PathBuf,
}

impl ContainerPaths {
    pub(crate) fn config(&self) -> PathBuf {
        self.kept.join("config.json")
    }

    pub(crate) fn last(&self) -> PathBuf {
        self.kept.join("last.json")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.kept.join("log.json")
    }

    pub(crate) fn alive(&self) -> PathBuf {
        self.live.join("alive")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.live.join("state.json")
    }

    pub(crate) fn stopping(&self) -> PathBuf {
        self.live.join("stopping")
    }

    pub(crate) fn paused(&self) -> PathBuf {
        self.live.join("paused")
    }

    pub(crate) fn attach(&self) -> PathBuf {
        self.live.join("attach")
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.live.join("rootfs")
    }

    pub(crate) fn shm(&self) -> PathBuf {
        self.live.join("shm")
    }

    pub(crate) fn hosts(&self) -> PathBuf {
        self.live.join("hosts")
    }

    pub(crate) fn hostname(&self) -> PathBuf {
        self.live.join("hostname")
    }

    pub(crate) fn resolv_conf(&self) -> PathBuf {
        self.live.join("resolv.conf")
    }
}
