//! lighter's own binary, as a monitor executes it.

use std::path::{Path, PathBuf};

use crate::Result;

/// A way to exec this very program.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
}

impl Program {
    /// For execve(2), as long as this value lives.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// This program.
pub(crate) fn of_ours() -> Result<Program> {
    Ok(Program {
        path: PathBuf::from("/proc/self/exe"),
    })
}
