//! What was asked of the kernel, as it happens: one JSON line for each step.
//!
//! In go the steps that `play.rs` does; out come [`Event`]s on a file
//! descriptor. Without a descriptor nothing is built and nothing is written.

use serde::Serialize;

use crate::Op;
use crate::script::Side;

/// One step that was done.
#[derive(Debug, Serialize)]
pub struct Event<'a> {
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
    /// Process that did it, as it sees itself.
    pub pid: i32,
    /// Its side.
    pub side: Side,
    /// What was asked.
    pub op: &'a Op,
    /// 0, or the errno.
    pub outcome: i32,
}
