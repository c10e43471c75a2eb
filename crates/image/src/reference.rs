//! Image references as docker reads them: `nginx`, `user/app:1`,
//! `host:5000/a/b:tag@sha256:...`.
//!
//! The rules are those of github.com/distribution/reference: a first part with
//! a dot, a colon, an upper case letter or the name `localhost` is a registry,
//! everything else lives at docker.io, official images below `library/`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// The registry meant when none is named.
pub const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";
const NAME_LIMIT: usize = 255;
const TAG_LIMIT: usize = 128;

/// Names an image in a registry: always with a tag, a digest, or both.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is no reference; the words are docker's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// Nothing, or characters where none may be.
    #[error("invalid reference format: {text:?}")]
    Format {
        /// The text as given.
        text: String,
    },
    /// Upper case letters in the repository.
    #[error("invalid reference format: repository name ({name}) must be lowercase")]
    UpperCase {
        /// The repository.
        name: String,
    },
    /// More than 255 characters.
    #[error(
        "invalid reference format: repository name must not be more than {NAME_LIMIT} characters"
    )]
    TooLong,
    /// 64 hexadecimal digits would look like an image id.
    #[error("invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")]
    LooksLikeId {
        /// The text as given.
        text: String,
    },
}

impl Reference {
    /// A reference from its parts, checked like parsed text.
    pub fn new(
        registry: &str,
        repository: &str,
        tag: Option<&str>,
        digest: Option<&Digest>,
    ) -> Result<Self, InvalidReference> {
        let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = digest
            .map(|digest| format!("@{digest}"))
            .unwrap_or_default();
        format!("{registry}/{repository}{tag}{digest}").parse()
    }

    /// Host and port, for example `docker.io` or `localhost:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path below the registry, for example `library/nginx`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; there is one whenever there is no digest.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, when the text had one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What a registry is asked for: the digest where there is one, else the tag.
    pub fn wanted(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// Registry and repository: `docker.io/library/nginx`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The name as people write it: `nginx`, `user/app`, `host:5000/x`.
    pub fn familiar_name(&self) -> &str {
        // A repository alone would be ambiguous when its first part looks like a host.
        if self.registry != DEFAULT_REGISTRY {
            return "";
        }
        match self.repository.split_once('/') {
            Some(("library", official)) if !official.contains('/') => official,
            Some((first, _)) if is_host(first) => "",
            _ => &self.repository,
        }
    }

    /// The whole reference as people write it, for tables and messages.
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        match self.familiar_name() {
            "" => full,
            short => format!("{short}{}", &full[self.name().len()..]),
        }
    }

    /// The repository column of `images`: the familiar name, else the full one.
    pub fn familiar_repository(&self) -> String {
        match self.familiar_name() {
            "" => self.name(),
            short => short.to_owned(),
        }
    }

    /// The same repository with another tag and no digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self, InvalidReference> {
        Self::new(&self.registry, &self.repository, Some(tag), None)
    }

    /// The same repository at a digest, without a tag.
    pub fn with_digest(&self, digest: &Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest.clone()),
            ..self.clone()
        }
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let invalid = || InvalidReference::Format {
            text: text.chars().take(300).collect(),
        };
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(InvalidReference::LooksLikeId {
                text: text.to_owned(),
            });
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(|_| invalid())?)),
            None => (text, None),
        };
        let (name, tag) = split_tag(rest);
        let (registry, repository) = split_registry(name);
        check_registry(&registry).ok_or_else(invalid)?;
        check_repository(&repository).map_err(|error| error.unwrap_or_else(invalid))?;
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(invalid());
        }
        if registry.len() + 1 + repository.len() > NAME_LIMIT {
            return Err(InvalidReference::TooLong);
        }
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some(DEFAULT_TAG.to_owned()),
        };
        Ok(Self {
            registry,
            repository,
            tag,
            digest,
        })
    }
}

/// The last colon starts a tag only when no slash follows it.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') && !name.is_empty() => (name, Some(tag)),
        _ => (text, None),
    }
}

fn split_registry(name: &str) -> (String, String) {
    let (registry, repository) = match name.split_once('/') {
        Some((first, rest)) if is_host(first) => (first, rest),
        _ => (DEFAULT_REGISTRY, name),
    };
    let registry = if registry == "index.docker.io" {
        DEFAULT_REGISTRY
    } else {
        registry
    };
    let official = registry == DEFAULT_REGISTRY && !repository.contains('/');
    let prefix = if official { "library/" } else { "" };
    (registry.to_owned(), format!("{prefix}{repository}"))
}

