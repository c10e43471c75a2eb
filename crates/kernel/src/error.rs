//! What went wrong, in words: a step, its op and an errno become a sentence and a hint.
//!
//! The process inside can only report numbers; this file turns them into what
//! was attempted, on which path, and what a person can do about it.

use std::io;
use std::path::PathBuf;

use crate::op::Op;
use crate::script::{Script, Side};
use crate::words;

/// Why an operation failed: the errno and, where the kernel told more, its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The errno.
    pub errno: i32,
    /// What is known beyond the errno.
    pub note: String,
}

impl From<rustix::io::Errno> for Failure {
    fn from(errno: rustix::io::Errno) -> Failure {
        Failure {
            errno: errno.raw_os_error(),
            note: String::new(),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        let note = if error.raw_os_error().is_some() {
            String::new()
        } else {
            error.to_string()
        };
        Failure {
            errno: error.raw_os_error().unwrap_or(libc::EIO),
            note,
        }
    }
}

/// An operation of lighter on the kernel that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A step of a script failed.
    #[error("{what}{}", if .note.is_empty() { String::new() } else { format!(": {}", .note) })]
    Step {
        /// Its index in the script.
        index: usize,
        /// Who did it.
        side: Side,
        /// What was attempted, with the path or name.
        what: String,
        /// What is known beyond the errno.
        note: String,
        /// What a person can do, or empty.
        hint: &'static str,
        /// It was the user's program that could not be found or started.
        program: bool,
        /// The errno.
        #[source]
        source: io::Error,
    },
    /// The program of a created container could not be started.
    #[error("{words}")]
    Start {
        /// What was attempted, and what is known.
        words: String,
        /// It is the user's program that could not be started.
        program: bool,
        /// The errno.
        #[source]
        source: io::Error,
    },
    /// The process inside ended without a word.
    #[error("the container's process ended before it was ready: {how}")]
    Vanished {
        /// Its wait status in words.
        how: String,
    },
    /// A system call outside of any script failed.
    #[error("{call} {path}")]
    Call {
        /// What was attempted.
        call: &'static str,
        /// On what.
        path: PathBuf,
        /// The errno.
        #[source]
        source: io::Error,
    },
}

/// The error of a step: its op and errno in words.
pub(crate) fn word(script: &Script, index: usize, failure: Failure) -> Error {
    let source = io::Error::from_raw_os_error(failure.errno);
    let Some(step) = script.steps.get(index) else {
        return Error::Call {
            call: "play an empty script",
            path: PathBuf::new(),
            source,
        };
    };
    // A part of a clone that failed has words of its own, which say it better than the clone's.
    let (what, note) = match &step.op {
        Op::Clone(_) if !failure.note.is_empty() => (failure.note, String::new()),
        op => (words::what(op), failure.note),
    };
    Error::Step {
        index,
        side: step.side,
        what,
        hint: words::hint(&step.op, failure.errno),
        program: matches!(step.op, Op::Exec(_) | Op::FindProgram { .. }),
        note,
        source,
    }
}

impl Error {
    pub(crate) fn start(failure: Failure, program: bool) -> Error {
        let source = io::Error::from_raw_os_error(failure.errno);
        Error::Start {
            words: failure.note,
            program,
            source,
        }
    }

    /// The exit code that shells have for a program that could not be started: 127 when it, its
    /// interpreter or its loader does not exist, 126 when it may or can not be executed.
    pub fn exit_code(&self) -> Option<u8> {
        match self {
            Error::Step {
                program: true,
                source,
                ..
            }
            | Error::Start {
                program: true,
                source,
                ..
            } => match source.raw_os_error() {
                Some(libc::ENOENT) => Some(127),
                _ => Some(126),
            },
            _ => None,
        }
    }

    /// What a person can do about it, when that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::Step { hint, .. } if !hint.is_empty() => Some(hint),
            _ => None,
        }
    }

    /// The errno below, when there is one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::Step { source, .. }
            | Error::Start { source, .. }
            | Error::Call { source, .. } => source.raw_os_error(),
            Error::Vanished { .. } => None,
        }
    }
}
