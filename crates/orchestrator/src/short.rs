//! The short forms of Compose: `8080:80/udp`, `data:/var/lib:ro`, `./.env`, and what they stand for.
//!
//! Each function takes the node as written and gives the long forms, blamed on the same place. Named in `schema.rs`,
//! called by `canonical.rs`.

use std::net::IpAddr;

use crate::yaml::{Kind, Node, Span};

type Long = Result<Vec<Node>, String>;

fn long(span: Span, fields: &[(&str, Option<Node>)]) -> Node {
    let mut node = Node::mapping(span);
    for (key, value) in fields {
        if let Some(value) = value {
            node.set(key, value.clone());
        }
    }
    node
}

fn only(node: &Node, key: &str) -> Long {
    Ok(vec![long(node.span, &[(key, Some(node.clone()))])])
}

/// `build: ./dir`.
pub(crate) fn build(node: &Node) -> Long {
    only(node, "context")
}

/// `include: [other.yaml]`.
pub(crate) fn include(node: &Node) -> Long {
    only(node, "path")
}

/// `extends: other`.
pub(crate) fn extends(node: &Node) -> Long {
    only(node, "service")
}

/// `secrets: [password]`, `configs: [settings]`.
pub(crate) fn file_mount(node: &Node) -> Long {
    only(node, "source")
}

/// `env_file: ./a.env`.
pub(crate) fn env_file(node: &Node) -> Long {
    Ok(vec![long(
        node.span,
        &[
            ("path", Some(node.clone())),
            ("required", Some(Node::flag(true, node.span))),
        ],
    )])
}

/// `gpus: all`.
pub(crate) fn gpus(node: &Node) -> Long {
    match node.as_text() {
        Some("all") => Ok(vec![long(
            node.span,
            &[("count", Some(Node::text("all", node.span)))],
        )]),
        _ => Err("gpus takes `all` or a list of requests".into()),
    }
}

/// The value of a bare name in `depends_on: [db]`.
pub(crate) fn dependency(name: &Node) -> Node {
    let span = name.span;
    let condition = Node::text("service_started", span);
    long(
        span,
        &[
            ("condition", Some(condition)),
            ("required", Some(Node::flag(true, span))),
        ],
    )
}

/// The value of a bare name in `networks: [front]` and `models: [llm]`.
pub(crate) fn nothing(name: &Node) -> Node {
    Node::new(crate::yaml::Value::Null, name.span)
}

/// `devices: ["/dev/a:/dev/b:rwm"]`.
pub(crate) fn device(node: &Node) -> Long {
    let text = node.as_text().unwrap_or_default();
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, permissions) = match parts[..] {
        [source] => (source, source, "rwm"),
        [source, target] => (source, target, "rwm"),
        [source, target, permissions] => (source, target, permissions),
        _ => {
            return Err(format!(
                "{text:?} has too many colons for a device; write source:target:permissions"
            ));
        }
    };
    let part = |text: &str| Some(Node::text(text, node.span));
    let target = if target.is_empty() { source } else { target };
    Ok(vec![long(
        node.span,
        &[
            ("source", part(source)),
            ("target", part(target)),
            ("permissions", part(permissions)),
        ],
    )])
}

/// `ports: ["[[host_ip:]published:]target[/protocol]"]`, with ranges. Several target ports give several entries.
///
/// Compose specification, services, ports, short syntax.
pub(crate) fn port(node: &Node) -> Long {
    let text = node.as_text().unwrap_or_default();
    let (rest, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return Err(format!(
            "{protocol:?} is no protocol for a port; write tcp, udp or sctp"
        ));
    }
    let (host_ip, published, target) = split_port(rest)?;
    if let Some(ip) = host_ip {
        address(ip)?;
    }
    let targets = port_range(target)?;
    let published = match published {
        None | Some("") => None,
        Some(text) => Some(port_range(text)?),
    };
    let published = pair_ports(text, targets.len(), published)?;
    let span = node.span;
    let part = |text: String| Some(Node::text(text, span));
    Ok(targets
        .zip(published)
        .map(|(target, published)| {
            long(
                span,
                &[
                    ("mode", part("ingress".into())),
                    ("host_ip", host_ip.and_then(|ip| part(ip.into()))),
                    (
                        "target",
                        Some(Node::scalar(target.to_string(), Kind::Integer, span)),
                    ),
                    ("published", published.and_then(part)),
                    ("protocol", part(protocol.clone())),
                ],
            )
        })
        .collect())
}

