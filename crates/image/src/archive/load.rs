//! Loading: an archive or directory of images -> images of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ArchiveError;
use super::contents::Contents;
use crate::arrival::{self, Documents, Naming};
use crate::json::null_as_empty;
use crate::layer::sniff;
use crate::media_type::{self, OCI_CONFIG, OCI_MANIFEST, Packing};
use crate::pull::choose;
use crate::store::stored;
use crate::{
    Descriptor, Digest, Document, Error, ImageConfig, Index, Manifest, Platform, Progress,
    Reference, Store,
};

const NESTING_LIMIT: usize = 4;

/// An image that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its id.
    pub id: Digest,
    /// The names it has now, none if the archive had none.
    pub references: Vec<Reference>,
}

/// One entry of docker's `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default, deserialize_with = "null_as_empty")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "null_as_empty")]
    layers: Vec<String>,
}

/// An image of an archive, its documents at hand.
struct Found {
    documents: Documents,
    references: Vec<Reference>,
}

/// Loads every image of `source`: a directory is read as one, everything else as an archive.
pub fn load(
    store: &Store,
    source: Source,
    platform: Option<&Platform>,
    progress: &dyn Progress,
) -> Result<Vec<Loaded>, Error> {
    let _in_use = store.begin_use()?;
    store.clean()?;
    let spool = store.spool()?;
    let contents = match source {
        Source::Directory(path) => Contents::of_directory(&path, &spool)?,
        Source::Archive(reader) => Contents::of_archive(reader, &spool)?,
    };
    let platform = platform.cloned().unwrap_or_else(Platform::host);
    let images = images(&contents, &platform)?;
    let files = contents.by_digest();
    images
        .into_iter()
        .map(|image| install(store, image, &files, progress))
        .collect()
}

/// What to load from.
pub enum Source {
    /// A stream: an archive, packed or not.
    Archive(Box<dyn Read>),
    /// An OCI layout.
    Directory(PathBuf),
}

impl Source {
    /// A file or a directory.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if path.is_dir() {
            return Ok(Self::Directory(path.to_owned()));
        }
        Ok(Self::Archive(Box::new(
            File::open(path).map_err(crate::error::file("open", path))?,
        )))
    }
}

fn images(contents: &Contents, platform: &Platform) -> Result<Vec<Found>, Error> {
    if let Some(index) = contents.document::<Index>("index.json")? {
        return oci_images(contents, &index, platform);
    }
    match contents.document::<Vec<DockerImage>>("manifest.json")? {
        Some(images) => images
            .iter()
            .map(|image| docker_image(contents, image))
            .collect(),
        None => Err(ArchiveError::Unknown.into()),
    }
}

fn oci_images(
    contents: &Contents,
    index: &Index,
    platform: &Platform,
) -> Result<Vec<Found>, Error> {
    let mut found: BTreeMap<Digest, Found> = BTreeMap::new();
    for descriptor in index.manifests.iter().filter(|entry| entry.is_runnable()) {
        let reference = name_of(descriptor);
        let image = match found.remove(&descriptor.digest) {
            Some(image) => image,
            None => Found {
                documents: documents(contents, descriptor, platform)?,
                references: Vec::new(),
            },
        };
        let references = image.references.into_iter().chain(reference).collect();
        found.insert(
            descriptor.digest.clone(),
            Found {
                references,
                ..image
            },
        );
    }
    Ok(found.into_values().collect())
}

/// containerd's annotation has the whole name; the standard one often only a tag.
fn name_of(descriptor: &Descriptor) -> Option<Reference> {
    let note = |name: &str| {
        descriptor
            .annotations
            .get(name)
            .and_then(|text| text.parse().ok())
    };
    note("io.containerd.image.name").or_else(|| note("org.opencontainers.image.ref.name"))
}

/// Follows indexes down to the manifest for `platform`.
pub(super) fn documents(
    contents: &Contents,
    target: &Descriptor,
    platform: &Platform,
) -> Result<Documents, Error> {
    let mut all = Vec::new();
    let mut current = bare(target);
    for _ in 0..NESTING_LIMIT {
        let bytes = blob(contents, &current.digest)?;
        let parsed =
            Document::parse(&bytes, &current.media_type).map_err(|source| Error::Document {
                what: "manifest",
                digest: current.digest.clone(),
                source,
            })?;
        current.size = bytes.len() as u64;
        all.push((current.digest.clone(), bytes));
        match parsed {
            Document::Index(index) => current = bare(choose(&index, platform)?),
            Document::Manifest(manifest) => {
                let config = manifest.config.digest.clone();
                all.push((config.clone(), blob(contents, &config)?));
                return Ok(Documents {
                    target: bare(target),
                    descriptor: current,
                    manifest,
                    all,
                });
            }
        }
    }
    let reason = format!("it is an index more than {NESTING_LIMIT} deep");
    Err(Error::NotAnImage {
        digest: target.digest.clone(),
        reason,
    })
}

