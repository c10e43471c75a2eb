//! Filesystems that several containers share: the host mounts them for as long as a container needs them.
//!
//! A volume with a device of its own (`--opt type=tmpfs`, `nfs`, ...) is mounted at its `_data`, so that every container
//! sees the same files; the monitor of each holds a shared lock beside it, and whoever can lock it alone is the last and
//! unmounts. `/dev/shm` of a container with `--ipc shareable` is mounted in its directory under state and goes with it.
//! The kernel drops the locks of a monitor that is killed: the repair that buries its container unmounts.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use kernel::file::Root;
use kernel::op::Inside;
use oci_spec::runtime::MountBuilder;

use crate::config::{ContainerConfig, MountSource, NamespaceMode};
use crate::disk;
use crate::record::Record;
use crate::spec;
use crate::volume::Volume;
use crate::{Engine, Error, Result};

/// What a running container holds of shared filesystems.
#[derive(Debug, Default)]
pub(crate) struct Held {
    volumes: Vec<(String, File)>,
}

impl Engine {
    /// Mounts what the container shares with others, unless another one has done it.
    pub(crate) fn hold_shared(&self, record: &Record) -> Result<Held> {
        let mut held = Held::default();
        let hold = |held: &mut Held| -> Result<()> {
            for name in volumes(&record.config) {
                let volume = self.volume(name)?;
                if let Some(device) = volume.device() {
                    held.volumes
                        .push((name.to_owned(), self.hold_volume(&volume, &device)?));
                }
            }
            if record.config.ipc == NamespaceMode::Shareable {
                let place = self.paths.container(&record.id).shm();
                disk::make_dir(&place)?;
                mount(&place, "tmpfs", "shm", spec::shm_options(&record.config))?;
            }
            Ok(())
        };
        match hold(&mut held) {
            Ok(()) => Ok(held),
            Err(error) => {
                // The error matters; what cannot be undone now, the next repair undoes.
                let _ = self.release_shared(record, held);
                Err(error)
            }
        }
    }

    fn hold_volume(&self, volume: &Volume, device: &Device) -> Result<File> {
        disk::make_dirs(&self.paths.held_volumes())?;
        let path = self.paths.held_volume(&volume.name);
        loop {
            let lock = open(&path)?;
            // Alone: nobody uses it yet, or the last user was killed.
            if lock.try_lock().is_ok()
                && disk::is_same(&lock, &path)
                && !is_mount_point(&volume.path)?
            {
                mount(
                    &volume.path,
                    &device.kind,
                    &device.source,
                    device.options.clone(),
                )?;
            }
            lock.lock_shared().map_err(Error::path("lock", &path))?;
            // flock(2) lets go before it shares, and another one may have been the last user: then it is gone again.
            if disk::is_same(&lock, &path) && is_mount_point(&volume.path)? {
                return Ok(lock);
            }
        }
    }

    /// Lets go of them; the last user of a volume unmounts it.
    pub(crate) fn release_shared(&self, record: &Record, held: Held) -> Result<()> {
        drop(held);
        for name in volumes(&record.config) {
            self.unmount_unused(name)?;
        }
        let shm = self.paths.container(&record.id).shm();
        if shm.exists() {
            unmount(&shm)?;
        }
        Ok(())
    }

    /// Unmounts a volume that nobody holds.
    pub(crate) fn unmount_unused(&self, name: &str) -> Result<()> {
        let path = self.paths.held_volume(name);
        let Ok(lock) = File::open(&path) else {
            return Ok(());
        };
        if lock.try_lock().is_err() {
            return Ok(());
        }
        unmount(&self.paths.volume(name).join("_data"))?;
        disk::remove_file(&path)
    }

    /// Where `/dev/shm` of a container lies on the host, when it is shared.
    pub(crate) fn shared_shm(&self, record: &Record) -> Result<Option<PathBuf>> {
        let other = match &record.config.ipc {
            NamespaceMode::Shareable => return Ok(Some(self.paths.container(&record.id).shm())),
            NamespaceMode::Container(other) => self.observe_as(other)?.record,
            _ => return Ok(None),
        };
        if other.config.ipc != NamespaceMode::Shareable {
            let why = "its ipc is its own: run it with `--ipc shareable`";
            return Err(Error::invalid(
                "ipc",
                format!("container:{}", other.name),
                why,
            ));
        }
        Ok(Some(self.paths.container(&other.id).shm()))
    }
}

/// What is mounted in place of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    kind: String,
    source: String,
    options: Vec<String>,
}

impl Volume {
    /// The filesystem that its options name; none for a directory, its own or another of the host (`o=bind`).
    pub(crate) fn device(&self) -> Option<Device> {
        let kind = self.option("type");
        let bound = kind == "none" || self.words().any(|word| word == "bind" || word == "rbind");
        let source = self.option("device");
        (!bound && !source.is_empty()).then(|| Device {
            kind: kind.to_owned(),
            source: source.to_owned(),
            options: self.words().map(str::to_owned).collect(),
        })
    }

    /// The directory of the host that its options put in its place (`type=none,o=bind`), or its own.
    pub(crate) fn directory(&self) -> PathBuf {
        match self.option("device") {
            "" => self.path.clone(),
            _ if self.device().is_some() => self.path.clone(),
            device => PathBuf::from(device),
        }
    }

    /// Is one of the words of the option `o` this one?
    pub(crate) fn has_word(&self, wanted: &str) -> bool {
        self.words().any(|word| word == wanted)
    }

    fn option(&self, key: &str) -> &str {
        self.options.get(key).map_or("", String::as_str)
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.option("o").split(',').filter(|word| !word.is_empty())
    }
}

/// The names of the volumes that a container uses, each once.
fn volumes(config: &ContainerConfig) -> Vec<&str> {
    let mut names: Vec<&str> = config
        .mounts
        .iter()
        .filter_map(|mount| match &mount.source {
            MountSource::Volume {
                name: Some(name), ..
            } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(Error::path("open", path))
}

/// Mounts a filesystem at a directory of the host.
fn mount(place: &Path, kind: &str, source: &str, options: Vec<String>) -> Result<()> {
    let wish = MountBuilder::default()
        .destination("/")
        .typ(kind)
        .source(source)
        .options(options)
        .build()?;
    let mut mount = runtime::plan::mounts::filesystem(&wish)?;
    mount.target = Inside(PathBuf::from("/"));
    let fail = |failure: kernel::error::Failure| {
        let note = match failure.note.as_str() {
            "" => String::new(),
            words => format!(" ({words})"),
        };
        Error::Mount {
            what: format!("{source} ({kind})"),
            path: place.to_owned(),
            note,
            source: std::io::Error::from_raw_os_error(failure.errno),
        }
    };
    let root = Root::open(place).map_err(|errno| fail(errno.into()))?;
    kernel::mount::mount(&root, &mount, None).map_err(fail)
}

fn unmount(place: &Path) -> Result<()> {
    kernel::mount::unmount(place).map_err(Error::path("unmount", place))
}

fn is_mount_point(path: &Path) -> Result<bool> {
    kernel::mount::is_mount_point(path).map_err(Error::path("look at", path))
}
