//! What a registry, or the way to it, can refuse.

use std::time::Duration;

use crate::json::JsonError;

/// A request to a registry failed. No variant carries a secret: URLs are shown
/// without their query, and answers only as far as they are the registry's own words.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no such image, or it is hidden from this user.
    #[error("{what} is not known to {registry}")]
    NotFound {
        /// A reference or a digest.
        what: String,
        /// Host and port.
        registry: String,
    },
    /// Not without (other) credentials.
    #[error("{action} access denied for {what}, repository does not exist or may require 'lighter login {registry}'{}", told(.reason))]
    Denied {
        /// pull or push.
        action: &'static str,
        /// A reference or a digest.
        what: String,
        /// Host and port.
        registry: String,
        /// The registry's words.
        reason: String,
    },
    /// `login` with the wrong name or password.
    #[error("{registry}: unauthorized: incorrect username or password")]
    LoginRefused {
        /// Host and port.
        registry: String,
    },
    /// Another answer than asked for.
    #[error("{url} answered {status}{}", told(.reason))]
    Status {
        /// Without its query.
        url: String,
        /// HTTP's number.
        status: u16,
        /// When to ask again, if it said so.
        after: Option<Duration>,
        /// The registry's words.
        reason: String,
    },
    /// It did not answer, or the connection broke.
    #[error("cannot reach {url}: {reason}")]
    Transport {
        /// Without its query.
        url: String,
        /// All causes in a row.
        reason: String,
    },
    /// Nothing came for too long.
    #[error("{url} sent nothing for {} seconds", wait.as_secs())]
    Stalled {
        /// Without its query.
        url: String,
        /// How long was waited.
        wait: Duration,
    },
    /// More was sent than such a document may have.
    #[error("{url} sent more than {limit} bytes")]
    TooLarge {
        /// Without its query.
        url: String,
        /// Bytes allowed.
        limit: u64,
    },
    /// One redirect after the other.
    #[error("{url} redirects more than {limit} times")]
    Redirects {
        /// Where it began, without its query.
        url: String,
        /// Redirects followed.
        limit: usize,
    },
    /// A redirect nobody should follow.
    #[error("{url} redirects to {target}: {rule}")]
    Redirect {
        /// Without its query.
        url: String,
        /// Without its query.
        target: String,
        /// Why not.
        rule: &'static str,
    },
    /// The place that gives tokens must not get credentials.
    #[error("{registry} wants credentials sent to {realm}, {rule}")]
    Realm {
        /// Host and port.
        registry: String,
        /// Without its query.
        realm: String,
        /// Why not.
        rule: &'static str,
    },
    /// A token, catalog or tag list cannot be read.
    #[error("cannot read the answer of {url}: {source}")]
    Answer {
        /// Without its query.
        url: String,
        /// Why.
        #[source]
        source: JsonError,
    },
    /// An answer that breaks the protocol.
    #[error("{url} {problem}")]
    Protocol {
        /// Without its query.
        url: String,
        /// What it did.
        problem: String,
    },
    /// Credentials cannot be read.
    #[error("cannot get credentials for {registry} from {place}: {reason}")]
    Credentials {
        /// Host and port.
        registry: String,
        /// File or helper.
        place: String,
        /// Why.
        reason: String,
    },
    /// The registry cannot be searched.
    #[error("{registry} has no search and does not list its repositories")]
    NoSearch {
        /// Host and port.
        registry: String,
    },
    /// A file of lighter's configuration cannot be used.
    #[error("cannot use {place}: {reason}")]
    Configuration {
        /// File.
        place: String,
        /// Why.
        reason: String,
    },
    /// The configuration forbids this registry.
    #[error("{name} is blocked by {place} (prefix {prefix:?})")]
    Blocked {
        /// Registry and repository.
        name: String,
        /// The rule.
        prefix: String,
        /// File.
        place: String,
    },
    /// Certificates cannot be used.
    #[error("cannot use the certificates in {place}: {reason}")]
    Certificates {
        /// File.
        place: String,
        /// Why.
        reason: String,
    },
}

fn told(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    }
}

impl RegistryError {
    /// How many tries a failed one counts as: a silent registry costs its wait each time.
    pub(crate) fn weight(&self) -> u32 {
        if matches!(self, Self::Stalled { .. }) {
            3
        } else {
            1
        }
    }

    /// The same, for a request that was part of a push.
    pub(crate) fn while_pushing(mut self) -> Self {
        if let Self::Denied { action, .. } = &mut self {
            *action = "push";
        }
        self
    }

    /// Whether the same request may succeed later.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::Stalled { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            _ => false,
        }
    }
}
