//! Laying one tree over another: several `-f` files, `extends`, `include`, several documents in a file.
//!
//! The rule for each path stands in [`RULES`]; a path that is not there follows YAML's shape: mappings merge key by key,
//! lists grow at the end, anything else is replaced. `!reset` and `!override` on the upper tree win over every rule.
//! Repeated list items are dropped later, on the canonical tree (`unique.rs`).
//!
//! Compose specification, 13-merge.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::short;
use crate::yaml::{Entry, Mapping, Node, Tag, Value};

/// How two values at one path become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// The upper value replaces the lower.
    Replace,
    /// Lists or mappings of `KEY=value`, by key.
    KeyValues,
    /// One text or a list, one after the other.
    Append,
    /// Lists or mappings of `host=address`, one after the other, without exact repetitions.
    Hosts,
    /// A bare text is the context of a build.
    Build,
    /// A list of names is a mapping from those names to nothing.
    Names,
    /// A list of names is a mapping from those names to a plain dependency.
    Dependencies,
    /// Options of two different log drivers do not mix.
    Logging,
    /// Pools are told apart by their subnet.
    Pools,
}

/// Path pattern (`*` is any one key) to rule.
const RULES: &[(&[&str], Rule)] = &[
    (&["networks", "*", "ipam", "config"], Rule::Pools),
    (&["networks", "*", "labels"], Rule::KeyValues),
    (&["volumes", "*", "labels"], Rule::KeyValues),
    (&["services", "*", "annotations"], Rule::KeyValues),
    (&["services", "*", "build"], Rule::Build),
    (&["services", "*", "build", "args"], Rule::KeyValues),
    (
        &["services", "*", "build", "additional_contexts"],
        Rule::KeyValues,
    ),
    (&["services", "*", "build", "extra_hosts"], Rule::Hosts),
    (&["services", "*", "build", "labels"], Rule::KeyValues),
    (&["services", "*", "command"], Rule::Replace),
    (&["services", "*", "depends_on"], Rule::Dependencies),
    (&["services", "*", "deploy", "labels"], Rule::KeyValues),
    (&["services", "*", "dns"], Rule::Append),
    (&["services", "*", "dns_opt"], Rule::Append),
    (&["services", "*", "dns_search"], Rule::Append),
    (&["services", "*", "entrypoint"], Rule::Replace),
    (&["services", "*", "env_file"], Rule::Append),
    (&["services", "*", "environment"], Rule::KeyValues),
    (&["services", "*", "extra_hosts"], Rule::Hosts),
    (&["services", "*", "healthcheck", "test"], Rule::Replace),
    (&["services", "*", "label_file"], Rule::Append),
    (&["services", "*", "labels"], Rule::KeyValues),
    (&["services", "*", "logging"], Rule::Logging),
    (&["services", "*", "models"], Rule::Names),
    (&["services", "*", "networks"], Rule::Names),
    (&["services", "*", "sysctls"], Rule::KeyValues),
    (&["services", "*", "tmpfs"], Rule::Append),
    (&["services", "*", "ulimits", "*"], Rule::Replace),
];

/// Lays `over` over `base`. Keys that `over` resets stay as tagged nulls, for the next layer; see [`settle`].
pub fn merge(base: Node, over: Node, diagnostics: &mut Diagnostics) -> Node {
    Merge {
        path: Vec::new(),
        diagnostics,
    }
    .nodes(base, over)
}

/// Lays one service over another, by the rules of `services.*`.
pub fn merge_service(base: Node, over: Node, diagnostics: &mut Diagnostics) -> Node {
    Merge {
        path: vec!["services".into(), "*".into()],
        diagnostics,
    }
    .nodes(base, over)
}

/// Lays the resource `over` over `base`, both under `section` (`services`, `volumes`, ...).
pub fn merge_resource(
    section: &str,
    base: Node,
    over: Node,
    diagnostics: &mut Diagnostics,
) -> Node {
    Merge {
        path: vec![section.into(), "*".into()],
        diagnostics,
    }
    .nodes(base, over)
}

/// Drops what was reset and forgets the tags, once nothing more lies underneath.
pub fn settle(node: &mut Node) {
    node.tag = None;
    match &mut node.value {
        Value::Sequence(items) => {
            items.retain(|item| item.tag != Some(Tag::Reset));
            items.iter_mut().for_each(settle);
        }
        Value::Mapping(mapping) => {
            mapping.retain(|_, entry| entry.value.tag != Some(Tag::Reset));
            mapping
                .values_mut()
                .for_each(|entry| settle(&mut entry.value));
        }
        _ => {}
    }
}

struct Merge<'a> {
    path: Vec<String>,
    diagnostics: &'a mut Diagnostics,
}

