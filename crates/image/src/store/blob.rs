//! Blobs: finished ones under their digest, and partial ones on their way.
//!
//! A partial blob is locked by the process that fetches it, so that the same
//! layer is fetched once; after a crash the lock is gone and the next process
//! goes on from the last byte. The bytes are hashed again before they count.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Store, remove_file, write_atomic};
use crate::error::file;
use crate::json::DOCUMENT_LIMIT;
use crate::{Descriptor, Digest, Error, Verifier};

/// A blob on its way, locked by this process.
#[derive(Debug)]
pub struct Partial {
    /// Open for reading and appending.
    pub file: File,
    /// Bytes that were there already.
    pub length: u64,
    path: PathBuf,
    digest: Digest,
}

impl Store {
    /// Where a finished blob lies.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.images
            .join("blobs")
            .join(digest.algorithm().name())
            .join(digest.hex())
    }

    /// Whether the blob is there; its content is checked when it is read.
    pub fn has_blob(&self, descriptor: &Descriptor) -> bool {
        fs::metadata(self.blob_path(&descriptor.digest))
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() == descriptor.size)
    }

    /// The bytes of a small blob (manifest, index or config), checked.
    pub fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let damaged = |problem: String| Error::Damaged {
            digest: digest.clone(),
            problem,
        };
        let path = self.blob_path(digest);
        let metadata = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged("is missing".to_owned()));
            }
            other => other.map_err(file("read", &path))?,
        };
        if metadata.len() > DOCUMENT_LIMIT {
            return Err(damaged(format!("has {} bytes", metadata.len())));
        }
        let bytes = fs::read(&path).map_err(file("read", &path))?;
        let mut verifier = Verifier::new(digest, bytes.len() as u64);
        verifier
            .update(&bytes)
            .and_then(|()| verifier.finish())
            .map_err(|mismatch| damaged(format!("is wrong: {mismatch}")))?;
        Ok(bytes)
    }

    /// Keeps a small blob.
    pub fn write_blob(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        self.write_blob_as(&digest, bytes)?;
        Ok(digest)
    }

    /// Keeps a small blob whose digest was checked, of whichever algorithm.
    pub(crate) fn write_blob_as(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        let path = self.blob_path(digest);
        let there = fs::metadata(&path).is_ok_and(|found| found.len() == bytes.len() as u64);
        if there {
            Ok(())
        } else {
            write_atomic(&path, bytes)
        }
    }

    /// Takes a damaged blob away.
    pub(crate) fn remove_blob(&self, digest: &Digest) -> Result<(), Error> {
        remove_file(&self.blob_path(digest))
    }

    /// Opens the partial blob if no other process has it.
    pub fn try_partial(&self, digest: &Digest) -> Result<Option<Partial>, Error> {
        let path = self.images.join("partial").join(digest.hex());
        loop {
            let partial = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .append(true)
                .mode(0o600)
                .open(&path)
                .map_err(file("open", &path))?;
            match partial.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => return Ok(None),
                Err(fs::TryLockError::Error(error)) => return Err(file("lock", &path)(error)),
            }
            // Whoever had the lock before may have renamed the file away.
            let ours = partial.metadata().map_err(file("read", &path))?;
            if fs::metadata(&path).is_ok_and(|named| named.ino() == ours.ino()) {
                return Ok(Some(Partial {
                    file: partial,
                    length: ours.len(),
                    path,
                    digest: digest.clone(),
                }));
            }
        }
    }

    /// Gives a complete, checked and synced blob its name. The caller syncs the
    /// directories of all blobs of an image once, with [`Store::sync_blobs`].
    pub(crate) fn commit_partial(&self, partial: &Partial) -> Result<(), Error> {
        let path = self.blob_path(&partial.digest);
        fs::rename(&partial.path, &path).map_err(file("name", &path))
    }

    /// Removes every partial blob nobody is fetching and nobody wrote to for `age`;
    /// their bytes in all.
    pub fn remove_partials(&self, age: Duration) -> Result<u64, Error> {
        let dir = self.images.join("partial");
        let mut bytes = 0;
        for found in fs::read_dir(&dir).map_err(file("list", &dir))? {
            let path = found.map_err(file("list", &dir))?.path();
            let Ok(partial) = File::open(&path) else {
                continue;
            };
            let metadata = partial.metadata().map_err(file("read", &path))?;
            let idle = metadata
                .modified()
                .ok()
                .and_then(|time| time.elapsed().ok());
            if idle.unwrap_or_default() >= age && partial.try_lock().is_ok() {
                bytes += metadata.len();
                remove_file(&path)?;
            }
        }
        Ok(bytes)
    }

    /// Makes committed names of blobs survive a power cut.
    pub(crate) fn sync_blobs(&self) -> Result<(), Error> {
        for algorithm in ["sha256", "sha512"] {
            super::sync_directory(&self.images.join("blobs").join(algorithm))?;
        }
        Ok(())
    }
}

impl Partial {
    /// Forgets the bytes, for those that turned out to be wrong.
    pub fn discard(&mut self) -> Result<(), Error> {
        self.length = 0;
        self.file.set_len(0).map_err(file("empty", &self.path))
    }

    /// Takes a finished file of the same filesystem as its bytes.
    pub(crate) fn adopt(&mut self, source: &Path) -> Result<(), Error> {
        fs::rename(source, &self.path).map_err(file("take", source))?;
        let adopted = OpenOptions::new().read(true).append(true).open(&self.path);
        let adopted = adopted.map_err(file("open", &self.path))?;
        // Whoever waits for the old file finds that it lost its name, and looks again.
        adopted
            .try_lock()
            .map_err(|error| file("lock", &self.path)(error.into()))?;
        self.length = adopted.metadata().map_err(file("read", &self.path))?.len();
        self.file = adopted;
        Ok(())
    }

    /// Another handle on the same file, for the thread that writes it.
    pub(crate) fn reopen(&self) -> Result<File, Error> {
        self.file.try_clone().map_err(file("open", &self.path))
    }

    /// Removes the file, when its blob is there already or never will be.
    pub fn remove(&self) -> Result<(), Error> {
        remove_file(&self.path)
    }
}
