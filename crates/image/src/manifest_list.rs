//! Indexes made by hand: `lighter manifest create`, `annotate` and `push`.
//!
//! A [`List`] is kept below the root as one JSON file until it is pushed: names of
//! manifests at their registry, each with its descriptor and platform. Pushing
//! lets the registry take over what is in its other repositories and then sends
//! the index; no layer passes through this machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::file;
use crate::json::parse;
use crate::media_type::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX};
use crate::registry::{Options, Session, run};
use crate::store::{make_directory, remove_file, write_atomic};
use crate::{
    Descriptor, Digest, Document, Error, ImageConfig, Index, Manifest, Original, Platform,
    Reference,
};

/// The lists below one root directory.
#[derive(Clone, Debug)]
pub struct Lists {
    directory: PathBuf,
}

/// One list that was not pushed yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct List {
    /// Where it will go.
    pub name: String,
    /// In the order they were named.
    pub entries: Vec<ListEntry>,
}

/// One manifest of a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListEntry {
    /// Its full name at the registry.
    pub reference: String,
    /// Digest, size, type and platform.
    pub descriptor: Descriptor,
}

/// What `reference` names at its registry.
pub fn inspect(reference: &Reference, options: &Options) -> Result<Original, Error> {
    let session = Session::new(reference, options)?;
    run(session.manifest(&reference.wanted(), None))
}

impl Lists {
    /// Those below `root`.
    pub fn open(root: &Path) -> Self {
        Self {
            directory: root.join("manifest-lists"),
        }
    }

    fn path(&self, name: &Reference) -> PathBuf {
        let name = Digest::of(name.to_string().as_bytes());
        self.directory.join(format!("{}.json", name.hex()))
    }

    /// The list called `name`, if there is one.
    pub fn find(&self, name: &Reference) -> Result<Option<List>, Error> {
        let path = self.path(name);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(file("read", &path))?,
        };
        parse(&bytes).map(Some).map_err(|source| Error::Document {
            what: "manifest list",
            digest: Digest::of(&bytes),
            source,
        })
    }

    /// Keeps it until it is pushed or removed.
    pub fn keep(&self, name: &Reference, list: &List) -> Result<(), Error> {
        make_directory(&self.directory)?;
        let path = self.path(name);
        let bytes = serde_json::to_vec_pretty(list).map_err(io::Error::from);
        write_atomic(&path, &bytes.map_err(file("write", &path))?)
    }

    /// Forgets it.
    pub fn remove(&self, name: &Reference) -> Result<(), Error> {
        remove_file(&self.path(name))
    }
}

impl List {
    /// An empty one.
    pub fn new(name: &Reference) -> Self {
        Self {
            name: name.to_string(),
            entries: Vec::new(),
        }
    }

    /// Asks the registry for `reference` and adds it; the platform is that of its config.
    pub fn add(&mut self, reference: &Reference, options: &Options) -> Result<(), Error> {
        let session = Session::new(reference, options)?;
        let descriptor = run(describe(&session, &reference.wanted()))?;
        self.entries
            .retain(|entry| entry.reference != reference.to_string());
        self.entries.push(ListEntry {
            reference: reference.to_string(),
            descriptor,
        });
        Ok(())
    }

    /// The entry that `reference` was added as.
    pub fn entry(&mut self, reference: &Reference) -> Option<&mut ListEntry> {
        let name = reference.to_string();
        self.entries
            .iter_mut()
            .find(|entry| entry.reference == name)
    }

    /// As the index it will be: Docker's kind only when all of its manifests are.
    pub fn index(&self) -> Index {
        let docker = |entry: &ListEntry| entry.descriptor.media_type == DOCKER_MANIFEST;
        let all_docker = !self.entries.is_empty() && self.entries.iter().all(docker);
        let kind = if all_docker { DOCKER_LIST } else { OCI_INDEX };
        Index {
            media_type: Some(kind.to_owned()),
            manifests: self
                .entries
                .iter()
                .map(|entry| entry.descriptor.clone())
                .collect(),
            ..Index::empty()
        }
    }

