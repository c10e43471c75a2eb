//! `system check`: whether the store still is what it was, and mending it.
//!
//! Every document and blob is hashed again, every unpacked layer is compared
//! with a fresh unpacking of its blob. What is wrong is taken away by
//! [`repair`], and exactly that comes back: from the blob where it is good,
//! else from the registry.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use crate::arrival::{Documents, Naming, install};
use crate::compare;
use crate::error::file;
use crate::layer::Limits;
use crate::layer::pipeline::{self, Failure, Input};
use crate::pull::pull_as;
use crate::registry::Options;
use crate::store::{Entry, LayerRecord, chain_ids};
use crate::{
    Descriptor, Digest, Document, Error, ImageConfig, Manifest, PullOptions, Reference, Store,
    Verifier,
};

const PIECE: usize = 1 << 20;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A blob, or the diff id of a layer.
    pub subject: Digest,
    /// What is wrong with it.
    pub problem: String,
    /// The image that needs it.
    pub image: String,
    part: Part,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Blob,
    Layer { name: String },
}

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What is wrong, by image.
    pub findings: Vec<Finding>,
    /// Images looked at.
    pub images: usize,
    /// Blobs looked at.
    pub blobs: usize,
    /// Unpacked layers looked at.
    pub layers: usize,
}

/// Looks at everything every name leads to.
pub fn check(store: &Store) -> Result<Checked, Error> {
    let _in_use = store.begin_use()?;
    store.clean()?;
    let mut check = Check {
        store,
        seen: BTreeSet::new(),
        seen_layers: BTreeSet::new(),
        checked: Checked::default(),
    };
    for entry in store.entries()? {
        check.checked.images += 1;
        check.image(&entry)?;
    }
    Ok(check.checked)
}

struct Check<'a> {
    store: &'a Store,
    seen: BTreeSet<Digest>,
    seen_layers: BTreeSet<Digest>,
    checked: Checked,
}

impl Check<'_> {
    fn image(&mut self, entry: &Entry) -> Result<(), Error> {
        let name = name_of(entry);
        self.blob(&entry.target.digest, None, &name)?;
        self.blob(&entry.manifest, None, &name)?;
        let Some((_, manifest)) = manifest_of(self.store, entry) else {
            return Ok(());
        };
        self.blob(&manifest.config.digest, Some(manifest.config.size), &name)?;
        for layer in &manifest.layers {
            self.blob(&layer.digest, Some(layer.size), &name)?;
        }
        let config = self.store.read_blob(&manifest.config.digest).ok();
        let Some(config) = config.and_then(|bytes| ImageConfig::parse(&bytes).ok()) else {
            return Ok(());
        };
        self.layers(&manifest, &config.rootfs.diff_ids, &name)
    }

    fn blob(&mut self, digest: &Digest, size: Option<u64>, image: &str) -> Result<(), Error> {
        if !self.seen.insert(digest.clone()) {
            return Ok(());
        }
        self.checked.blobs += 1;
        if let Some(problem) = blob_problem(self.store, digest, size)? {
            self.found(digest, problem, image, Part::Blob);
        }
        Ok(())
    }

    fn layers(
        &mut self,
        manifest: &Manifest,
        diff_ids: &[Digest],
        image: &str,
    ) -> Result<(), Error> {
        let chain = chain_ids(diff_ids);
        let mut lower: Vec<PathBuf> = Vec::new();
        for ((layer, diff_id), chain_id) in manifest.layers.iter().zip(diff_ids).zip(&chain) {
            let Some((directory, record)) = self.store.find_layer(diff_id, chain_id)? else {
                let part = Part::Layer {
                    name: String::new(),
                };
                self.found(diff_id, "is not unpacked".to_owned(), image, part);
                return Ok(());
            };
            let key = record.chain_id.as_ref().unwrap_or(diff_id);
            if self.seen_layers.insert(key.clone()) {
                self.checked.layers += 1;
                let below: Vec<PathBuf> = lower.iter().rev().cloned().collect();
                if let Some(problem) = self.layer_problem(layer, &record, &directory, &below)? {
                    let name = Store::layer_name(key).to_owned();
                    self.found(diff_id, problem, image, Part::Layer { name });
                }
            }
            lower.push(directory);
        }
        Ok(())
    }

    /// Unpacks the blob once more beside the tree and compares.
    fn layer_problem(
        &self,
        blob: &Descriptor,
        record: &LayerRecord,
        directory: &std::path::Path,
        below: &[PathBuf],
    ) -> Result<Option<String>, Error> {
        if blob_problem(self.store, &blob.digest, Some(blob.size))?.is_some() {
            return Ok(None);
        }
        let staging = self.store.stage_layer()?;
        let path = self.store.blob_path(&blob.digest);
        let stored = File::open(&path).map_err(file("open", &path))?;
        let input = Input {
            stored,
            length: blob.size,
            rest: None,
        };
        let root = staging.root();
        let unpacked = pipeline::run(
            blob,
            &record.diff_id,
            input,
            &root,
            Limits::default(),
            &|_| {},
        );
        let worded = |source| Error::Layer {
            digest: blob.digest.clone(),
            source,
        };
        let unpacked = match unpacked {
            Ok(unpacked) => unpacked,
            Err(Failure::Layer(source)) => return Err(worded(source)),
            Err(Failure::Store(error)) => return Err(file("read", &path)(error)),
            Err(Failure::Mismatch(mismatch)) => return Err(mismatch.into()),
        };
        unpacked.finish(below).map_err(worded)?;
        let difference =
            compare::first_difference(&root, directory).map_err(file("compare", directory))?;
        Ok(difference.map(|what| format!("differs from its archive: {what}")))
    }

    fn found(&mut self, subject: &Digest, problem: String, image: &str, part: Part) {
        let (subject, image) = (subject.clone(), image.to_owned());
        self.checked.findings.push(Finding {
            subject,
            problem,
            image,
            part,
        });
    }
}

