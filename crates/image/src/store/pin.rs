//! Pins: which layers a container's snapshot uses. A pin is void as soon as the
//! snapshot's directory is gone, so nobody has to take it away.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Store, write_unsynced};
use crate::error::file;
use crate::{Digest, Error, Image};

/// What one snapshot needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pin {
    /// The snapshot.
    pub(super) directory: PathBuf,
    /// The image it is of.
    pub(super) image: Digest,
    /// Its manifest.
    pub(super) manifest: Digest,
    /// The directories below `layers/`.
    pub(super) layers: Vec<String>,
}

impl Store {
    /// Keeps the layers of `image` until `directory` is removed.
    pub(crate) fn pin(&self, image: &Image, directory: &Path) -> Result<(), Error> {
        let _in_use = self.begin_use()?;
        super::make_directory(directory)?;
        let name = |path: &Path| path.parent()?.file_name()?.to_str().map(str::to_owned);
        let pin = Pin {
            directory: directory.to_owned(),
            image: image.id.clone(),
            manifest: image.descriptor.digest.clone(),
            layers: image
                .layers
                .iter()
                .filter_map(|layer| name(&layer.directory))
                .collect(),
        };
        // Looked at again under the lock: the image may have been collected since it was found.
        for layer in &image.layers {
            fs::metadata(&layer.directory).map_err(file("use layer", &layer.directory))?;
        }
        let key = Digest::of(directory.as_os_str().as_encoded_bytes());
        let path = self
            .images
            .join("pins")
            .join(format!("{}.json", &key.hex()[..32]));
        let bytes = serde_json::to_vec(&pin).map_err(|error| file("write", &path)(error.into()))?;
        // Not synced: a power cut that loses the pin ends the container too, and
        // starting it again prepares, and so pins, its snapshot anew.
        write_unsynced(&path, &bytes)
    }

    /// The directories of the snapshots that use image `id`.
    pub fn users(&self, id: &Digest) -> Result<Vec<PathBuf>, Error> {
        let pins = self.pins()?.into_iter();
        Ok(pins
            .filter(|pin| pin.image == *id)
            .map(|pin| pin.directory)
            .collect())
    }

    /// The pins whose snapshots exist; void ones are removed on the way.
    pub(super) fn pins(&self) -> Result<Vec<Pin>, Error> {
        let dir = self.images.join("pins");
        let mut pins = Vec::new();
        for found in fs::read_dir(&dir).map_err(file("list", &dir))? {
            let path = found.map_err(file("list", &dir))?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let pin = fs::read(&path)
                .ok()
                .and_then(|bytes| serde_json::from_slice::<Pin>(&bytes).ok());
            match pin {
                Some(pin) if pin.directory.exists() => pins.push(pin),
                _ => super::remove_file(&path)?,
            }
        }
        Ok(pins)
    }
}
