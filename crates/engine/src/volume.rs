//! Volumes: directories with a name that outlive containers.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::config::MountSource;
use crate::disk::{self, Keep};
use crate::events::Event;
use crate::find::{check_name, names_in};
use crate::rootfs::Rootfs;
use crate::{Engine, Error, Result, name};

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Name.
    pub name: String,
    /// Its content on the host.
    pub path: PathBuf,
    /// When it was made.
    pub created: Timestamp,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Options (`type`, `device`, `o`: what is mounted in its place).
    pub options: BTreeMap<String, String>,
    /// Made for one container without a name.
    pub anonymous: bool,
}

/// What to make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeConfig {
    /// Name; none chooses one of 64 hexadecimal digits.
    pub name: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Options: `type`, `device`, `o` as docker's local driver takes them.
    pub options: BTreeMap<String, String>,
}

/// What `volume_prune` removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrunedVolumes {
    /// Names.
    pub removed: Vec<String>,
    /// Bytes freed.
    pub bytes: u64,
}

impl Engine {
    /// Makes a volume; one that exists already is returned as it is.
    pub fn volume_create(&self, wish: &VolumeConfig) -> Result<Volume> {
        self.volume_for(wish, "")
    }

    /// [`Engine::volume_create`] on behalf of a container.
    pub(crate) fn volume_for(&self, wish: &VolumeConfig, container: &str) -> Result<Volume> {
        let (name, anonymous) = match &wish.name {
            Some(name) => (name.clone(), false),
            None => (name::random_id()?, true),
        };
        check_name(&name)?;
        if let Some(option) = wish
            .options
            .keys()
            .find(|key| !matches!(key.as_str(), "type" | "device" | "o"))
        {
            return Err(Error::invalid(
                "volume option",
                option.as_str(),
                "give type, device and o",
            ));
        }
        if !wish.options.is_empty() && !wish.options.contains_key("device") {
            let why = "give device too: what is mounted";
            return Err(Error::invalid("volume options", "type and o", why));
        }
        if let Some(there) = self.read_volume(&name)? {
            return Ok(there);
        }
        let directory = self.paths.volume(&name);
        disk::make_dirs(&directory)?;
        let path = directory.join("_data");
        make_open_dir(&path)?;
        let volume = Volume {
            name,
            path,
            created: Timestamp::now(),
            labels: wish.labels.clone(),
            options: wish.options.clone(),
            anonymous,
        };
        // Last: a directory without it was never made, and is made again.
        disk::replace_json(&directory.join("volume.json"), &volume, Keep::Durable)?;
        self.record_event(&event(&volume.name, "create", container))?;
        Ok(volume)
    }

    /// One volume.
    pub fn volume(&self, name: &str) -> Result<Volume> {
        check_name(name)?;
        self.read_volume(name)?
            .ok_or_else(|| Error::NoSuchVolume(name.to_owned()))
    }

    fn read_volume(&self, name: &str) -> Result<Option<Volume>> {
        disk::read_json(&self.paths.volume(name).join("volume.json"))
    }

    /// The volumes that pass docker's filters (name label dangling driver), by name.
    pub fn volumes(&self, filters: &[(String, String)]) -> Result<Vec<Volume>> {
        let mut names = names_in(&self.paths.volumes(), |name| check_name(name).is_ok())?;
        names.sort();
        let users = self.volume_users()?;
        let mut volumes = Vec::new();
        for name in names {
            // Gone between the two reads, or never finished.
            let Some(volume) = self.read_volume(&name)? else {
                continue;
            };
            if passes(&volume, filters, users.contains_key(&name))? {
                volumes.push(volume);
            }
        }
        Ok(volumes)
    }

