//! Verbs that change a project take turns: none plans from what another is about to change.
//!
//! Comes in: the state directory and a project's name. Goes out: a [`Lock`], held until it is dropped. It is a flock(2) on
//! `STATE/compose-PROJECT.lock`, so the kernel gives it back when its holder is killed; the file says who holds it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The project is ours.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // First the name, then, as the file closes, the lock: who waits for this file sees that its name is gone, and
        // looks for the next one.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The lock of a project could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot lock the project at {}", path.display())]
pub struct Error {
    /// Of the lock.
    path: PathBuf,
    /// The errno.
    source: io::Error,
}

/// Waits for the project. `patient` is told who holds it, again and again, and ends the waiting by saying no: then there
/// is no lock.
///
/// # Errors
/// The file cannot be made or locked.
pub fn lock(
    state: &Path,
    project: &str,
    patient: &mut dyn FnMut(Option<u32>) -> bool,
) -> Result<Option<Lock>, Error> {
    let path = state.join(format!("compose-{}.lock", plain(project)));
    let failed = |source| Error {
        path: path.clone(),
        source,
    };
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(lock) = try_lock(&path).map_err(failed)? {
            return Ok(Some(lock));
        }
        if !patient(holder(&path)) {
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// A name given with `-p` is not checked when there are no files; it must not lead out of the directory.
fn plain(project: &str) -> String {
    project.replace(['/', '\0'], "_")
}

fn try_lock(path: &Path) -> io::Result<Option<Lock>> {
    if let Some(directory) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    let file = options.open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    if !leads_to(path, &file)? {
        return Ok(None);
    }
    file.set_len(0)?;
    (&file).write_all(format!("{}\n", std::process::id()).as_bytes())?;
    Ok(Some(Lock {
        _file: file,
        path: path.to_owned(),
    }))
}

/// Whoever held the lock before us removes the name when it is done: then we hold a file that nobody else will find.
fn leads_to(path: &Path, file: &File) -> io::Result<bool> {
    let own = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (own.dev(), own.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn holder(path: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(path).ok()?.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn one_has_it_and_the_others_are_told_who() {
        let state = tempfile::tempdir().unwrap();
        let first = lock(state.path(), "shop", &mut |_| false).unwrap();
        assert!(first.is_some());
        let mut told = None;
        let second = lock(state.path(), "shop", &mut |pid| {
            told = pid;
            false
        });
        assert!(second.unwrap().is_none());
        assert_eq!(told, Some(std::process::id()));
        assert!(
            lock(state.path(), "other", &mut |_| false)
                .unwrap()
                .is_some()
        );
        drop(first);
        assert!(
            lock(state.path(), "shop", &mut |_| false)
                .unwrap()
                .is_some()
        );
        let left = std::fs::read_dir(state.path()).unwrap();
        assert_eq!(left.count(), 0, "a lock left its file");
    }

    #[test]
    fn many_take_turns() {
        let state = tempfile::tempdir().unwrap();
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let lock = lock(state.path(), "shop", &mut |_| true).unwrap();
                        assert!(lock.is_some());
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
    }

    #[test]
    fn a_name_stays_in_the_directory() {
        let state = tempfile::tempdir().unwrap();
        let lock = lock(state.path(), "../../x", &mut |_| false)
            .unwrap()
            .unwrap();
        assert_eq!(lock.path.parent(), Some(state.path()));
        assert!(!lock.path.file_name().unwrap().is_empty());
        drop(lock);
    }
}
