//! YAML text to [`Node`]s that know where they were written.
//!
//! Comes in: the text of one Compose file, entered into [`Sources`].
//! Goes out: one [`Node`] per YAML document; scalars keep the text the user wrote (`0444`, `3.10`, `22:22`) beside the
//! kind a YAML 1.2 reader would give them; `!reset` and `!override` stay on the node as [`Tag`]s; aliases and merge keys
//! (`<<`) are expanded, within [`MAX_NODES`], [`MAX_DEPTH`] and [`MAX_BYTES`].
//!
//! Read next: `diagnostic.rs` (how a span becomes an error a person can use), `load.rs` (the phases).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError};

use crate::diagnostic::Diagnostic;

/// Largest file that is read, in bytes.
pub const MAX_BYTES: u64 = 4 << 20;
/// Deepest nesting, after aliases are expanded.
pub const MAX_DEPTH: usize = 64;
/// Most nodes in one file, after aliases are expanded: what a "billion laughs" file runs into.
pub const MAX_NODES: usize = 100_000;

/// Number of a file in [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// One file as it was read, and the directory that relative paths in it start from.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it was read from, as the user named it; for messages.
    pub path: PathBuf,
    /// Relative paths written in this file start here.
    pub directory: PathBuf,
    /// Its text.
    pub text: Arc<str>,
}

/// Every file that took part in a load. A [`Span`] points into it.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<Source>,
    here: PathBuf,
}

impl Sources {
    /// No files yet; paths below `here` are shown relative to it.
    #[must_use]
    pub fn seen_from(here: &Path) -> Self {
        Self {
            files: Vec::new(),
            here: here.to_owned(),
        }
    }

    /// A path as people want to read it.
    #[must_use]
    pub fn shown(&self, path: &Path) -> String {
        let below = path
            .strip_prefix(&self.here)
            .ok()
            .filter(|_| self.here != Path::new(""));
        below.unwrap_or(path).display().to_string()
    }

    /// Enters a file; the same path may be entered twice with different directories.
    pub fn add(&mut self, path: &Path, directory: &Path, text: impl Into<Arc<str>>) -> FileId {
        self.files.push(Source {
            path: path.to_owned(),
            directory: directory.to_owned(),
            text: text.into(),
        });
        FileId(u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX))
    }

    /// The file behind an id that [`Sources::add`] gave.
    #[must_use]
    pub fn get(&self, file: FileId) -> Option<&Source> {
        self.files.get(file.0 as usize)
    }

    /// `path:line:column` of the start of `span`, as compilers write it.
    #[must_use]
    pub fn place(&self, span: Span) -> String {
        let path = self
            .get(span.file)
            .map_or_else(|| "?".into(), |source| self.shown(&source.path));
        format!("{path}:{}:{}", span.start.line, span.start.column)
    }
}

/// A position: line and column, both from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// A piece of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// Which file.
    pub file: FileId,
    /// First character.
    pub start: Position,
    /// One past the last character.
    pub end: Position,
}

impl Span {
    /// For nodes that were never written in a file.
    #[must_use]
    pub fn nowhere() -> Self {
        let start = Position { line: 1, column: 1 };
        Self {
            file: FileId(u32::MAX),
            start,
            end: start,
        }
    }
}

/// What Compose adds to YAML's tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// `!reset`: remove this key from what is merged under it, and from here.
    Reset,
    /// `!override`: replace what is merged under it instead of merging.
    Override,
}

/// The kind a plain scalar has under the YAML 1.2 core schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anything quoted, and plain text that is nothing else.
    Text,
    /// `true`, `false` and their capitals.
    Boolean,
    /// `42`, `0x2a`, `0o52`, `052`, `0b101010`.
    Integer,
    /// `1.5`, `1e3`, `.inf`, `.nan`.
    Number,
}

/// A scalar: what was written, and how YAML reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar {
    /// The text after YAML's quoting and escapes, otherwise untouched.
    pub text: String,
    /// How a YAML 1.2 reader takes it.
    pub kind: Kind,
}

