//! `create`: from an image and a wish to a container on disk that has never run.
//!
//! The order makes a kill at any moment harmless: `alive` under state is locked first, `config.json` under root is renamed
//! into place last. What has no `config.json` and nobody who answers for it was never created, and is swept up.

use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use image::{Image, Snapshot, Store};
use jiff::Timestamp;

use crate::config::{ContainerConfig, Mount, MountSource, NetworkMode};
use crate::disk::{self, Keep};
use crate::find::{check_name, short};
use crate::record::{FORMAT, Record};
use crate::rootfs::{Layers, Rootfs};
use crate::{Engine, Error, Result, etc, name, networking};

/// A monitor that has told its clients the end is gone a moment later.
const PATIENCE: Duration = Duration::from_secs(30);

/// What `create` made. While it exists, this process answers for the container.
#[derive(Debug)]
pub struct Created {
    /// 64 hexadecimal digits.
    pub id: String,
    /// The name given or chosen.
    pub name: String,
    /// What was taken but has no effect here, one sentence each.
    pub warnings: Vec<String>,
    pub(crate) alive: Alive,
}

/// The lock that says: somebody answers for this container. Dropped without [`Alive::keep`], it leaves nothing under state.
#[derive(Debug)]
pub(crate) struct Alive {
    file: Option<File>,
    directory: PathBuf,
}

impl Alive {
    /// Hands the lock on, to a monitor.
    pub(crate) fn keep(mut self) -> Option<File> {
        self.file.take()
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        if self.file.is_some() {
            // Nothing of it runs; a repair would do the same.
            let _ = disk::remove_live(&self.directory);
        }
    }
}

impl Engine {
    /// Makes a container. The image must be in the store; the caller pulls it before.
    ///
    /// # Errors
    /// [`Error::NameTaken`]; [`Error::Invalid`] for a wish that can never be; the file system's.
    pub fn create(&self, store: &Store, image: &Image, wish: ContainerConfig) -> Result<Created> {
        if let Some(name) = &wish.name {
            check_name(name)?;
        }
        let id = name::random_id()?;
        let alive = self.answer_for(&id)?;
        let paths = self.paths.container(&id);
        disk::make_dir(&paths.kept)?;
        let made = self.fill(&id, store, image, wish);
        match made {
            Ok((record, warnings)) => {
                self.note(&record, "create", &[])?;
                Ok(Created {
                    id,
                    name: record.name,
                    warnings,
                    alive,
                })
            }
            Err(error) => {
                // The error matters; what stays behind is swept up with the next command.
                let _ = self.sweep(&id);
                Err(error)
            }
        }
    }

    fn fill(
        &self,
        id: &str,
        store: &Store,
        image: &Image,
        wish: ContainerConfig,
    ) -> Result<(Record, Vec<String>)> {
        let paths = self.paths.container(id);
        let name = match &wish.name {
            Some(name) => name.clone(),
            None => self.free_name(id)?,
        };
        if wish.name.is_some() {
            self.take_name(&name, id)?;
        }
        let mut config = wish.over(&image.config)?;
        config.name = Some(name.clone());
        if config.network == NetworkMode::Host && config.hostname.is_none() {
            // As docker does: what calls itself by its name should find itself.
            config.hostname = Some(etc::host_name());
        }
        if let NetworkMode::Container(other) = &config.network {
            // As docker does: the name that the other's /etc/hosts has for their address. A missing one is told of at start.
            let other = self.resolve(other).and_then(|id| self.record(&id));
            if let Ok(other) = other {
                let own = other.config.hostname;
                config.hostname = own.or_else(|| Some(short(&other.id).to_owned()));
                config.domainname = other.config.domainname;
            }
        }
        config.image.id = image.id.to_string();
        let mut warnings = crate::validate::check(&config)?;
        warnings.extend(networking::warnings(&config, &self.all_networks())?);
        let snapshot = Snapshot::prepare(store, image, &paths.kept)?;
        let mut lower = snapshot.lower;
        if lower.is_empty() {
            // An image without layers: overlay wants one lower directory.
            let empty = paths.kept.join("empty");
            disk::make_dir(&empty)?;
            lower.push(empty);
        }
        let layers = Layers {
            lower: lower.clone(),
            upper: snapshot.upper,
            work: snapshot.work,
        };
        self.name_volumes(&mut config, id)?;
        self.fill_volumes(&config, &layers)?;
        let record = Record {
            format: FORMAT,
            id: id.to_owned(),
            name,
            created: Timestamp::now(),
            config,
            lower,
            shell: image.config.config.shell.clone(),
        };
        disk::replace_json(&paths.config(), &record, Keep::Boot)?;
        Ok((record, warnings))
    }

