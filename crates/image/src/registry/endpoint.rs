//! Where a registry is: its own address, and mirrors tried before it.

use std::net::IpAddr;

use url::{Host, Url};

use super::configuration::{Place, places};
use super::{Options, RegistryError, tls};
use crate::DEFAULT_REGISTRY;

/// docker.io is only a name.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// One place to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Scheme, host and port; no path.
    pub(super) base: Url,
    /// The name credentials and certificates are kept under.
    pub(super) registry: String,
    /// The repository's name at this place.
    pub(super) repository: String,
    /// Any certificate will do.
    pub(super) insecure: bool,
    /// What to try when the server turns out to speak TLS after all.
    pub(super) upgrade: bool,
    /// For a mirror of all registries: the one that is meant.
    pub(super) stands_for: Option<String>,
}

/// The places to ask for a repository.
pub(super) struct Endpoints {
    /// In this order, before the registry itself.
    pub(super) mirrors: Vec<Endpoint>,
    pub(super) origin: Endpoint,
    /// The full name that the short name stands for.
    pub(super) alias: Option<String>,
}

/// Where to ask for `repository` of `registry`; without one, mirrors do not count.
pub(super) fn endpoints(
    registry: &str,
    repository: &str,
    by_digest: bool,
    options: &Options,
) -> Result<Endpoints, RegistryError> {
    let found = places(registry, repository, by_digest, options)?;
    let mut origin = Endpoint::new(&found.origin, options)?;
    origin.insecure |= options.insecure;
    let mirrors = found.mirrors.iter().filter(|_| !repository.is_empty());
    Ok(Endpoints {
        mirrors: mirrors
            .map(|place| Endpoint::new(place, options))
            .collect::<Result<_, _>>()?,
        origin,
        alias: found.alias,
    })
}

impl Endpoint {
    fn new(place: &Place, options: &Options) -> Result<Self, RegistryError> {
        let registry = place.registry.as_str();
        let host = if registry == DEFAULT_REGISTRY {
            DOCKER_HUB
        } else {
            registry
        };
        let secure =
            Url::parse(&format!("https://{host}")).map_err(|error| RegistryError::Protocol {
                url: host.to_owned(),
                problem: format!("is no address: {error}"),
            })?;
        // As docker has it: loopback needs no TLS. With certificates of its own it is meant to have it.
        let plain = is_loopback(&secure) && tls::certificates_of(registry, options).is_none();
        let base = if plain {
            Url::parse(&format!("http://{host}")).unwrap_or(secure)
        } else {
            secure
        };
        Ok(Self {
            base,
            registry: registry.to_owned(),
            repository: place.repository.clone(),
            insecure: place.insecure,
            upgrade: plain,
            stands_for: place.stands_for.clone(),
        })
    }

    /// A place that an image names itself: it never gets credentials.
    pub(super) fn foreign(url: &Url) -> Self {
        Self {
            base: url.clone(),
            registry: String::new(),
            repository: String::new(),
            insecure: false,
            upgrade: false,
            stands_for: None,
        }
    }

    /// The same place over another scheme.
    pub(super) fn over(&self, scheme: &str) -> Self {
        let mut base = self.base.clone();
        let port = base.port_or_known_default();
        let _ = base.set_scheme(scheme);
        let _ = base.set_port(port);
        Self {
            base,
            upgrade: false,
            ..self.clone()
        }
    }

    /// Whether it may turn out not to speak TLS.
    pub(super) fn may_be_plain(&self) -> bool {
        self.insecure && self.base.scheme() == "https"
    }

    /// Whether it is the same, whatever the scheme.
    pub(super) fn is_same_place(&self, other: &Self) -> bool {
        self.registry == other.registry && self.repository == other.repository
    }

    /// Whether a URL is at this very place: scheme, host and port.
    pub(super) fn owns(&self, url: &Url) -> bool {
        !self.registry.is_empty() && url.origin() == self.base.origin()
    }

    /// A URL below `/v2/` of the repository.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{}/{path}", self.repository));
        if let Some(registry) = &self.stands_for {
            url.query_pairs_mut().append_pair("ns", registry);
        }
        url
    }

    /// `repository:NAME:pull`
    pub(super) fn pull_scope(&self) -> String {
        format!("repository:{}:pull", self.repository)
    }

    /// What pushing needs, and reading `from` to mount its blobs.
    pub(super) fn push_scope(&self, from: Option<&str>) -> String {
        let own = format!("repository:{}:pull,push", self.repository);
        match from.filter(|from| *from != self.repository) {
            Some(from) => format!("{own} repository:{from}:pull"),
            None => own,
        }
    }
}

/// `localhost`, 127.0.0.0/8 or ::1.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(registry: &str) -> String {
        let found = endpoints(registry, "", false, &Options::default()).unwrap();
        found.origin.base.to_string()
    }

    #[test]
    fn only_loopback_is_spoken_to_in_clear() {
        assert_eq!(base("docker.io"), "https://registry-1.docker.io/");
        assert_eq!(base("localhost:5000"), "http://localhost:5000/");
        assert_eq!(base("127.0.0.9:5000"), "http://127.0.0.9:5000/");
        assert_eq!(base("[::1]:5000"), "http://[::1]:5000/");
        assert_eq!(
            base("localhost.evil.test:5000"),
            "https://localhost.evil.test:5000/"
        );
        assert_eq!(base("10.0.0.1:5000"), "https://10.0.0.1:5000/");
    }
}
