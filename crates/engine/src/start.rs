//! `start`: a monitor is exec'd, clones the container and says how it went.

use crate::attach::{Attach, Ended};
use crate::{Engine, Result};

impl Engine {
    /// Starts a container and returns when its program was exec'd.
    ///
    /// # Errors
    /// [`crate::Error::Start`] with docker's code when the program cannot be run. Starting a running container is no error.
    pub fn start(&self, who: &str) -> Result<()> {
        let _ = who;
        todo!()
    }

    /// Starts a container with this process's streams attached from its first byte on, until it ends or is detached from.
    pub fn start_attached(&self, who: &str, how: &Attach) -> Result<Ended> {
        let _ = (who, how);
        todo!()
    }
}
