//! A client's side of a running container's streams: bytes both ways, window size, signals, detach keys.

use crate::{Engine, Result};

/// How to attach.
#[derive(Debug, Clone)]
pub struct Attach {
    /// Send this process's standard input.
    pub stdin: bool,
    /// Receive standard output.
    pub stdout: bool,
    /// Receive standard error.
    pub stderr: bool,
    /// Pass signals that this process gets on to the container.
    pub signal_proxy: bool,
    /// Keys that detach, as bytes; none is ctrl-p ctrl-q, an empty list turns them off.
    pub detach_keys: Option<Vec<u8>>,
}

impl Default for Attach {
    fn default() -> Self {
        Self {
            stdin: false,
            stdout: true,
            stderr: true,
            signal_proxy: true,
            detach_keys: None,
        }
    }
}

/// How an attachment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The container ended with this code (128 + n for signal n).
    Exited(i32),
    /// The detach keys were typed; the container goes on.
    Detached,
}

impl Engine {
    /// Connects this process's standard streams to a running container until it ends or the detach keys are typed.
    pub fn attach(&self, who: &str, how: &Attach) -> Result<Ended> {
        let _ = (who, how);
        todo!()
    }
}
