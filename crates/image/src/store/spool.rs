//! Files that are not blobs yet: what an archive holds, on the filesystem of the
//! store so that they become blobs by renaming.

use std::fs::OpenOptions;
use std::io::{Read, Write};
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
        let path = self.0.path().join(unique());
        let mut out = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(file("create", &path))?;
        let mut hasher = Hasher::new(algorithm);
        let mut piece = vec![0; PIECE];
        let mut size = 0;
        loop {
            let count = source.read(&mut piece).map_err(file("read into", &path))?;
            if count == 0 {
                return Ok(Spooled {
                    path,
                    digest: hasher.finish(),
                    size,
                });
            }
            hasher.update(&piece[..count]);
            out.write_all(&piece[..count])
                .map_err(file("write", &path))?;
            size += count as u64;
        }
    }
}
