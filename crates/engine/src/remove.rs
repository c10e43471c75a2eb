//! `remove` and `rename`.

use crate::{Engine, Result};

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
        let _ = (who, how);
        todo!()
    }

    /// Gives a container another name.
    pub fn rename(&self, who: &str, name: &str) -> Result<()> {
        let _ = (who, name);
        todo!()
    }
}
