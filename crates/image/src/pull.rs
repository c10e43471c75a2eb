//! Pulling: reference -> descriptor -> manifest and config -> layers -> image.
//!
//! In: a [`Reference`]. Out: an [`Image`] of the store. `resolve.rs` finds the
//! manifest for the platform; `arrival.rs` fetches and unpacks what is missing
//! and makes it visible.

mod platforms;
mod resolve;

pub(crate) use resolve::choose;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::arrival::{Arrival, Arrived, Begun, Naming, Supply};
use crate::registry::Session;
use crate::signature::Rule;
use crate::store::stored;
use crate::{Digest, Error, Event, Image, Platform, Progress, Reference, Stage, Store};

/// What to do differently from `lighter pull NAME`.
#[derive(Clone, Debug, Default)]
pub struct PullOptions {
    /// Another platform than this machine's; the image must then be for it.
    pub platform: Option<Platform>,
    /// Also what is for other platforms, packed: for pushing or saving the whole.
    pub all_platforms: bool,
    /// How registries are reached.
    pub registries: crate::registry::Options,
    /// A file with the public key of whoever must have signed the image, instead
    /// of what the policy of this machine says.
    pub verify_key: Option<PathBuf>,
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
    pull_as(store, reference, reference, options, progress)
}

/// Fetches what `reference` names and calls it `name`.
pub(crate) fn pull_as(
    store: &Store,
    reference: &Reference,
    name: &Reference,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<Pulled, Error> {
    let _in_use = store.begin_use()?;
    store.clean()?;
    let rule = Rule::of(
        reference,
        options.verify_key.as_deref(),
        &options.registries,
    )?;
    let session = Session::new(reference, &options.registries)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(crate::error::file("start a runtime for", store.layout()))?;
    let begun = Begun::default();
    let pulled: Result<Pulled, Error> = thread::scope(|scope| {
        let supply = Supply::Registry(&session);
        let arrival = Arrival {
            store,
            progress,
            supply,
            scope,
            begun: &begun,
        };
        let pull = Pull {
            store,
            reference,
            name,
            options,
            progress,
            session: &session,
            rule: &rule,
            arrival,
        };
        runtime.block_on(async {
            let pulled = pull.run().await?;
            if options.all_platforms {
                pull.other_platforms(&pulled.image.target).await?;
            }
            Ok(pulled)
        })
    });
    if let Err(error) = &pulled {
        begun.give_up(store, error)?;
        if error.is_disk_full() {
            // What others could resume would only keep the disk full.
            store.remove_partials(Duration::ZERO)?;
        }
    }
    pulled
}

/// One pull under way.
struct Pull<'scope, 'env> {
    store: &'env Store,
    reference: &'env Reference,
    name: &'env Reference,
    options: &'env PullOptions,
    progress: &'env dyn Progress,
    session: &'scope Session,
    rule: &'scope Rule,
    arrival: Arrival<'scope, 'env>,
}

impl Pull<'_, '_> {
    async fn run(&self) -> Result<Pulled, Error> {
        let start = Instant::now();
        let tag = self.reference.wanted();
        self.progress.event(Event::Resolving {
            tag: &tag,
            repository: self.reference.repository(),
        });
        if let Some(full) = self.session.alias() {
            let text = format!("{} is an alias of {full}", self.reference.familiar());
            self.progress.event(Event::Note { text: &text });
        }
        if let Some(image) = self.already_here().await? {
            let digest = image.target.digest.clone();
            self.arrival.span(None, Stage::Resolve, start);
            self.rule
                .check(self.session, &[&digest, &image.descriptor.digest])
                .await?;
            return Ok(Pulled {
                image,
                digest,
                downloaded: false,
            });
        }
        let mut resolved = self.resolve(&tag).await?;
        let digests = [&resolved.target.digest, &resolved.descriptor.digest];
        self.rule.check(self.session, &digests).await?;
        let config = self.config(&mut resolved).await?;
        self.arrival.span(None, Stage::Resolve, start);
        let arrived = self.arrival.layers(&resolved.manifest, &config).await?;
        let downloaded = arrived.iter().any(Arrived::is_new);
        let naming = Naming {
            reference: Some(stored(self.name)),
            source: Some(self.reference.clone()),
        };
        self.arrival
            .commit(&resolved, &config, arrived, &[naming])?;
        let image = self.store.find(&stored(self.name).to_string())?;
        Ok(Pulled {
            image,
            digest: resolved.target.digest,
            downloaded,
        })
    }
}
