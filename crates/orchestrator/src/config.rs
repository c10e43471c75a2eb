//! What `compose config` prints: the canonical tree, as docker shows it.
//!
//! Dollar signs are doubled, so that the output can be loaded again. The JSON leaves out what docker's JSON leaves out
//! (`x-*` below the top level, `models`), because scripts parse it; the YAML holds everything.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use crate::model::Project;
use crate::render;
use crate::schema::{self, Object, Shape};
use crate::yaml::{Mapping, Node, Scalar, Value};

/// The project as one tree with its name on top. Networks, volumes, secrets and configs that no service uses are left
/// out unless `all`. Dollar signs stay single where variables were not replaced either.
#[must_use]
pub fn tree(project: &Project, all: bool, interpolated: bool) -> Node {
    let mut tree = project.tree.clone();
    if !all {
        prune(&mut tree);
    }
    if interpolated {
        escape(&mut tree);
    }
    let mut named = Node::mapping(tree.span);
    named.set("name", Node::text(&project.name, tree.span));
    if let (Some(named), Value::Mapping(rest)) = (named.as_mapping_mut(), tree.value) {
        named.extend(rest.into_iter().filter(|(key, _)| key != "name"));
    }
    named
}

/// The tree as docker's JSON.
#[must_use]
pub fn json(tree: &Node) -> Json {
    let mut value = object(tree, &schema::FILE, true);
    if let Json::Object(map) = &mut value {
        map.shift_remove("models");
    }
    value
}

/// The tree as YAML.
#[must_use]
pub fn yaml(tree: &Node) -> String {
    render::yaml(&render::json(tree))
}

/// `$` to `$$` in every value.
fn escape(node: &mut Node) {
    match &mut node.value {
        Value::Scalar(Scalar { text, .. }) if text.contains('$') => *text = text.replace('$', "$$"),
        Value::Sequence(items) => items.iter_mut().for_each(escape),
        Value::Mapping(mapping) => mapping
            .values_mut()
            .for_each(|entry| escape(&mut entry.value)),
        _ => {}
    }
}

fn shaped(node: &Node, shape: &Shape) -> Json {
    match (shape, &node.value) {
        (Shape::Object(fields), Value::Mapping(_))
        | (Shape::IntegerOr(fields), Value::Mapping(_)) => object(node, fields, false),
        (Shape::Short(fields, _), Value::Mapping(_)) => object(node, fields, false),
        (Shape::Nullable(inner), _) if !node.is_null() => shaped(node, inner),
        (
            Shape::Named(inner) | Shape::Free(inner) | Shape::NamesOr(inner, _),
            Value::Mapping(mapping),
        ) => Json::Object(
            mapping
                .iter()
                .map(|(key, entry)| (key.clone(), shaped(&entry.value, inner)))
                .collect(),
        ),
        (Shape::List(inner) | Shape::OneOrList(inner), Value::Sequence(items)) => {
            Json::Array(items.iter().map(|item| shaped(item, inner)).collect())
        }
        _ => render::json(node),
    }
}

fn object(node: &Node, object: &Object, top: bool) -> Json {
    let mut map = Map::new();
    for (key, entry) in node.as_mapping().into_iter().flatten() {
        match object.field(key) {
            Some(field) if key == "ssh" && field.name == "ssh" => {
                drop(map.insert(key.clone(), keys(&entry.value)))
            }
            Some(_) if entry.value.as_text() == Some("") => {}
            Some(field) => drop(map.insert(key.clone(), shaped(&entry.value, &field.shape))),
            None if top => drop(map.insert(key.clone(), render::json(&entry.value))),
            None => {}
        }
    }
    // docker writes the command of a watch's exec even when there is none.
    if object.field("initial_sync").is_some() {
        map.entry("exec")
            .or_insert_with(|| serde_json::json!({ "command": null }));
    }
    Json::Object(map)
}

/// `build.ssh` as the list that it is usually written as.
fn keys(node: &Node) -> Json {
    let line = |(id, entry): (&String, &crate::yaml::Entry)| match entry.value.as_text() {
        Some(path) => Json::String(format!("{id}={path}")),
        None => Json::String(id.clone()),
    };
    Json::Array(node.as_mapping().into_iter().flatten().map(line).collect())
}

/// Takes out what no service uses.
fn prune(tree: &mut Node) {
    let mut used: [BTreeSet<String>; 4] = Default::default();
    for (_, entry) in tree
        .get("services")
        .and_then(Node::as_mapping)
        .into_iter()
        .flatten()
    {
        let service = &entry.value;
        let names = service
            .get("networks")
            .and_then(Node::as_mapping)
            .into_iter()
            .flat_map(Mapping::keys);
        used[0].extend(names.cloned());
        let items = |node: Option<&Node>| node.map(Node::items).unwrap_or_default().to_vec();
        let sources = |items: Vec<Node>| {
            items
                .into_iter()
                .filter_map(|item| item.text_at("source").map(str::to_owned))
        };
        used[1].extend(sources(items(service.get("volumes"))));
        used[2].extend(sources(items(service.get("secrets"))));
        used[2].extend(sources(items(
            service.get("build").and_then(|build| build.get("secrets")),
        )));
        used[3].extend(sources(items(service.get("configs"))));
    }
    for (section, used) in ["networks", "volumes", "secrets", "configs"]
        .into_iter()
        .zip(used)
    {
        let Some(mapping) = tree.get_mut(section).and_then(Node::as_mapping_mut) else {
            continue;
        };
        mapping.retain(|name, _| used.contains(name));
        if mapping.is_empty() {
            tree.remove(section);
        }
    }
}