/// What is wrong with a blob, if anything is.
fn blob_problem(
    store: &Store,
    digest: &Digest,
    size: Option<u64>,
) -> Result<Option<String>, Error> {
    let path = store.blob_path(digest);
    let mut blob = match File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Some("is missing".to_owned()));
        }
        other => other.map_err(file("open", &path))?,
    };
    let length = blob.metadata().map_err(file("read", &path))?.len();
    let mut verifier = Verifier::new(digest, size.unwrap_or(length));
    let mut piece = vec![0; PIECE];
    loop {
        let count = blob.read(&mut piece).map_err(file("read", &path))?;
        if count == 0 {
            return Ok(verifier.finish().err().map(|mismatch| mismatch.to_string()));
        }
        if let Err(mismatch) = verifier.update(&piece[..count]) {
            return Ok(Some(mismatch.to_string()));
        }
    }
}

fn name_of(entry: &Entry) -> String {
    entry
        .reference
        .as_ref()
        .map_or_else(|| entry.id.to_string(), Reference::familiar)
}

fn manifest_of(store: &Store, entry: &Entry) -> Option<(Descriptor, Manifest)> {
    let bytes = store.read_blob(&entry.manifest).ok()?;
    let types = [
        crate::media_type::OCI_MANIFEST,
        crate::media_type::DOCKER_MANIFEST,
    ];
    let (media_type, document) = types
        .iter()
        .find_map(|name| Some((*name, Document::parse(&bytes, name).ok()?)))?;
    match document {
        Document::Manifest(manifest) => Some((
            Descriptor::new(media_type, entry.manifest.clone(), bytes.len() as u64),
            manifest,
        )),
        Document::Index(_) => None,
    }
}

/// Takes away what is wrong and brings it back; an error for each image that
/// could not be mended.
pub fn repair(
    store: &Store,
    findings: &[Finding],
    options: &Options,
) -> Result<Vec<(String, Error)>, Error> {
    for finding in findings {
        match &finding.part {
            Part::Blob => store.remove_blob(&finding.subject)?,
            Part::Layer { name } if name.is_empty() => {}
            Part::Layer { name } => store.remove_layer(name)?,
        }
    }
    let broken: BTreeSet<&str> = findings
        .iter()
        .map(|finding| finding.image.as_str())
        .collect();
    let mut failures = Vec::new();
    for entry in store.entries()? {
        let name = name_of(&entry);
        if broken.contains(name.as_str())
            && let Err(error) = mend(store, &entry, options)
        {
            failures.push((name, error));
        }
    }
    Ok(failures)
}

fn mend(store: &Store, entry: &Entry, options: &Options) -> Result<(), Error> {
    match from_blobs(store, entry) {
        Err(error) => {
            let Some(source) = &entry.repo_digest else {
                return Err(error);
            };
            let options = PullOptions {
                registries: options.clone(),
                ..PullOptions::default()
            };
            let name = entry.reference.as_ref().unwrap_or(source);
            pull_as(store, source, name, &options, &crate::Silent).map(drop)
        }
        mended => mended,
    }
}

/// When all blobs are good: unpacks what is missing.
fn from_blobs(store: &Store, entry: &Entry) -> Result<(), Error> {
    let damaged = || Error::Damaged {
        digest: entry.manifest.clone(),
        problem: "is missing".to_owned(),
    };
    let (descriptor, manifest) = manifest_of(store, entry).ok_or_else(damaged)?;
    store.read_blob(&entry.target.digest)?;
    let config =
        ImageConfig::parse(&store.read_blob(&manifest.config.digest)?).map_err(|source| {
            Error::Document {
                what: "config",
                digest: manifest.config.digest.clone(),
                source,
            }
        })?;
    let _in_use = store.begin_use()?;
    let nothing = std::collections::BTreeMap::new();
    let documents = Documents {
        target: entry.target.clone(),
        descriptor,
        manifest,
        all: Vec::new(),
    };
    let naming = Naming {
        reference: entry.reference.clone(),
        source: entry.repo_digest.clone(),
    };
    install(
        store,
        &crate::Silent,
        &nothing,
        &documents,
        &config,
        &[naming],
    )
}