impl Merge<'_> {
    fn rule(&self) -> Option<Rule> {
        RULES
            .iter()
            .find(|(pattern, _)| {
                pattern.len() == self.path.len()
                    && pattern
                        .iter()
                        .zip(&self.path)
                        .all(|(p, key)| *p == "*" || p == key)
            })
            .map(|(_, rule)| *rule)
    }

    fn nodes(&mut self, base: Node, over: Node) -> Node {
        if over.tag.is_some() {
            return over;
        }
        match self.rule() {
            Some(Rule::Replace) => over,
            Some(Rule::KeyValues) => self.key_values(base, over),
            Some(Rule::Append) => append(base, over),
            Some(Rule::Hosts) => hosts(base, over),
            Some(Rule::Build) => self.by_shape(context(base), context(over)),
            Some(Rule::Names) => {
                self.by_shape(names(base, short::nothing), names(over, short::nothing))
            }
            Some(Rule::Dependencies) => self.by_shape(
                names(base, short::dependency),
                names(over, short::dependency),
            ),
            Some(Rule::Logging) => self.logging(base, over),
            Some(Rule::Pools) => self.pools(base, over),
            None => self.by_shape(base, over),
        }
    }

    fn by_shape(&mut self, base: Node, over: Node) -> Node {
        let span = over.span;
        match (base.value, over.value) {
            (base_value, Value::Null) => Node {
                value: base_value,
                ..base
            },
            (Value::Mapping(base), Value::Mapping(over)) => {
                Node::new(Value::Mapping(self.mappings(base, over)), span)
            }
            (Value::Sequence(mut base), Value::Sequence(over)) => {
                base.extend(over);
                Node::new(Value::Sequence(base), span)
            }
            (base_value @ (Value::Mapping(_) | Value::Sequence(_)), over_value) => {
                let base = Node {
                    value: base_value,
                    ..base
                };
                let over = Node {
                    value: over_value,
                    ..over
                };
                self.mismatch(&base, &over);
                base
            }
            (_, over_value) => Node {
                value: over_value,
                ..over
            },
        }
    }

    fn mismatch(&mut self, base: &Node, over: &Node) {
        let title = format!(
            "{} is {} here and {} underneath",
            self.path.join("."),
            over.kind_name(),
            base.kind_name()
        );
        self.diagnostics.push(
            Diagnostic::error(title, over.span)
                .label("laid over")
                .also(base.span, "this")
                .help("give both the same form, or write !override before the value to replace it"),
        );
    }

    fn mappings(&mut self, mut base: Mapping, over: Mapping) -> Mapping {
        for (key, entry) in over {
            match base.get_mut(&key) {
                None => drop(base.insert(key, entry)),
                Some(lower) => {
                    let under =
                        std::mem::replace(&mut lower.value, Node::new(Value::Null, entry.key));
                    self.path.push(key.clone());
                    let value = self.nodes(under, entry.value);
                    self.path.pop();
                    base.insert(
                        key,
                        Entry {
                            key: entry.key,
                            value,
                        },
                    );
                }
            }
        }
        base
    }

    fn key_values(&mut self, base: Node, over: Node) -> Node {
        let (base, over) = (pairs(base), pairs(over));
        let span = over.span;
        match (base.value, over.value) {
            (Value::Mapping(mut base), Value::Mapping(over)) => {
                base.extend(over);
                Node::new(Value::Mapping(base), span)
            }
            (base_value, Value::Null) => Node {
                value: base_value,
                ..base
            },
            (_, over_value) => Node {
                value: over_value,
                ..over
            },
        }
    }

    fn logging(&mut self, base: Node, over: Node) -> Node {
        match (base.text_at("driver"), over.text_at("driver")) {
            (Some(lower), Some(upper)) if lower != upper => over,
            _ => self.by_shape(base, over),
        }
    }

    fn pools(&mut self, base: Node, over: Node) -> Node {
        let (Value::Sequence(mut pools), Value::Sequence(upper)) = (base.value, over.value) else {
            return Node {
                value: Value::Null,
                ..base
            };
        };
        for pool in upper {
            let same = pools
                .iter()
                .position(|lower| lower.text_at("subnet") == pool.text_at("subnet"));
            match same {
                Some(n) => {
                    let lower = pools[n].clone();
                    pools[n] = self.by_shape(lower, pool);
                }
                None => pools.push(pool),
            }
        }
        Node::new(Value::Sequence(pools), over.span)
    }
}

/// `KEY=value` lists as mappings; everything else as it is.
fn pairs(node: Node) -> Node {
    let Value::Sequence(items) = &node.value else {
        return node;
    };
    let mut mapping = Mapping::new();
    for item in items {
        let Some(text) = item.as_text() else {
            return node;
        };
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Node::text(value, item.span)),
            None => (text, Node::new(Value::Null, item.span)),
        };
        mapping.insert(
            key.to_owned(),
            Entry {
                key: item.span,
                value: Node {
                    tag: item.tag,
                    ..value
                },
            },
        );
    }
    Node {
        value: Value::Mapping(mapping),
        ..node
    }
}

