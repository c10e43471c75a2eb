//! One layer: from packed bytes to a directory in overlay's form.
//!
//! `pipeline.rs` moves the bytes: receive and digest, inflate, diff id, and
//! unpack run side by side. `decompress.rs` inflates, `tar.rs` reads entries,
//! `unpack.rs` creates them below one directory and nowhere else, and
//! `merged.rs` looks a path up in the layers below, for the few entries that
//! depend on them. `pack.rs` is the way back, from a tree to an archive.

mod decompress;
mod error;
mod merged;
mod name;
mod pack;
pub(crate) mod pipeline;
pub mod tar;
mod unpack;

pub use decompress::DecompressError;
pub(crate) use decompress::{Decoder, sniff};
pub use error::LayerError;
pub(crate) use merged::{Seen, View};
pub(crate) use name::clean;
pub use pack::pack;
pub(crate) use unpack::{Limits, Unpacked};

use std::path::Path;

use rustix::fs;

use crate::Error;
use crate::error::errno;

/// Unpacks an archive that stands on nothing into the empty directory `root`.
pub(crate) fn unpack_tree<S: std::io::BufRead>(
    reader: &mut tar::Reader<S>,
    root: &Path,
) -> Result<(), LayerError> {
    unpack::unpack(reader, root, Limits::default())?
        .finish(&[])
        .map(drop)
}

/// Gives directory `to` the mode, owner, times and attributes of `from`.
pub(crate) fn copy_attributes(from: &Path, to: &Path) -> Result<(), Error> {
    let flags = fs::OFlags::RDONLY | fs::OFlags::DIRECTORY | fs::OFlags::CLOEXEC;
    let source = fs::open(from, flags, fs::Mode::empty()).map_err(errno("open", from))?;
    let target = fs::open(to, flags, fs::Mode::empty()).map_err(errno("open", to))?;
    merged::copy_attributes(&source, &target).map_err(errno("set the attributes of", to))
}
