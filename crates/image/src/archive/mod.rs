//! Images in files: archives and directories, docker's and OCI's.
//!
//! [`save`] writes one archive that both families read; [`load`] reads whatever
//! it is given, by content; [`import`] makes an image of a plain tree.

pub mod bundle;
mod contents;
mod import;
mod load;
mod save;

pub use import::{ImportOptions, Origin, import};
pub use load::{Loaded, Source, load};
pub use save::{Format, save};

use std::io;
use std::path::PathBuf;

use crate::JsonError;
use crate::layer::tar::TarError;

/// An archive cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The archive itself.
    #[error("cannot read the archive: {0}")]
    Tar(#[from] TarError),
    /// It is packed in a way nobody can unpack.
    #[error("cannot read the archive: {0}")]
    Decompress(#[from] crate::layer::DecompressError),
    /// Neither of the known kinds.
    #[error(
        "this is no archive of images: it has neither index.json nor manifest.json (`lighter import` takes a plain tree)"
    )]
    Unknown,
    /// A document in it.
    #[error("cannot read {name} in the archive: {source}")]
    Document {
        /// Its name in the archive.
        name: String,
        /// Why.
        #[source]
        source: JsonError,
    },
    /// A file it names but does not have.
    #[error("the archive is incomplete: {name} is missing")]
    Missing {
        /// Its name in the archive.
        name: String,
    },
    /// Writing it.
    #[error("cannot write the archive: {0}")]
    Write(#[source] io::Error),
    /// Reading a directory.
    #[error("cannot read {}: {source}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// The errno.
        #[source]
        source: io::Error,
    },
    /// An archive without an application in it.
    #[error("this is no bundle: no application is in it (`lighter bundle create` makes one)")]
    NoBundle,
    /// A file of an application that a bundle cannot hold.
    #[error("cannot put {} into the bundle: {reason}", path.display())]
    Unbundled {
        /// Which.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A `--change` that cannot be applied.
    #[error("{change:?} is not a valid change: {reason}")]
    Change {
        /// As given.
        change: String,
        /// Why.
        reason: String,
    },
}
