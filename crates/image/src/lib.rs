//! From a name to directories of layers.
//!
//! [`pull`] turns a [`Reference`] into an [`Image`] of the [`Store`]: a
//! [`Descriptor`] leads to a [`Manifest`] and an [`ImageConfig`], these to
//! layers, which are fetched, checked and unpacked while they arrive.
//! [`Snapshot::prepare`] gives a container its own view of an image.
//!
//! The store is a standard OCI image layout (`images/`, readable by skopeo)
//! beside the unpacked layers (`layers/`). Read next: `pull.rs` for the flow,
//! `layer/mod.rs` for the pipeline of one layer, `store/mod.rs` for what is on
//! disk and why it is valid at every instant.

pub mod archive;
mod arrival;
mod config;
mod digest;
mod error;
mod image;
mod json;
pub mod layer;
mod manifest;
pub mod media_type;
mod platform;
mod progress;
mod pull;
mod push;
mod reference;
pub mod registry;
mod snapshot;
pub mod store;

pub use config::{Empty, HealthCheck, History, ImageConfig, RootFs, RunConfig};
pub use digest::{Algorithm, Digest, Hasher, InvalidDigest, Mismatch, Verifier};
pub use error::Error;
pub use image::{Image, Layer};
pub use json::JsonError;
pub use manifest::{Descriptor, Document, Index, Manifest};
pub use platform::{InvalidPlatform, Platform};
pub use progress::{Event, LayerState, Progress, Silent};
pub use pull::{PullOptions, Pulled, pull};
pub use push::{PushOptions, Pushed, push};
pub use reference::{DEFAULT_REGISTRY, InvalidReference, Reference};
pub use snapshot::Snapshot;
pub use store::Store;
