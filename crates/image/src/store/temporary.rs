//! Directories that live as long as somebody works in them: a layer being
//! unpacked, what an archive holds. Each is locked by who made it, so that what a
//! crash left is told from what is in use, and removed by the next command.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{make_directory, remove_tree, unique};
use crate::Error;
use crate::error::file;

/// Such a directory; removed when dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    path: PathBuf,
    _lock: File,
    kept: bool,
}

impl Temporary {
    /// A new one in `parent`, its name beginning with `prefix`.
    pub(super) fn make(parent: &Path, prefix: &str) -> Result<Self, Error> {
        loop {
            let path = parent.join(format!("{prefix}{}", unique()));
            remove_tree(&path)?;
            make_directory(&path)?;
            // Another process may take it for a left one until it is locked.
            if let Some(lock) = locked(&path)? {
                return Ok(Self {
                    path,
                    _lock: lock,
                    kept: false,
                });
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// It was given another name, and stays.
    pub(super) fn keep(&mut self) {
        self.kept = true;
    }

    /// Removes those of crashed processes.
    pub(super) fn clean(parent: &Path, prefix: &str) -> Result<(), Error> {
        for found in fs::read_dir(parent).map_err(file("list", parent))? {
            let found = found.map_err(file("list", parent))?;
            if !found.file_name().to_string_lossy().starts_with(prefix) {
                continue;
            }
            // The lock is held until the directory is gone.
            if let Ok(directory) = File::open(found.path())
                && directory.try_lock().is_ok()
            {
                remove_tree(&found.path())?;
            }
        }
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept {
            let _ = remove_tree(&self.path);
        }
    }
}

/// The directory, locked; none when it was removed before that.
fn locked(path: &Path) -> Result<Option<File>, Error> {
    let Ok(directory) = File::open(path) else {
        return Ok(None);
    };
    directory.lock().map_err(file("lock", path))?;
    let inode = |metadata: fs::Metadata| metadata.ino();
    let same = directory.metadata().map(inode).ok() == fs::metadata(path).map(inode).ok();
    Ok(same.then_some(directory))
}