fn is_host(first: &str) -> bool {
    first.contains(['.', ':'])
        || first == "localhost"
        || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn check_registry(registry: &str) -> Option<()> {
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (
                None,
                port.strip_prefix(':')
                    .or(if port.is_empty() { None } else { Some("") }),
            )
        }
        None => match registry.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(registry), None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let host_is_good = host.is_none_or(|host| host.split('.').all(label));
    let port_is_good =
        port.is_none_or(|port| port.parse::<u16>().is_ok() && !port.starts_with('+'));
    (host_is_good && port_is_good).then_some(())
}

fn check_repository(repository: &str) -> Result<(), Option<InvalidReference>> {
    if repository.split('/').all(is_path_part) {
        return Ok(());
    }
    let lower = repository.to_ascii_lowercase();
    if lower != repository && lower.split('/').all(is_path_part) {
        return Err(Some(InvalidReference::UpperCase {
            name: repository.to_owned(),
        }));
    }
    Err(None)
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_path_part(part: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separators = part.split(|c: char| c.is_ascii() && alphanumeric(c as u8));
    let good_separator = |separator: &str| {
        matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
    };
    let ends_are_good = part.bytes().next().is_some_and(alphanumeric)
        && part.bytes().next_back().is_some_and(alphanumeric);
    ends_are_good && separators.into_iter().all(good_separator)
}

/// `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`
fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_LIMIT
        && tag.bytes().next().is_some_and(word)
        && tag
            .bytes()
            .all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

impl TryFrom<String> for Reference {
    type Error = InvalidReference;

    fn try_from(text: String) -> Result<Self, InvalidReference> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

impl fmt::Display for Reference {
    /// The canonical text: `docker.io/library/nginx:latest`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn canonical(text: &str) -> String {
        text.parse::<Reference>()
            .map_or_else(|error| format!("error: {error}"), |r| r.to_string())
    }

    #[test]
    fn names_are_completed_as_docker_completes_them() {
        for (text, full) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("user/app", "docker.io/user/app:latest"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("index.docker.io/nginx", "docker.io/library/nginx:latest"),
            ("localhost/x", "localhost/x:latest"),
            ("localhost:5000/x/y:1", "localhost:5000/x/y:1"),
            ("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"),
            ("[::1]:5000/x", "[::1]:5000/x:latest"),
            ("Host/x", "Host/x:latest"),
            ("gcr.io/a/b/c", "gcr.io/a/b/c:latest"),
            ("a__b/c--d.e_f", "docker.io/a__b/c--d.e_f:latest"),
        ] {
            assert_eq!(canonical(text), full, "{text}");
        }
        assert_eq!(
            canonical(&format!("nginx@{DIGEST}")),
            format!("docker.io/library/nginx@{DIGEST}")
        );
        assert_eq!(
            canonical(&format!("a/b:t@{DIGEST}")),
            format!("docker.io/a/b:t@{DIGEST}")
        );
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        for text in [
            "",
            ":x",
            "/x",
            "x/",
            "a//b",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a:",
            "a:.b",
            "a b",
            "a\n",
            "a@",
            "a@sha256:1",
            "a@b",
            "host:port/x",
            "host:99999/x",
            "ex_ample.com/x",
            "é",
            "nginx:a/b",
            "../x",
            "a/../b",
            "-h.io/x",
            "[::1/x",
            "x:\u{661}",
        ] {
            assert!(
                text.parse::<Reference>().is_err(),
                "{text:?} gave {}",
                canonical(text)
            );
        }
        assert_eq!(
            canonical("user/App"),
            "error: invalid reference format: repository name (user/App) must be lowercase"
        );
        assert!(canonical(&DIGEST[7..]).contains("64-byte hexadecimal"));
        assert!(canonical(&format!("a/{}", "b".repeat(255))).contains("255"));
        assert!(canonical(&format!("a:{}", "b".repeat(129))).contains("invalid"));
    }

    #[test]
    fn familiar_forms() {
        for text in ["nginx:latest", "user/app:1", "localhost:5000/x:latest"] {
            assert_eq!(text.parse::<Reference>().unwrap().familiar(), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
            }
        }

        #[test]
        fn near_misses_are_read_or_refused(text in "[a-zA-Z0-9.:/@_-]{0,60}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference.clone());
                prop_assert_eq!(reference.familiar().parse::<Reference>().unwrap(), reference);
            }
        }
    }
}
