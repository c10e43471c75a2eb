#![doc = include_str!("../README.md")]

mod disk;
mod error;
mod etc;
mod find;
mod health;
mod merge;
mod name;
mod networking;
mod prepare;
mod process;
mod record;
mod repair;
mod restart;
mod rootfs;
mod shared;
mod socket;
mod tree;
mod user;
mod validate;
mod wire;

pub mod attach;
pub mod config;
pub mod connect;
pub mod copy;
pub mod create;
pub mod diff;
pub mod events;
pub mod exec;
pub mod explain;
pub mod inspect;
pub mod list;
pub mod logs;
pub mod monitor;
pub mod paths;
pub mod prune;
pub mod remove;
pub mod spec;
pub mod start;
pub mod stats;
pub mod stop;
pub mod top;
pub mod update;
mod usage;
pub mod volume;
pub mod wait;

use std::path::Path;

pub use config::ContainerConfig;
pub use error::{Error, Result};
use paths::Paths;

/// All containers under one pair of root and state directories.
#[derive(Debug)]
pub struct Engine {
    paths: Paths,
    repaired: Vec<Repaired>,
}

/// Something a crash left behind and `open` put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// Name or short id of the container.
    pub container: String,
    /// What was found and done, one sentence.
    pub what: String,
}

impl Engine {
    /// Opens (and on first use makes) the two directories, then repairs what a crash left.
    pub fn open(root: &Path, state: &Path) -> Result<Self> {
        let absolute = |path: &Path| std::path::absolute(path).map_err(Error::path("find", path));
        let paths = Paths::new(&absolute(root)?, &absolute(state)?);
        let mut engine = Self {
            paths,
            repaired: Vec::new(),
        };
        // One look when all is there, which is nearly always.
        if !engine.paths.active().exists() || !engine.paths.containers().exists() {
            engine.make_directories()?;
        }
        engine.repair()?;
        Ok(engine)
    }

    fn make_directories(&self) -> Result<()> {
        for directory in [self.paths.root(), self.paths.state()] {
            disk::make_dirs(directory)?;
        }
        let below = [
            self.paths.containers(),
            self.paths.names(),
            self.paths.volumes(),
            self.paths.active(),
            self.paths.runtime(),
            self.paths.state().join("networks"),
        ];
        below
            .iter()
            .try_for_each(|directory| disk::make_dir(directory))
    }

    /// What `open` had to repair; a front end prints it as notes.
    pub fn repaired(&self) -> &[Repaired] {
        &self.repaired
    }

    /// Where everything lies.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }
}