/// The value of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~`, or nothing.
    Null,
    /// A single value.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping with text keys, in the order written.
    Mapping(Mapping),
}

/// Key to entry, in the order written.
pub type Mapping = IndexMap<String, Entry>;

/// A value in a mapping, with the place of its key.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where the key stands.
    pub key: Span,
    /// Its value.
    pub value: Node,
}

/// A YAML node and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it holds.
    pub value: Value,
    /// Where it was written; for collections, where they begin.
    pub span: Span,
    /// `!reset` or `!override`.
    pub tag: Option<Tag>,
}

impl Node {
    /// A node of our own making (a default, an expanded short form), to be blamed on `span`.
    #[must_use]
    pub fn new(value: Value, span: Span) -> Self {
        Self {
            value,
            span,
            tag: None,
        }
    }

    /// Text of our own making.
    #[must_use]
    pub fn text(text: impl Into<String>, span: Span) -> Self {
        Self::scalar(text, Kind::Text, span)
    }

    /// A scalar of our own making.
    #[must_use]
    pub fn scalar(text: impl Into<String>, kind: Kind, span: Span) -> Self {
        Self::new(
            Value::Scalar(Scalar {
                text: text.into(),
                kind,
            }),
            span,
        )
    }

    /// `true` or `false` of our own making.
    #[must_use]
    pub fn flag(flag: bool, span: Span) -> Self {
        Self::scalar(if flag { "true" } else { "false" }, Kind::Boolean, span)
    }

    /// An empty mapping of our own making.
    #[must_use]
    pub fn mapping(span: Span) -> Self {
        Self::new(Value::Mapping(Mapping::new()), span)
    }

    /// The scalar's text, if it is a scalar.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// The mapping, if it is one.
    #[must_use]
    pub fn as_mapping(&self) -> Option<&Mapping> {
        match &self.value {
            Value::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// The mapping, if it is one, to change.
    pub fn as_mapping_mut(&mut self) -> Option<&mut Mapping> {
        match &mut self.value {
            Value::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// The list; empty if it is none.
    #[must_use]
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The value of `key`, if this is a mapping that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_mapping()?.get(key).map(|entry| &entry.value)
    }

    /// The value of `key`, to change.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.as_mapping_mut()?
            .get_mut(key)
            .map(|entry| &mut entry.value)
    }

    /// Text at `key`, if it is there and a scalar.
    #[must_use]
    pub fn text_at(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_text()
    }

    /// Sets `key`; a key of ours is blamed on the value's span.
    pub fn set(&mut self, key: &str, value: Node) {
        if let Value::Mapping(mapping) = &mut self.value {
            let span = value.span;
            match mapping.get_mut(key) {
                Some(entry) => entry.value = value,
                None => drop(mapping.insert(key.to_owned(), Entry { key: span, value })),
            }
        }
    }

    /// Removes `key`, keeping the order of the others.
    pub fn remove(&mut self, key: &str) -> Option<Node> {
        self.as_mapping_mut()?
            .shift_remove(key)
            .map(|entry| entry.value)
    }

    /// Whether it is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// What a person calls this kind of value.
    #[must_use]
    pub fn kind_name(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Scalar(Scalar {
                kind: Kind::Text, ..
            }) => "text",
            Value::Scalar(Scalar {
                kind: Kind::Boolean,
                ..
            }) => "a boolean",
            Value::Scalar(_) => "a number",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }
}

/// The kind of a plain scalar, by the YAML 1.2 core schema and the older forms that files in the wild rely on
/// (`0444` is octal, `1_000` has a separator).
#[must_use]
pub fn plain_kind(text: &str) -> Option<Kind> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return None,
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => return Some(Kind::Boolean),
        _ => {}
    }
    if integer(text).is_some() {
        return Some(Kind::Integer);
    }
    Some(if number(text).is_some() {
        Kind::Number
    } else {
        Kind::Text
    })
}

