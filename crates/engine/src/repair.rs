//! What a crash leaves, put right before a command does its own work.
//!
//! Cheap when nothing is wrong: one directory of the containers that somebody answers for is listed, and for each one lock is
//! looked at. Only after a boot every container is looked at once.

use std::fs::File;

use jiff::Timestamp;
use runtime::Container;

use crate::config::RestartPolicy;
use crate::disk::{self, Keep};
use crate::find::{is_id, names_in, short};
use crate::record::{FORMAT, Last, Record, State};
use crate::shared::Held;
use crate::{Engine, Error, Repaired, Result, networking};

impl Engine {
    /// Looks at every container that has something under state.
    pub(crate) fn repair(&mut self) -> Result<()> {
        for id in names_in(&self.paths.active(), is_id)? {
            let what = self.repair_one(&id)?;
            self.repaired.extend(what);
        }
        let alive = names_in(&self.paths.active(), is_id)?;
        self.all_networks().repair(&alive.into_iter().collect())?;
        if !self.paths.booted().exists() {
            self.repair_after_boot()?;
        }
        Ok(())
    }

    /// Puts one container right, unless somebody answers for it. Says what was wrong with it.
    pub(crate) fn repair_one(&self, id: &str) -> Result<Option<Repaired>> {
        let paths = self.paths.container(id);
        let Ok(file) = File::open(paths.alive()) else {
            return self.repair_unanswered(id);
        };
        // Not the same: it was removed, and perhaps made anew, after we opened it. Somebody else is at work.
        if file.try_lock().is_err() || !disk::is_same(&file, &paths.alive()) {
            return Ok(None);
        }
        let what = match disk::read_json::<Record>(&paths.config()).unwrap_or_default() {
            Some(record) => self.bury(&record)?,
            None => {
                self.sweep(id)?;
                None
            }
        };
        disk::remove_live(&paths.live)?;
        Ok(what)
    }

    /// A directory without a lock: its monitor was killed while it cleaned up, or a start is about to begin. There is
    /// nothing to lose, but only one may take it away.
    fn repair_unanswered(&self, id: &str) -> Result<Option<Repaired>> {
        let paths = self.paths.container(id);
        if let Ok(Some(_alive)) = disk::locked_anew(&paths.alive()) {
            disk::remove_live(&paths.live)?;
        }
        Ok(None)
    }

    /// A container whose monitor is gone.
    fn bury(&self, record: &Record) -> Result<Option<Repaired>> {
        let paths = self.paths.container(&record.id);
        let state = disk::read_json::<State>(&paths.state()).unwrap_or_default();
        let networks = networking::joined(&self.all_networks().endpoints_of(&record.id)?);
        self.undo(&record.id)?;
        self.release_shared(record, Held::default())?;
        let Some(state) = state else {
            // Killed between `create` and the start. What was to be removed at its end has had its end.
            if record.config.auto_remove {
                self.erase(&record.id, true)?;
            }
            return Ok(None);
        };
        let error = format!(
            "its monitor (process {}) was killed, and the container with it{}",
            state.monitor.pid,
            match record.config.restart {
                RestartPolicy::No => String::new(),
                _ => format!(
                    ", so nobody restarts it (lighter start {} does)",
                    record.name
                ),
            }
        );
        if record.config.auto_remove {
            self.erase(&record.id, true)?;
        } else {
            let last = Last {
                format: FORMAT,
                started: Some(state.started),
                finished: Some(Timestamp::now()),
                exit_code: 137,
                oom_killed: false,
                stopped: paths.stopping().exists(),
                restart_count: state.restart_count,
                error: Some(error.clone()),
                health: state.health,
                networks,
            };
            disk::replace_json(&paths.last(), &last, Keep::Durable)?;
        }
        self.note(record, "die", &[("exitCode", "137".to_owned())])?;
        Ok(Some(Repaired {
            container: record.name.clone(),
            what: error,
        }))
    }

    /// Ends what still runs of a container, and takes down its cgroup and network.
    pub(crate) fn undo(&self, id: &str) -> Result<()> {
        match Container::load(&self.paths.runtime(), id) {
            // A poststop hook that fails is no reason to leave anything.
            Ok(container) => drop(container.delete(true)?),
            Err(runtime::Error::Missing { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.all_networks().detach(id)?;
        Ok(())
    }

    /// Removes what a creation or removal that was killed left.
    pub(crate) fn sweep(&self, id: &str) -> Result<()> {
        let paths = self.paths.container(id);
        for name in names_in(&self.paths.names(), |_| true)? {
            self.release_name(&name, id)?;
        }
        disk::remove_dir(&paths.kept)
    }

    /// Once after each boot: nothing runs, whatever the files say.
    fn repair_after_boot(&mut self) -> Result<()> {
        for id in self.ids()? {
            if self.is_active(&id) {
                continue;
            }
            if !self.exists(&id) {
                self.sweep(&id)?;
                continue;
            }
            let record = self.record(&id)?;
            let path = self.paths.container(&id).last();
            let last = disk::read_json::<Last>(&path)?;
            let was_up = last.filter(|last| last.started.is_some() && last.finished.is_none());
            if let Some(last) = was_up {
                let error = Some("the machine went down while it ran".to_owned());
                let last = Last {
                    finished: Some(Timestamp::now()),
                    exit_code: 255,
                    error,
                    ..last
                };
                disk::replace_json(&path, &last, Keep::Durable)?;
                self.repaired.push(Repaired {
                    container: record.name.clone(),
                    what: "it ran when the machine went down".to_owned(),
                });
            }
            if record.config.auto_remove {
                self.erase(&id, true)?;
            }
        }
        disk::mark(&self.paths.booted())
    }

    /// Starts what a boot should bring back: `always`, and `unless-stopped` that nobody had stopped. Returns the names of
    /// those that were started, and the errors of those that could not be.
    pub fn boot(&self) -> Result<(Vec<String>, Vec<Error>)> {
        use crate::config::RestartPolicy::{Always, UnlessStopped};
        let (mut started, mut errors) = (Vec::new(), Vec::new());
        for id in self.ids()? {
            let Ok(seen) = self.observe(&id) else {
                continue;
            };
            let was_stopped = seen.last.as_ref().is_none_or(|last| last.stopped);
            let wanted = match seen.record.config.restart {
                Always => seen.last.is_some(),
                UnlessStopped => !was_stopped,
                _ => false,
            };
            if !wanted || seen.state.is_some() {
                continue;
            }
            match self.start(&id) {
                Ok(()) => started.push(seen.record.name),
                Err(error) => errors.push(error),
            }
        }
        Ok((started, errors))
    }

    /// Everything that is wrong with what is on disk, in sentences; empty when all is well.
    pub fn check(&self) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        for id in self.ids()? {
            if self.is_active(&id) {
                continue;
            }
            match self.record(&id) {
                Ok(record) => {
                    if self.holder(&record.name)?.as_deref() != Some(id.as_str()) {
                        problems.push(format!(
                            "the name {} does not lead to its container {}",
                            record.name,
                            short(&id)
                        ));
                    }
                }
                Err(error) => problems.push(format!("container {}: {error}", short(&id))),
            }
        }
        for name in names_in(&self.paths.names(), |_| true)? {
            if self.holder(&name)?.is_none() {
                problems.push(format!("the name {name} leads to no container"));
            }
        }
        Ok(problems)
    }
}