/// Splits `ip:published:target` where the address may be IPv6, in brackets or bare.
fn split_port(text: &str) -> Result<(Option<&str>, Option<&str>, &str), String> {
    let Some((head, target)) = text.rsplit_once(':') else {
        return Ok((None, None, text));
    };
    if target.is_empty() {
        return Err(format!("{text:?} names no container port"));
    }
    let Some((ip, published)) = head.rsplit_once(':') else {
        return Ok((None, Some(head), target));
    };
    let ip = ip
        .strip_prefix('[')
        .and_then(|ip| ip.strip_suffix(']'))
        .unwrap_or(ip);
    Ok((Some(ip), Some(published), target))
}

/// `80` or `8000-8010`.
fn port_range(text: &str) -> Result<std::ops::RangeInclusive<u16>, String> {
    let wrong = || {
        format!(
            "{text:?} is not a port; ports are numbers from 0 to 65535, or a range such as 8000-8010"
        )
    };
    let number = |text: &str| -> Option<u16> {
        text.chars()
            .all(|c| c.is_ascii_digit())
            .then(|| text.parse().ok())
            .flatten()
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (
        number(first).ok_or_else(wrong)?,
        number(last).ok_or_else(wrong)?,
    );
    if first > last {
        Err(format!("the port range {text} runs backwards"))
    } else {
        Ok(first..=last)
    }
}

/// One published port for each target; a range published for a single target stays a range (any free one of it).
fn pair_ports(
    text: &str,
    targets: usize,
    published: Option<std::ops::RangeInclusive<u16>>,
) -> Result<Vec<Option<String>>, String> {
    let Some(range) = published else {
        return Ok(vec![None; targets]);
    };
    let (first, last, count) = (*range.start(), *range.end(), range.len());
    if count == targets {
        return Ok(range.map(|port| Some(port.to_string())).collect());
    }
    if targets == 1 {
        return Ok(vec![Some(format!("{first}-{last}"))]);
    }
    Err(format!(
        "{text:?} publishes {count} ports for {targets}; the two ranges must be of one length"
    ))
}

/// A literal IP address.
pub(crate) fn address(text: &str) -> Result<(), String> {
    match text.parse::<IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!(
            "{text:?} is not an IP address; a port is published on addresses, not on names"
        )),
    }
}

/// `volumes: ["[source:]target[:options]"]`.
///
/// Compose specification, services, volumes, short syntax.
pub(crate) fn volume(node: &Node) -> Long {
    let text = node.as_text().unwrap_or_default();
    let parts: Vec<&str> = text.split(':').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(if text.is_empty() {
            "a volume cannot be empty".into()
        } else {
            format!("{text:?} has nothing between two colons; is a variable empty?")
        });
    }
    let (source, target, options) = match parts[..] {
        [target] => (None, target, ""),
        [source, target] => (Some(source), target, ""),
        [source, target, options] => (Some(source), target, options),
        _ => {
            return Err(format!(
                "{text:?} has too many colons for a volume; write source:target:options"
            ));
        }
    };
    let span = node.span;
    let part = |text: &str| Some(Node::text(text, span));
    let bind = source.is_some_and(|source| source.starts_with(['.', '/', '~']));
    let mut details = Node::mapping(span);
    if bind {
        details.set("create_host_path", Node::flag(true, span));
    }
    let mut read_only = None;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = Some(Node::flag(true, span)),
            "rw" => read_only = None,
            "nocopy" if !bind => details.set("nocopy", Node::flag(true, span)),
            "z" | "Z" if bind => details.set("selinux", Node::text(option, span)),
            "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" if bind => {
                details.set("propagation", Node::text(option, span));
            }
            // Of other engines and systems; they change nothing here, as in docker.
            "z" | "Z" | "cached" | "delegated" | "consistent" | "nocopy" | "copy" => {}
            _ => return Err(unknown_option(option, bind)),
        }
    }
    let kind = if bind { "bind" } else { "volume" };
    Ok(vec![long(
        span,
        &[
            ("type", part(kind)),
            ("source", source.and_then(part)),
            ("target", part(&clean_path(target))),
            ("read_only", read_only),
            (kind, Some(details)),
        ],
    )])
}

fn unknown_option(option: &str, bind: bool) -> String {
    let known: &[&str] = if bind {
        &["ro", "rw", "z", "Z", "rprivate", "rshared", "rslave"]
    } else {
        &["ro", "rw", "nocopy"]
    };
    format!(
        "{option:?} is no option of a {}; known are {}",
        if bind { "bind mount" } else { "volume" },
        known.join(", ")
    )
}

/// `/a//b/../c/` to `/a/c`, by text alone.
#[must_use]
pub(crate) fn clean_path(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if path.starts_with('/') => {}
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (path.starts_with('/'), joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".into(),
        (false, false) => joined,
    }
}

