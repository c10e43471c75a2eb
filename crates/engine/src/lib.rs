//! Named containers on this host: where image, network and runtime meet.
//!
//! In: an [`image::Image`] and a [`ContainerConfig`] (the wish). Out: containers that live without a daemon, each kept by a
//! small monitor process, and verbs to work with them, one file per verb, all synchronous.
//!
//! Read `config.rs` (the wish), `paths.rs` (what is on disk), `create.rs` and `start.rs` (the way to a process), then
//! `monitor/mod.rs` (what keeps it).

mod error;

pub mod attach;
pub mod config;
pub mod copy;
pub mod create;
pub mod events;
pub mod exec;
pub mod inspect;
pub mod list;
pub mod logs;
pub mod paths;
pub mod prune;
pub mod remove;
pub mod start;
pub mod stats;
pub mod stop;
pub mod top;
pub mod update;
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
        Ok(Self {
            paths: Paths::new(root, state),
            repaired: Vec::new(),
        })
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
