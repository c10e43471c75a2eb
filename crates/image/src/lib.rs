#![doc = include_str!("../README.md")]

pub mod archive;
mod arrival;
pub mod artifact;
pub mod check;
mod config;
mod digest;
mod error;
mod image;
mod json;
pub mod layer;
mod manifest;
pub mod manifest_list;
pub mod media_type;
mod platform;
mod progress;
mod pull;
mod push;
mod reference;
pub mod registry;
mod remove;
mod signature;
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
