//! `exec`: one more program inside a running container.

use crate::{Engine, Result};

/// What to run.
#[derive(Debug, Clone, Default)]
pub struct Exec {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Further environment, `NAME=value`.
    pub env: Vec<String>,
    /// As which user; none is the container's.
    pub user: Option<String>,
    /// Where; none is the container's working directory.
    pub workdir: Option<String>,
    /// With a terminal of its own.
    pub tty: bool,
    /// With this process's standard input.
    pub stdin: bool,
    /// Return at once and let it run.
    pub detach: bool,
    /// With all capabilities.
    pub privileged: bool,
    /// Keys that detach; none is ctrl-p ctrl-q.
    pub detach_keys: Option<Vec<u8>>,
}

impl Engine {
    /// Runs a program in a running container, with this process's streams, and returns its exit code (0 when detached).
    pub fn exec(&self, who: &str, what: &Exec) -> Result<i32> {
        let _ = (who, what);
        todo!()
    }

    /// Runs a program without input and returns its exit code and what it printed (both streams, first `limit` bytes).
    pub fn exec_captured(&self, who: &str, what: &Exec, limit: usize) -> Result<(i32, Vec<u8>)> {
        let _ = (who, what, limit);
        todo!()
    }
}
