//! Small JSON files, replaced atomically, and the locks beside them.
//!
//! A reader sees the old file or the new one, never half of one. `Keep::Durable` also survives a power cut (fsync of the file
//! before the rename, of the directory after it).

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// How long a written file must last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Until the next boot; no fsync.
    Boot,
    /// Over a power cut.
    Durable,
}

/// Makes one directory, mode 0700; one that exists is no error.
pub(crate) fn make_dir(path: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(Error::path("make", path)),
    }
}

/// Makes a directory and those above it, mode 0700.
pub(crate) fn make_dirs(path: &Path) -> Result<()> {
    DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(path)
        .map_err(Error::path("make", path))
}

/// Removes a directory with all in it; a missing one is no error.
pub(crate) fn remove_dir(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(Error::path("remove", path)),
    }
}

/// Removes a container's directory under state, for whoever holds its lock: `alive` goes after all else. From that moment on
/// somebody else may make a new one, and then the directory stays for that one.
pub(crate) fn remove_live(directory: &Path) -> Result<()> {
    let entries = match std::fs::read_dir(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Error::path("list", directory))?,
    };
    for entry in entries {
        let entry = entry.map_err(Error::path("list", directory))?;
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_dir(&path)?;
        } else if entry.file_name() != "alive" {
            remove_file(&path)?;
        }
    }
    remove_file(&directory.join("alive"))?;
    match std::fs::remove_dir(directory) {
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Ok(())
        }
        other => other.map_err(Error::path("remove", directory)),
    }
}

/// Removes a file; a missing one is no error.
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(Error::path("remove", path)),
    }
}

/// Writes a file (mode 0600) at once: whoever reads it sees all of it or the one before.
pub(crate) fn replace(path: &Path, content: &[u8], keep: Keep) -> Result<()> {
    let fresh = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(content)?;
        if keep == Keep::Durable {
            file.sync_all()?;
        }
        std::fs::rename(&fresh, path)?;
        if keep == Keep::Durable
            && let Some(parent) = path.parent()
        {
            File::open(parent)?.sync_all()?;
        }
        Ok(())
    };
    write().map_err(Error::path("write", path))
}

/// Makes an empty file whose being there says it all. Any number of processes may do so at once.
pub(crate) fn mark(path: &Path) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options
        .open(path)
        .map(drop)
        .map_err(Error::path("write", path))
}

/// [`replace`] with a value as JSON.
pub(crate) fn replace_json(path: &Path, value: &impl Serialize, keep: Keep) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|e| Error::Damaged {
        path: path.to_owned(),
        why: e.to_string(),
    })?;
    text.push(b'\n');
    replace(path, &text, keep)
}

/// Reads a JSON file; none when it is not there.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::path("read", path)(e)),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|e| Error::Damaged {
            path: path.to_owned(),
            why: e.to_string(),
        })
}

/// Waits for the lock of a file or directory, at most `patience`; the kernel frees it when its holder dies.
pub(crate) fn lock(file: &File, patience: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_micros(200);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(e)) => return Err(e),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return Ok(false),
            Err(TryLockError::WouldBlock) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Makes a file that is locked from its first moment on: who finds it free knows that its owner was killed. None when there
/// is one already.
pub(crate) fn locked_anew(path: &Path) -> io::Result<Option<File>> {
    let fresh = path.with_extension(std::process::id().to_string());
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(&fresh)?;
    file.lock()?;
    let linked = std::fs::hard_link(&fresh, path);
    std::fs::remove_file(&fresh)?;
    match linked {
        Ok(()) => Ok(Some(file)),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(e) => Err(e),
    }
}

/// Does the path still lead to this open file?
pub(crate) fn is_same(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(open), Ok(there)) = (file.metadata(), std::fs::metadata(path)) else {
        return false;
    };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

/// Bytes in the files below a directory, each file once however many names it has.
pub(crate) fn length(path: &Path) -> u64 {
    let mut seen = std::collections::BTreeSet::new();
    files_length(path, &mut seen)
}

fn files_length(path: &Path, seen: &mut std::collections::BTreeSet<(u64, u64)>) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(meta) = std::fs::symlink_metadata(path) else {
        return 0;
    };
    if !meta.is_dir() {
        let fresh = meta.nlink() == 1 || seen.insert((meta.dev(), meta.ino()));
        return if fresh { meta.len() } else { 0 };
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| files_length(&entry.path(), seen)).sum()
}

/// Bytes on disk below a directory, as du(1) counts them; what cannot be read counts as nothing.
pub(crate) fn size(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(meta) = std::fs::symlink_metadata(path) else {
        return 0;
    };
    let own = meta.blocks() * 512;
    if !meta.is_dir() {
        return own;
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    own + entries.map(|entry| size(&entry.path())).sum::<u64>()
}
