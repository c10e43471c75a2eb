//! The content of `/etc/hosts` and `/etc/resolv.conf`: pure text.
//!
//! In: the container's names, addresses and the host's own resolv.conf. Out: the files' text, which
//! the engine writes beside the container and binds over the image's. hosts(5), resolv.conf(5).

use std::fmt::Write;
use std::net::IpAddr;

use crate::dns;

/// A line of `/etc/hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The address.
    pub address: IpAddr,
    /// The names, the full one first.
    pub names: Vec<String>,
}

/// `/etc/hosts`: localhost, then `extra` (`--add-host`), then the container's own lines.
pub fn hosts(extra: &[Line], own: &[Line], ipv6: bool) -> String {
    let mut text =
        String::from("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    if ipv6 {
        text.push_str("fe00::\tip6-localnet\nff00::\tip6-mcastprefix\n");
        text.push_str("ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n");
    }
    text.push_str(&lines(extra));
    text.push_str(&lines(own));
    text
}

/// Lines as they stand in `/etc/hosts`.
pub fn lines(lines: &[Line]) -> String {
    let one = |line: &Line| format!("{}\t{}\n", line.address, line.names.join(" "));
    lines.iter().map(one).collect()
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
///
/// `ndots:0` unless people say otherwise: names without a dot, such as those of services, are
/// asked as they are before any search domain is tried.
pub fn resolv_conf_embedded(host: &str, asked: &Resolution) -> String {
    let mut options = options(host, asked);
    if !options.iter().any(|option| option.starts_with("ndots:")) {
        options.push("ndots:0".into());
    }
    resolv_conf(&[dns::ADDRESS.into()], &search(host, asked), &options)
}

/// `/etc/resolv.conf` of a container without that server: in the host's network, or in none.
pub fn resolv_conf_plain(host: &str, asked: &Resolution) -> String {
    resolv_conf(
        &upstreams(host, asked),
        &search(host, asked),
        &options(host, asked),
    )
}

/// The name servers that our server asks for names it does not know: those asked for, else the
/// host's. It asks from the host's network, so a server on the host's loopback is as good as any.
pub fn upstreams(host: &str, asked: &Resolution) -> Vec<IpAddr> {
    if !asked.servers.is_empty() {
        return asked.servers.clone();
    }
    // A link-local server has the interface behind a percent sign, which means nothing elsewhere.
    values(host, "nameserver")
        .filter_map(|server| server.parse().ok())
        .collect()
}

fn search(host: &str, asked: &Resolution) -> Vec<String> {
    match asked.search.as_slice() {
        [] => {
            // The last of these lines wins, and `domain` is an old way to write one.
            let mut lines = host.lines().filter_map(|line| {
                let mut words = line.split_ascii_whitespace();
                matches!(words.next()?, "search" | "domain")
                    .then(|| words.map(str::to_owned).collect())
            });
            lines.next_back().unwrap_or_default()
        }
        [root] if root == "." => Vec::new(),
        asked => asked.to_vec(),
    }
}

fn options(host: &str, asked: &Resolution) -> Vec<String> {
    match asked.options.is_empty() {
        true => values(host, "options").map(str::to_owned).collect(),
        false => asked.options.clone(),
    }
}

/// All words after `key` on lines that begin with it.
fn values<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = text.lines().map(str::split_ascii_whitespace);
    lines
        .filter_map(move |mut words| (words.next() == Some(key)).then_some(words))
        .flatten()
}

fn resolv_conf(servers: &[IpAddr], search: &[String], options: &[String]) -> String {
    let mut text = String::new();
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    if !search.is_empty() {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    if !options.is_empty() {
        let _ = writeln!(text, "options {}", options.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "# by hand\ndomain old.example\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\n\
                        search corp.example lab.example\noptions edns0 trust-ad\n";

    #[test]
    fn the_embedded_server_comes_with_the_hosts_search_domains() {
        insta::assert_snapshot!(resolv_conf_embedded(HOST, &Resolution::default()), @r"
        nameserver 127.0.0.11
        search corp.example lab.example
        options edns0 trust-ad ndots:0
        ");
        assert_eq!(
            upstreams(HOST, &Resolution::default()),
            [IpAddr::from([127, 0, 0, 53])]
        );
    }

    #[test]
    fn what_people_ask_for_replaces_the_hosts() {
        let asked = Resolution {
            servers: vec![IpAddr::from([9, 9, 9, 9])],
            search: vec![".".into()],
            options: vec!["ndots:2".into()],
        };
        assert_eq!(
            resolv_conf_embedded(HOST, &asked),
            "nameserver 127.0.0.11\noptions ndots:2\n"
        );
        assert_eq!(
            resolv_conf_plain(HOST, &asked),
            "nameserver 9.9.9.9\noptions ndots:2\n"
        );
        assert_eq!(upstreams(HOST, &asked), asked.servers);
    }

    #[test]
    fn hosts_has_localhost_first_and_the_container_last() {
        let line = |address: [u8; 4], name: &str| Line {
            address: address.into(),
            names: vec![name.into()],
        };
        let text = hosts(
            &[line([10, 0, 0, 1], "db")],
            &[line([172, 24, 0, 2], "web")],
            false,
        );
        insta::assert_snapshot!(text, @r"
        127.0.0.1	localhost
        ::1	localhost ip6-localhost ip6-loopback
        10.0.0.1	db
        172.24.0.2	web
        ");
    }
}
