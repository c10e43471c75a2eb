//! What images take on disk: packed blobs and unpacked layers, each counted once
//! however many images share it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Entry, Store};
use crate::{Digest, Error, Image};

/// What all images take.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// Each image once, in the order of the index.
    pub images: Vec<ImageUsage>,
    /// Bytes of all of them together.
    pub total: u64,
    /// Bytes that would be free if every image without a container were removed.
    pub reclaimable: u64,
}

/// What one image takes.
#[derive(Clone, Debug)]
pub struct ImageUsage {
    /// Its names, or its one nameless entry.
    pub entries: Vec<Entry>,
    /// Bytes that other images need too.
    pub shared: u64,
    /// Bytes that only this image needs.
    pub unique: u64,
    /// Whether a container was made from it.
    pub used: bool,
}

/// A blob or an unpacked layer.
struct Part {
    size: u64,
    images: BTreeSet<usize>,
}

impl Store {
    /// Looks at every image once.
    pub fn usage(&self) -> Result<Usage, Error> {
        let used = self.used_images()?;
        let mut by_id: BTreeMap<Digest, usize> = BTreeMap::new();
        let mut images: Vec<ImageUsage> = Vec::new();
        let mut parts: BTreeMap<String, Part> = BTreeMap::new();
        let entries = self.entries()?;
        for entry in &entries {
            if let Some(known) = by_id.get(&entry.id) {
                images[*known].entries.push(entry.clone());
                continue;
            }
            let at = images.len();
            by_id.insert(entry.id.clone(), at);
            for (key, size) in parts_of(&self.load(entry, &entries)?) {
                let part = parts.entry(key).or_insert_with(|| Part {
                    size,
                    images: BTreeSet::new(),
                });
                part.images.insert(at);
            }
            images.push(ImageUsage {
                entries: vec![entry.clone()],
                shared: 0,
                unique: 0,
                used: used.contains(&entry.id),
            });
        }
        Ok(sum(images, parts.values()))
    }

    /// The ids of the images that containers were made from.
    pub fn used_images(&self) -> Result<BTreeSet<Digest>, Error> {
        Ok(self.pins()?.into_iter().map(|pin| pin.image).collect())
    }
}

fn parts_of(image: &Image) -> Vec<(String, u64)> {
    let blobs = image
        .manifest
        .layers
        .iter()
        .chain([&image.manifest.config, &image.descriptor]);
    let blobs = blobs.map(|blob| (blob.digest.to_string(), blob.size));
    let layers = image
        .layers
        .iter()
        .map(|layer| (layer.directory.display().to_string(), layer.size));
    blobs.chain(layers).collect()
}

fn sum<'a>(mut images: Vec<ImageUsage>, parts: impl Iterator<Item = &'a Part>) -> Usage {
    let (mut total, mut reclaimable) = (0, 0);
    for part in parts {
        total += part.size;
        if !part.images.iter().any(|at| images[*at].used) {
            reclaimable += part.size;
        }
        let alone = part.images.len() == 1;
        for at in &part.images {
            let image = &mut images[*at];
            *if alone {
                &mut image.unique
            } else {
                &mut image.shared
            } += part.size;
        }
    }
    Usage {
        images,
        total,
        reclaimable,
    }
}
