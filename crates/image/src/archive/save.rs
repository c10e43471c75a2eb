//! Saving: images of the store -> one archive that docker, podman, skopeo and
//! containerd read. It is an OCI layout with docker's `manifest.json` beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::ArchiveError;
use crate::layer::tar::Writer;
use crate::media_type::OCI_INDEX;
use crate::store::LAYOUT;
use crate::{Descriptor, Digest, Error, Image, Reference, Store, Verifier};

/// Which archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Both families in one: what `docker save` writes since version 25.
    #[default]
    Docker,
    /// An OCI layout and nothing else.
    Oci,
}

/// Writes `images`, each with the names it shall have where it is loaded.
pub fn save(
    store: &Store,
    images: &[(Image, Vec<Reference>)],
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let _in_use = store.begin_use()?;
    let mut blobs: BTreeSet<Digest> = BTreeSet::new();
    let mut entries = Vec::new();
    let mut docker = Vec::new();
    for (image, references) in images {
        let manifest = store.oci_manifest(image)?;
        blobs.extend(blobs_of(&manifest, image));
        entries.extend(index_entries(&manifest, references));
        docker.push(docker_entry(image, references));
    }
    let docker = (format == Format::Docker).then_some(docker);
    write_layout(store, &blobs, &BTreeMap::new(), &entries, docker, out)
}

/// Writes a layout: blobs of the store and those given here, then the index, and docker's list if any.
pub(super) fn write_layout(
    store: &Store,
    stored: &BTreeSet<Digest>,
    given: &BTreeMap<Digest, PathBuf>,
    entries: &[Descriptor],
    docker: Option<Vec<Value>>,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let mut archive = Writer::new(out);
    let algorithms: BTreeSet<&str> = stored
        .iter()
        .chain(given.keys())
        .map(|digest| digest.algorithm().name())
        .collect();
    archive.directory("blobs").map_err(ArchiveError::Write)?;
    for algorithm in algorithms {
        archive
            .directory(&format!("blobs/{algorithm}"))
            .map_err(ArchiveError::Write)?;
    }
    let all: BTreeSet<&Digest> = stored.iter().chain(given.keys()).collect();
    for digest in all {
        let path = given.get(digest).cloned();
        let path = path.unwrap_or_else(|| store.blob_path(digest));
        put_blob(&path, digest, &mut archive)?;
    }
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
    put(&mut archive, "oci-layout", LAYOUT)?;
    put(&mut archive, "index.json", index.to_string().as_bytes())?;
    if let Some(docker) = docker {
        let list = Value::from(docker).to_string();
        put(&mut archive, "manifest.json", list.as_bytes())?;
    }
    archive.finish().map(drop).map_err(ArchiveError::Write)?;
    Ok(())
}

fn put(archive: &mut Writer<&mut dyn Write>, name: &str, bytes: &[u8]) -> Result<(), Error> {
    archive
        .file(name, 0o644, bytes.len() as u64, &mut &bytes[..])
        .map_err(|error| ArchiveError::Write(error).into())
}

/// A blob, checked on its way: no archive is made of damaged ones.
fn put_blob(
    path: &Path,
    digest: &Digest,
    archive: &mut Writer<&mut dyn Write>,
) -> Result<(), Error> {
    let blob = File::open(path).map_err(crate::error::file("open", path))?;
    let size = blob
        .metadata()
        .map_err(crate::error::file("read", path))?
        .len();
    let mut blob = Checked {
        source: blob,
        verifier: Verifier::new(digest, size),
    };
    archive
        .file(&blob_name(digest), 0o644, size, &mut blob)
        .map_err(ArchiveError::Write)?;
    blob.verifier.finish().map_err(|mismatch| Error::Damaged {
        digest: digest.clone(),
        problem: format!("is wrong: {mismatch}"),
    })
}

/// A file whose bytes are digested while they are read.
struct Checked {
    source: File,
    verifier: Verifier,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.verifier
            .update(&buffer[..count])
            .map_err(io::Error::other)?;
        Ok(count)
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// What an image needs in a layout.
pub(super) fn blobs_of(manifest: &Descriptor, image: &Image) -> Vec<Digest> {
    let layers = image.layers.iter().map(|layer| layer.blob.digest.clone());
    layers
        .chain([manifest.digest.clone(), image.id.clone()])
        .collect()
}

/// One entry for each name, or a single one without.
pub(super) fn index_entries(manifest: &Descriptor, references: &[Reference]) -> Vec<Descriptor> {
    if references.is_empty() {
        return vec![manifest.clone()];
    }
    let named = |reference: &Reference| Descriptor {
        annotations: BTreeMap::from([
            ("io.containerd.image.name".to_owned(), reference.to_string()),
            (
                "org.opencontainers.image.ref.name".to_owned(),
                reference.to_string(),
            ),
        ]),
        ..manifest.clone()
    };
    references.iter().map(named).collect()
}

fn docker_entry(image: &Image, references: &[Reference]) -> Value {
    let layers: Vec<String> = image
        .layers
        .iter()
        .map(|layer| blob_name(&layer.blob.digest))
        .collect();
    let tags: Vec<String> = references
        .iter()
        .filter(|r| r.tag().is_some())
        .map(Reference::familiar)
        .collect();
    json!({"Config": blob_name(&image.id), "RepoTags": tags, "Layers": layers})
}
