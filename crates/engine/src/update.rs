//! `update`: other limits and another restart policy for a container, live when it runs.

use crate::config::{Resources, RestartPolicy};
use crate::{Engine, Result};

/// What to change; unset fields stay.
#[derive(Debug, Clone, Default)]
pub struct Update {
    /// Limits: only fields that are set are taken.
    pub resources: Resources,
    /// Restart policy.
    pub restart: Option<RestartPolicy>,
}

impl Engine {
    /// Changes a container.
    pub fn update(&self, who: &str, change: &Update) -> Result<()> {
        let _ = (who, change);
        todo!()
    }
}
