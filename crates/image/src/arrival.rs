//! How an image comes into the store, from a registry or from files: which
//! layers are missing, how each arrives, and in which order all becomes visible.
//!
//! Several are on their way at once, each with its own pipeline
//! (`layer/pipeline.rs`). A blob another process fetches is waited for: locks
//! are taken in the order of digests, so two pulls never wait for each other.
//!
//! What a failed arrival received stays only where it helps: when a registry or
//! the network failed for now, for the next attempt to go on from there (a day
//! long). In every other case it goes, finished blobs included.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::{mpsc, oneshot};

use crate::error::file;
use crate::layer::pipeline::{self, Failure, Input, Step};
use crate::layer::{Limits, Unpacked};
use crate::registry::{Delivery, Session};
use crate::store::{LayerRecord, Partial, Staging, chain_ids};
use crate::{
    Descriptor, Digest, Error, Event, ImageConfig, LayerState, Manifest, Progress, Reference, Span,
    Stage, Store,
};

mod commit;

pub(crate) use commit::Arrived;
use commit::Fresh;

/// Pipelines at once: enough to hide latency, few enough for memory.
const AT_ONCE: usize = 5;
/// Pieces between the network and a pipeline.
const CHANNEL: usize = 8;
/// Between two reports of one layer.
const REPORT: Duration = Duration::from_millis(100);
const LOCK_POLL: Duration = Duration::from_millis(50);

/// A layer to get.
struct Job {
    descriptor: Descriptor,
    diff_id: Digest,
    chain_id: Digest,
}

/// Where bytes come from.
pub(crate) enum Supply<'a> {
    /// A repository of a registry.
    Registry(&'a Session),
    /// Files that become blobs of the store, by digest.
    Files(&'a BTreeMap<Digest, PathBuf>),
}

impl Supply<'_> {
    /// After wrong bytes; whether the next ones come from another place.
    fn distrust_mirrors(&self) -> bool {
        matches!(self, Self::Registry(session) if session.distrust_mirrors())
    }
}

/// The documents that make one image.
pub(crate) struct Documents {
    /// What its name points to: an index or a manifest.
    pub(crate) target: Descriptor,
    /// The manifest of the image itself.
    pub(crate) descriptor: Descriptor,
    /// Its content.
    pub(crate) manifest: Manifest,
    /// The bytes of all of them, config included.
    pub(crate) all: Vec<(Digest, Vec<u8>)>,
}

/// Under which name an image becomes visible.
pub(crate) struct Naming {
    /// None for an image without a name.
    pub(crate) reference: Option<Reference>,
    /// The repository of a registry it came from.
    pub(crate) source: Option<Reference>,
}

/// One image on its way.
pub(crate) struct Arrival<'scope, 'env> {
    pub(crate) store: &'env Store,
    pub(crate) progress: &'env dyn Progress,
    pub(crate) supply: Supply<'scope>,
    /// Where the threads of the layers live.
    pub(crate) scope: &'scope Scope<'scope, 'env>,
    /// What it began to receive.
    pub(crate) begun: &'env Begun,
}

/// The blobs an arrival began to receive, for when it fails.
#[derive(Default)]
pub(crate) struct Begun(Mutex<Vec<Digest>>);

impl Begun {
    fn note(&self, digest: &Digest) {
        if let Ok(mut all) = self.0.lock() {
            all.push(digest.clone());
        }
    }

    /// After `error`, with all threads ended: keeps what can be resumed and removes the rest.
    pub(crate) fn give_up(&self, store: &Store, error: &Error) -> Result<(), Error> {
        let begun = self.0.lock().map(|all| all.clone()).unwrap_or_default();
        for digest in begun {
            let partial = store.try_partial(&digest)?;
            if let Some(partial) = partial
                && (partial.length == 0 || !error.is_temporary())
            {
                partial.remove()?;
            }
        }
        Ok(())
    }
}

