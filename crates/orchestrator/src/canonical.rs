//! A merged tree to its one canonical form, by the table in `schema.rs`.
//!
//! Comes in: a [`Node`] tree after interpolation, include, extends and merge. Goes out: the same tree where every short
//! form is the long one and every value has its kind, or findings: unknown keys with the nearest known one, wrong
//! types, missing keys. A second pass over a canonical tree changes nothing.
//!
//! Read next: `unique.rs` (repeated list items), `defaults.rs` (what Compose fills in).

use crate::diagnostic::{Diagnostic, Diagnostics, nearest};
use crate::quantity;
use crate::schema::{self, Bare, Expand, Field, Object, Shape};
use crate::yaml::{self, Entry, Kind, Mapping, Node, Scalar, Span, Value};

/// Rewrites the tree of a whole file, reporting what does not fit.
pub fn canonical(tree: Node, diagnostics: &mut Diagnostics) -> Node {
    Walk {
        diagnostics,
        path: Vec::new(),
    }
    .object(tree, &schema::FILE)
}

struct Walk<'a> {
    diagnostics: &'a mut Diagnostics,
    path: Vec<String>,
}

impl Walk<'_> {
    fn here(&self) -> String {
        self.path.join(".")
    }

    fn error(&mut self, title: String, span: Span) -> Diagnostic {
        Diagnostic::error(title, span)
    }

    /// Reports that something else was expected and keeps the node, so that the walk goes on.
    fn wrong(&mut self, node: Node, want: &str) -> Node {
        let title = format!("{} must be {want}, not {}", self.here(), node.kind_name());
        let mut finding = self
            .error(title, node.span)
            .label(format!("expected {want}"));
        if let (true, Value::Scalar(scalar)) = (want == "text", &node.value) {
            finding = finding.help(format!("put it in quotes: \"{}\"", scalar.text));
        }
        if node.is_null() {
            finding = finding.help("remove the key, or give it a value");
        }
        self.diagnostics.push(finding);
        node
    }

    fn bad(&mut self, node: Node, reason: &str) -> Node {
        let finding = self.error(format!("{}: {reason}", self.here()), node.span);
        self.diagnostics.push(finding);
        node
    }

    fn at<T>(&mut self, key: impl Into<String>, f: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(key.into());
        let result = f(self);
        self.path.pop();
        result
    }

    fn value(&mut self, node: Node, shape: &Shape) -> Node {
        match shape {
            Shape::Anything => node,
            Shape::Nullable(_) if node.is_null() => node,
            Shape::Nullable(inner) => self.value(node, inner),
            Shape::Text => match node.value {
                Value::Scalar(Scalar {
                    kind: Kind::Text, ..
                }) => node,
                _ => self.wrong(node, "text"),
            },
            Shape::Checked(check) => match &node.value {
                Value::Scalar(Scalar {
                    kind: Kind::Text,
                    text,
                }) => match check(text) {
                    Ok(()) => node,
                    Err(reason) => self.bad(node, &reason),
                },
                _ => self.wrong(node, "text"),
            },
            Shape::Choice(words) => self.choice(node, words),
            Shape::Object(object) => self.object(node, object),
            Shape::Named(inner) => self.named(node, inner, true),
            Shape::Free(inner) => self.named(node, inner, false),
            Shape::List(inner) => self.list(node, inner),
            Shape::OneOrList(inner) => self.one_or_list(node, inner),
            Shape::TextOrList => self.one_or_list(node, &Shape::Text),
            Shape::KeyValues(bare) => self.key_values(node, *bare),
            Shape::NamesOr(inner, bare) => self.names_or(node, inner, *bare),
            Shape::Short(object, expand) => self
                .short(node, object, *expand)
                .pop()
                .unwrap_or(Node::new(Value::Null, Span::nowhere())),
            Shape::IntegerOr(object) => match node.value {
                Value::Mapping(_) => self.object(node, object),
                _ => self.scalar(node, &Shape::Integer(i64::MIN, i64::MAX)),
            },
            Shape::Command => self.command(node),
            Shape::Test => self.test(node),
            Shape::Hosts => self.hosts(node),
            Shape::External => self.external(node),
            Shape::Options => self.options(node),
            _ => self.scalar(node, shape),
        }
    }

    /// The single values that are converted.
    fn scalar(&mut self, node: Node, shape: &Shape) -> Node {
        let span = node.span;
        let Value::Scalar(Scalar { text, kind }) = &node.value else {
            return self.wrong(node, scalar_name(shape));
        };
        match convert(text, *kind, shape) {
            Ok((text, kind)) => Node::scalar(text, kind, span),
            Err(None) => self.wrong(node, scalar_name(shape)),
            Err(Some(reason)) => self.bad(node, &reason),
        }
    }

    fn choice(&mut self, node: Node, words: &[&'static str]) -> Node {
        let Some(text) = node.as_text().map(str::to_owned) else {
            return self.wrong(node, "text");
        };
        if words.contains(&text.as_str()) {
            return node;
        }
        let title = format!(
            "{}: {text:?} must be one of {}",
            self.here(),
            words.join(", ")
        );
        let mut finding = self.error(title, node.span);
        if let Some(word) = nearest(&text, words.iter().copied()) {
            finding = finding.help(format!("did you mean {word}?"));
        }
        self.diagnostics.push(finding);
        node
    }

    fn object(&mut self, node: Node, object: &'static Object) -> Node {
        let Value::Mapping(mapping) = node.value else {
            return self.wrong(node, "a mapping");
        };
        for name in object
            .required
            .iter()
            .filter(|name| !mapping.contains_key(**name))
        {
            let title = format!("{} lacks the key {name}", self.here());
            let finding = self
                .error(title, node.span)
                .label(format!("{name} is required here"));
            self.diagnostics.push(finding);
        }
        let mut canonical = Mapping::new();
        for (key, entry) in mapping {
            if object.extensible && key.starts_with("x-") {
                canonical.insert(key, entry);
                continue;
            }
            let Some(field) = object.field(&key) else {
                self.unknown(&key, entry.key, object);
                continue;
            };
            let value = self.at(key.as_str(), |walk| walk.value(entry.value, &field.shape));
            if field.zero_counts || !is_zero(&value, field) {
                canonical.insert(
                    key,
                    Entry {
                        key: entry.key,
                        value,
                    },
                );
            }
        }
        Node {
            value: Value::Mapping(canonical),
            ..node
        }
    }

    fn unknown(&mut self, key: &str, span: Span, object: &'static Object) {
        let place = if self.path.is_empty() {
            "a Compose file".into()
        } else {
            self.here()
        };
        let mut finding = self
            .error(format!("{place} has no key {key:?}"), span)
            .label("unknown key");
        if let Some(name) = nearest(key, object.fields.iter().map(|field| field.name)) {
            finding = finding.help(format!("did you mean {name}?"));
        } else if self.path.is_empty() {
            finding = finding.help("the top level has name, include, services, networks, volumes, secrets, configs, models and x-*");
        } else if object.extensible {
            finding = finding.help("a key of your own must begin with x-");
        }
        self.diagnostics.push(finding);
    }

    fn named(&mut self, node: Node, inner: &Shape, restricted: bool) -> Node {
        let Value::Mapping(mapping) = node.value else {
            return self.wrong(node, "a mapping");
        };
        let mut canonical = Mapping::new();
        for (key, entry) in mapping {
            if restricted && !is_name(&key) {
                let title = format!(
                    "{}: {key:?} is not a name; names are made of a-z A-Z 0-9 . _ -",
                    self.here()
                );
                let finding = self.error(title, entry.key);
                self.diagnostics.push(finding);
            }
            let value = self.at(key.as_str(), |walk| walk.value(entry.value, inner));
            canonical.insert(
                key,
                Entry {
                    key: entry.key,
                    value,
                },
            );
        }
        Node {
            value: Value::Mapping(canonical),
            ..node
        }
    }

    fn list(&mut self, node: Node, inner: &Shape) -> Node {
        let Value::Sequence(items) = node.value else {
            return self.wrong(node, "a list");
        };
        let mut canonical = Vec::with_capacity(items.len());
        for (n, item) in items.into_iter().enumerate() {
            self.at(n.to_string(), |walk| match inner {
                Shape::Short(object, expand) => canonical.extend(walk.short(item, object, *expand)),
                _ => canonical.push(walk.value(item, inner)),
            });
        }
        Node {
            value: Value::Sequence(canonical),
            ..node
        }
    }

    fn one_or_list(&mut self, node: Node, inner: &Shape) -> Node {
        match node.value {
            Value::Sequence(_) => self.list(node, inner),
            Value::Scalar(_) => {
                let span = node.span;
                self.list(Node::new(Value::Sequence(vec![node]), span), inner)
            }
            _ => self.wrong(node, "text or a list"),
        }
    }

    fn short(&mut self, node: Node, object: &'static Object, expand: Expand) -> Vec<Node> {
        match &node.value {
            Value::Scalar(scalar) if scalar.kind != Kind::Boolean => match expand(&node) {
                Ok(nodes) => nodes
                    .into_iter()
                    .map(|node| self.object(node, object))
                    .collect(),
                Err(reason) => vec![self.bad(node, &reason)],
            },
            Value::Mapping(_) => vec![self.object(node, object)],
            _ => vec![self.wrong(node, "text or a mapping")],
        }
    }

    fn key_values(&mut self, node: Node, bare: Bare) -> Node {
        let span = node.span;
        let pairs: Vec<(String, Span, Node)> = match node.value {
            Value::Mapping(mapping) => mapping
                .into_iter()
                .map(|(key, entry)| (key, entry.key, entry.value))
                .collect(),
            Value::Sequence(items) => items
                .into_iter()
                .filter_map(|item| self.key_value(item))
                .collect(),
            _ => return self.wrong(node, "a mapping or a list of KEY=value"),
        };
        let mut canonical = Mapping::new();
        for (key, place, value) in pairs {
            let value = match value.value {
                Value::Null if bare == Bare::Unset => value,
                Value::Null => Node::text("", value.span),
                _ => self.at(key.as_str(), |walk| walk.scalar(value, &Shape::Scalar)),
            };
            canonical.insert(key, Entry { key: place, value });
        }
        Node::new(Value::Mapping(canonical), span)
    }

    /// `KEY=value` of a list; the value begins after the equals sign.
    fn key_value(&mut self, item: Node) -> Option<(String, Span, Node)> {
        let span = item.span;
        let Some(text) = item.as_text().filter(|_| is_text(&item)).map(str::to_owned) else {
            self.wrong(item, "text of the form KEY=value");
            return None;
        };
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Node::text(value, span)),
            None => (text.as_str(), Node::new(Value::Null, span)),
        };
        if key.ends_with(char::is_whitespace) {
            self.bad(
                item,
                &format!(
                    "the name {key:?} ends in a space; write {}=",
                    key.trim_end()
                ),
            );
        }
        Some((key.to_owned(), span, value))
    }

    fn names_or(&mut self, node: Node, inner: &Shape, bare: fn(&Node) -> Node) -> Node {
        let Value::Sequence(items) = node.value else {
            return self.named(node, inner, true);
        };
        let mut mapping = Mapping::new();
        for item in items {
            match item.as_text() {
                Some(name) if is_text(&item) => {
                    mapping.insert(
                        name.to_owned(),
                        Entry {
                            key: item.span,
                            value: bare(&item),
                        },
                    );
                }
                _ => drop(self.wrong(item, "a name")),
            }
        }
        self.named(Node::new(Value::Mapping(mapping), node.span), inner, true)
    }

    fn command(&mut self, node: Node) -> Node {
        match &node.value {
            Value::Null => node,
            Value::Scalar(scalar) if scalar.kind == Kind::Text => {
                match quantity::words(&scalar.text) {
                    Ok(words) => {
                        let items = words
                            .into_iter()
                            .map(|word| Node::text(word, node.span))
                            .collect();
                        Node::new(Value::Sequence(items), node.span)
                    }
                    Err(reason) => self.bad(node, &reason),
                }
            }
            Value::Sequence(_) => self.list(node, &Shape::Text),
            _ => self.wrong(node, "text or a list"),
        }
    }

    fn test(&mut self, node: Node) -> Node {
        if !is_text(&node) {
            return self.list(node, &Shape::Text);
        }
        let span = node.span;
        Node::new(
            Value::Sequence(vec![Node::text("CMD-SHELL", span), node]),
            span,
        )
    }

    fn hosts(&mut self, node: Node) -> Node {
        let span = node.span;
        let mut lines: Vec<Node> = Vec::new();
        match node.value {
            Value::Mapping(mapping) => {
                for (host, entry) in mapping {
                    let value = self.at(host.as_str(), |walk| {
                        walk.one_or_list(entry.value, &Shape::Text)
                    });
                    lines.extend(
                        value
                            .items()
                            .iter()
                            .filter_map(|ip| Some(host_line(&host, ip.as_text()?, ip.span))),
                    );
                }
            }
            Value::Sequence(items) => {
                for item in items {
                    self.host_lines(item, &mut lines);
                }
            }
            _ => return self.wrong(node, "a mapping or a list of host=address"),
        }
        lines.sort_by(|a, b| a.as_text().cmp(&b.as_text()));
        Node::new(Value::Sequence(lines), span)
    }

    fn host_lines(&mut self, item: Node, lines: &mut Vec<Node>) {
        let Some(text) = item.as_text().filter(|_| is_text(&item)) else {
            return drop(self.wrong(item, "text of the form host=address"));
        };
        let Some((host, addresses)) = text.split_once('=').or_else(|| text.split_once(':')) else {
            let reason = format!("{text:?} has no address; write host=address");
            return drop(self.bad(item, &reason));
        };
        lines.extend(
            addresses
                .split(',')
                .map(|address| host_line(host, address, item.span)),
        );
    }

    fn external(&mut self, node: Node) -> Node {
        match &node.value {
            Value::Mapping(mapping) => {
                if let Some((key, entry)) = mapping
                    .iter()
                    .find(|(key, _)| *key != "name" && !key.starts_with("x-"))
                {
                    let finding =
                        self.error(format!("{} has no key {key:?}", self.here()), entry.key);
                    self.diagnostics.push(finding.label("unknown key"));
                }
                node
            }
            _ => self.scalar(node, &Shape::Flag),
        }
    }

    fn options(&mut self, node: Node) -> Node {
        self.named(node, &Shape::OneOrList(&Shape::Scalar), false)
    }
}