fn append(base: Node, over: Node) -> Node {
    let span = over.span;
    let items = [base, over].into_iter().flat_map(|node| match node.value {
        Value::Sequence(items) => items,
        Value::Null => Vec::new(),
        _ => vec![node],
    });
    Node::new(Value::Sequence(items.collect()), span)
}

fn hosts(base: Node, over: Node) -> Node {
    let span = over.span;
    let mut lines: Vec<Node> = Vec::new();
    for node in [base, over] {
        for line in host_lines(node) {
            if !lines
                .iter()
                .any(|known| known.as_text().is_some() && known.as_text() == line.as_text())
            {
                lines.push(line);
            }
        }
    }
    Node::new(Value::Sequence(lines), span)
}

fn host_lines(node: Node) -> Vec<Node> {
    match node.value {
        Value::Sequence(items) => items,
        Value::Mapping(mapping) => mapping
            .into_iter()
            .flat_map(|(host, entry)| {
                let span = entry.value.span;
                let addresses = match entry.value.value {
                    Value::Sequence(items) => items,
                    _ => vec![entry.value],
                };
                addresses.into_iter().map(move |address| {
                    Node::text(
                        format!("{host}={}", address.as_text().unwrap_or_default()),
                        span,
                    )
                })
            })
            .collect(),
        Value::Null => Vec::new(),
        _ => vec![node],
    }
}

fn context(node: Node) -> Node {
    match node.value {
        Value::Scalar(_) => {
            let mut build = Node::mapping(node.span);
            build.set("context", node);
            build
        }
        _ => node,
    }
}

fn names(node: Node, bare: fn(&Node) -> Node) -> Node {
    let Value::Sequence(items) = &node.value else {
        return node;
    };
    let mut mapping = Mapping::new();
    for item in items {
        let Some(name) = item.as_text() else {
            return node;
        };
        let value = Node {
            tag: item.tag,
            ..bare(item)
        };
        mapping.insert(
            name.to_owned(),
            Entry {
                key: item.span,
                value,
            },
        );
    }
    Node {
        value: Value::Mapping(mapping),
        ..node
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::render;
    use crate::yaml::{Sources, parse};

    fn layered(texts: [&str; 2]) -> String {
        let mut sources = Sources::default();
        let mut diagnostics = Diagnostics::default();
        let [base, over] = texts.map(|text| {
            let file = sources.add(Path::new("compose.yaml"), Path::new("/"), text);
            let mut service = Node::mapping(crate::yaml::Span {
                file,
                start: crate::yaml::Position { line: 1, column: 1 },
                end: crate::yaml::Position { line: 1, column: 1 },
            });
            let document = parse(&sources, file).unwrap().remove(0);
            service.set("s", document);
            service
        });
        let mut root = Merge {
            path: vec!["services".into()],
            diagnostics: &mut diagnostics,
        }
        .nodes(base, over);
        settle(&mut root);
        assert!(
            !diagnostics.failed(),
            "{}",
            diagnostics.render(&sources, false)
        );
        render::json(root.get("s").unwrap()).to_string()
    }

    #[test]
    fn rules_by_path() {
        for (base, over, want) in [
            ("command: [a, b]", "command: c d", r#"{"command":"c d"}"#),
            (
                "environment: {A: 1, B: 2}",
                "environment: [B=3, C]",
                r#"{"environment":{"A":1,"B":"3","C":null}}"#,
            ),
            (
                "ports: ['80:80']",
                "ports: ['81:81']",
                r#"{"ports":["80:80","81:81"]}"#,
            ),
            ("image: a", "image:", r#"{"image":"a"}"#),
            (
                "dns: 1.1.1.1",
                "dns: [8.8.8.8]",
                r#"{"dns":["1.1.1.1","8.8.8.8"]}"#,
            ),
            (
                "extra_hosts: ['a=1']",
                "extra_hosts: {a: '1', b: '2'}",
                r#"{"extra_hosts":["a=1","b=2"]}"#,
            ),
            (
                "build: .",
                "build: {target: x}",
                r#"{"build":{"context":".","target":"x"}}"#,
            ),
            (
                "logging: {driver: a, options: {x: y}}",
                "logging: {driver: b}",
                r#"{"logging":{"driver":"b"}}"#,
            ),
            (
                "networks: [a]",
                "networks: {b: {aliases: [c]}}",
                r#"{"networks":{"a":null,"b":{"aliases":["c"]}}}"#,
            ),
            ("ports: ['80:80']", "ports: !reset []", "{}"),
            (
                "environment: {A: 1, B: 2}",
                "environment: {A: !reset null}",
                r#"{"environment":{"B":2}}"#,
            ),
            (
                "ports: ['80:80']",
                "ports: !override ['81:81']",
                r#"{"ports":["81:81"]}"#,
            ),
        ] {
            assert_eq!(layered([base, over]), want, "{base} + {over}");
        }
    }
}
