//! `prune`: removes every stopped container.

use crate::{Engine, Result};

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Ids.
    pub removed: Vec<String>,
    /// Bytes freed.
    pub bytes: u64,
}

impl Engine {
    /// Removes the stopped containers that pass docker's filters (label, until).
    pub fn prune(&self, filters: &[(String, String)]) -> Result<Pruned> {
        let _ = filters;
        todo!()
    }
}
