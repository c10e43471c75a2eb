//! Which services are on: those without profiles, with an active profile, or named by the user.
//!
//! Compose specification, 15-profiles.

use std::collections::BTreeSet;

use crate::model::Project;
use crate::yaml::{Mapping, Node};

/// Takes the services that are off out of the tree and gives them back.
pub(crate) fn select(tree: &mut Node, active: &BTreeSet<String>, named: &[String]) -> Mapping {
    let Some(services) = tree.get_mut("services").and_then(Node::as_mapping_mut) else {
        return Mapping::new();
    };
    let mut active = active.clone();
    for name in named {
        if let Some(entry) = services.get(name) {
            active.extend(profiles(&entry.value).map(str::to_owned));
        }
    }
    let all = active.contains("*");
    let is_on = |service: &Node| {
        let mut own = profiles(service).peekable();
        all || own.peek().is_none() || own.any(|profile| active.contains(profile))
    };
    let (on, off): (Mapping, Mapping) = std::mem::take(services)
        .into_iter()
        .partition(|(_, entry)| is_on(&entry.value));
    *services = on;
    off
}

/// The profiles of a service.
pub(crate) fn profiles(service: &Node) -> impl Iterator<Item = &str> {
    service
        .get("profiles")
        .map(Node::items)
        .unwrap_or_default()
        .iter()
        .filter_map(Node::as_text)
}

/// Every profile that a service of the project has, active or not.
#[must_use]
pub fn all(project: &Project) -> Vec<String> {
    let on = project
        .tree
        .get("services")
        .and_then(Node::as_mapping)
        .into_iter()
        .flatten();
    let services = on.chain(&project.disabled).map(|(_, entry)| &entry.value);
    services.flat_map(profiles).map(str::to_owned).collect()
}
