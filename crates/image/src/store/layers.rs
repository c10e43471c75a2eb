//! Unpacked layers, shared by every image and container that has them.
//!
//! A layer is known by its diff id. One whose tree depends on the layers below it
//! (a whiteout, a hard link to a file of theirs, a directory that appears only as
//! part of a path) is known by its chain id instead: the digest over it and all
//! that is below it (image-spec, config.md, "Layer ChainID").

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::temporary::Temporary;
use super::{Store, make_directory, remove_tree, unique, write_unsynced};
use crate::error::{errno, file};
use crate::{Digest, Error};

const STAGING: &str = ".new-";
const REMOVED: &str = ".old-";

/// `layer.json`: what is in the directory beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// The digest of the plain tar archive.
    pub diff_id: Digest,
    /// Set when the tree depends on the layers below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_id: Option<Digest>,
    /// Bytes of its files.
    pub size: u64,
    /// Entries of the archive.
    pub entries: u64,
    /// Whether one of them describes the root directory.
    #[serde(default = "yes")]
    pub describes_root: bool,
}

/// Records without the field come from before it, when every root counted.
fn yes() -> bool {
    true
}

/// A directory where a layer is unpacked; removed unless committed.
#[derive(Debug)]
pub(crate) struct Staging(Temporary);

impl Store {
    /// The directories and records of an image's layers, bottom first.
    pub(crate) fn locate_layers(
        &self,
        diff_ids: &[Digest],
    ) -> Result<Vec<(PathBuf, LayerRecord)>, Error> {
        let chain = chain_ids(diff_ids);
        let each = diff_ids.iter().zip(&chain);
        each.map(|(diff_id, chain_id)| {
            self.find_layer(diff_id, chain_id)?
                .ok_or_else(|| Error::Damaged {
                    digest: diff_id.clone(),
                    problem: "(an unpacked layer) is missing".to_owned(),
                })
        })
        .collect()
    }

    /// The layer, if it is unpacked.
    pub(crate) fn find_layer(
        &self,
        diff_id: &Digest,
        chain_id: &Digest,
    ) -> Result<Option<(PathBuf, LayerRecord)>, Error> {
        for name in [diff_id, chain_id] {
            let directory = self.layers.join(layer_name(name));
            let path = directory.join("layer.json");
            let bytes = match fs::read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(file("read", &path))?,
            };
            let record: LayerRecord = serde_json::from_slice(&bytes)
                .map_err(|error| file("read", &path)(error.into()))?;
            // The directory has half of the digest as its name; the record has all of it.
            let same = record.diff_id == *diff_id
                && record
                    .chain_id
                    .as_ref()
                    .is_none_or(|chain| chain == chain_id);
            if same {
                return Ok(Some((directory.join("fs"), record)));
            }
        }
        Ok(None)
    }

    /// A new directory to unpack into.
    pub(crate) fn stage_layer(&self) -> Result<Staging, Error> {
        let staging = Staging(Temporary::make(&self.layers, STAGING)?);
        make_directory(&staging.root())?;
        Ok(staging)
    }

    /// Gives a staged layer its name. Call it after [`Store::sync_all`].
    pub(crate) fn commit_layer(
        &self,
        staging: &mut Staging,
        record: &LayerRecord,
    ) -> Result<PathBuf, Error> {
        let key = record.chain_id.as_ref().unwrap_or(&record.diff_id);
        let directory = self.layers.join(layer_name(key));
        match fs::rename(staging.0.path(), &directory) {
            Ok(()) => staging.0.keep(),
            // It is there already: the same bytes, checked by whoever was first.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            Err(error) => return Err(file("name", &directory)(error)),
        }
        Ok(directory.join("fs"))
    }

    /// Writes all bytes of blobs and layers to the disk, in one go.
    pub(crate) fn sync_all(&self) -> Result<(), Error> {
        let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
        let mut directories = vec![&self.layers];
        if device(&self.layers) != device(&self.images) {
            directories.push(&self.images);
        }
        for path in directories {
            let dir = File::open(path).map_err(file("open", path))?;
            rustix::fs::syncfs(&dir).map_err(errno("sync", path))?;
        }
        Ok(())
    }

    pub(crate) fn sync_layer_names(&self) -> Result<(), Error> {
        super::sync_directory(&self.layers)
    }

    /// Removes what crashed processes left below `layers/`.
    pub(super) fn clean_layers(&self) -> Result<(), Error> {
        Temporary::clean(&self.layers, STAGING)?;
        Temporary::clean(&self.layers, REMOVED)
    }

    /// The directory of a layer below `layers/`.
    pub(crate) fn layer_name(digest: &Digest) -> &str {
        layer_name(digest)
    }

    /// Everything below `layers/`, finished or not.
    pub(super) fn layer_names(&self) -> Result<Vec<String>, Error> {
        let list = fs::read_dir(&self.layers).map_err(file("list", &self.layers))?;
        let names = list.filter_map(|found| found.ok()?.file_name().into_string().ok());
        Ok(names.collect())
    }

    /// Takes a layer away: first its name, then the tree.
    pub(crate) fn remove_layer(&self, name: &str) -> Result<(), Error> {
        let path = self.layers.join(name);
        let old = self.layers.join(format!("{REMOVED}{}", unique()));
        let lock = File::open(&path).map_err(file("open", &path))?;
        // Held until it is gone, so that nobody else removes it at the same time.
        let _ = lock.try_lock();
        fs::rename(&path, &old).map_err(file("remove", &path))?;
        remove_tree(&old)
    }

    pub(super) fn layer_record(&self, name: &str) -> Option<LayerRecord> {
        let bytes = fs::read(self.layers.join(name).join("layer.json")).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

impl Staging {
    /// The root of the tree.
    pub(crate) fn root(&self) -> PathBuf {
        self.0.path().join("fs")
    }

    /// Writes `layer.json`.
    pub(crate) fn describe(&self, record: &LayerRecord) -> Result<(), Error> {
        let path = self.0.path().join("layer.json");
        let bytes =
            serde_json::to_vec(record).map_err(|error| file("write", &path)(error.into()))?;
        write_unsynced(&path, &bytes)
    }
}

/// The directory of a layer below `layers/`: short, since overlay takes all of
/// them in one page on kernels before 6.5.
pub(crate) fn layer_name(digest: &Digest) -> &str {
    &digest.hex()[..32]
}

/// The chain id of each layer, bottom first.
pub(crate) fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        chain.push(match chain.last() {
            None => diff_id.clone(),
            Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
        });
    }
    chain
}
