//! What can go wrong with images: each variant says what was attempted on what.

use std::io;
use std::path::{Path, PathBuf};

use crate::json::JsonError;
use crate::layer::LayerError;
use crate::registry::RegistryError;
use crate::{Digest, InvalidDigest, InvalidPlatform, InvalidReference, Mismatch, Platform};

/// An operation on images failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no reference.
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    /// The text is no digest.
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
    /// The text is no platform.
    #[error(transparent)]
    Platform(#[from] InvalidPlatform),
    /// The store has no such image.
    #[error("No such image: {name}")]
    NoSuchImage {
        /// As asked for.
        name: String,
    },
    /// A short id that several images begin with.
    #[error("{name} is the beginning of several image ids: write more of it")]
    Ambiguous {
        /// As asked for.
        name: String,
    },
    /// The registry did not give what was asked for.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A manifest, index or config cannot be read.
    #[error("cannot read the {what} {digest}: {source}")]
    Document {
        /// manifest, index or config.
        what: &'static str,
        /// Which.
        digest: Digest,
        /// Why.
        #[source]
        source: JsonError,
    },
    /// Bytes are not those promised.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The index has nothing for the platform.
    #[error("no image for {wanted} here; there are: {offered}")]
    NoPlatform {
        /// Asked for.
        wanted: String,
        /// What the index has.
        offered: String,
    },
    /// The manifest has another platform than asked for.
    #[error("the image is for {found}, not for {wanted}")]
    OtherPlatform {
        /// Asked for.
        wanted: String,
        /// What the config says.
        found: String,
    },
    /// A manifest whose parts do not fit together, or that is no image.
    #[error("{digest} is not an image: {reason}")]
    NotAnImage {
        /// The manifest.
        digest: Digest,
        /// Why not.
        reason: String,
    },
    /// A manifest that is no artifact with files.
    #[error("{digest} is not an artifact of files: {reason}")]
    NotAnArtifact {
        /// The manifest.
        digest: Digest,
        /// Why not.
        reason: String,
    },
    /// A list cannot hold what another registry has.
    #[error("{other} is in another registry than {name}: push it there first")]
    OtherRegistry {
        /// The list.
        name: String,
        /// The manifest.
        other: String,
    },
    /// A registry did not take a blob over from another of its repositories.
    #[error(
        "the registry does not copy blob {digest} from {from} to {name}: push that image to {name} first"
    )]
    NotMounted {
        /// The blob.
        digest: Digest,
        /// Registry and repository that has it.
        from: String,
        /// Registry and repository that needs it.
        name: String,
    },
    /// A public key cannot be used.
    #[error("cannot use the public key {}: {reason}", path.display())]
    Key {
        /// File.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A signature was asked for and is not there.
    #[error("{digest} is not signed as it must be: {reason}")]
    Unsigned {
        /// The index or manifest.
        digest: Digest,
        /// Why not.
        reason: String,
    },
    /// The policy allows no image of this name.
    #[error("{place} rejects all images of {name}")]
    Rejected {
        /// Registry and repository.
        name: String,
        /// The policy's file.
        place: String,
    },
    /// A layer cannot be unpacked.
    #[error("cannot unpack layer {digest}: {source}")]
    Layer {
        /// The packed layer.
        digest: Digest,
        /// Why.
        #[source]
        source: LayerError,
    },
    /// A file or directory of the store.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The errno.
        #[source]
        source: io::Error,
    },
    /// A blob the store should have is missing or damaged.
    #[error(
        "the store is damaged: blob {digest} {problem}; `lighter system check --repair` fetches it again"
    )]
    Damaged {
        /// The blob.
        digest: Digest,
        /// is missing, or why it is wrong.
        problem: String,
    },
    /// An archive cannot be read or written.
    #[error(transparent)]
    Archive(#[from] crate::archive::ArchiveError),
    /// An archive lacks a blob its manifest names.
    #[error("the archive is incomplete: blob {digest} is missing")]
    Incomplete {
        /// The blob.
        digest: Digest,
    },
    /// The store was written by a newer lighter.
    #[error("{} was written by a newer lighter (store version {found}; this one reads {known})", path.display())]
    NewerStore {
        /// The store.
        path: PathBuf,
        /// Its version.
        found: String,
        /// Ours.
        known: u32,
    },
}

impl Error {
    /// Whether it may help to try again later: only what a registry or the network says.
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(self, Self::Registry(error) if error.is_temporary())
    }

    /// Whether a full disk, or a full quota, is the cause.
    pub(crate) fn is_disk_full(&self) -> bool {
        match self {
            Self::Layer { source, .. } => source.is_disk_full(),
            Self::File { source, .. } => {
                matches!(
                    source.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                )
            }
            _ => false,
        }
    }
}

impl Error {
    /// The index has nothing for `wanted`.
    pub(crate) fn no_platform(wanted: &Platform, offered: &[Platform]) -> Self {
        let names: Vec<String> = offered.iter().map(Platform::to_string).collect();
        let offered = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        };
        Self::NoPlatform {
            wanted: wanted.to_string(),
            offered,
        }
    }
}

/// For `map_err`: names the action and the path.
pub(crate) fn file<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::File {
        action,
        path: path.to_owned(),
        source,
    }
}

/// The same for rustix.
pub(crate) fn errno<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(rustix::io::Errno) -> Error + 'a {
    move |source| Error::File {
        action,
        path: path.to_owned(),
        source: source.into(),
    }
}
