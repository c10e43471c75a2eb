//! Speaking to registries (OCI distribution-spec and what Docker's do).

mod error;

pub use error::RegistryError;

use std::path::PathBuf;

/// How registries are reached.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Registries that may be spoken to without TLS, or with a certificate nobody vouches for.
    pub insecure: bool,
    /// Credentials instead of those in the files.
    pub credentials: Option<Credentials>,
    /// Another file than `~/.docker/config.json`.
    pub auth_file: Option<PathBuf>,
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