/// Brings an image whose blobs are all in files.
pub(crate) fn install(
    store: &Store,
    progress: &dyn Progress,
    files: &BTreeMap<Digest, PathBuf>,
    documents: &Documents,
    config: &ImageConfig,
    references: &[Naming],
) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(file("start a runtime for", store.layout()))?;
    let begun = Begun::default();
    let result = thread::scope(|scope| {
        let arrival = Arrival {
            store,
            progress,
            supply: Supply::Files(files),
            scope,
            begun: &begun,
        };
        let arrived = runtime.block_on(arrival.layers(&documents.manifest, config))?;
        arrival.commit(documents, config, arrived, references)
    });
    if let Err(error) = &result {
        begun.give_up(store, error)?;
    }
    result
}

impl Arrival<'_, '_> {
    /// Gets every layer; bottom first, one for each of the manifest's.
    pub(crate) async fn layers(
        &self,
        manifest: &Manifest,
        config: &ImageConfig,
    ) -> Result<Vec<Arrived>, Error> {
        let asked = Instant::now();
        let jobs = jobs(manifest, config);
        for job in &jobs {
            self.layer_event(&job.descriptor.digest, LayerState::Waiting);
        }
        let locked = self.lock_missing(&jobs).await?;
        let jobs = jobs.into_iter().zip(locked).enumerate();
        let work = jobs.map(|(at, (job, locked))| async move {
            self.span(Some(&job.descriptor.digest), Stage::Wait, asked);
            Ok::<_, Error>((at, self.arrive(job, locked).await?))
        });
        let mut arrived: Vec<(usize, Arrived)> = stream::iter(work)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        arrived.sort_by_key(|(at, _)| *at);
        Ok(arrived.into_iter().map(|(_, layer)| layer).collect())
    }

    async fn arrive(&self, job: Job, locked: Locked) -> Result<Arrived, Error> {
        match locked {
            Locked::Here(directory, record) => {
                self.layer_event(&job.descriptor.digest, LayerState::Exists);
                Ok(Arrived::Here { directory, record })
            }
            Locked::Twice(first) => Ok(Arrived::Twice(first)),
            Locked::Missing(partial) => self.layer(job, partial).await,
        }
    }

    /// Takes the locks of all missing blobs, in the order of their digests.
    async fn lock_missing(&self, jobs: &[Job]) -> Result<Vec<Locked>, Error> {
        let mut order: Vec<usize> = (0..jobs.len()).collect();
        order.sort_by(|a, b| jobs[*a].descriptor.digest.cmp(&jobs[*b].descriptor.digest));
        let mut locked: Vec<Option<Locked>> = jobs.iter().map(|_| None).collect();
        for at in order {
            // The same blob twice in a manifest must not wait for itself.
            let first = jobs
                .iter()
                .position(|job| job.descriptor.digest == jobs[at].descriptor.digest);
            locked[at] = Some(match first {
                Some(first) if first < at => Locked::Twice(first),
                _ => self.lock_one(&jobs[at]).await?,
            });
        }
        Ok(locked.into_iter().flatten().collect())
    }

    async fn lock_one(&self, job: &Job) -> Result<Locked, Error> {
        let mut told = false;
        loop {
            if let Some((directory, record)) = self.here(job)? {
                return Ok(Locked::Here(directory, record));
            }
            if let Some(partial) = self.store.try_partial(&job.descriptor.digest)? {
                // It may have arrived between the look and the lock.
                if let Some((directory, record)) = self.here(job)? {
                    partial.remove()?;
                    return Ok(Locked::Here(directory, record));
                }
                self.begun.note(&job.descriptor.digest);
                return Ok(Locked::Missing(partial));
            }
            if !told {
                self.layer_event(&job.descriptor.digest, LayerState::Locked);
                told = true;
            }
            tokio::time::sleep(LOCK_POLL).await;
        }
    }

