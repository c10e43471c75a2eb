//! `wait`: blocks until a container ends.

use crate::{Engine, Result};

/// What to wait for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Until {
    /// It does not run (returns at once when it does not).
    #[default]
    NotRunning,
    /// It ends the next time.
    NextExit,
    /// It is gone.
    Removed,
}

impl Engine {
    /// Waits and returns the exit code.
    pub fn wait(&self, who: &str, until: Until) -> Result<i32> {
        let _ = (who, until);
        todo!()
    }
}
