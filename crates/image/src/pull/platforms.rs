//! `pull --all-platforms`: everything an index leads to, packed, so that the whole
//! of it can be pushed or saved. Only one platform's layers are unpacked.

use std::time::Duration;

use super::Pull;
use crate::error::file;
use crate::receive::receive;
use crate::store::Partial;
use crate::{Descriptor, Document, Error, Event, LayerState, Original};

const NESTING_LIMIT: usize = 4;
const LOCK_POLL: Duration = Duration::from_millis(50);

impl Pull<'_, '_> {
    /// Fetches what is missing below `target`: of each manifest first what it
    /// names, then itself.
    pub(super) async fn other_platforms(&self, target: &Descriptor) -> Result<(), Error> {
        let mut left = vec![(target.clone(), 0)];
        while let Some((descriptor, depth)) = left.pop() {
            let Original {
                bytes,
                descriptor,
                document,
            } = self.child(&descriptor).await?;
            match document {
                Document::Index(index) if depth < NESTING_LIMIT => {
                    left.extend(index.manifests.into_iter().map(|child| (child, depth + 1)));
                }
                Document::Index(_) => {}
                Document::Manifest(manifest) => {
                    for blob in manifest.layers.iter().chain([&manifest.config]) {
                        self.keep_blob(blob).await?;
                    }
                    self.store.sync_blobs()?;
                }
            }
            self.store.write_blob_as(&descriptor.digest, &bytes)?;
        }
        Ok(())
    }

    async fn keep_blob(&self, blob: &Descriptor) -> Result<(), Error> {
        let Some(mut partial) = self.lock(blob).await? else {
            return Ok(());
        };
        self.layer_event(blob, LayerState::Waiting);
        let path = self.store.blob_path(&blob.digest);
        let have = partial.length.min(blob.size);
        let received = receive(self.session, blob, partial.reopen()?, have, &path).await;
        if let Err(error) = received {
            // What a crash left may be damaged, and wrong bytes are of no use to anybody.
            if !error.is_temporary() {
                partial.discard()?;
                partial.remove()?;
            }
            return Err(error);
        }
        partial.file.sync_all().map_err(file("sync", &path))?;
        self.store.commit_partial(&partial)?;
        self.layer_event(blob, LayerState::Complete);
        Ok(())
    }

    /// The right to fetch a blob; none is needed when it is here.
    async fn lock(&self, blob: &Descriptor) -> Result<Option<Partial>, Error> {
        while !self.store.has_blob(blob) {
            if let Some(partial) = self.store.try_partial(&blob.digest)? {
                // It may have arrived between the look and the lock.
                if self.store.has_blob(blob) {
                    partial.remove()?;
                    return Ok(None);
                }
                return Ok(Some(partial));
            }
            tokio::time::sleep(LOCK_POLL).await;
        }
        Ok(None)
    }

    fn layer_event(&self, blob: &Descriptor, state: LayerState) {
        let digest = &blob.digest;
        self.progress.event(Event::Layer { digest, state });
    }
}