/// `container_name`: what the engine takes as a name.
pub(crate) fn container_name(text: &str) -> Result<(), String> {
    let rest_is_plain = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if text.len() > 1 && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && rest_is_plain {
        return Ok(());
    }
    Err(format!(
        "{text:?} is no container name; it takes two or more of a-z A-Z 0-9 _ . - and begins with a letter or digit"
    ))
}

/// `pull_policy`.
pub(crate) fn pull_policy(text: &str) -> Result<(), String> {
    let words = [
        "always",
        "never",
        "build",
        "if_not_present",
        "missing",
        "refresh",
        "daily",
        "weekly",
    ];
    let every = text
        .strip_prefix("every_")
        .is_some_and(|rest| crate::quantity::duration(rest).is_ok());
    if every || words.contains(&text) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is no pull policy; write {} or every_<duration>",
        words.join(", ")
    ))
}

/// `restart`.
pub(crate) fn restart(text: &str) -> Result<(), String> {
    // How often is a matter of the engine: a file is not wrong because one engine cannot count to 3.14.
    if text.starts_with("on-failure:")
        || ["no", "always", "on-failure", "unless-stopped"].contains(&text)
    {
        return Ok(());
    }
    Err(format!(
        "{text:?} is no restart policy; write \"no\", always, on-failure, on-failure:<times> or unless-stopped"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{FileId, Position};

    fn node(text: &str) -> Node {
        let start = Position { line: 1, column: 1 };
        Node::text(
            text,
            Span {
                file: FileId(0),
                start,
                end: start,
            },
        )
    }

    fn ports(text: &str) -> Result<Vec<String>, String> {
        let part = |node: &Node, key: &str| node.text_at(key).unwrap_or("-").to_owned();
        Ok(port(&node(text))?
            .iter()
            .map(|n| {
                format!(
                    "{} {} {}/{}",
                    part(n, "host_ip"),
                    part(n, "published"),
                    part(n, "target"),
                    part(n, "protocol")
                )
            })
            .collect())
    }

    #[test]
    fn ports_in_short_form() {
        assert_eq!(
            ports("3000-3001").unwrap(),
            ["- - 3000/tcp", "- - 3001/tcp"]
        );
        assert_eq!(
            ports("9090-9091:8080-8081").unwrap(),
            ["- 9090 8080/tcp", "- 9091 8081/tcp"]
        );
        assert_eq!(ports("8000-9000:80").unwrap(), ["- 8000-9000 80/tcp"]);
        assert_eq!(ports("127.0.0.1::80").unwrap(), ["127.0.0.1 - 80/tcp"]);
        assert_eq!(ports("[::1]:6001:6001").unwrap(), ["::1 6001 6001/tcp"]);
        assert_eq!(ports("::1:6000:6000").unwrap(), ["::1 6000 6000/tcp"]);
        assert_eq!(ports("22:22").unwrap(), ["- 22 22/tcp"]);
        assert_eq!(ports("8080:80/UDP").unwrap(), ["- 8080 80/udp"]);
        for text in [
            "8000-8001:80-82",
            "80/foo",
            "localhost:80:80",
            "70000:80",
            "80:",
            "a",
            "",
        ] {
            assert!(ports(text).is_err(), "{text}");
        }
    }

    fn volumes(text: &str) -> Result<String, String> {
        let n = volume(&node(text))?.remove(0);
        let part = |key: &str| n.text_at(key).unwrap_or("-").to_owned();
        Ok(format!(
            "{} {} {} {}",
            part("type"),
            part("source"),
            part("target"),
            part("read_only")
        ))
    }

    #[test]
    fn volumes_in_short_form() {
        assert_eq!(volumes("/data").unwrap(), "volume - /data -");
        assert_eq!(volumes("/a:/b:ro,z").unwrap(), "bind /a /b true");
        assert_eq!(volumes("data:/d:nocopy").unwrap(), "volume data /d -");
        assert_eq!(volumes("d:/d").unwrap(), "volume d /d -");
        assert_eq!(volumes("~/x:/x/").unwrap(), "bind ~/x /x -");
        for text in ["", ":/text", "/a:/b:ro:x", "/a:/b:bogus"] {
            assert!(volumes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_are_cleaned_by_text() {
        for (path, want) in [
            ("/a//b/../c/", "/a/c"),
            ("/..", "/"),
            ("a/..", "."),
            ("../x", "../x"),
            ("", "."),
        ] {
            assert_eq!(clean_path(path), want);
        }
    }
}
