//! Repeated items of lists on the canonical tree: the later one wins, at the place of the earlier.
//!
//! What makes two items the same stands in [`RULES`]. Compose specification, 13-merge, unique resources.

use std::collections::HashMap;

use crate::yaml::{Node, Value};

/// What two items must share to be the same.
#[derive(Clone, Copy)]
enum Sameness {
    /// The whole text.
    Text,
    /// The part before the first colon.
    BeforeColon,
    /// The value of a key, or of a second key in a folder if the first is missing.
    Key(&'static str),
    /// The target, or the source under this folder.
    Mount(&'static str),
    /// Address, published port, target and protocol.
    Port,
}

/// Path below a service to what makes its items the same.
const RULES: &[(&[&str], Sameness)] = &[
    (&["build", "platforms"], Sameness::Text),
    (&["build", "tags"], Sameness::Text),
    (&["cap_add"], Sameness::Text),
    (&["cap_drop"], Sameness::Text),
    (&["configs"], Sameness::Mount("")),
    (&["devices"], Sameness::Key("target")),
    (&["dns"], Sameness::Text),
    (&["dns_opt"], Sameness::Text),
    (&["dns_search"], Sameness::Text),
    (&["env_file"], Sameness::Key("path")),
    (&["expose"], Sameness::Text),
    (&["links"], Sameness::Text),
    (&["networks", "*", "aliases"], Sameness::Text),
    (&["networks", "*", "link_local_ips"], Sameness::Text),
    (&["ports"], Sameness::Port),
    (&["profiles"], Sameness::Text),
    (&["secrets"], Sameness::Mount("/run/secrets")),
    (&["tmpfs"], Sameness::BeforeColon),
    (&["volumes"], Sameness::Key("target")),
];

/// Drops earlier repetitions in every service of a canonical tree.
pub(crate) fn unique(tree: &mut Node) {
    let Some(services) = tree.get_mut("services").and_then(Node::as_mapping_mut) else {
        return;
    };
    for service in services.values_mut() {
        for (path, sameness) in RULES {
            visit(&mut service.value, path, *sameness);
        }
    }
}

fn visit(node: &mut Node, path: &[&str], sameness: Sameness) {
    match path {
        [] => {
            if let Value::Sequence(items) = &mut node.value {
                *items = without_repetitions(std::mem::take(items), sameness);
            }
        }
        ["*", rest @ ..] => {
            let entries = node
                .as_mapping_mut()
                .into_iter()
                .flat_map(|mapping| mapping.values_mut());
            entries.for_each(|entry| visit(&mut entry.value, rest, sameness));
        }
        [key, rest @ ..] => {
            if let Some(child) = node.get_mut(key) {
                visit(child, rest, sameness);
            }
        }
    }
}

fn without_repetitions(items: Vec<Node>, sameness: Sameness) -> Vec<Node> {
    let mut kept: Vec<Node> = Vec::with_capacity(items.len());
    let mut places: HashMap<String, usize> = HashMap::new();
    for item in items {
        let Some(identity) = identity(&item, sameness) else {
            kept.push(item);
            continue;
        };
        match places.get(&identity) {
            Some(place) => kept[*place] = item,
            None => {
                places.insert(identity, kept.len());
                kept.push(item);
            }
        }
    }
    kept
}

fn identity(item: &Node, sameness: Sameness) -> Option<String> {
    match sameness {
        Sameness::Text => item.as_text().map(str::to_owned),
        Sameness::BeforeColon => item
            .as_text()
            .map(|text| text.split(':').next().unwrap_or_default().to_owned()),
        Sameness::Key(key) => item.text_at(key).map(str::to_owned),
        Sameness::Mount(folder) => match item.text_at("target") {
            Some(target) => Some(target.to_owned()),
            None => item
                .text_at("source")
                .map(|source| format!("{folder}/{source}")),
        },
        Sameness::Port => {
            let part = |key: &str, absent: &str| item.text_at(key).unwrap_or(absent).to_owned();
            Some(format!(
                "{}:{}:{}/{}",
                part("host_ip", "0.0.0.0"),
                part("published", ""),
                part("target", ""),
                part("protocol", "tcp")
            ))
        }
    }
}
