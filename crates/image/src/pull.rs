//! Pulling: reference -> descriptor -> manifest and config -> layers -> image.

use std::path::PathBuf;

use crate::{Digest, Error, Image, Platform, Progress, Reference, Store};

/// What to do differently from `lighter pull NAME`.
#[derive(Clone, Debug, Default)]
pub struct PullOptions {
    /// Another platform than this machine's; the image must then be for it.
    pub platform: Option<Platform>,
    /// How registries are reached.
    pub registries: crate::registry::Options,
    /// Writes when each blob was resolved, received, inflated and written.
    pub trace: Option<PathBuf>,
}

/// What a pull gave.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The image, ready to run.
    pub image: Image,
    /// The digest the reference names at its registry.
    pub digest: Digest,
    /// False when everything was here already.
    pub downloaded: bool,
}

/// Fetches what `reference` names and unpacks it.
///
/// Layers that are here are not fetched again; a layer another process is
/// fetching is waited for; one a crash interrupted is resumed.
pub fn pull(
    store: &Store,
    reference: &Reference,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<Pulled, Error> {
    let _ = (store, reference, options, progress);
    todo!("lands next")
}
