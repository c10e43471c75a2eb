//! `index.json`: which names the store has, and finding an image by one.
//!
//! One entry for each name. Annotations remember what reading the blobs again
//! would tell (id, size, creation), so that a list of hundreds needs one file.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use super::{Store, open_lock, write_atomic};
use crate::error::file;
use crate::json::parse;
use crate::media_type::{self, DOCKER_LIST, DOCKER_MANIFEST, OCI_CONFIG, OCI_MANIFEST};
use crate::{
    Descriptor, Digest, Document, Error, Image, ImageConfig, Index, Layer, Manifest, Reference,
};

/// The standard annotation for a name in a layout.
const NAME: &str = "org.opencontainers.image.ref.name";
const ID: &str = "lighter.image.id";
const MANIFEST: &str = "lighter.image.manifest";
const SIZE: &str = "lighter.image.size";
const CREATED: &str = "lighter.image.created";
/// What the name points to at the registry, when the entry itself is a stand-in.
const TARGET: &str = "lighter.image.target";
/// The repository the image came from, for `repository@digest`.
const SOURCE: &str = "lighter.image.source";

/// One line of the index: enough for `images`.
#[derive(Clone, Debug)]
pub struct Entry {
    /// None for an image whose name went to another (`<none>`).
    pub reference: Option<Reference>,
    /// The digest of the config.
    pub id: Digest,
    /// What the name points to: an index or a manifest.
    pub target: Descriptor,
    /// The manifest for the chosen platform.
    pub manifest: Digest,
    /// Bytes of the files of all layers.
    pub size: u64,
    /// RFC 3339, as the config has it.
    pub created: Option<String>,
    /// `repository@digest` at the registry it came from.
    pub repo_digest: Option<Reference>,
    /// For an image in Docker's format: the same as an OCI manifest, since a
    /// layout may hold no other and skopeo before 1.14 reads no other.
    pub stand_in: Option<Descriptor>,
}

impl Entry {
    pub(super) fn read(descriptor: &Descriptor) -> Option<Self> {
        let note = |name: &str| descriptor.annotations.get(name).cloned();
        let id: Digest = note(ID)?.parse().ok()?;
        let source: Option<Reference> = note(SOURCE).and_then(|name| name.parse().ok());
        let mut target = descriptor.clone();
        target.annotations.clear();
        let original = note(TARGET).and_then(|text| serde_json::from_str(&text).ok());
        let (target, stand_in) = match original {
            Some(original) => (original, Some(target)),
            None => (target, None),
        };
        Some(Self {
            reference: note(NAME).and_then(|name| name.parse().ok()),
            id,
            manifest: note(MANIFEST)?.parse().ok()?,
            size: note(SIZE).and_then(|size| size.parse().ok()).unwrap_or(0),
            created: note(CREATED),
            repo_digest: source.map(|source| source.with_digest(&target.digest)),
            target,
            stand_in,
        })
    }

    fn write(&self) -> Descriptor {
        let mut descriptor = self.stand_in.as_ref().unwrap_or(&self.target).clone();
        let mut note = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                descriptor.annotations.insert(name.to_owned(), value);
            }
        };
        note(NAME, self.reference.as_ref().map(Reference::to_string));
        note(ID, Some(self.id.to_string()));
        note(MANIFEST, Some(self.manifest.to_string()));
        note(SIZE, Some(self.size.to_string()));
        note(CREATED, self.created.clone());
        let original = self
            .stand_in
            .as_ref()
            .and_then(|_| serde_json::to_string(&self.target).ok());
        note(TARGET, original);
        note(SOURCE, self.repo_digest.as_ref().map(Reference::name));
        descriptor
    }
}

impl Store {
    /// All names and nameless images, in the order they came.
    pub fn entries(&self) -> Result<Vec<Entry>, Error> {
        Ok(self
            .read_index()?
            .manifests
            .iter()
            .filter_map(Entry::read)
            .collect())
    }

    /// Finds by reference (`nginx:1`), by id (`sha256:...`) or by the beginning of an id.
    pub fn find(&self, name: &str) -> Result<Image, Error> {
        let entries = self.entries()?;
        let entry = choose(&entries, name)?;
        self.load(entry, &entries)
    }

    /// The image of an entry.
    pub fn image(&self, entry: &Entry) -> Result<Image, Error> {
        self.load(entry, &self.entries()?)
    }

    /// The entries that `name` means: one reference, or every name of one id.
    pub fn matching(&self, name: &str) -> Result<Vec<Entry>, Error> {
        let entries = self.entries()?;
        let chosen = choose(&entries, name)?.clone();
        if is_reference_to(&chosen, name) {
            return Ok(vec![chosen]);
        }
        Ok(entries
            .into_iter()
            .filter(|entry| entry.id == chosen.id)
            .collect())
    }

