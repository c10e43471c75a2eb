//! Where a registry is: its own address, and mirrors tried before it.

use std::net::IpAddr;

use url::{Host, Url};

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
    /// Any certificate will do.
    pub(super) insecure: bool,
    /// What to try when the server turns out to speak TLS after all.
    pub(super) upgrade: bool,
}

/// The places to ask for images of `registry`, in order.
pub(super) fn endpoints(registry: &str, options: &Options) -> Result<Vec<Endpoint>, RegistryError> {
    let host = if registry == DEFAULT_REGISTRY {
        DOCKER_HUB
    } else {
        registry
    };
    Ok(vec![Endpoint::new(host, registry, options.insecure)?])
}

impl Endpoint {
    fn new(host: &str, registry: &str, insecure: bool) -> Result<Self, RegistryError> {
        let secure =
            Url::parse(&format!("https://{host}")).map_err(|error| RegistryError::Protocol {
                url: host.to_owned(),
                problem: format!("is no address: {error}"),
            })?;
        // As docker has it: loopback needs no TLS. With certificates of its own it is meant to have it.
        let plain = is_loopback(&secure) && tls::certificates_of(registry).is_none();
        let base = if plain {
            Url::parse(&format!("http://{host}")).unwrap_or(secure)
        } else {
            secure
        };
        Ok(Self {
            base,
            registry: registry.to_owned(),
            insecure,
            upgrade: plain,
        })
    }

    /// The same place over TLS.
    pub(super) fn upgraded(&self) -> Self {
        let mut base = self.base.clone();
        let port = base.port_or_known_default();
        let _ = base.set_scheme("https");
        let _ = base.set_port(port);
        Self {
            base,
            upgrade: false,
            ..self.clone()
        }
    }

    /// Whether a URL is at this very place: scheme, host and port.
    pub(super) fn owns(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
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
        endpoints(registry, &Options::default()).unwrap()[0]
            .base
            .to_string()
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