    /// Locks `alive` of a container: from now on this process answers for it.
    pub(crate) fn answer_for(&self, id: &str) -> Result<Alive> {
        let paths = self.paths.container(id);
        let path = paths.alive();
        loop {
            disk::make_dir(&paths.live)?;
            let file = match disk::locked_anew(&path) {
                Ok(Some(file)) => file,
                Ok(None) => match File::open(&path) {
                    Ok(file) => file,
                    Err(e) if e.kind() == ErrorKind::NotFound => continue,
                    Err(e) => return Err(Error::path("open", &path)(e)),
                },
                // A monitor took the directory away after we made it.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(Error::path("make", &path)(e)),
            };
            if !disk::lock(&file, PATIENCE).map_err(Error::path("lock", &path))? {
                return Err(Error::Busy {
                    name: short(id).to_owned(),
                });
            }
            // The one before us may have removed the file when it was done: then it is a lock on nothing.
            if disk::is_same(&file, &path) {
                return Ok(Alive {
                    file: Some(file),
                    directory: paths.live,
                });
            }
        }
    }

    fn free_name(&self, id: &str) -> Result<String> {
        for attempt in 0.. {
            let name = name::suggest(id, attempt);
            match self.take_name(&name, id) {
                Err(Error::NameTaken { .. }) if attempt < 100 => {}
                result => return result.map(|()| name),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Gives every volume a name: those of other containers, the image's, and anonymous ones.
    fn name_volumes(&self, config: &mut ContainerConfig, id: &str) -> Result<()> {
        for from in std::mem::take(&mut config.volumes_from) {
            let mounts = self.mounts_of(&from)?;
            add_unless_taken(&mut config.mounts, mounts);
        }
        let from_image = std::mem::take(&mut config.image_volumes)
            .into_iter()
            .map(anonymous);
        add_unless_taken(&mut config.mounts, from_image.collect());
        for mount in &mut config.mounts {
            if let MountSource::Volume { name, labels, .. } = &mut mount.source {
                let wish = crate::volume::VolumeConfig {
                    name: name.clone(),
                    labels: labels.clone(),
                    ..crate::volume::VolumeConfig::default()
                };
                *name = Some(self.volume_for(&wish, id)?.name);
            }
        }
        Ok(())
    }

    fn mounts_of(&self, from: &str) -> Result<Vec<Mount>> {
        let (who, read_only) = match from.rsplit_once(':') {
            Some((who, "ro")) => (who, true),
            Some((who, "rw" | "z" | "Z")) => (who, false),
            _ => (from, false),
        };
        let mut mounts = self.record(&self.resolve(who)?)?.config.mounts;
        mounts.retain(|mount| {
            matches!(
                mount.source,
                MountSource::Bind { .. } | MountSource::Volume { .. }
            )
        });
        for mount in &mut mounts {
            mount.read_only |= read_only;
        }
        Ok(mounts)
    }

    /// Copies what the image has at the target of an empty volume into it.
    fn fill_volumes(&self, config: &ContainerConfig, layers: &Layers) -> Result<()> {
        let mut root = None;
        for mount in &config.mounts {
            let MountSource::Volume {
                name: Some(name),
                no_copy: false,
                subpath: None,
                ..
            } = &mount.source
            else {
                continue;
            };
            if !self.wants_content(name)? {
                continue;
            }
            if root.is_none() {
                root = Some(Rootfs::read_only(layers)?);
            }
            if let Some(root) = &root {
                self.copy_up(name, root, &mount.target)?;
            }
        }
        Ok(())
    }
}

fn add_unless_taken(mounts: &mut Vec<Mount>, more: Vec<Mount>) {
    for mount in more {
        if !mounts.iter().any(|there| there.target == mount.target) {
            mounts.push(mount);
        }
    }
}

fn anonymous(target: String) -> Mount {
    let source = MountSource::Volume {
        name: None,
        no_copy: false,
        subpath: None,
        labels: std::collections::BTreeMap::new(),
    };
    Mount {
        source,
        target,
        read_only: false,
    }
}