    pub(super) fn load(&self, entry: &Entry, entries: &[Entry]) -> Result<Image, Error> {
        let (bytes, media_type) = self.read_manifest(entry)?;
        let descriptor = Descriptor::new(&media_type, entry.manifest.clone(), bytes.len() as u64);
        let manifest = parse_manifest(&entry.manifest, &bytes, &media_type)?;
        let config = self.read_config(&manifest)?;
        let layers = self.layers_of(&manifest, &config)?;
        let repo_digests: BTreeSet<Reference> = entries
            .iter()
            .filter(|other| other.id == entry.id)
            .filter_map(|other| other.repo_digest.clone())
            .collect();
        Ok(Image {
            id: entry.id.clone(),
            reference: entry.reference.clone(),
            target: entry.target.clone(),
            descriptor,
            manifest,
            config,
            layers,
            repo_digests: repo_digests.into_iter().collect(),
        })
    }

    /// The bytes and the media type of the chosen manifest.
    fn read_manifest(&self, entry: &Entry) -> Result<(Vec<u8>, String), Error> {
        if entry.manifest == entry.target.digest {
            return Ok((
                self.read_blob(&entry.target.digest)?,
                entry.target.media_type.clone(),
            ));
        }
        let bytes = self.read_blob(&entry.target.digest)?;
        let document = Document::parse(&bytes, &entry.target.media_type).map_err(|source| {
            Error::Document {
                what: "index",
                digest: entry.target.digest.clone(),
                source,
            }
        })?;
        let found = match document {
            Document::Index(index) => index
                .manifests
                .into_iter()
                .find(|m| m.digest == entry.manifest),
            Document::Manifest(_) => None,
        };
        let found = found.ok_or_else(|| Error::Damaged {
            digest: entry.target.digest.clone(),
            problem: format!("does not list {}", entry.manifest),
        })?;
        Ok((self.read_blob(&found.digest)?, found.media_type))
    }

    /// The config of an entry's image, without looking for its layers.
    pub fn config(&self, entry: &Entry) -> Result<ImageConfig, Error> {
        let (bytes, media_type) = self.read_manifest(entry)?;
        self.read_config(&parse_manifest(&entry.manifest, &bytes, &media_type)?)
    }

    fn read_config(&self, manifest: &Manifest) -> Result<ImageConfig, Error> {
        let digest = &manifest.config.digest;
        ImageConfig::parse(&self.read_blob(digest)?).map_err(|source| Error::Document {
            what: "config",
            digest: digest.clone(),
            source,
        })
    }

    fn layers_of(&self, manifest: &Manifest, config: &ImageConfig) -> Result<Vec<Layer>, Error> {
        let located = self.locate_layers(&config.rootfs.diff_ids)?;
        Ok(manifest
            .layers
            .iter()
            .cloned()
            .zip(&config.rootfs.diff_ids)
            .zip(located)
            .map(|((blob, diff_id), (directory, record))| Layer {
                blob,
                diff_id: diff_id.clone(),
                directory,
                size: record.size,
                describes_root: record.describes_root,
            })
            .collect())
    }

    /// Gives `image` another name; a name that was taken leaves its image nameless.
    pub fn tag(&self, image: &Image, reference: &Reference) -> Result<(), Error> {
        let entry = Entry {
            reference: Some(reference.clone()),
            id: image.id.clone(),
            target: image.target.clone(),
            manifest: image.descriptor.digest.clone(),
            size: image.size(),
            created: image.config.created.clone(),
            repo_digest: image
                .repo_digests
                .iter()
                .find(|r| r.name() == reference.name())
                .cloned(),
            stand_in: None,
        };
        self.record(entry)
    }

    /// Enters `entry` under its name.
    pub(crate) fn record(&self, mut entry: Entry) -> Result<(), Error> {
        if matches!(
            entry.target.media_type.as_str(),
            DOCKER_MANIFEST | DOCKER_LIST
        ) {
            entry.stand_in = Some(self.stand_in(&entry)?);
        }
        self.update_index(|index| {
            place(&mut index.manifests, &entry);
            Ok(())
        })
    }

    /// The image's manifest in OCI's format; made, and kept, when it has another.
    pub(crate) fn oci_manifest(&self, image: &Image) -> Result<Descriptor, Error> {
        if image.descriptor.media_type == OCI_MANIFEST {
            return Ok(image.descriptor.clone());
        }
        self.as_oci(image.manifest.clone())
    }

    /// Keeps the image's manifest in OCI's format as well.
    fn stand_in(&self, entry: &Entry) -> Result<Descriptor, Error> {
        let (bytes, media_type) = self.read_manifest(entry)?;
        self.as_oci(parse_manifest(&entry.manifest, &bytes, &media_type)?)
    }

    fn as_oci(&self, mut manifest: Manifest) -> Result<Descriptor, Error> {
        manifest.media_type = Some(OCI_MANIFEST.to_owned());
        manifest.config.media_type = OCI_CONFIG.to_owned();
        for layer in &mut manifest.layers {
            layer.media_type = media_type::as_oci(&layer.media_type);
        }
        let bytes = manifest.to_bytes();
        self.write_blob(&bytes)?;
        Ok(Descriptor::of(OCI_MANIFEST, &bytes))
    }