    /// Removes a volume that no container uses. `force`: a missing one is no error.
    pub fn volume_remove(&self, name: &str, force: bool) -> Result<()> {
        match self.volume(name) {
            Err(Error::NoSuchVolume(_)) if force => return Ok(()),
            other => other?,
        };
        if let Some(users) = self.volume_users()?.get(name) {
            return Err(Error::VolumeInUse {
                name: name.to_owned(),
                containers: users.join(" "),
            });
        }
        let directory = self.paths.volume(name);
        disk::remove_file(&directory.join("volume.json"))?;
        disk::remove_dir(&directory)?;
        self.record_event(&event(name, "destroy", ""))
    }

    /// Removes anonymous volumes (all: named too) that no container uses.
    pub fn volume_prune(&self, all: bool, filters: &[(String, String)]) -> Result<PrunedVolumes> {
        let users = self.volume_users()?;
        let mut pruned = PrunedVolumes::default();
        for volume in self.volumes(filters)? {
            if users.contains_key(&volume.name) || !(all || volume.anonymous) {
                continue;
            }
            pruned.bytes += self.volume_size(&volume);
            self.volume_remove(&volume.name, true)?;
            pruned.removed.push(volume.name);
        }
        Ok(pruned)
    }

    /// Which containers use which volumes, by name.
    pub fn volume_users(&self) -> Result<BTreeMap<String, Vec<String>>> {
        let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for id in self.ids()? {
            let Ok(record) = self.record(&id) else {
                continue;
            };
            for mount in &record.config.mounts {
                if let MountSource::Volume {
                    name: Some(name), ..
                } = &mount.source
                {
                    users
                        .entry(name.clone())
                        .or_default()
                        .push(record.name.clone());
                }
            }
        }
        Ok(users)
    }

    /// Is the volume empty, and a directory of ours?
    pub(crate) fn wants_content(&self, name: &str) -> Result<bool> {
        let volume = self.volume(name)?;
        let mut entries =
            std::fs::read_dir(&volume.path).map_err(Error::path("list", &volume.path))?;
        Ok(volume.options.is_empty() && entries.next().is_none())
    }

    /// Copies a directory of the image, with owners, modes, times and links, into an empty volume.
    pub(crate) fn copy_up(&self, name: &str, root: &Rootfs, target: &str) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let Ok(from) = root.open(Path::new(target), flags) else {
            return Ok(());
        };
        let path = self.paths.volume(name).join("_data");
        let open = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let to = rustix::fs::open(&path, open, Mode::empty())
            .map_err(|e| Error::path("open", &path)(e.into()))?;
        crate::tree::copy(from.as_fd(), to.as_fd())
            .map_err(Error::path("copy the image's content into", &path))
    }
}

fn make_open_dir(path: &Path) -> Result<()> {
    match std::fs::create_dir(path) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        // 0755: users of the container who are not root must get in; the directories above are root's alone.
        made => made
            .and_then(|()| {
                std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            })
            .map_err(Error::path("make", path)),
    }
}

fn passes(volume: &Volume, filters: &[(String, String)], used: bool) -> Result<bool> {
    for (key, value) in filters {
        let pass = match key.as_str() {
            "name" => volume.name.contains(value.as_str()),
            "driver" => value == "local",
            "dangling" => matches!(value.as_str(), "true" | "1") != used,
            "label" => has_label(&volume.labels, value),
            "label!" => !has_label(&volume.labels, value),
            "all" => true,
            _ => {
                return Err(Error::invalid(
                    "filter",
                    key.as_str(),
                    "give name, label, dangling or driver",
                ));
            }
        };
        if !pass {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `key` or `key=value`.
pub(crate) fn has_label(labels: &BTreeMap<String, String>, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|there| there == value),
        None => labels.contains_key(wanted),
    }
}

fn event(name: &str, action: &str, container: &str) -> Event {
    let mut attributes = BTreeMap::from([("driver".to_owned(), "local".to_owned())]);
    if !container.is_empty() {
        attributes.insert("container".to_owned(), container.to_owned());
    }
    Event {
        time: Timestamp::now(),
        kind: "volume".to_owned(),
        action: action.to_owned(),
        id: name.to_owned(),
        attributes,
    }
}
