//! Volumes: directories with a name that outlive containers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Engine, Result};

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
    /// Options (`type`, `device`, `o`: mounted when first used).
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

impl Engine {
    /// Makes a volume; one that exists already is returned as it is.
    pub fn volume_create(&self, wish: &VolumeConfig) -> Result<Volume> {
        let _ = wish;
        todo!()
    }

    /// One volume.
    pub fn volume(&self, name: &str) -> Result<Volume> {
        let _ = name;
        todo!()
    }

    /// The volumes that pass docker's filters (name label dangling driver), by name.
    pub fn volumes(&self, filters: &[(String, String)]) -> Result<Vec<Volume>> {
        let _ = filters;
        todo!()
    }

    /// Removes a volume that no container uses.
    pub fn volume_remove(&self, name: &str, force: bool) -> Result<()> {
        let _ = (name, force);
        todo!()
    }

    /// Removes anonymous volumes (all: named too) that no container uses. Returns their names and the bytes freed.
    pub fn volume_prune(
        &self,
        all: bool,
        filters: &[(String, String)],
    ) -> Result<(Vec<String>, u64)> {
        let _ = (all, filters);
        todo!()
    }
}
