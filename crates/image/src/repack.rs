//! The layers of an image in another packing, for `push --compression-format`.
//!
//! In: an image of the store. Out: [`Repacked`], a manifest of OCI's kind and the
//! files its new layers lie in until the push is over. The plain bytes and so the
//! config stay the same; the same input gives the same digests.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use flate2::Compression;
use flate2::bufread::GzEncoder;

use crate::error::file;
use crate::layer::{Decoder, sniff};
use crate::media_type::{
    OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST, Packing, as_oci,
    is_nondistributable,
};
use crate::store::Spool;
use crate::{Algorithm, Descriptor, Digest, Error, Image, Manifest, Store};

const BUFFER: usize = 1 << 20;

/// How the layers of an image are packed when they are pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repacking {
    /// The program.
    pub packing: Packing,
    /// How hard it tries: 1 to 9 for gzip, 1 to 22 for zstd; its own default without.
    pub level: Option<u32>,
}

/// An image with new layers.
pub(crate) struct Repacked {
    pub(crate) manifest: Manifest,
    /// Where the new layers are.
    pub(crate) files: BTreeMap<Digest, PathBuf>,
    _spool: Spool,
}

/// Packs the layers of `image` anew, except those that are packed so already.
pub(crate) fn repack(store: &Store, image: &Image, how: Repacking) -> Result<Repacked, Error> {
    let spool = store.spool()?;
    let mut manifest = image.manifest.clone();
    manifest.media_type = Some(OCI_MANIFEST.to_owned());
    manifest.config.media_type = OCI_CONFIG.to_owned();
    let mut files = BTreeMap::new();
    for layer in &mut manifest.layers {
        if is_nondistributable(&layer.media_type) {
            continue;
        }
        let mut source = Source::open(store, layer)?;
        if source.packing == how.packing {
            layer.media_type = as_oci(&layer.media_type);
            continue;
        }
        let kept = spool.keep(&mut *source.packed(how)?, Algorithm::Sha256)?;
        *layer = Descriptor::new(name_of(how.packing), kept.digest.clone(), kept.size);
        files.insert(kept.digest, kept.path);
    }
    Ok(Repacked {
        manifest,
        files,
        _spool: spool,
    })
}

fn name_of(packing: Packing) -> &'static str {
    match packing {
        Packing::Plain => OCI_LAYER,
        Packing::Gzip => OCI_LAYER_GZIP,
        Packing::Zstd => OCI_LAYER_ZSTD,
    }
}

/// A layer of the store, and how it is packed by the look of its first bytes.
struct Source {
    blob: BufReader<File>,
    path: PathBuf,
    packing: Packing,
}

impl Source {
    fn open(store: &Store, layer: &Descriptor) -> Result<Self, Error> {
        let path = store.blob_path(&layer.digest);
        let blob = File::open(&path).map_err(file("open", &path))?;
        let mut blob = BufReader::with_capacity(BUFFER, blob);
        let start = blob.fill_buf().map_err(file("read", &path))?;
        let packing = sniff(start).map_err(|error| Error::Layer {
            digest: layer.digest.clone(),
            source: error.into(),
        })?;
        Ok(Self {
            blob,
            path,
            packing,
        })
    }

    /// The layer's plain bytes, packed anew.
    fn packed(&mut self, how: Repacking) -> Result<Box<dyn Read + '_>, Error> {
        let start = self
            .blob
            .fill_buf()
            .map_err(file("read", &self.path))?
            .to_vec();
        let plain = Decoder::new(&start, &mut self.blob);
        let plain =
            plain.map_err(|error| file("unpack", &self.path)(std::io::Error::other(error)))?;
        let plain = BufReader::with_capacity(BUFFER, plain);
        Ok(match how.packing {
            Packing::Plain => Box::new(plain),
            Packing::Gzip => {
                let level = how.level.map_or(Compression::default(), Compression::new);
                Box::new(GzEncoder::new(plain, level))
            }
            Packing::Zstd => {
                let level = how.level.and_then(|level| i32::try_from(level).ok());
                let encoder = zstd::stream::read::Encoder::with_buffer(plain, level.unwrap_or(0));
                Box::new(encoder.map_err(file("pack", &self.path))?)
            }
        })
    }
}
