//! Files that are not blobs yet: what an archive holds, on the filesystem of the
//! store so that they become blobs by renaming.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::temporary::Temporary;
use super::{Store, unique};
use crate::error::file;
use crate::{Algorithm, Digest, Error, Hasher};

const NAME: &str = "spool-";
const PIECE: usize = 256 << 10;

/// A directory of such files; removed with them.
#[derive(Debug)]
pub(crate) struct Spool(Temporary);

/// One such file.
#[derive(Clone, Debug)]
pub(crate) struct Spooled {
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

impl Store {
    /// A new, empty spool.
    pub(crate) fn spool(&self) -> Result<Spool, Error> {
        Ok(Spool(Temporary::make(&self.images, NAME)?))
    }

    /// Removes the spools of crashed processes.
    pub(super) fn clean_spools(&self) -> Result<(), Error> {
        Temporary::clean(&self.images, NAME)
    }
}

impl Spool {
    /// Keeps what `source` gives.
    pub(crate) fn keep(
        &self,
        source: &mut dyn Read,
        algorithm: Algorithm,
    ) -> Result<Spooled, Error> {
        let mut keeping = self.begin(algorithm)?;
        let mut piece = vec![0; PIECE];
        loop {
            let count = source
                .read(&mut piece)
                .map_err(file("read into", &keeping.path))?;
            if count == 0 {
                return Ok(keeping.finish());
            }
            keeping.take(&piece[..count])?;
        }
    }

    /// A new file, for what comes in pieces.
    pub(crate) fn begin(&self, algorithm: Algorithm) -> Result<Keeping, Error> {
        let path = self.0.path().join(unique());
        let out = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(file("create", &path))?;
        Ok(Keeping {
            path,
            out,
            hasher: Hasher::new(algorithm),
            size: 0,
        })
    }
}

/// A file of a spool that is being written.
pub(crate) struct Keeping {
    path: PathBuf,
    out: File,
    hasher: Hasher,
    size: u64,
}

impl Keeping {
    pub(crate) fn take(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.write_all(piece).map_err(file("write", &self.path))
    }

    pub(crate) fn finish(self) -> Spooled {
        Spooled {
            path: self.path,
            digest: self.hasher.finish(),
            size: self.size,
        }
    }
}

impl Write for Keeping {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let count = self.out.write(piece)?;
        self.hasher.update(&piece[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
