//! What was asked of the kernel, as it happens: one JSON line for each step.
//!
//! In go the steps that `play.rs` does; out come [`Event`]s on a file
//! descriptor. Without a descriptor nothing is built and nothing is written.

use std::os::fd::OwnedFd;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::Op;
use crate::script::{Side, Step};

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

/// Where events go, if anywhere.
#[derive(Debug)]
pub(crate) struct Trace {
    sink: Option<OwnedFd>,
}

impl Trace {
    pub(crate) fn to(sink: Option<OwnedFd>) -> Trace {
        Trace { sink }
    }

    /// Write an event. A sink that is gone is no reason for a container to fail.
    pub(crate) fn event(&self, step: &Step, outcome: i32) {
        let Some(sink) = &self.sink else { return };
        let now = clock_gettime(ClockId::Monotonic);
        let event = Event {
            time: now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64,
            pid: rustix::process::getpid().as_raw_nonzero().get(),
            side: step.side,
            op: &step.op,
            outcome,
        };
        if let Ok(mut line) = serde_json::to_vec(&event) {
            line.push(b'\n');
            // One write, so that lines of both processes do not mix.
            let _ = rustix::io::write(sink, &line);
        }
    }
}
