//! Speaking to registries (OCI distribution-spec and what Docker's do).
//!
//! [`Session`] is one repository of one registry, with its mirrors: `manifest.rs`
//! and `blob.rs` fetch from it, `client.rs` sends requests and follows
//! redirects, `auth.rs` answers challenges, `credentials.rs` and `tls.rs` say
//! with what, `endpoint.rs` where, and `resolve.rs` finds addresses.

mod auth;
mod blob;
mod client;
pub mod credentials;
mod endpoint;
mod error;
mod manifest;
mod resolve;
mod tags;
mod tls;
mod upload;

pub use error::RegistryError;

pub(crate) use blob::Delivery;
pub(crate) use client::Session;
pub(crate) use manifest::Fetched;
pub(crate) use upload::Sent;

use std::path::PathBuf;
use std::time::Duration;

/// How registries are reached.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Accept any certificate, and no TLS at all, from the registry itself
    /// (`--tls-verify=false`).
    pub insecure: bool,
    /// Credentials instead of those in the files.
    pub credentials: Option<Credentials>,
    /// Another file than `~/.docker/config.json`.
    pub auth_file: Option<PathBuf>,
    /// How long a silent registry is waited for; 30 seconds when not given.
    pub stall: Option<Duration>,
}

/// A name and a password, or a token.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// For basic auth, or to be traded for a token.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// An OAuth2 refresh token.
    Identity {
        /// The token.
        token: String,
    },
}

impl std::fmt::Debug for Credentials {
    /// Never shows the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Password {{ user: {user:?} }}"),
            Self::Identity { .. } => f.write_str("Identity"),
        }
    }
}

/// All tags of a repository, in the registry's order.
pub fn tags(reference: &crate::Reference, options: &Options) -> Result<Vec<String>, RegistryError> {
    let session = Session::new(reference, options)?;
    client::run(session.tags())
}

/// Asks the registry whether `credentials` are good; it says so or the error tells why not.
pub fn log_in(registry: &str, options: &Options) -> Result<(), RegistryError> {
    let session = Session::of_registry(registry, options)?;
    client::run(session.log_in())
}
