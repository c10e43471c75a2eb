//! `top`: the processes of a container, read from the host's own /proc (never the container's `ps`).

use crate::{Engine, Result};

/// A table.
#[derive(Debug, Clone, Default)]
pub struct Processes {
    /// Column heads.
    pub titles: Vec<String>,
    /// One row per process.
    pub rows: Vec<Vec<String>>,
}

impl Engine {
    /// Its processes. `columns` are ps(1) format names (`pid`, `user`, `args`); none are docker's `-ef` columns.
    pub fn top(&self, who: &str, columns: &[String]) -> Result<Processes> {
        let _ = (who, columns);
        todo!()
    }
}
