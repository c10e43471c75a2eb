//! `remove` and `rename`.

use std::time::Duration;

use crate::config::MountSource;
use crate::disk::{self, Keep};
use crate::find::check_name;
use crate::list::Status;
use crate::record::Record;
use crate::{Engine, Error, Result};

/// How to remove.
#[derive(Debug, Clone, Copy, Default)]
pub struct Remove {
    /// Kill it first when it runs.
    pub force: bool,
    /// Remove its anonymous volumes too.
    pub volumes: bool,
}

impl Engine {
    /// Removes a container: network, cgroup, layer, log, name. Returns its id.
    pub fn remove(&self, who: &str, how: Remove) -> Result<String> {
        let id = self.resolve(who)?;
        loop {
            let seen = self.observe_settled(&id)?;
            let up = !matches!(seen.status, Status::Created | Status::Exited | Status::Dead);
            if up && !how.force {
                return Err(Error::Running {
                    name: seen.record.name,
                });
            }
            if up {
                self.stop(&id, Some("KILL"), Some(Duration::ZERO))?;
            }
            let _lock = match self.lock(&id) {
                // It was made with --rm, or somebody else was faster: it is gone, as was asked.
                Err(Error::NoSuchContainer(_)) if up => return Ok(id),
                other => other?,
            };
            // Somebody started it between our look and our lock, or its monitor has last words: look again.
            if self.is_active(&id) {
                continue;
            }
            // While this is held, whoever finds the container half gone knows that somebody answers for it.
            let _alive = self.answer_for(&id)?;
            self.erase(&id, how.volumes)?;
            return Ok(id);
        }
    }

    /// Takes away everything of a container that does not run. Its record goes first: without it, it does not exist.
    pub(crate) fn erase(&self, id: &str, volumes: bool) -> Result<()> {
        self.erase_record(&self.record(id)?, volumes)
    }

    /// [`Engine::erase`] for who has just read the record.
    pub(crate) fn erase_record(&self, record: &Record, volumes: bool) -> Result<()> {
        let paths = self.paths.container(&record.id);
        self.undo(&record.id)?;
        disk::remove_file(&paths.config())?;
        self.release_name(&record.name, &record.id)?;
        disk::remove_dir(&paths.kept)?;
        if volumes {
            self.remove_anonymous(&record.config.mounts)?;
        }
        self.note(record, "destroy", &[])
    }

    fn remove_anonymous(&self, mounts: &[crate::config::Mount]) -> Result<()> {
        for mount in mounts {
            let MountSource::Volume {
                name: Some(name), ..
            } = &mount.source
            else {
                continue;
            };
            match self.volume(name) {
                Ok(volume) if volume.anonymous => match self.volume_remove(name, true) {
                    // Another container took it over with --volumes-from.
                    Err(Error::VolumeInUse { .. }) => {}
                    other => other?,
                },
                // Gone already, or one with a name: that outlives containers.
                Ok(_) | Err(Error::NoSuchVolume(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Gives a container another name.
    pub fn rename(&self, who: &str, name: &str) -> Result<()> {
        check_name(name)?;
        let id = self.resolve(who)?;
        let _lock = self.lock(&id)?;
        let mut record = self.record(&id)?;
        let before = std::mem::replace(&mut record.name, name.to_owned());
        if before == name {
            return Err(Error::invalid(
                "new name",
                name,
                "it is the container's name already",
            ));
        }
        // The new name first: there is no moment in which the container cannot be found.
        self.take_name(name, &id)?;
        record.config.name = Some(name.to_owned());
        disk::replace_json(&self.paths.container(&id).config(), &record, Keep::Durable)?;
        self.release_name(&before, &id)?;
        self.note(&record, "rename", &[("oldName", format!("/{before}"))])
    }
}
