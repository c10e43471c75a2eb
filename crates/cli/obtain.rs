//! The image a container is made from: looked up here, pulled when it is missing.
//!
//! In come a name as the user wrote it and `--pull`, out goes an [`Image`] of the
//! store. What a person sees of it goes to stderr, so that `run` leaves stdout to
//! the container.

use anyhow::Result;
use image::{Image, Platform, PullOptions, Reference, Store};

use crate::args::Global;
use crate::progress;

/// When to ask the registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum PullPolicy {
    /// Also when the image is here.
    Always,
    /// When it is not here.
    #[default]
    Missing,
    /// Not at all.
    Never,
}

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// A reference, or the id of an image that is here.
    pub name: &'a str,
    /// When to ask the registry.
    pub policy: PullPolicy,
    /// For which platform, if not this one.
    pub platform: Option<&'a str>,
    /// Say nothing of a pull.
    pub quiet: bool,
}

/// The image, from the store or its registry.
pub fn image(store: &Store, wanted: &Wanted, global: &Global) -> Result<Image> {
    let platform = wanted.platform.map(str::parse::<Platform>).transpose()?;
    let found = match wanted.policy {
        PullPolicy::Always => None,
        _ => here(store, wanted.name, platform.as_ref())?,
    };
    match (found, wanted.policy) {
        (Some(image), _) => Ok(image),
        (None, PullPolicy::Never) => Ok(store.find(wanted.name)?),
        (None, policy) => {
            let reference: Reference = wanted.name.parse()?;
            if policy == PullPolicy::Missing
                && !wanted.quiet
                && global.level >= crate::args::Level::Warn
            {
                eprintln!("Unable to find image '{}' locally", reference.familiar());
            }
            let options = PullOptions {
                platform,
                ..PullOptions::default()
            };
            let pulled = image::pull(
                store,
                &reference,
                &options,
                &*progress::transfer(wanted.quiet),
            )?;
            if !wanted.quiet {
                eprintln!("Digest: {}", pulled.digest);
                let what = if pulled.downloaded {
                    "Downloaded newer image for"
                } else {
                    "Image is up to date for"
                };
                eprintln!("Status: {what} {}", reference.familiar());
            }
            Ok(pulled.image)
        }
    }
}

/// The image if it is here and for the right platform.
fn here(store: &Store, name: &str, platform: Option<&Platform>) -> Result<Option<Image>> {
    match store.find(name) {
        Ok(image) => {
            let fits =
                platform.is_none_or(|wanted| wanted.distance(&image.config.platform()).is_some());
            Ok(fits.then_some(image))
        }
        Err(image::Error::NoSuchImage { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
