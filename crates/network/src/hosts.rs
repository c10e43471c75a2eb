//! The content of `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`: pure text.
//!
//! In: the container's names, addresses and the host's own resolv.conf. Out: the files' text, which
//! the engine writes beside the container and binds over the image's. hosts(5), resolv.conf(5).

use std::net::IpAddr;

/// A line of `/etc/hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The address.
    pub address: IpAddr,
    /// The names, the full one first.
    pub names: Vec<String>,
}

/// `/etc/hosts`: localhost, then `extra` (`--add-host`), then the container's own `lines`.
pub fn hosts(extra: &[Line], own: &[Line], ipv6: bool) -> String {
    let _ = (extra, own, ipv6);
    String::new()
}

/// What people ask of name resolution (`--dns`, `--dns-search`, `--dns-option`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// Name servers; the host's when empty.
    pub servers: Vec<IpAddr>,
    /// Search domains; the host's when empty, none for `.`.
    pub search: Vec<String>,
    /// Options; the host's when empty.
    pub options: Vec<String>,
}

/// `/etc/resolv.conf` of a container that asks our server at 127.0.0.11.
pub fn resolv_conf_embedded(host: &str, asked: &Resolution) -> String {
    let _ = (host, asked);
    String::new()
}

/// `/etc/resolv.conf` of a container without that server: in the host's network, or in none.
pub fn resolv_conf_plain(host: &str, asked: &Resolution) -> String {
    let _ = (host, asked);
    String::new()
}

/// The name servers that our server asks for names it does not know: `asked`, else the host's.
pub fn upstreams(host: &str, asked: &Resolution) -> Vec<IpAddr> {
    let _ = (host, asked);
    Vec::new()
}
