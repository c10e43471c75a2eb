//! The hidden verb `monitor ROOT STATE ID`: the process beside a container, started by `start` and by nobody else.
//!
//! Dispatched before the command line is parsed: it costs every start, and stays for as long as the container.

use std::ffi::OsString;
use std::process::ExitCode;

/// The monitor's words, when this is one.
pub fn asked(arguments: &[OsString]) -> Option<&[OsString]> {
    let (verb, words) = arguments.get(1..)?.split_first()?;
    (verb == engine::start::MONITOR).then_some(words)
}

/// Keeps a container until it has ended.
pub fn main(words: &[OsString]) -> ExitCode {
    engine::monitor::main(words)
}
