//! Speaking to registries (OCI distribution-spec and what Docker's do).
//!
//! [`Session`] is one repository of one registry, with its mirrors: `manifest.rs`
//! and `blob.rs` fetch from it, `client.rs` sends requests and follows
//! redirects, `auth.rs` answers challenges, `credentials.rs` and `tls.rs` say
//! with what, `configuration.rs` and `endpoint.rs` where, and `resolve.rs` finds
//! addresses.

mod auth;
mod blob;
mod client;
mod configuration;
pub mod credentials;
mod download;
mod endpoint;
mod error;
mod manifest;
mod pages;
mod referrers;
mod resolve;
mod search;
mod tags;
mod tls;
mod upload;

pub use error::RegistryError;
pub use search::{Match, search};

pub(crate) use blob::Delivery;
pub(crate) use client::Session;
pub(crate) use client::run;
pub(crate) use configuration::{Demand, demand};
pub(crate) use download::download;
pub(crate) use upload::{Content, Sent, Upload};

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
    /// Directory with `registries.conf`, `policy.toml` and `certs.d`, instead of
    /// `$LIGHTER_CONFIG` or /etc/lighter.
    pub configuration: Option<PathBuf>,
    /// Directory with the certificates of the registry (`--cert-dir`), instead of
    /// the one in a `certs.d`.
    pub certificates: Option<PathBuf>,
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
pub fn tags(reference: &crate::Reference, options: &Options) -> Result<Vec<String>, crate::Error> {
    let session = Session::new(reference, options)?;
    run(session.tags())
}

/// Asks the registry whether `credentials` are good; yields what to keep: them,
/// or the identity token that its token server gives for them.
pub fn log_in(
    registry: &str,
    credentials: Credentials,
    options: &Options,
) -> Result<Credentials, crate::Error> {
    let options = Options {
        credentials: Some(credentials.clone()),
        ..options.clone()
    };
    let session = Session::of_registry(registry, &options)?;
    let token = run(session.log_in())?;
    Ok(token.map_or(credentials, |token| Credentials::Identity { token }))
}
