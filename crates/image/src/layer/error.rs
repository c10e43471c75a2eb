//! Why a layer cannot be unpacked.

use std::path::PathBuf;

use rustix::io::Errno;

use super::decompress::DecompressError;
use super::name::InvalidName;
use super::tar::TarError;
use crate::Digest;

/// A layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The archive breaks a rule of its format.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// The stream is packed in a way layers may not be.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// The packed stream is damaged.
    #[error("cannot inflate it: {reason}")]
    Inflate {
        /// The decoder's words.
        reason: String,
    },
    /// A name no file can have.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// An entry that layers may not have, though archives may.
    #[error("{}: {rule}", path.escape_ascii())]
    Forbidden {
        /// As written.
        path: Vec<u8>,
        /// The rule.
        rule: &'static str,
    },
    /// The kernel refused.
    #[error("cannot {action} {}: {source}", path.escape_ascii())]
    Entry {
        /// What was attempted.
        action: &'static str,
        /// In the layer.
        path: Vec<u8>,
        /// The errno.
        #[source]
        source: Errno,
    },
    /// The directory to unpack into.
    #[error("cannot open {}: {source}", path.display())]
    Root {
        /// On the host.
        path: PathBuf,
        /// The errno.
        #[source]
        source: Errno,
    },
    /// More bytes than any honest layer of this size has.
    #[error("it unpacks to more than {limit} bytes, which no honest layer of its size does")]
    TooLarge {
        /// Bytes allowed.
        limit: u64,
    },
    /// More entries than are allowed.
    #[error("it has more than {limit} entries")]
    TooMany {
        /// Entries allowed.
        limit: u64,
    },
    /// More to remember than memory is given for.
    #[error(
        "the names of its directories, links and whiteouts have more than {limit} bytes in all"
    )]
    TooManyPaths {
        /// Bytes allowed.
        limit: usize,
    },
    /// The plain archive is not the one the config names.
    #[error("its content has another diff id than the config says: {found} instead of {expected}")]
    DiffId {
        /// In the config.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
}

impl LayerError {
    /// Whether the disk is full.
    pub(crate) fn is_disk_full(&self) -> bool {
        matches!(
            self,
            Self::Entry {
                source: Errno::NOSPC | Errno::DQUOT,
                ..
            }
        )
    }
}
