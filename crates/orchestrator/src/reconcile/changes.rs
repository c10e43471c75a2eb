//! What differs between two configurations, path by path, with the place in the file that says the new one.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::Up;
use crate::container;
use crate::plan::Change;
use crate::yaml::Node;

impl Up<'_> {
    pub(super) fn changes(&self, path: &[&str], old: &Json, new: &Json) -> Vec<Change> {
        let mut changes = Vec::new();
        difference(old, new, &mut Vec::new(), &mut changes);
        if let Some(node) = self.project.node(path) {
            for change in &mut changes {
                let node: &Node = container::node_at(node, &change.path);
                change.place = Some(self.project.sources.place(node.span));
            }
        }
        changes
    }
}

/// Every path at which two values differ.
pub(super) fn difference(
    old: &Json,
    new: &Json,
    path: &mut Vec<String>,
    changes: &mut Vec<Change>,
) {
    match (old, new) {
        (Json::Object(a), Json::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                path.push(key.clone());
                compare(a.get(key), b.get(key), path, changes);
                path.pop();
            }
        }
        (Json::Array(a), Json::Array(b)) if a.len() == b.len() => {
            for (n, (old, new)) in a.iter().zip(b).enumerate() {
                path.push(n.to_string());
                difference(old, new, path, changes);
                path.pop();
            }
        }
        _ => compare(Some(old), Some(new), path, changes),
    }
}

pub(super) fn compare(
    old: Option<&Json>,
    new: Option<&Json>,
    path: &mut Vec<String>,
    changes: &mut Vec<Change>,
) {
    match (old, new) {
        (Some(old), Some(new)) if old == new => {}
        (
            Some(old @ (Json::Object(_) | Json::Array(_))),
            Some(new @ (Json::Object(_) | Json::Array(_))),
        ) if std::mem::discriminant(old) == std::mem::discriminant(new)
            && !matches!((old, new), (Json::Array(a), Json::Array(b)) if a.len() != b.len()) =>
        {
            difference(old, new, path, changes);
        }
        _ => changes.push(Change {
            path: path.clone(),
            old: old.cloned(),
            new: new.cloned(),
            place: None,
        }),
    }
}
