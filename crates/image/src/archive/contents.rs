//! What an archive or directory holds, by name. Names are only looked up here,
//! never used as paths (CVE-2014-9358).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::ArchiveError;
use crate::json::{DOCUMENT_LIMIT, parse};
use crate::layer::tar::{Kind, Reader};
use crate::layer::{Decoder, clean};
use crate::store::{Spool, Spooled};
use crate::{Algorithm, Digest, Error, JsonError};

const ENTRIES_LIMIT: usize = 100_000;
const LINKS_LIMIT: usize = 8;
const DEPTH_LIMIT: usize = 4;

/// The files of an archive, kept in a spool.
#[derive(Default)]
pub(super) struct Contents {
    files: BTreeMap<String, Spooled>,
    /// docker before 25 wrote a layer once and then links to it.
    links: BTreeMap<String, String>,
}

impl Contents {
    /// Reads a tar archive, packed or not.
    pub(super) fn of_archive(source: impl Read, spool: &Spool) -> Result<Self, Error> {
        let mut source = BufReader::with_capacity(1 << 20, source);
        let start = source
            .fill_buf()
            .map_err(|error| ArchiveError::Tar(error.into()))?;
        let start = start[..start.len().min(8)].to_vec();
        let decoder = Decoder::new(&start, source).map_err(ArchiveError::Decompress)?;
        let mut reader = Reader::new(BufReader::with_capacity(256 << 10, decoder));
        let mut contents = Self::default();
        while let Some(entry) = reader.next_entry().map_err(ArchiveError::Tar)? {
            let Some(name) = text_of(&entry.path) else {
                continue;
            };
            match entry.kind {
                Kind::File => contents.keep(name, &mut Data(&mut reader), spool)?,
                Kind::Symlink | Kind::HardLink => contents.link(name, &entry.link, entry.kind),
                _ => {}
            }
        }
        Ok(contents)
    }

    /// Reads a directory: an OCI layout, or an unpacked archive.
    pub(super) fn of_directory(root: &Path, spool: &Spool) -> Result<Self, Error> {
        let mut contents = Self::default();
        let mut todo = vec![(root.to_owned(), String::new(), 0)];
        while let Some((directory, prefix, depth)) = todo.pop() {
            let failed = |source| ArchiveError::Directory {
                path: directory.clone(),
                source,
            };
            for found in fs::read_dir(&directory).map_err(failed)? {
                let found = found.map_err(failed)?;
                let Ok(name) = found.file_name().into_string() else {
                    continue;
                };
                let name = format!("{prefix}{name}");
                let kind = found.file_type().map_err(failed)?;
                if kind.is_dir() && depth < DEPTH_LIMIT {
                    todo.push((found.path(), format!("{name}/"), depth + 1));
                } else if kind.is_file() {
                    let mut source = File::open(found.path()).map_err(failed)?;
                    contents.keep(name, &mut source, spool)?;
                }
            }
        }
        Ok(contents)
    }

    fn keep(&mut self, name: String, source: &mut dyn Read, spool: &Spool) -> Result<(), Error> {
        if self.files.len() >= ENTRIES_LIMIT {
            return Err(ArchiveError::Unknown.into());
        }
        let named = digest_in(&name);
        let algorithm = named.as_ref().map_or(Algorithm::Sha256, Digest::algorithm);
        let kept = spool.keep(source, algorithm)?;
        if let Some(expected) = named
            && expected != kept.digest
        {
            return Err(crate::Mismatch::Digest {
                expected,
                found: kept.digest,
            }
            .into());
        }
        self.files.insert(name, kept);
        Ok(())
    }

    fn link(&mut self, name: String, target: &[u8], kind: Kind) {
        let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
        let target = match kind {
            Kind::Symlink => [directory.as_bytes(), b"/", target].concat(),
            _ => target.to_vec(),
        };
        if let Some(target) = text_of(&target) {
            self.links.insert(name, target);
        }
    }

    /// The file of that name, through links.
    pub(super) fn file(&self, name: &str) -> Option<&Spooled> {
        let mut name = name;
        for _ in 0..LINKS_LIMIT {
            if let Some(found) = self.files.get(name) {
                return Some(found);
            }
            name = self.links.get(name)?;
        }
        None
    }

    /// A JSON document, if it is there.
    pub(super) fn document<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let Some(found) = self.file(name) else {
            return Ok(None);
        };
        let unreadable = |source| ArchiveError::Document {
            name: name.to_owned(),
            source,
        };
        Ok(Some(parse(&read(found)?).map_err(unreadable)?))
    }

    /// A small file, which must be there.
    pub(super) fn bytes(&self, name: &str) -> Result<Vec<u8>, Error> {
        let missing = || ArchiveError::Missing {
            name: name.to_owned(),
        };
        read(self.file(name).ok_or_else(missing)?)
    }

    /// The file a digest names in an OCI layout.
    pub(super) fn blob(&self, digest: &Digest) -> Option<&Spooled> {
        self.file(&format!(
            "blobs/{}/{}",
            digest.algorithm().name(),
            digest.hex()
        ))
    }

    /// All files that can become blobs.
    pub(super) fn by_digest(&self) -> BTreeMap<Digest, PathBuf> {
        self.files
            .values()
            .map(|file| (file.digest.clone(), file.path.clone()))
            .collect()
    }
}

fn read(file: &Spooled) -> Result<Vec<u8>, Error> {
    if file.size > DOCUMENT_LIMIT {
        let source = JsonError::TooLarge {
            limit: DOCUMENT_LIMIT,
        };
        return Err(Error::Document {
            what: "file",
            digest: file.digest.clone(),
            source,
        });
    }
    fs::read(&file.path).map_err(crate::error::file("read", &file.path))
}

/// A name in the archive, when it can be one of ours.
fn text_of(name: &[u8]) -> Option<String> {
    String::from_utf8(clean(name).ok()?).ok()
}

/// `blobs/sha256/<hex>` promises its content.
fn digest_in(name: &str) -> Option<Digest> {
    let (algorithm, hex) = name.strip_prefix("blobs/")?.split_once('/')?;
    format!("{algorithm}:{hex}").parse().ok()
}

/// The data of a reader's current entry.
struct Data<'a, S>(&'a mut Reader<S>);

impl<S: BufRead> Read for Data<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.0.data().map_err(io::Error::other)?;
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        self.0.consume(count);
        Ok(count)
    }
}