    /// The layer, if both its tree and its blob are in the store.
    fn here(&self, job: &Job) -> Result<Option<(PathBuf, LayerRecord)>, Error> {
        if !self.store.has_blob(&job.descriptor) {
            return Ok(None);
        }
        self.store.find_layer(&job.diff_id, &job.chain_id)
    }

    async fn layer(&self, job: Job, mut partial: Partial) -> Result<Arrived, Error> {
        let resumed = partial.length > 0;
        match self.attempt(&job, &mut partial).await {
            // What a crash left may be damaged, or a mirror: once more from the first byte.
            Err(Error::Mismatch(_)) if resumed || self.supply.distrust_mirrors() => {
                partial.discard()?;
                self.attempt(&job, &mut partial)
                    .await
                    .map(|done| done.arrived(job, partial))
            }
            attempt => attempt.map(|done| done.arrived(job, partial)),
        }
    }

    async fn attempt(&self, job: &Job, partial: &mut Partial) -> Result<Done, Error> {
        let here = self.store.find_layer(&job.diff_id, &job.chain_id)?;
        let blob_here = self.store.has_blob(&job.descriptor);
        let (sink, rest) = mpsc::channel(CHANNEL);
        let input = match &self.supply {
            _ if blob_here => self.stored(&job.descriptor)?,
            Supply::Registry(_) => {
                partial.length = partial.length.min(job.descriptor.size);
                let stored = partial.reopen()?;
                Input {
                    stored,
                    length: partial.length,
                    rest: Some(rest),
                }
            }
            Supply::Files(files) => {
                let path = files
                    .get(&job.descriptor.digest)
                    .ok_or_else(|| Error::Incomplete {
                        digest: job.descriptor.digest.clone(),
                    })?;
                partial.adopt(path)?;
                Input {
                    stored: partial.reopen()?,
                    length: partial.length,
                    rest: None,
                }
            }
        };
        let offset = input.length;
        let staging = if here.is_some() {
            None
        } else {
            Some(self.store.stage_layer()?)
        };
        let worked = self.start(job, input, staging.as_ref().map(Staging::root));
        let delivered = match &self.supply {
            Supply::Registry(session) if !blob_here => {
                self.deliver(session, job, offset, sink).await
            }
            _ => Ok(Delivery::Complete),
        };
        let result = worked.await;
        let result = result.unwrap_or_else(|_| unreachable!("a pipeline sends its result"));
        // When the registry failed, the pipeline only saw its stream end early.
        delivered?;
        let unpacked = result.map_err(|failure| self.worded(&job.descriptor, failure))?;
        Ok(Done {
            here,
            staging,
            unpacked,
            fetched: !blob_here,
        })
    }

    /// Starts the pipeline on threads of its own.
    fn start(
        &self,
        job: &Job,
        input: Input,
        root: Option<PathBuf>,
    ) -> oneshot::Receiver<Result<Option<Unpacked>, Failure>> {
        let (send, receive) = oneshot::channel();
        let (descriptor, diff_id) = (job.descriptor.clone(), job.diff_id.clone());
        let reporter = Reporter::new(self.progress, &job.descriptor);
        self.scope.spawn(move || {
            let report = |step| reporter.report(step);
            let result = match root {
                Some(root) => pipeline::run(
                    &descriptor,
                    &diff_id,
                    input,
                    &root,
                    Limits::default(),
                    &report,
                )
                .map(Some),
                None => pipeline::keep(&descriptor, input, &report).map(|()| None),
            };
            let _ = send.send(result);
        });
        receive
    }

    async fn deliver(
        &self,
        session: &Session,
        job: &Job,
        offset: u64,
        sink: mpsc::Sender<Bytes>,
    ) -> Result<Delivery, Error> {
        let retrying =
            |wait| self.layer_event(&job.descriptor.digest, LayerState::Retrying { wait });
        session
            .stream_blob(&job.descriptor, offset, &sink, &retrying)
            .await
    }

