//! `logs`: reads what the monitor wrote, docker's json-file lines, across rotated files, and follows.

use std::ops::ControlFlow;

use jiff::Timestamp;

use crate::{Engine, Result};

/// Which lines.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// Go on with new lines until the container ends.
    pub follow: bool,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Not after.
    pub until: Option<Timestamp>,
    /// Only the last so many lines.
    pub tail: Option<usize>,
}

/// One line, or a part of one that was longer than 16 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// Standard error, not standard output.
    pub stderr: bool,
    /// When the monitor read it.
    pub time: Timestamp,
    /// The bytes, with their newline if they had one.
    pub text: &'a [u8],
}

impl Engine {
    /// Gives the lines of one container to `sink`, oldest first, until it breaks off.
    pub fn logs(
        &self,
        who: &str,
        query: &LogQuery,
        sink: &mut dyn FnMut(LogLine<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let _ = (who, query, sink);
        todo!()
    }
}
