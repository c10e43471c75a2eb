//! Collecting what no name, no container and no running pull needs.
//!
//! Mark from the index and the pins, then sweep blobs and layers. Users of the
//! store hold `gc.lock` shared; a collection that meets one leaves a note
//! instead of waiting, and the last user does it when it ends.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::layers::{chain_ids, layer_name};
use super::{Entry, Store, open_lock, remove_file};
use crate::error::file;
use crate::media_type::{self, Kind};
use crate::{Descriptor, Digest, Document, Error, ImageConfig};

const NESTING_LIMIT: usize = 4;

/// What a collection removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Bytes of blobs and layers.
    pub bytes: u64,
    /// The blobs.
    pub blobs: Vec<Digest>,
    /// The layers, by diff id.
    pub layers: Vec<Digest>,
    /// Another process uses the store: it will collect when it is done.
    pub deferred: bool,
}

/// What must stay.
#[derive(Default)]
struct Marked {
    blobs: BTreeSet<Digest>,
    layers: BTreeSet<String>,
}

impl Store {
    /// Removes every blob and layer that nothing needs.
    pub fn collect(&self) -> Result<Reclaimed, Error> {
        let path = self.images.join("gc.lock");
        let lock = open_lock(&path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let note = self.images.join("gc.wanted");
                fs::write(&note, "").map_err(file("write", &note))?;
                return Ok(Reclaimed {
                    deferred: true,
                    ..Reclaimed::default()
                });
            }
            Err(fs::TryLockError::Error(error)) => return Err(file("lock", &path)(error)),
        }
        remove_file(&self.images.join("gc.wanted"))?;
        self.clean()?;
        let marked = self.mark()?;
        let mut reclaimed = Reclaimed::default();
        self.sweep_blobs(&marked, &mut reclaimed)?;
        self.sweep_layers(&marked, &mut reclaimed)?;
        self.keep_reserve();
        Ok(reclaimed)
    }

    /// Called when a use of the store ends; failures are the next collection's.
    pub(super) fn collect_if_asked(&self) {
        if self.images.join("gc.wanted").exists() {
            let _ = self.collect();
        }
    }

    fn mark(&self) -> Result<Marked, Error> {
        let mut marked = Marked::default();
        for descriptor in self.read_index()?.manifests {
            self.mark_tree(&descriptor, NESTING_LIMIT, &mut marked)?;
            if let Some(entry) = Entry::read(&descriptor) {
                self.mark_tree(&entry.target, NESTING_LIMIT, &mut marked)?;
            }
        }
        for pin in self.pins()? {
            marked.layers.extend(pin.layers);
            let manifest = Descriptor::new(media_type::OCI_MANIFEST, pin.manifest, 0);
            self.mark_pinned(&manifest, &mut marked)?;
        }
        Ok(marked)
    }

    /// A container's image may have lost its name; its blobs stay as well, so
    /// that the container can still be inspected and committed.
    fn mark_pinned(&self, manifest: &Descriptor, marked: &mut Marked) -> Result<(), Error> {
        let Ok(bytes) = self.read_blob(&manifest.digest) else {
            return Ok(());
        };
        let docker = Document::parse(&bytes, media_type::DOCKER_MANIFEST).is_ok();
        let media_type = if docker {
            media_type::DOCKER_MANIFEST
        } else {
            media_type::OCI_MANIFEST
        };
        let descriptor = Descriptor {
            media_type: media_type.to_owned(),
            ..manifest.clone()
        };
        self.mark_tree(&descriptor, NESTING_LIMIT, marked)
    }

    /// Marks a document and all it leads to, as far as it is here.
    fn mark_tree(
        &self,
        descriptor: &Descriptor,
        depth: usize,
        marked: &mut Marked,
    ) -> Result<(), Error> {
        let known = !marked.blobs.insert(descriptor.digest.clone());
        if known || depth == 0 || !self.blob_path(&descriptor.digest).exists() {
            return Ok(());
        }
        if !matches!(
            media_type::kind(&descriptor.media_type),
            Some(Kind::Index | Kind::Manifest)
        ) {
            return Ok(());
        }
        let bytes = self.read_blob(&descriptor.digest)?;
        match Document::parse(&bytes, &descriptor.media_type) {
            Ok(Document::Index(index)) => {
                for child in &index.manifests {
                    self.mark_tree(child, depth - 1, marked)?;
                }
            }
            Ok(Document::Manifest(manifest)) => {
                marked.blobs.insert(manifest.config.digest.clone());
                marked
                    .blobs
                    .extend(manifest.layers.iter().map(|layer| layer.digest.clone()));
                self.mark_layers(&manifest.config.digest, marked);
            }
            Err(source) => {
                let digest = descriptor.digest.clone();
                return Err(Error::Document {
                    what: "manifest",
                    digest,
                    source,
                });
            }
        }
        Ok(())
    }

    /// An artifact's config is no image's, and then there are no layers to keep.
    fn mark_layers(&self, config: &Digest, marked: &mut Marked) {
        let Ok(bytes) = self.read_blob(config) else {
            return;
        };
        let Ok(config) = ImageConfig::parse(&bytes) else {
            return;
        };
        let diff_ids = &config.rootfs.diff_ids;
        let names = chain_ids(diff_ids);
        let names = names
            .iter()
            .chain(diff_ids)
            .map(|digest| layer_name(digest).to_owned());
        marked.layers.extend(names);
    }

    fn sweep_blobs(&self, marked: &Marked, reclaimed: &mut Reclaimed) -> Result<(), Error> {
        for algorithm in ["sha256", "sha512"] {
            let dir = self.images.join("blobs").join(algorithm);
            for found in fs::read_dir(&dir).map_err(file("list", &dir))? {
                let found = found.map_err(file("list", &dir))?;
                let name = found.file_name();
                let digest = format!("{algorithm}:{}", name.to_string_lossy()).parse::<Digest>();
                if digest
                    .as_ref()
                    .is_ok_and(|digest| marked.blobs.contains(digest))
                {
                    continue;
                }
                reclaimed.bytes += found.metadata().map_or(0, |metadata| metadata.len());
                remove_file(&found.path())?;
                reclaimed.blobs.extend(digest);
            }
        }
        Ok(())
    }

    fn sweep_layers(&self, marked: &Marked, reclaimed: &mut Reclaimed) -> Result<(), Error> {
        for name in self.layer_names()? {
            if marked.layers.contains(&name) || !is_layer_name(Path::new(&name)) {
                continue;
            }
            if let Some(record) = self.layer_record(&name) {
                reclaimed.bytes += record.size;
                reclaimed.layers.push(record.diff_id);
            }
            self.remove_layer(&name)?;
        }
        Ok(())
    }
}

fn is_layer_name(name: &Path) -> bool {
    let name = name.as_os_str().as_encoded_bytes();
    name.len() == 32 && name.iter().all(u8::is_ascii_hexdigit)
}
