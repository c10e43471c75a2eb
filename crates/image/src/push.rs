//! Pushing: an image of the store -> a registry. Blobs first, then what names them.

use std::collections::BTreeSet;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::media_type;
use crate::registry::{Content, Options, Sent, Session, Upload};
use crate::repack::{Repacked, Repacking, repack};
use crate::{
    Descriptor, Digest, Document, Error, Event, Image, LayerState, Original, Progress, Reference,
    Store,
};

const AT_ONCE: usize = 5;

/// What to do differently from `lighter push NAME`.
#[derive(Clone, Debug, Default)]
pub struct PushOptions {
    /// How the registry is reached.
    pub registries: Options,
    /// Blobs are sent in chunks of so many bytes; `None` for one piece, as long
    /// as the registry takes it.
    pub chunk: Option<u64>,
    /// Layers are packed anew before they are sent.
    pub repacking: Option<Repacking>,
    /// Also layers that their owner forbids to push.
    pub nondistributable: bool,
}

/// What a push gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// What the reference names at the registry now.
    pub digest: Digest,
    /// Bytes of that manifest or index.
    pub size: u64,
}

/// Sends `image` to the registry of `reference` under that name.
///
/// An index goes as a whole when the store has all of it, which after a pull
/// for one platform it has not; then the manifest of that platform goes.
pub fn push(
    store: &Store,
    image: &Image,
    reference: &Reference,
    options: &PushOptions,
    progress: &dyn Progress,
) -> Result<Pushed, Error> {
    let _in_use = store.begin_use()?;
    let session = Session::new(reference, &options.registries)?;
    let same_registry = |known: &&Reference| known.registry() == reference.registry();
    let from = image
        .repo_digests
        .iter()
        .find(same_registry)
        .map(Reference::repository);
    let repacked = options
        .repacking
        .map(|how| repack(store, image, how))
        .transpose()?;
    let push = Push {
        store,
        repacked: repacked.as_ref(),
        session: &session,
        from,
        options,
        progress,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(crate::error::file("start a runtime for", store.layout()))?;
    runtime.block_on(push.run(image, reference))
}

struct Push<'a> {
    store: &'a Store,
    repacked: Option<&'a Repacked>,
    session: &'a Session,
    /// A repository of the same registry that should have the blobs.
    from: Option<&'a str>,
    options: &'a PushOptions,
    progress: &'a dyn Progress,
}

impl Push<'_> {
    async fn run(&self, image: &Image, reference: &Reference) -> Result<Pushed, Error> {
        let nodes = match self.repacked {
            Some(repacked) => vec![Original::of(repacked.manifest.clone())],
            None => match self.whole(&image.target) {
                Some(nodes) => nodes,
                None => vec![self.read(&image.descriptor)?],
            },
        };
        let blobs = self.blobs(&nodes);
        for blob in blobs.iter().filter(|blob| blob.is_layer()) {
            self.event(&blob.digest, LayerState::Preparing);
        }
        stream::iter(blobs.iter().map(|blob| self.blob(blob)))
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        // Children before the index that names them; the last one gets the tag.
        let count = nodes.len();
        for (at, node) in nodes.iter().enumerate() {
            let digest = node.descriptor.digest.to_string();
            let name = if at + 1 == count {
                reference.tag().unwrap_or(&digest)
            } else {
                &digest
            };
            self.session
                .push_manifest(name, &node.descriptor.media_type, &node.bytes, self.from)
                .await?;
        }
        let top = nodes
            .last()
            .map_or(&image.descriptor, |node| &node.descriptor);
        Ok(Pushed {
            digest: top.digest.clone(),
            size: top.size,
        })
    }

    /// The target and all below it, children first; `None` when something is not here.
    fn whole(&self, target: &Descriptor) -> Option<Vec<Original>> {
        let node = self.read(target).ok()?;
        let mut nodes = Vec::new();
        match &node.document {
            Document::Index(index) => {
                for child in &index.manifests {
                    nodes.extend(self.whole(child)?);
                }
            }
            Document::Manifest(manifest) => {
                let mut blobs = manifest.layers.iter().chain([&manifest.config]);
                if !blobs.all(|blob| self.store.has_blob(blob)) {
                    return None;
                }
            }
        }
        nodes.push(node);
        Some(nodes)
    }

    fn read(&self, descriptor: &Descriptor) -> Result<Original, Error> {
        let bytes = self.store.read_blob(&descriptor.digest)?;
        Original::read(descriptor.digest.clone(), &descriptor.media_type, bytes)
    }

    /// Every blob once, configs too.
    fn blobs(&self, nodes: &[Original]) -> Vec<Descriptor> {
        let mut seen = BTreeSet::new();
        let manifests = nodes.iter().filter_map(|node| match &node.document {
            Document::Manifest(manifest) => Some(manifest),
            Document::Index(_) => None,
        });
        let all = manifests.flat_map(|manifest| manifest.layers.iter().chain([&manifest.config]));
        let allowed = |blob: &&Descriptor| {
            self.options.nondistributable || !media_type::is_nondistributable(&blob.media_type)
        };
        all.filter(allowed)
            .filter(|blob| seen.insert(blob.digest.clone()))
            .cloned()
            .collect()
    }

    async fn blob(&self, blob: &Descriptor) -> Result<(), Error> {
        let new = self
            .repacked
            .and_then(|repacked| repacked.files.get(&blob.digest));
        let path = new
            .cloned()
            .unwrap_or_else(|| self.store.blob_path(&blob.digest));
        if new.is_none() && !self.store.has_blob(blob) {
            let problem = "is missing or has another size".to_owned();
            return Err(Error::Damaged {
                digest: blob.digest.clone(),
                problem,
            });
        }
        let tell = |state| {
            if blob.is_layer() {
                self.event(&blob.digest, state);
            }
        };
        let sent = |done| {
            tell(LayerState::Pushing {
                done,
                total: blob.size,
            })
        };
        let upload = Upload {
            descriptor: blob,
            content: Content::File(&path),
            from: self.from,
            chunk: self.options.chunk,
            sent: &sent,
        };
        tell(match self.session.push_blob(&upload).await? {
            Sent::Exists => LayerState::Present,
            Sent::Mounted => LayerState::Mounted,
            Sent::Uploaded => LayerState::Pushed,
        });
        Ok(())
    }

    fn event(&self, digest: &Digest, state: LayerState) {
        self.progress.event(Event::Layer { digest, state });
    }
}
