//! Artifacts: files in a registry that are no image (image-spec, "Guidelines for
//! Artifact Usage").
//!
//! [`push`] makes a manifest with one layer for each file, whose name is an
//! annotation as ORAS has it; [`fetch`] writes such files into a directory;
//! [`referrers`] lists what a repository has about one of its manifests.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::file;
use crate::media_type::{OCI_EMPTY, OCI_LAYER, OCI_MANIFEST};
use crate::receive::receive;
use crate::registry::{Content, Options, Session, Upload, run};
use crate::{Algorithm, Descriptor, Document, Error, Hasher, Manifest, Reference};

const TITLE: &str = "org.opencontainers.image.title";
const EMPTY: &[u8] = b"{}";

/// What to push.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// What kind of thing it is, a media type.
    pub kind: String,
    /// The files, each with its media type when it is not that of any layer.
    pub files: Vec<(PathBuf, Option<String>)>,
    /// Notes on the whole.
    pub annotations: BTreeMap<String, String>,
    /// The image of the same repository it says something about: tag or digest.
    pub subject: Option<String>,
}

/// Sends the files as one artifact called `reference`; its descriptor.
pub fn push(
    reference: &Reference,
    artifact: &Artifact,
    options: &Options,
) -> Result<Descriptor, Error> {
    let session = Session::new(reference, options)?;
    run(send(&session, reference, artifact))
}

async fn send(
    session: &Session,
    reference: &Reference,
    artifact: &Artifact,
) -> Result<Descriptor, Error> {
    let subject = match &artifact.subject {
        Some(name) => Some(Box::new(session.manifest(name, None).await?.descriptor)),
        None => None,
    };
    let mut layers = Vec::new();
    for (path, media_type) in &artifact.files {
        let layer = describe(path, media_type.as_deref().unwrap_or(OCI_LAYER))?;
        upload(session, &layer, Content::File(path)).await?;
        layers.push(layer);
    }
    let mut config = Descriptor::of(OCI_EMPTY, EMPTY);
    upload(session, &config, Content::Bytes(EMPTY)).await?;
    config.data = Some("e30=".to_owned());
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(OCI_MANIFEST.to_owned()),
        artifact_type: Some(artifact.kind.clone()),
        config,
        layers,
        subject,
        annotations: artifact.annotations.clone(),
    };
    name_it(session, reference, &manifest).await
}

/// Puts the manifest under its name, and into the list of its subject.
async fn name_it(
    session: &Session,
    reference: &Reference,
    manifest: &Manifest,
) -> Result<Descriptor, Error> {
    let bytes = manifest.to_bytes();
    let mut descriptor = Descriptor::of(OCI_MANIFEST, &bytes);
    let listed = session
        .push_manifest(&reference.wanted(), OCI_MANIFEST, &bytes, None)
        .await?;
    descriptor.artifact_type.clone_from(&manifest.artifact_type);
    if let Some(subject) = &manifest.subject
        && !listed
    {
        session
            .add_to_referrers_tag(&subject.digest, descriptor.clone())
            .await?;
    }
    Ok(descriptor)
}

async fn upload(
    session: &Session,
    descriptor: &Descriptor,
    content: Content<'_>,
) -> Result<(), Error> {
    let upload = Upload {
        descriptor,
        content,
        from: None,
        chunk: None,
        sent: &|_| {},
    };
    session.push_blob(&upload).await.map(drop)
}

/// Digest, size and name of a file.
fn describe(path: &Path, media_type: &str) -> Result<Descriptor, Error> {
    let mut source = File::open(path).map_err(file("open", path))?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let (mut piece, mut size) = (vec![0; 1 << 20], 0);
    loop {
        let count = source.read(&mut piece).map_err(file("read", path))?;
        if count == 0 {
            break;
        }
        hasher.update(&piece[..count]);
        size += count as u64;
    }
    let mut descriptor = Descriptor::new(media_type, hasher.finish(), size);
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    descriptor.annotations.insert(TITLE.to_owned(), name);
    Ok(descriptor)
}

/// Writes the files of the artifact `reference` into `directory`, where nothing is
/// overwritten; their paths.
pub fn fetch(
    reference: &Reference,
    directory: &Path,
    options: &Options,
) -> Result<Vec<PathBuf>, Error> {
    let session = Session::new(reference, options)?;
    run(fetch_files(&session, reference, directory))
}

async fn fetch_files(
    session: &Session,
    reference: &Reference,
    directory: &Path,
) -> Result<Vec<PathBuf>, Error> {
    let found = session.manifest(&reference.wanted(), None).await?;
    let Document::Manifest(manifest) = found.document else {
        return Err(Error::NotAnArtifact {
            digest: found.descriptor.digest,
            reason: "it is an index; name one of its manifests".to_owned(),
        });
    };
    let named = manifest
        .layers
        .iter()
        .filter_map(|layer| Some((layer, layer.annotations.get(TITLE)?)));
    let named: Vec<_> = named.collect();
    let refused = |reason: String| Error::NotAnArtifact {
        digest: found.descriptor.digest.clone(),
        reason,
    };
    if named.is_empty() {
        return Err(refused(
            "none of its layers is a file with a name".to_owned(),
        ));
    }
    if let Some((_, name)) = named.iter().find(|(_, name)| !is_file_name(name)) {
        let name: String = name.chars().take(200).collect();
        return Err(refused(format!(
            "a file is called {name:?}, which is no plain name"
        )));
    }
    fs::create_dir_all(directory).map_err(file("make directory", directory))?;
    let mut written = Vec::new();
    for (layer, name) in named {
        let path = directory.join(name);
        write(session, layer, &path).await?;
        written.push(path);
    }
    Ok(written)
}

/// A name that leads to no other directory and hides in no terminal.
fn is_file_name(name: &str) -> bool {
    let plain = !name.contains('/') && !name.chars().any(char::is_control);
    plain && !matches!(name, "" | "." | "..") && name.len() <= 255
}

/// One blob to a file, whole and right or not at all.
async fn write(session: &Session, layer: &Descriptor, path: &Path) -> Result<(), Error> {
    let out = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)
        .map_err(file("create", path))?;
    let received = receive(session, layer, out, 0, path).await;
    if received.is_err() {
        let _ = fs::remove_file(path);
    }
    received
}

/// What the repository of `reference` has about the manifest it names, of one
/// kind only when `kind` says which.
pub fn referrers(
    reference: &Reference,
    kind: Option<&str>,
    options: &Options,
) -> Result<Vec<Descriptor>, Error> {
    let session = Session::new(reference, options)?;
    run(async {
        let digest = match reference.digest() {
            Some(digest) => digest.clone(),
            None => {
                session
                    .manifest(&reference.wanted(), None)
                    .await?
                    .descriptor
                    .digest
            }
        };
        let mut found = session.referrers(&digest).await?;
        found.retain(|referrer| {
            kind.is_none_or(|kind| referrer.artifact_type.as_deref() == Some(kind))
        });
        Ok(found)
    })
}

#[cfg(test)]
mod tests {
    use super::is_file_name;

    #[test]
    fn a_file_stays_in_its_directory() {
        assert!(is_file_name("report.json") && is_file_name("..x"));
        for wrong in [
            "",
            ".",
            "..",
            "../x",
            "/etc/passwd",
            "a/b",
            "a\nb",
            "a\0b",
            &"x".repeat(256),
        ] {
            assert!(!is_file_name(wrong), "{wrong:?}");
        }
    }
}
