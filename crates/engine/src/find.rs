//! Who is meant: names, ids, unique beginnings of ids; and what is known of a container now.
//!
//! A name is a symbolic link in `names/` whose text is the id. symlink(2) either makes all of it or fails because the name is
//! taken: no lock, nothing half done after a crash.

use std::fs::File;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use network::Endpoint;

use crate::disk::{self, read_json};
use crate::list::Status;
use crate::process;
use crate::record::{Last, Record, State};
use crate::{Engine, Error, Result};

const PATIENCE: Duration = Duration::from_secs(60);

/// All that is known of a container.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    /// What was asked for.
    pub(crate) record: Record,
    /// What runs.
    pub(crate) state: Option<State>,
    /// Its places in networks while it runs.
    pub(crate) endpoints: Vec<Endpoint>,
    /// How the last run went.
    pub(crate) last: Option<Last>,
    /// docker's state.
    pub(crate) status: Status,
}

impl Observed {
    /// The first process of a running (or paused) container.
    pub(crate) fn pid(&self) -> Result<i32> {
        let init = self.state.as_ref().and_then(|state| state.init);
        match init {
            Some(init) if self.status.is_up() => Ok(init.pid),
            _ => Err(Error::NotRunning {
                name: self.record.name.clone(),
            }),
        }
    }
}

/// The lock of a container: other verbs wait while it is held.
#[derive(Debug)]
pub(crate) struct Locked {
    _directory: File,
}

impl Engine {
    /// The id of a container given by name, id or unique beginning of an id.
    pub(crate) fn resolve(&self, who: &str) -> Result<String> {
        let who = who.strip_prefix('/').unwrap_or(who);
        let missing = || Error::NoSuchContainer(who.to_owned());
        if is_id(who) && self.exists(who) {
            return Ok(who.to_owned());
        }
        if check_name(who).is_ok()
            && let Some(id) = self.holder(who)?
        {
            return Ok(id);
        }
        if who.is_empty() || !who.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(missing());
        }
        let mut fitting: Vec<String> = self
            .ids()?
            .into_iter()
            .filter(|id| id.starts_with(who))
            .collect();
        match fitting.len() {
            0 => Err(missing()),
            1 => Ok(fitting.remove(0)),
            count => Err(Error::Ambiguous {
                prefix: who.to_owned(),
                count,
            }),
        }
    }

    /// The id of the container that has this name.
    pub(crate) fn holder(&self, name: &str) -> Result<Option<String>> {
        let path = self.paths.name(name);
        let id = match std::fs::read_link(&path) {
            Ok(target) => target.to_string_lossy().into_owned(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::path("read", &path)(e)),
        };
        Ok((is_id(&id) && self.exists(&id)).then_some(id))
    }

    /// Takes a name for a container.
    pub(crate) fn take_name(&self, name: &str, id: &str) -> Result<()> {
        let path = self.paths.name(name);
        loop {
            match symlink(id, &path) {
                Ok(()) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::path("make", &path)(e)),
            }
            let holder = std::fs::read_link(&path).map_err(Error::path("read", &path))?;
            let holder = holder.to_string_lossy();
            if self.exists(&holder) || self.is_active(&holder) {
                return Err(Error::NameTaken {
                    name: name.to_owned(),
                    id: short(&holder).to_owned(),
                });
            }
            // Left by a removal or a creation that was killed.
            disk::remove_file(&path)?;
        }
    }

    /// Gives a name back, if it is still this container's.
    pub(crate) fn release_name(&self, name: &str, id: &str) -> Result<()> {
        let path = self.paths.name(name);
        match std::fs::read_link(&path) {
            Ok(holder) if holder == Path::new(id) => disk::remove_file(&path),
            _ => Ok(()),
        }
    }

    /// Is its creation finished and its removal not begun?
    pub(crate) fn exists(&self, id: &str) -> bool {
        self.paths.container(id).config().exists()
    }

    /// Every id on disk, finished or not.
    pub(crate) fn ids(&self) -> Result<Vec<String>> {
        names_in(&self.paths.containers(), is_id)
    }

    /// Does a process answer for this container (its creator or its monitor)?
    pub(crate) fn is_active(&self, id: &str) -> bool {
        // The lock of `alive` is held for as long as one does, and freed by the kernel when it dies.
        File::open(self.paths.container(id).alive())
            .is_ok_and(|file| file.try_lock_shared().is_err())
    }

    /// Locks a container against other verbs.
    pub(crate) fn lock(&self, id: &str) -> Result<Locked> {
        let directory = self.paths.container(id).kept;
        let gone = || Error::NoSuchContainer(short(id).to_owned());
        let file = match File::open(&directory) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(gone()),
            Err(e) => return Err(Error::path("open", &directory)(e)),
        };
        if !disk::lock(&file, PATIENCE).map_err(Error::path("lock", &directory))? {
            return Err(Error::Busy {
                name: short(id).to_owned(),
            });
        }
        // It may have been removed while we waited.
        if self.exists(id) {
            Ok(Locked { _directory: file })
        } else {
            Err(gone())
        }
    }

    /// What was asked for.
    pub(crate) fn record(&self, id: &str) -> Result<Record> {
        read_json(&self.paths.container(id).config())?
            .ok_or_else(|| Error::NoSuchContainer(short(id).to_owned()))
    }

    /// All that is known of a container, by id.
    pub(crate) fn observe(&self, id: &str) -> Result<Observed> {
        let paths = self.paths.container(id);
        let record = self.record(id)?;
        let state = if self.is_active(id) {
            read_json::<State>(&paths.state())?
        } else {
            None
        };
        let last: Option<Last> = read_json(&paths.last())?;
        let status = match &state {
            Some(state) => match state.init {
                None => Status::Restarting,
                Some(_) if paths.paused().exists() => Status::Paused,
                Some(init) if process::is_alive(init) => Status::Running,
                // Its monitor is about to write down how it ended.
                Some(_) => Status::Running,
            },
            None if last.is_some() => Status::Exited,
            None => Status::Created,
        };
        let endpoints = match status.is_up() {
            true => self.all_networks().endpoints_of(id)?,
            false => Vec::new(),
        };
        Ok(Observed {
            record,
            state,
            endpoints,
            last,
            status,
        })
    }

    /// [`Engine::observe`], after the moments in which a process answers for the container and has not written down
    /// yet what becomes of it: a monitor goes on starting a container when the command that asked for it was killed.
    pub(crate) fn observe_settled(&self, id: &str) -> Result<Observed> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.observe(id)?;
            if seen.state.is_some() || !self.is_active(id) || Instant::now() >= deadline {
                return Ok(seen);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// [`Engine::observe`] by name, id or unique beginning of an id.
    pub(crate) fn observe_as(&self, who: &str) -> Result<Observed> {
        self.observe(&self.resolve(who)?)
    }
}

/// 64 hexadecimal digits.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The first twelve digits.
pub(crate) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// docker's rule for names of containers and volumes.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let starts_well = name
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric());
    if name.len() >= 2 && name.len() <= 255 && starts_well && name.bytes().all(good) {
        return Ok(());
    }
    Err(Error::invalid(
        "name",
        name,
        "a name begins with a letter or digit, then at least one more of letters, digits, `_`, `.` and `-`",
    ))
}

/// The entries of a directory that are wanted; a missing directory has none.
pub(crate) fn names_in(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::path("list", path)(e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(Error::path("list", path))?.file_name();
        names.extend(name.into_string().ok().filter(|name| wanted(name)));
    }
    Ok(names)
}
