//! Saving: images of the store -> one archive that docker, podman, skopeo and
//! containerd read. It is an OCI layout with docker's `manifest.json` beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;

use serde_json::{Value, json};

use super::ArchiveError;
use crate::layer::tar::Writer;
use crate::media_type::OCI_INDEX;
use crate::{Descriptor, Digest, Error, Image, Reference, Store};

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
        blobs.insert(manifest.digest.clone());
        blobs.insert(image.id.clone());
        blobs.extend(image.layers.iter().map(|layer| layer.blob.digest.clone()));
        entries.extend(index_entries(&manifest, references));
        docker.push(docker_entry(image, references));
    }
    let mut archive = Writer::new(out);
    let written = write(store, &blobs, &entries, &docker, format, &mut archive)?;
    written
        .and_then(|()| archive.finish().map(drop))
        .map_err(|error| ArchiveError::Write(error).into())
}

/// The outer error is about the store, the inner one about the archive.
fn write(
    store: &Store,
    blobs: &BTreeSet<Digest>,
    entries: &[Descriptor],
    docker: &[Value],
    format: Format,
    archive: &mut Writer<&mut dyn Write>,
) -> Result<std::io::Result<()>, Error> {
    let mut layout = vec![
        ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        (
            "index.json",
            json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})
                .to_string()
                .into_bytes(),
        ),
    ];
    if format == Format::Docker {
        layout.push((
            "manifest.json",
            Value::from(docker).to_string().into_bytes(),
        ));
    }
    let directories = ["blobs", "blobs/sha256", "blobs/sha512"];
    let used = |name: &&str| {
        !name.ends_with("512") || blobs.iter().any(|blob| blob.algorithm().name() == "sha512")
    };
    for name in directories.iter().copied().filter(used) {
        if let Err(error) = archive.directory(name) {
            return Ok(Err(error));
        }
    }
    for digest in blobs {
        let path = store.blob_path(digest);
        let mut blob = File::open(&path).map_err(crate::error::file("open", &path))?;
        let size = blob
            .metadata()
            .map_err(crate::error::file("read", &path))?
            .len();
        let name = format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
        if let Err(error) = archive.file(&name, 0o644, size, &mut blob) {
            return Ok(Err(error));
        }
    }
    let rest = layout.iter().try_for_each(|(name, bytes)| {
        archive.file(name, 0o644, bytes.len() as u64, &mut &bytes[..])
    });
    Ok(rest)
}

/// One entry for each name, or a single one without.
fn index_entries(manifest: &Descriptor, references: &[Reference]) -> Vec<Descriptor> {
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
    let path = |digest: &Digest| format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
    let layers: Vec<String> = image
        .layers
        .iter()
        .map(|layer| path(&layer.blob.digest))
        .collect();
    let tags: Vec<String> = references
        .iter()
        .filter(|r| r.tag().is_some())
        .map(Reference::familiar)
        .collect();
    json!({"Config": path(&image.id), "RepoTags": tags, "Layers": layers})
}