fn host_line(host: &str, address: &str, span: Span) -> Node {
    let bare = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(address);
    Node::text(format!("{host}={bare}"), span)
}

fn is_text(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.kind == Kind::Text)
}

fn is_name(key: &str) -> bool {
    !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

fn scalar_name(shape: &Shape) -> &'static str {
    match shape {
        Shape::Flag => "true or false",
        Shape::Integer(..) | Shape::DeviceCount => "a whole number",
        Shape::Number => "a number",
        Shape::Bytes => "a size",
        Shape::Duration => "a duration such as 10s",
        Shape::Mode => "a file mode such as 0440",
        _ => "a single value",
    }
}

/// The canonical text and kind of a single value; `Err(None)` when it is of the wrong kind altogether.
fn convert(text: &str, kind: Kind, shape: &Shape) -> Result<(String, Kind), Option<String>> {
    match shape {
        Shape::Scalar => Ok((text.to_owned(), Kind::Text)),
        Shape::Flag => match quantity::boolean(text) {
            Some(flag) if matches!(kind, Kind::Boolean | Kind::Text) => {
                Ok((flag.to_string(), Kind::Boolean))
            }
            _ if kind == Kind::Text => Err(Some(format!("{text:?} is neither true nor false"))),
            _ => Err(None),
        },
        Shape::Integer(least, most) => {
            let value = yaml::integer(text)
                .filter(|_| kind != Kind::Boolean)
                .ok_or_else(|| {
                    (kind == Kind::Text).then(|| format!("{text:?} is not a whole number"))
                })?;
            if (*least..=*most).contains(&value) {
                return Ok((value.to_string(), Kind::Integer));
            }
            Err(Some(if *most == i64::MAX {
                format!("{value} is below {least}")
            } else {
                format!("{value} is not within {least} to {most}")
            }))
        }
        Shape::Number => match yaml::number(text).or_else(|| yaml::integer(text).map(|n| n as f64))
        {
            Some(value) if value.is_finite() && kind != Kind::Boolean => {
                Ok((value.to_string(), Kind::Number))
            }
            _ => Err((kind == Kind::Text).then(|| format!("{text:?} is not a number"))),
        },
        Shape::Bytes => match kind {
            Kind::Boolean => Err(None),
            Kind::Integer => Ok((
                yaml::integer(text).unwrap_or_default().to_string(),
                Kind::Text,
            )),
            Kind::Number => match yaml::number(text) {
                Some(value) if value.fract() == 0.0 && value.abs() < 9e18 => {
                    Ok(((value as i64).to_string(), Kind::Text))
                }
                _ => Err(Some(format!(
                    "{text} is not a whole number of bytes; write a unit, such as {text}m"
                ))),
            },
            Kind::Text => quantity::bytes(text)
                .map(|bytes| (bytes.to_string(), Kind::Text))
                .map_err(Some),
        },
        Shape::Duration => match kind {
            Kind::Text | Kind::Integer => quantity::duration(text)
                .map(|duration| (quantity::duration_text(duration), Kind::Text))
                .map_err(Some),
            _ => Err(None),
        },
        Shape::Mode => mode(text, kind)
            .map(|mode| (format!("0{mode:o}"), Kind::Text))
            .ok_or(None),
        Shape::DeviceCount => match text {
            "all" => Ok(("-1".into(), Kind::Integer)),
            _ => match yaml::integer(text) {
                Some(count) => Ok((count.to_string(), Kind::Integer)),
                None => Err(Some(format!("{text:?} is neither a number nor all"))),
            },
        },
        _ => Err(None),
    }
}

/// `0440`, `0o440`, `288` and `"0440"` are the same mode; quoted text is octal by itself.
fn mode(text: &str, kind: Kind) -> Option<i64> {
    let value = match kind {
        Kind::Integer => yaml::integer(text),
        Kind::Text => i64::from_str_radix(text.strip_prefix("0o").unwrap_or(text), 8).ok(),
        _ => None,
    };
    value.filter(|mode| (0..=0o7777).contains(mode))
}

/// Whether the value says nothing that its absence would not say.
fn is_zero(node: &Node, field: &Field) -> bool {
    match &node.value {
        Value::Null => true,
        Value::Sequence(items) => items.is_empty(),
        Value::Mapping(mapping) => {
            mapping.is_empty() && !matches!(field.shape, Shape::Named(_) | Shape::NamesOr(..))
        }
        Value::Scalar(scalar) => match field.shape {
            Shape::Flag | Shape::External => scalar.text == "false",
            Shape::Integer(..) | Shape::Number | Shape::Bytes | Shape::DeviceCount => {
                scalar.text == "0"
            }
            Shape::Duration => scalar.text == "0s",
            _ => scalar.text.is_empty(),
        },
    }
}