/// Reads an integer the way YAML writers in Go do: base by prefix, a leading zero means octal.
#[must_use]
pub fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        b'0'..=b'9' => (false, text),
        _ => return None,
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) || digits.ends_with('_') {
        return None;
    }
    let digits = digits.replace('_', "");
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    let value = i64::from_str_radix(digits, radix)
        .ok()
        .filter(|_| !digits.starts_with(['+', '-']))?;
    Some(if negative { -value } else { value })
}

/// Reads a decimal number with optional fraction and exponent, or `.inf` and `.nan`.
#[must_use]
pub fn number(text: &str) -> Option<f64> {
    match text {
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Some(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Some(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Some(f64::NAN),
        _ => {}
    }
    let plain = text.strip_prefix(['+', '-']).unwrap_or(text);
    let first_digit = plain.strip_prefix('.').unwrap_or(plain);
    if !first_digit.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    plain
        .chars()
        .all(|c| matches!(c, '0'..='9' | '.' | 'e' | 'E' | '+' | '-' | '_'))
        .then_some(())?;
    text.replace('_', "").parse().ok()
}

/// Parses every document of a file.
///
/// # Errors
/// The first thing that is not YAML, a duplicate or non-text key, an unknown tag, or a limit.
pub fn parse(sources: &Sources, file: FileId) -> Result<Vec<Node>, Box<Diagnostic>> {
    let Some(source) = sources.get(file) else {
        return Ok(Vec::new());
    };
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        text,
        file,
        anchors: HashMap::new(),
        nodes: 0,
    };
    let mut documents = Vec::new();
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(documents),
            (Event::DocumentStart(_), _) => {
                reader.anchors.clear();
                let (event, span) = reader.next()?;
                documents.push(reader.node(event, span, 0)?);
            }
            _ => {}
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    text: &'a str,
    file: FileId,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

type Read<T> = Result<T, Box<Diagnostic>>;

impl<'a> Reader<'a> {
    fn next(&mut self) -> Read<(Event<'a>, Span)> {
        match self.parser.next_event() {
            None => Ok((Event::StreamEnd, self.point(Marker::new(0, 1, 0)))),
            Some(Ok((event, span))) => {
                let span = Span {
                    file: self.file,
                    start: position(span.start),
                    end: position(span.end),
                };
                Ok((event, span))
            }
            Some(Err(error)) => Err(self.not_yaml(&error).boxed()),
        }
    }

    /// The parser stops where the line before a tab ends; people look for the tab.
    fn not_yaml(&self, error: &ScanError) -> Diagnostic {
        let marker = *error.marker();
        let lines = self.text.lines().enumerate();
        let near = lines.skip(marker.line().saturating_sub(1)).take(2);
        let tab = |(n, line): (usize, &str)| {
            let indent = line.len() - line.trim_start().len();
            let column = line[..indent].chars().position(|c| c == '\t')?;
            let position = Position {
                line: u32::try_from(n + 1).ok()?,
                column: u32::try_from(column + 1).ok()?,
            };
            Some(Span {
                file: self.file,
                start: position,
                end: position,
            })
        };
        match near.filter_map(tab).next() {
            Some(span) => {
                Diagnostic::error("this is not valid YAML: a tab in the indentation", span)
                    .help("indent with spaces")
            }
            None => Diagnostic::error(
                format!("this is not valid YAML: {}", error.info()),
                self.point(marker),
            ),
        }
    }

    fn point(&self, marker: Marker) -> Span {
        Span {
            file: self.file,
            start: position(marker),
            end: position(marker),
        }
    }

    fn count(&mut self, more: usize, depth: usize, span: Span) -> Read<()> {
        self.nodes += more;
        if self.nodes > MAX_NODES {
            let title =
                format!("this file has more than {MAX_NODES} values once its aliases are expanded");
            return Err(Diagnostic::error(title, span).boxed());
        }
        if depth > MAX_DEPTH {
            return Err(Diagnostic::error(
                format!("this file nests deeper than {MAX_DEPTH} levels"),
                span,
            )
            .boxed());
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Read<Node> {
        self.count(1, depth, span)?;
        match event {
            Event::Alias(anchor) => self.alias(anchor, span, depth),
            Event::Scalar(text, style, anchor, tag) => {
                let forced = tag
                    .as_deref()
                    .filter(|tag| tag.is_yaml_core_schema())
                    .map(|tag| tag.suffix.as_str());
                let value = match forced {
                    Some("str") => Value::Scalar(Scalar {
                        text: text.into_owned(),
                        kind: Kind::Text,
                    }),
                    Some("null") => Value::Null,
                    _ => scalar(text.into_owned(), style),
                };
                self.keep(
                    anchor,
                    Node {
                        value,
                        span,
                        tag: self.tag(tag.as_deref(), span)?,
                    },
                )
            }
            Event::SequenceStart(anchor, tag) => {
                let tag = self.tag(tag.as_deref(), span)?;
                let mut items = Vec::new();
                loop {
                    let (event, span) = self.next()?;
                    if event == Event::SequenceEnd {
                        break;
                    }
                    items.push(self.node(event, span, depth + 1)?);
                }
                self.keep(
                    anchor,
                    Node {
                        value: Value::Sequence(items),
                        span,
                        tag,
                    },
                )
            }
            Event::MappingStart(anchor, tag) => {
                let tag = self.tag(tag.as_deref(), span)?;
                let mapping = self.mapping(depth)?;
                self.keep(
                    anchor,
                    Node {
                        value: Value::Mapping(mapping),
                        span,
                        tag,
                    },
                )
            }
            _ => Ok(Node::new(Value::Null, span)),
        }
    }

    fn keep(&mut self, anchor: usize, node: Node) -> Read<Node> {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, span: Span, depth: usize) -> Read<Node> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            let title = "this alias stands inside the value that it names";
            return Err(Diagnostic::error(title, span)
                .label("it would contain itself")
                .boxed());
        };
        let (nodes, height) = measure(&node);
        self.count(nodes, depth + height, span)?;
        Ok(node)
    }

    fn tag(&self, tag: Option<&saphyr_parser::Tag>, span: Span) -> Read<Option<Tag>> {
        match tag.map(|tag| (tag.handle.as_str(), tag.suffix.as_str())) {
            None | Some(("tag:yaml.org,2002:" | "", _)) => Ok(None),
            Some(("!", "reset")) => Ok(Some(Tag::Reset)),
            Some(("!", "override")) => Ok(Some(Tag::Override)),
            Some((handle, suffix)) => {
                let title = format!("the tag {handle}{suffix} means nothing in a Compose file");
                Err(Diagnostic::error(title, span)
                    .help("known tags are !reset and !override")
                    .boxed())
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Read<Mapping> {
        let mut mapping = Mapping::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, _) if text == "<<");
            let key = self.key(event, span, depth)?;
            let (event, value_span) = self.next()?;
            let value = self.node(event, value_span, depth + 1)?;
            if merge {
                merged.push((span, value));
                continue;
            }
            if let Some(first) = mapping.get(&key) {
                return Err(
                    Diagnostic::error(format!("the key {key:?} is given twice"), span)
                        .label("given again here")
                        .also(first.key, "first given here")
                        .boxed(),
                );
            }
            mapping.insert(key, Entry { key: span, value });
        }
        merge_keys(mapping, merged)
    }

    fn key(&mut self, event: Event<'a>, span: Span, depth: usize) -> Read<String> {
        match self.node(event, span, depth + 1)?.value {
            Value::Scalar(Scalar {
                text,
                kind: Kind::Text,
            }) => Ok(text),
            Value::Scalar(Scalar { text, .. }) => Err(Diagnostic::error(
                format!("the key {text} is not text"),
                span,
            )
            .help(format!(
                "keys are text in a Compose file; write \"{text}\" in quotes"
            ))
            .boxed()),
            Value::Null => Err(Diagnostic::error("this key is empty or null", span).boxed()),
            _ => Err(Diagnostic::error("a list or mapping cannot be a key", span).boxed()),
        }
    }
}

/// `<<`: keys written here win over merged ones; of several merged mappings the earlier wins (YAML merge key type).
fn merge_keys(mut mapping: Mapping, merged: Vec<(Span, Node)>) -> Read<Mapping> {
    for (span, node) in merged {
        let parts = match node.value {
            Value::Sequence(items) => items,
            Value::Null => continue,
            _ => vec![node],
        };
        for part in parts {
            let Value::Mapping(part) = part.value else {
                let title = "the merge key << takes a mapping or a list of mappings";
                return Err(Diagnostic::error(title, span)
                    .label("merges something else")
                    .boxed());
            };
            for (key, entry) in part {
                mapping.entry(key).or_insert(entry);
            }
        }
    }
    Ok(mapping)
}

fn scalar(text: String, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::Scalar(Scalar {
            text,
            kind: Kind::Text,
        });
    }
    match plain_kind(&text) {
        None => Value::Null,
        Some(kind) => Value::Scalar(Scalar { text, kind }),
    }
}

fn position(marker: Marker) -> Position {
    let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position {
        line: narrow(marker.line().max(1)),
        column: narrow(marker.col() + 1),
    }
}

/// Number of nodes in a tree, and its height.
fn measure(node: &Node) -> (usize, usize) {
    let children = |nodes: &mut dyn Iterator<Item = &Node>| {
        nodes.map(measure).fold((1, 1), |(count, height), (n, h)| {
            (count + n, height.max(h + 1))
        })
    };
    match &node.value {
        Value::Sequence(items) => children(&mut items.iter()),
        Value::Mapping(mapping) => children(&mut mapping.values().map(|entry| &entry.value)),
        _ => (1, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Result<Vec<Node>, Box<Diagnostic>> {
        let mut sources = Sources::default();
        let file = sources.add(Path::new("compose.yaml"), Path::new("/"), text);
        parse(&sources, file)
    }

    fn parse_one(text: &str) -> Node {
        parse_text(text).unwrap().remove(0)
    }

    #[test]
    fn scalars_keep_what_was_written() {
        let node = parse_one("mode: 0444\nversion: 3.10\nports: 22:22\nquoted: \"80\"\nnone:\n");
        let kinds: Vec<_> = node
            .as_mapping()
            .unwrap()
            .values()
            .map(|entry| match &entry.value.value {
                Value::Scalar(scalar) => Some((scalar.text.as_str(), scalar.kind)),
                _ => None,
            })
            .collect();
        assert_eq!(
            kinds,
            [
                Some(("0444", Kind::Integer)),
                Some(("3.10", Kind::Number)),
                Some(("22:22", Kind::Text)),
                Some(("80", Kind::Text)),
                None
            ]
        );
    }

    #[test]
    fn positions_count_from_one() {
        let node = parse_one("services:\n  web:\n    image: x\n");
        let web = node
            .get("services")
            .unwrap()
            .as_mapping()
            .unwrap()
            .get("web")
            .unwrap();
        assert_eq!((web.key.start.line, web.key.start.column), (2, 3));
        let image = web.value.get("image").unwrap();
        assert_eq!(
            (
                image.span.start.line,
                image.span.start.column,
                image.span.end.column
            ),
            (3, 12, 13)
        );
    }

    #[test]
    fn merge_keys_yield_to_what_is_written() {
        let node = parse_one("a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 3}\n");
        let c = node.get("c").unwrap();
        assert_eq!(
            [c.text_at("x"), c.text_at("y"), c.text_at("z")],
            [Some("3"), Some("1"), Some("2")]
        );
    }

    #[test]
    fn duplicate_and_non_text_keys_are_refused() {
        assert!(
            parse_text("a: 1\nb: 2\na: 3\n")
                .unwrap_err()
                .title
                .contains("given twice")
        );
        assert!(
            parse_text("services:\n  123: {}\n")
                .unwrap_err()
                .title
                .contains("not text")
        );
    }

    #[test]
    fn a_billion_laughs_end_early() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..12 {
            let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
            text += &format!("a{n}: &a{n} [{aliases}]\n");
        }
        assert!(parse_text(&text).unwrap_err().title.contains("aliases"));
        assert!(parse_text(&"[".repeat(5000)).is_err());
        assert!(parse_text("a: &a [*a]\n").is_err());
    }
}
