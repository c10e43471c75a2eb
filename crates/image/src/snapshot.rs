//! A writable view of an image: the lower directories of an overlay mount, and
//! an upper one for what the container changes. Nothing is mounted here.

use std::path::{Path, PathBuf};

use crate::store::Store;
use crate::{Error, Image};

/// The directories an overlay mount takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Topmost first, the order of overlay's `lowerdir`.
    pub lower: Vec<PathBuf>,
    /// What the container changes.
    pub upper: PathBuf,
    /// Overlay's own scratch, on the same filesystem as `upper`.
    pub work: PathBuf,
}

impl Snapshot {
    /// Makes `upper` and `work` below `dir`, and pins the image's layers in the
    /// store for as long as `dir` exists: removing `dir` is all there is to undo.
    ///
    /// `upper` starts with mode, owner and times of the image's root (of the topmost layer
    /// that describes it), since it is what the kernel shows as the root of the mount.
    pub fn prepare(store: &Store, image: &Image, dir: &Path) -> Result<Self, Error> {
        store.pin(image, dir)?;
        let (upper, work) = (dir.join("upper"), dir.join("work"));
        crate::store::make_directory(dir)?;
        crate::store::make_directory(&upper)?;
        crate::store::make_directory(&work)?;
        let describing = image.layers.iter().rfind(|layer| layer.describes_root);
        if let Some(layer) = describing.or(image.layers.first()) {
            crate::layer::copy_attributes(&layer.directory, &upper)?;
        }
        Ok(Self::of(image, dir))
    }

    /// The directories of a snapshot prepared before.
    pub fn of(image: &Image, dir: &Path) -> Self {
        Self {
            lower: image
                .layers
                .iter()
                .rev()
                .map(|layer| layer.directory.clone())
                .collect(),
            upper: dir.join("upper"),
            work: dir.join("work"),
        }
    }
}
