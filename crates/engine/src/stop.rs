//! `stop`, `kill`, `restart`, `pause`, `unpause`: asking and forcing.

use std::time::Duration;

use crate::{Engine, Result};

/// How a `stop` went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stopped {
    /// It did not end by itself and was killed.
    pub killed: bool,
    /// Why it took so long and what to do about it, when that is known for certain.
    pub hint: Option<String>,
}

impl Engine {
    /// Asks a container to end (its stop signal), waits, then kills it. `timeout` none takes the container's, then 10 s.
    pub fn stop(
        &self,
        who: &str,
        signal: Option<&str>,
        timeout: Option<Duration>,
    ) -> Result<Stopped> {
        let _ = (who, signal, timeout);
        todo!()
    }

    /// Sends a signal (`KILL`, `SIGTERM`, `9`) to its first process.
    pub fn kill(&self, who: &str, signal: &str) -> Result<()> {
        let _ = (who, signal);
        todo!()
    }

    /// `stop`, then `start`.
    pub fn restart(
        &self,
        who: &str,
        signal: Option<&str>,
        timeout: Option<Duration>,
    ) -> Result<Stopped> {
        let _ = (who, signal, timeout);
        todo!()
    }

    /// Freezes every process of a container.
    pub fn pause(&self, who: &str) -> Result<()> {
        let _ = who;
        todo!()
    }

    /// Thaws them.
    pub fn unpause(&self, who: &str) -> Result<()> {
        let _ = who;
        todo!()
    }
}
