//! An image in the store: everything needed to run it, read and checked.

use std::path::PathBuf;

use crate::{Descriptor, Digest, ImageConfig, Manifest, Reference};

/// An image of the store.
#[derive(Clone, Debug)]
pub struct Image {
    /// The digest of its config, docker's image id.
    pub id: Digest,
    /// The name it was found by; none when it was found by id and has none.
    pub reference: Option<Reference>,
    /// What the reference names in its registry: an index or a manifest.
    pub target: Descriptor,
    /// The manifest for the chosen platform.
    pub descriptor: Descriptor,
    /// Its content.
    pub manifest: Manifest,
    /// The config.
    pub config: ImageConfig,
    /// Bottom first.
    pub layers: Vec<Layer>,
    /// `repository@digest` under which registries gave it.
    pub repo_digests: Vec<Reference>,
}

/// One layer of an image, unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The packed bytes.
    pub blob: Descriptor,
    /// The digest of the plain tar archive.
    pub diff_id: Digest,
    /// The tree, in overlay's form: whiteouts are devices 0:0.
    pub directory: PathBuf,
    /// Bytes of the files of this layer alone.
    pub size: u64,
    /// Whether it says anything of the root directory itself.
    pub describes_root: bool,
}

impl Image {
    /// Bytes of the files of all layers.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }
}
