//! The end of an arrival: what layers depend on is decided, then bytes, names of
//! blobs and layers, and the name of the image become visible in this order.

use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use super::{Arrival, Documents, Naming};
use crate::error::file;
use crate::layer::pipeline::{self, Input};
use crate::layer::{Limits, Unpacked};
use crate::store::{Entry, LayerRecord, Partial, Staging, chain_ids};
use crate::{Descriptor, Digest, Error, Event, ImageConfig, LayerState, Manifest, Stage, Store};

/// A layer that is here, or about to be.
pub(crate) enum Arrived {
    /// Blob and tree were here before.
    Here {
        directory: PathBuf,
        record: LayerRecord,
    },
    /// Its tree waits for a name.
    Unpacked(Box<Fresh>),
    /// Only the blob was missing.
    BlobOnly {
        partial: Partial,
        directory: PathBuf,
        record: LayerRecord,
        digest: Digest,
    },
    /// The manifest names an earlier layer again.
    Twice(usize),
}

/// An unpacked layer without a name.
pub(crate) struct Fresh {
    pub(super) blob: Digest,
    pub(super) diff_id: Digest,
    /// None when an earlier layer of the same image has it.
    pub(super) partial: Option<Partial>,
    /// Whether the blob came as well, or was here.
    pub(super) fetched: bool,
    pub(super) staging: Staging,
    pub(super) unpacked: Option<Unpacked>,
    /// What is written beside the tree, once it is finished.
    pub(super) record: Option<LayerRecord>,
}

impl Arrived {
    pub(crate) fn is_new(&self) -> bool {
        matches!(self, Self::Unpacked(_) | Self::BlobOnly { .. })
    }

    /// The blob whose arrival people are waiting to hear of.
    pub(crate) fn announced(&self) -> Option<&Digest> {
        match self {
            Self::Here { .. } | Self::Twice(_) => None,
            Self::Unpacked(fresh) => Some(&fresh.blob),
            Self::BlobOnly { digest, .. } => Some(digest),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Here { record, .. } | Self::BlobOnly { record, .. } => record.size,
            Self::Unpacked(fresh) => fresh.record.as_ref().map_or(0, |record| record.size),
            Self::Twice(_) => 0,
        }
    }

    /// The blob, when it came with this arrival.
    fn partial(&self) -> Option<&Partial> {
        match self {
            Self::BlobOnly { partial, .. } => Some(partial),
            Self::Unpacked(fresh) if fresh.fetched => fresh.partial.as_ref(),
            _ => None,
        }
    }

    /// Where the tree is now; `below` are the trees of the layers before it.
    fn directory(&self, below: &[PathBuf]) -> PathBuf {
        match self {
            Self::Here { directory, .. } | Self::BlobOnly { directory, .. } => directory.clone(),
            Self::Unpacked(fresh) => fresh.staging.root(),
            Self::Twice(first) => below[*first].clone(),
        }
    }

    /// Whether the tree is right only on top of the layers it came with.
    fn is_dependent(&self) -> bool {
        match self {
            Self::Here { record, .. } | Self::BlobOnly { record, .. } => record.chain_id.is_some(),
            Self::Unpacked(fresh) => fresh.record.as_ref().is_some_and(|r| r.chain_id.is_some()),
            Self::Twice(_) => false,
        }
    }

    /// Gives blob and tree their names; all bytes are synced by now.
    pub(crate) fn commit(&mut self, store: &Store) -> Result<(), Error> {
        match self {
            Self::Here { .. } | Self::Twice(_) => Ok(()),
            Self::BlobOnly { partial, .. } => store.commit_partial(partial),
            Self::Unpacked(fresh) => {
                match &fresh.partial {
                    Some(partial) if fresh.fetched => store.commit_partial(partial)?,
                    Some(partial) => partial.remove()?,
                    None => {}
                }
                match &fresh.record {
                    Some(record) => store.commit_layer(&mut fresh.staging, record).map(drop),
                    None => Ok(()),
                }
            }
        }
    }
}

