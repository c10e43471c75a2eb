//! What a transfer tells while it runs. Only the command line draws; this crate
//! reports what happened, from whichever thread it happened on.

use std::time::{Duration, Instant};

use crate::Digest;

/// Listens to a transfer.
pub trait Progress: Sync {
    /// Something happened; called from several threads, so it must be quick.
    fn event(&self, event: Event<'_>);
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// `tag` of `repository` is asked for at its registry.
    Resolving {
        /// Tag or digest.
        tag: &'a str,
        /// The repository below its registry, for example `library/nginx`.
        repository: &'a str,
    },
    /// Layer `digest` (of the packed bytes) reached a new state.
    Layer {
        /// The layer's digest, as the manifest has it.
        digest: &'a Digest,
        /// What became of it.
        state: LayerState,
    },
    /// A stage ended that took this long; for pictures of where the time went.
    Span {
        /// The blob it was about, if it was one.
        digest: Option<&'a Digest>,
        /// From when to when.
        span: Span,
    },
    /// Something people should know that stops nothing.
    Note {
        /// One sentence.
        text: &'a str,
    },
}

/// What is done with an image, or with one blob of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// From the name to the manifest and the config.
    Resolve,
    /// For other blobs, or for another process that fetches the same one.
    Wait,
    /// From the request to its first byte.
    FirstByte,
    /// From the first byte to the last; digested and kept meanwhile.
    Download,
    /// Packed bytes to plain ones.
    Inflate,
    /// The digest of the plain bytes.
    DiffId,
    /// Files, directories and their attributes.
    Write,
    /// Making sure that a power cut takes nothing away.
    Fsync,
}

impl Stage {
    /// Its name in traces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Wait => "wait",
            Self::FirstByte => "first byte",
            Self::Download => "download",
            Self::Inflate => "inflate",
            Self::DiffId => "diff id",
            Self::Write => "write",
            Self::Fsync => "fsync",
        }
    }
}

/// One stage, from when to when.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Which.
    pub stage: Stage,
    /// When it had something to do for the first time.
    pub start: Instant,
    /// When it was done.
    pub end: Instant,
    /// The time its thread kept a processor busy: the rest was waiting for
    /// other stages. `None` for stages without a thread of their own.
    pub busy: Option<Duration>,
}

impl Span {
    /// A stage that ends now.
    pub(crate) fn since(stage: Stage, start: Instant) -> Self {
        Self {
            stage,
            start,
            end: Instant::now(),
            busy: None,
        }
    }
}

/// The states of one layer on its way, in docker's words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LayerState {
    /// Known from the manifest.
    Waiting,
    /// Another lighter is fetching it; this one waits.
    Locked,
    /// Bytes received so far.
    Downloading {
        /// Bytes there.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The connection broke or was refused for now; tried again after the wait.
    Retrying {
        /// How long until the next attempt.
        wait: Duration,
    },
    /// All bytes are there and are the right ones.
    Downloaded,
    /// Packed bytes unpacked so far.
    Extracting {
        /// Bytes unpacked.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// Unpacked and checked.
    Complete,
    /// It was there before.
    Exists,
    /// Known from the manifest that is pushed.
    Preparing,
    /// The registry has it already.
    Present,
    /// Bytes sent so far.
    Pushing {
        /// Bytes sent.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The registry has it now.
    Pushed,
    /// The registry took it over from another of its repositories.
    Mounted,
}

/// Tells nobody.
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: Event<'_>) {}
}