fn bare(descriptor: &Descriptor) -> Descriptor {
    Descriptor::new(
        &descriptor.media_type,
        descriptor.digest.clone(),
        descriptor.size,
    )
}

pub(super) fn blob(contents: &Contents, digest: &Digest) -> Result<Vec<u8>, Error> {
    let missing = || Error::Incomplete {
        digest: digest.clone(),
    };
    let file = contents.blob(digest).ok_or_else(missing)?;
    std::fs::read(&file.path).map_err(crate::error::file("read", &file.path))
}

/// docker's archive has no manifest: one is made for its config and layers.
fn docker_image(contents: &Contents, image: &DockerImage) -> Result<Found, Error> {
    let config = contents.bytes(&image.config)?;
    let layers: Result<Vec<Descriptor>, Error> = image
        .layers
        .iter()
        .map(|name| docker_layer(contents, name))
        .collect();
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(OCI_MANIFEST.to_owned()),
        artifact_type: None,
        config: Descriptor::of(OCI_CONFIG, &config),
        layers: layers?,
        subject: None,
        annotations: BTreeMap::new(),
    };
    let bytes = manifest.to_bytes();
    let descriptor = Descriptor::of(OCI_MANIFEST, &bytes);
    let all = vec![
        (descriptor.digest.clone(), bytes),
        (manifest.config.digest.clone(), config),
    ];
    let references: Result<Vec<Reference>, _> =
        image.repo_tags.iter().map(|tag| tag.parse()).collect();
    let documents = Documents {
        target: descriptor.clone(),
        descriptor,
        manifest,
        all,
    };
    Ok(Found {
        documents,
        references: references?,
    })
}

fn docker_layer(contents: &Contents, name: &str) -> Result<Descriptor, Error> {
    let file = contents.file(name).ok_or_else(|| ArchiveError::Missing {
        name: name.to_owned(),
    })?;
    let mut start = Vec::new();
    let opened = File::open(&file.path).and_then(|file| file.take(8).read_to_end(&mut start));
    opened.map_err(crate::error::file("read", &file.path))?;
    let media_type = match sniff(&start).map_err(ArchiveError::Decompress)? {
        Packing::Plain => media_type::OCI_LAYER,
        Packing::Gzip => media_type::OCI_LAYER_GZIP,
        Packing::Zstd => media_type::OCI_LAYER_ZSTD,
    };
    Ok(Descriptor::new(media_type, file.digest.clone(), file.size))
}

fn install(
    store: &Store,
    image: Found,
    files: &BTreeMap<Digest, PathBuf>,
    progress: &dyn Progress,
) -> Result<Loaded, Error> {
    let Found {
        documents,
        references,
    } = image;
    let config = config_of(&documents)?;
    let mut namings: Vec<Naming> = references
        .iter()
        .map(|reference| Naming {
            reference: Some(stored(reference)),
            source: None,
        })
        .collect();
    if namings.is_empty() {
        namings.push(Naming {
            reference: None,
            source: None,
        });
    }
    arrival::install(store, progress, files, &documents, &config, &namings)?;
    let unique: BTreeSet<Reference> = references.into_iter().collect();
    Ok(Loaded {
        id: documents.manifest.config.digest,
        references: unique.into_iter().collect(),
    })
}

pub(super) fn config_of(documents: &Documents) -> Result<ImageConfig, Error> {
    let digest = &documents.manifest.config.digest;
    let bytes = documents
        .all
        .iter()
        .find(|(known, _)| known == digest)
        .map(|(_, bytes)| bytes.as_slice());
    let unreadable = |source| Error::Document {
        what: "config",
        digest: digest.clone(),
        source,
    };
    let config = ImageConfig::parse(bytes.unwrap_or_default()).map_err(unreadable)?;
    documents
        .manifest
        .check(&documents.descriptor.digest, &config)?;
    Ok(config)
}
