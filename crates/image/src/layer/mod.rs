//! One layer: from packed bytes to a directory in overlay's form.

use std::io;
use std::path::{Path, PathBuf};

/// A layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// Creating an entry failed.
    #[error("cannot create {}: {source}", path.display())]
    Entry {
        /// In the layer.
        path: PathBuf,
        /// The errno.
        #[source]
        source: io::Error,
    },
}

/// Gives `to` the mode, owner and times of `from`, both directories.
pub(crate) fn copy_attributes(from: &Path, to: &Path) -> Result<(), crate::Error> {
    use crate::error::errno;
    use rustix::fs;
    let stat = fs::stat(from).map_err(errno("read", from))?;
    fs::chown(
        to,
        Some(fs::Uid::from_raw(stat.st_uid)),
        Some(fs::Gid::from_raw(stat.st_gid)),
    )
    .map_err(errno("chown", to))?;
    fs::chmod(to, fs::Mode::from_raw_mode(stat.st_mode & 0o7777)).map_err(errno("chmod", to))?;
    Ok(())
}