    /// Takes the names of `removed` away; blobs and layers go with [`Store::collect`].
    pub fn untag(&self, removed: &[Entry]) -> Result<(), Error> {
        let removed: Vec<Descriptor> = removed.iter().map(Entry::write).collect();
        self.update_index(|index| {
            index
                .manifests
                .retain(|descriptor| !removed.contains(descriptor));
            Ok(())
        })
    }

    pub(super) fn read_index(&self) -> Result<Index, Error> {
        let path = self.images.join("index.json");
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Index::empty()),
            other => other.map_err(file("read", &path))?,
        };
        parse(&bytes).map_err(|source| Error::Document {
            what: "store's index.json",
            digest: Digest::of(&bytes),
            source,
        })
    }

    /// Read, change, write, while no other process does.
    pub(super) fn update_index(
        &self,
        change: impl FnOnce(&mut Index) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let path = self.images.join("index.lock");
        let lock = open_lock(&path)?;
        lock.lock().map_err(file("lock", &path))?;
        let mut index = self.read_index()?;
        change(&mut index)?;
        let bytes = serde_json::to_vec_pretty(&index).map_err(io::Error::from);
        let path = self.images.join("index.json");
        let bytes = bytes.map_err(file("write", &path))?;
        match write_atomic(&path, &bytes) {
            // What frees a full disk has to write first.
            Err(error) if error.is_disk_full() && self.use_reserve() => write_atomic(&path, &bytes),
            written => written,
        }
    }
}

fn parse_manifest(digest: &Digest, bytes: &[u8], media_type: &str) -> Result<Manifest, Error> {
    match Document::parse(bytes, media_type) {
        Ok(Document::Manifest(manifest)) => Ok(manifest),
        Ok(Document::Index(_)) => Err(Error::NotAnImage {
            digest: digest.clone(),
            reason: "it is an index inside an index".to_owned(),
        }),
        Err(source) => Err(Error::Document {
            what: "manifest",
            digest: digest.clone(),
            source,
        }),
    }
}

/// Puts `entry` into the list: its name moves to it, and an image that loses
/// its last name stays as a nameless one.
fn place(manifests: &mut Vec<Descriptor>, entry: &Entry) {
    let named_before: Vec<Entry> = manifests
        .iter()
        .filter_map(Entry::read)
        .filter(|other| other.reference == entry.reference)
        .collect();
    manifests.retain(|descriptor| {
        Entry::read(descriptor).is_none_or(|other| {
            let same_name = other.reference.is_some() && other.reference == entry.reference;
            let now_named = other.reference.is_none() && other.id == entry.id;
            !same_name && !now_named
        })
    });
    manifests.push(entry.write());
    for mut before in named_before {
        let known = manifests
            .iter()
            .filter_map(Entry::read)
            .any(|other| other.id == before.id);
        if !known {
            before.reference = None;
            manifests.push(before.write());
        }
    }
}

fn is_reference_to(entry: &Entry, name: &str) -> bool {
    name.parse::<Reference>()
        .is_ok_and(|reference| entry.reference.as_ref() == Some(&stored(&reference)))
}

/// A digest makes the tag meaningless: the store knows such images by digest.
pub(crate) fn stored(reference: &Reference) -> Reference {
    match reference.digest() {
        Some(digest) => reference.with_digest(digest),
        None => reference.clone(),
    }
}

fn choose<'a>(entries: &'a [Entry], name: &str) -> Result<&'a Entry, Error> {
    if let Ok(reference) = name.parse::<Reference>() {
        let reference = stored(&reference);
        let named = entries
            .iter()
            .find(|entry| entry.reference.as_ref() == Some(&reference));
        let by_digest = || {
            entries.iter().find(|entry| {
                reference.digest().is_some() && entry.repo_digest.as_ref() == Some(&reference)
            })
        };
        if let Some(entry) = named.or_else(by_digest) {
            return Ok(entry);
        }
    }
    by_id(entries, name)
}

fn by_id<'a>(entries: &'a [Entry], name: &str) -> Result<&'a Entry, Error> {
    let missing = || Error::NoSuchImage {
        name: name.to_owned(),
    };
    let digits = name.strip_prefix("sha256:").unwrap_or(name);
    if digits.is_empty()
        || !digits
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    {
        return Err(missing());
    }
    let matching = || {
        entries
            .iter()
            .filter(|entry| entry.id.hex().starts_with(digits))
    };
    let ids: BTreeSet<&Digest> = matching().map(|entry| &entry.id).collect();
    match ids.len() {
        0 => Err(missing()),
        1 => matching().next().ok_or_else(missing),
        _ => Err(Error::Ambiguous {
            name: name.to_owned(),
        }),
    }
}
