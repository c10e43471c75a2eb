//! `logs`: reads what the monitor wrote (`monitor/log.rs`), across rotated files, and follows.
//!
//! In: a query. Out: lines given to a sink, oldest first. `line.rs` knows the format, `file.rs` the files.

mod file;
pub(crate) mod line;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use jiff::Timestamp;

pub(crate) use file::rotated;

use crate::{Engine, Result};
use file::Tail;

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

/// Where lines go.
pub type Sink<'a> = &'a mut dyn FnMut(LogLine<'_>) -> ControlFlow<()>;

impl Engine {
    /// What `--details` puts before each line: the labels and variables that `--log-opt labels=,env=` name, as
    /// `name=value,...` with both parts in URL form, by name.
    pub fn log_details(&self, who: &str) -> Result<String> {
        let config = self.record(&self.resolve(who)?)?.config;
        let labels = config.log.labels.iter().filter_map(|name| {
            let value = config.labels.get(name)?;
            Some((name.as_str(), value.as_str()))
        });
        let variables = config
            .env
            .iter()
            .filter_map(|variable| variable.split_once('='));
        let variables = variables.filter(|(name, _)| config.log.env.iter().any(|env| env == name));
        let all: BTreeMap<&str, &str> = labels.chain(variables).collect();
        let pairs = all
            .iter()
            .map(|(name, value)| format!("{}={}", escape(name), escape(value)));
        Ok(pairs.collect::<Vec<_>>().join(","))
    }

    /// Gives the lines of one container to `sink`, oldest first, until it breaks off.
    ///
    /// With `follow` it goes on over restarts and rotations, and returns when nothing answers for the container any more.
    pub fn logs(&self, who: &str, query: &LogQuery, sink: Sink<'_>) -> Result<()> {
        let id = self.resolve(who)?;
        let paths = self.paths.container(&id);
        let mut tail = Tail::open(&paths.log(), query.tail)?;
        loop {
            // Asked before reading: what was written before the end is then surely read.
            let live = query.follow && self.is_active(&id);
            let read = tail.read(&mut |line| offer(line, query, sink))?;
            let over = query.until.is_some_and(|until| Timestamp::now() > until);
            if read.is_break() || !live || over {
                return Ok(());
            }
            tail.wait()?;
        }
    }
}

fn offer(text: &[u8], query: &LogQuery, sink: Sink<'_>) -> ControlFlow<()> {
    let Some(entry) = line::decode(text) else {
        return ControlFlow::Continue(());
    };
    if query.until.is_some_and(|until| entry.time > until) {
        return ControlFlow::Break(());
    }
    if query.since.is_some_and(|since| entry.time < since) {
        return ControlFlow::Continue(());
    }
    sink(LogLine {
        stderr: entry.stream == "stderr",
        time: entry.time,
        text: &entry.text(),
    })
}

/// A value of a URL's query: letters, digits and `-_.~` stay, a space is `+`.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte))
            }
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