    /// A blob that is here already.
    fn stored(&self, descriptor: &Descriptor) -> Result<Input, Error> {
        let path = self.store.blob_path(&descriptor.digest);
        let stored = File::open(&path).map_err(file("open", &path))?;
        Ok(Input {
            stored,
            length: descriptor.size,
            rest: None,
        })
    }

    fn worded(&self, blob: &Descriptor, failure: Failure) -> Error {
        let digest = blob.digest.clone();
        match failure {
            Failure::Mismatch(mismatch) => Error::Mismatch(mismatch),
            Failure::Store(error) => file("keep", &self.store.blob_path(&digest))(error),
            Failure::Layer(source) => Error::Layer { digest, source },
        }
    }

    /// Tells of a stage that ends now.
    pub(crate) fn span(&self, digest: Option<&Digest>, stage: Stage, start: Instant) {
        let span = Span::since(stage, start);
        self.progress.event(Event::Span { digest, span });
    }

    fn layer_event(&self, digest: &Digest, state: LayerState) {
        self.progress.event(Event::Layer { digest, state });
    }
}

enum Locked {
    Here(PathBuf, LayerRecord),
    /// The same blob as an earlier layer of the manifest.
    Twice(usize),
    Missing(Partial),
}

/// What an attempt gave.
struct Done {
    here: Option<(PathBuf, LayerRecord)>,
    staging: Option<Staging>,
    unpacked: Option<Unpacked>,
    fetched: bool,
}

impl Done {
    fn arrived(self, job: Job, partial: Partial) -> Arrived {
        match (self.here, self.staging) {
            (None, Some(staging)) => Arrived::Unpacked(Box::new(Fresh {
                blob: job.descriptor.digest,
                diff_id: job.diff_id,
                partial: Some(partial),
                fetched: self.fetched,
                staging,
                unpacked: self.unpacked,
                record: None,
            })),
            (Some((directory, record)), _) => Arrived::BlobOnly {
                partial,
                directory,
                record,
                digest: job.descriptor.digest,
            },
            (None, None) => unreachable!("a layer that is not here gets a directory"),
        }
    }
}

/// One job for each layer; the same blob twice in a manifest is one job, and
/// the second place finds it in the store.
fn jobs(manifest: &Manifest, config: &ImageConfig) -> Vec<Job> {
    let chain = chain_ids(&config.rootfs.diff_ids);
    let layers = manifest
        .layers
        .iter()
        .zip(&config.rootfs.diff_ids)
        .zip(chain);
    layers
        .map(|((descriptor, diff_id), chain_id)| Job {
            descriptor: descriptor.clone(),
            diff_id: diff_id.clone(),
            chain_id,
        })
        .collect()
}

/// Passes on what a pipeline reports, not more often than people can see.
struct Reporter<'a> {
    progress: &'a dyn crate::Progress,
    digest: Digest,
    total: u64,
    last: Mutex<Instant>,
}

impl<'a> Reporter<'a> {
    fn new(progress: &'a dyn crate::Progress, descriptor: &Descriptor) -> Self {
        let last = Mutex::new(Instant::now());
        Self {
            progress,
            digest: descriptor.digest.clone(),
            total: descriptor.size,
            last,
        }
    }

    fn report(&self, step: Step) {
        let state = match step {
            Step::Ended(span) => {
                let digest = Some(&self.digest);
                return self.progress.event(Event::Span { digest, span });
            }
            Step::Received(done) => {
                let Ok(mut last) = self.last.lock() else {
                    return;
                };
                if last.elapsed() < REPORT {
                    return;
                }
                *last = Instant::now();
                LayerState::Downloading {
                    done,
                    total: self.total,
                }
            }
            Step::Verified => LayerState::Downloaded,
        };
        self.progress.event(Event::Layer {
            digest: &self.digest,
            state,
        });
    }
}