    /// Sends it under `name`; what the name means then.
    pub fn push(&self, name: &Reference, options: &Options) -> Result<Descriptor, Error> {
        let index = self.index();
        let kind = index.media_type.clone().unwrap_or_default();
        let bytes = index.to_bytes();
        let session = Session::new(name, options)?;
        run(async {
            for entry in &self.entries {
                bring(&session, name, entry, options).await?;
            }
            session
                .push_manifest(&name.wanted(), &kind, &bytes, None)
                .await?;
            Ok(Descriptor::of(&kind, &bytes))
        })
    }
}

/// A manifest's descriptor with the platform its config is for.
async fn describe(session: &Session, wanted: &str) -> Result<Descriptor, Error> {
    let Original {
        mut descriptor,
        document,
        ..
    } = session.manifest(wanted, None).await?;
    let Document::Manifest(manifest) = document else {
        return Err(Error::NotAnImage {
            digest: descriptor.digest,
            reason: "it is an index itself, which a list cannot hold".to_owned(),
        });
    };
    descriptor.platform = Some(platform(session, &manifest).await?);
    Ok(descriptor)
}

async fn platform(session: &Session, manifest: &Manifest) -> Result<Platform, Error> {
    let bytes = session.small_blob(&manifest.config).await?;
    let config = ImageConfig::parse(&bytes).map_err(|source| Error::Document {
        what: "config",
        digest: manifest.config.digest.clone(),
        source,
    })?;
    Ok(config.platform())
}

/// Makes a manifest known in the repository of the list.
async fn bring(
    session: &Session,
    name: &Reference,
    entry: &ListEntry,
    options: &Options,
) -> Result<(), Error> {
    let from: Reference = entry.reference.parse()?;
    if from.registry() != name.registry() {
        return Err(Error::OtherRegistry {
            name: name.to_string(),
            other: from.to_string(),
        });
    }
    if from.repository() == name.repository() {
        return Ok(());
    }
    let source = Session::new(&from, options)?;
    let digest = entry.descriptor.digest.to_string();
    let found = source.manifest(&digest, None).await?;
    if let Document::Manifest(manifest) = &found.document {
        for blob in manifest.layers.iter().chain([&manifest.config]) {
            if !session.mount_blob(blob, from.repository()).await? {
                return Err(Error::NotMounted {
                    digest: blob.digest.clone(),
                    from: from.name(),
                    name: name.name(),
                });
            }
        }
    }
    let kind = &found.descriptor.media_type;
    session
        .push_manifest(&digest, kind, &found.bytes, Some(from.repository()))
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media_type::OCI_MANIFEST;

    #[test]
    fn a_list_is_dockers_only_when_all_of_it_is() {
        let mut list = List::new(&"r.test/a".parse().unwrap());
        assert_eq!(list.index().media_type.as_deref(), Some(OCI_INDEX));
        for (kind, expected) in [(DOCKER_MANIFEST, DOCKER_LIST), (OCI_MANIFEST, OCI_INDEX)] {
            list.entries.push(ListEntry {
                reference: String::new(),
                descriptor: Descriptor::of(kind, b"x"),
            });
            assert_eq!(list.index().media_type.as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_kept_list_is_found_again() {
        let root = tempfile::tempdir().unwrap();
        let (lists, name) = (Lists::open(root.path()), "r.test/a:1".parse().unwrap());
        assert!(lists.find(&name).unwrap().is_none());
        lists.keep(&name, &List::new(&name)).unwrap();
        assert_eq!(lists.find(&name).unwrap().unwrap().name, "r.test/a:1");
        lists.remove(&name).unwrap();
        assert!(lists.find(&name).unwrap().is_none());
    }
}