impl Arrival<'_, '_> {
    /// Makes the image visible under `references`: bytes first, then their names,
    /// then the names of the whole.
    pub(crate) fn commit(
        &self,
        documents: &Documents,
        config: &ImageConfig,
        arrived: Vec<Arrived>,
        references: &[Naming],
    ) -> Result<(), Error> {
        let mut finished = arrived;
        self.finish_layers(&documents.manifest, config, &mut finished)?;
        let new = finished.iter().any(Arrived::is_new);
        if new {
            let start = Instant::now();
            self.store.sync_all()?;
            self.span(None, Stage::Fsync, start);
        }
        for layer in &mut finished {
            layer.commit(self.store)?;
        }
        if new {
            let start = Instant::now();
            self.store.sync_blobs()?;
            self.store.sync_layer_names()?;
            self.span(None, Stage::Fsync, start);
        }
        for (digest, bytes) in &documents.all {
            self.store.write_blob_as(digest, bytes)?;
        }
        for digest in finished.iter().filter_map(Arrived::announced) {
            self.layer_event(digest, LayerState::Complete);
        }
        for naming in references {
            self.store.record(Entry {
                reference: naming.reference.clone(),
                id: documents.manifest.config.digest.clone(),
                target: documents.target.clone(),
                manifest: documents.descriptor.digest.clone(),
                size: finished.iter().map(Arrived::size).sum(),
                created: config.created.clone(),
                repo_digest: naming
                    .source
                    .as_ref()
                    .map(|r| r.with_digest(&documents.target.digest)),
                stand_in: None,
            })?;
        }
        Ok(())
    }

    /// Decides, bottom first, what depends on the layers below, and describes each tree.
    fn finish_layers(
        &self,
        manifest: &Manifest,
        config: &ImageConfig,
        arrived: &mut [Arrived],
    ) -> Result<(), Error> {
        let chain = chain_ids(&config.rootfs.diff_ids);
        let mut lower: Vec<PathBuf> = Vec::new();
        for at in 0..arrived.len() {
            if let Arrived::Twice(first) = arrived[at]
                && arrived[first].is_dependent()
            {
                let diff_id = &config.rootfs.diff_ids[at];
                arrived[at] =
                    self.again(&arrived[first], &manifest.layers[at], diff_id, &chain[at])?;
            }
            if let Arrived::Unpacked(fresh) = &mut arrived[at] {
                let below: Vec<PathBuf> = lower.iter().rev().cloned().collect();
                self.finish(fresh, &below, &chain[at], &manifest.layers[at].digest)?;
            }
            let directory = arrived[at].directory(&lower);
            lower.push(directory);
        }
        Ok(())
    }

    /// A layer that depends on those below, in a second place: its tree is another one there.
    fn again(
        &self,
        first: &Arrived,
        blob: &Descriptor,
        diff_id: &Digest,
        chain_id: &Digest,
    ) -> Result<Arrived, Error> {
        if let Some((directory, record)) = self.store.find_layer(diff_id, chain_id)? {
            return Ok(Arrived::Here { directory, record });
        }
        let stored = match first.partial() {
            Some(partial) => partial.reopen()?,
            None => {
                let path = self.store.blob_path(&blob.digest);
                File::open(&path).map_err(file("open", &path))?
            }
        };
        let input = Input {
            stored,
            length: blob.size,
            rest: None,
        };
        let staging = self.store.stage_layer()?;
        let limits = Limits::default();
        let unpacked = pipeline::run(blob, diff_id, input, &staging.root(), limits, &|_| {})
            .map_err(|failure| self.worded(blob, failure))?;
        Ok(Arrived::Unpacked(Box::new(Fresh {
            blob: blob.digest.clone(),
            diff_id: diff_id.clone(),
            partial: None,
            fetched: false,
            staging,
            unpacked: Some(unpacked),
            record: None,
        })))
    }

    fn finish(
        &self,
        fresh: &mut Fresh,
        below: &[PathBuf],
        chain_id: &Digest,
        blob: &Digest,
    ) -> Result<(), Error> {
        let Some(unpacked) = fresh.unpacked.take() else {
            return Ok(());
        };
        let finished = unpacked.finish(below);
        let (unpacked, dependent) = finished.map_err(|source| Error::Layer {
            digest: blob.clone(),
            source,
        })?;
        for text in &unpacked.notes {
            let text = format!("layer {}: {text}", blob.short());
            self.progress.event(Event::Note { text: &text });
        }
        let record = LayerRecord {
            diff_id: fresh.diff_id.clone(),
            chain_id: dependent.then(|| chain_id.clone()),
            size: unpacked.size,
            entries: unpacked.entries,
            describes_root: unpacked.describes_root,
        };
        fresh.staging.describe(&record)?;
        fresh.record = Some(record);
        Ok(())
    }
}
