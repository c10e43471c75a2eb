//! A canonical tree as JSON or YAML, for `config` and for comparing what runs with what is wanted.

use serde_json::{Map, Number, Value as Json};

use crate::yaml::{self, Kind, Node, Scalar, Value};

/// The tree as JSON, in the order of the tree.
#[must_use]
pub fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Scalar(scalar) => json_scalar(scalar),
        Value::Sequence(items) => Json::Array(items.iter().map(json).collect()),
        Value::Mapping(mapping) => Json::Object(
            mapping
                .iter()
                .map(|(key, entry)| (key.clone(), json(&entry.value)))
                .collect::<Map<_, _>>(),
        ),
    }
}

fn json_scalar(scalar: &Scalar) -> Json {
    let number = match scalar.kind {
        Kind::Text => None,
        Kind::Boolean => return Json::Bool(scalar.text.eq_ignore_ascii_case("true")),
        Kind::Integer => yaml::integer(&scalar.text).map(Number::from),
        Kind::Number => yaml::number(&scalar.text).and_then(float),
    };
    number.map_or_else(|| Json::String(scalar.text.clone()), Json::Number)
}

/// A whole number without a fraction, as Go writes it.
fn float(value: f64) -> Option<Number> {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        Some(Number::from(value as i64))
    } else {
        Number::from_f64(value)
    }
}

/// JSON as block YAML that any reader takes back to the same JSON.
#[must_use]
pub fn yaml(value: &Json) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

fn block(value: &Json, indent: usize, text: &mut String) {
    match value {
        Json::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                *text += &" ".repeat(indent);
                *text += &scalar(key);
                text.push(':');
                nested(value, indent + 2, text);
            }
        }
        Json::Array(items) if !items.is_empty() => {
            for item in items {
                *text += &" ".repeat(indent);
                text.push('-');
                item_of_list(item, indent + 2, text);
            }
        }
        _ => {
            *text += &" ".repeat(indent);
            *text += &inline(value);
            text.push('\n');
        }
    }
}

fn nested(value: &Json, indent: usize, text: &mut String) {
    if is_block(value) {
        text.push('\n');
        block(value, indent, text);
    } else {
        text.push(' ');
        *text += &inline(value);
        text.push('\n');
    }
}

/// `- key: value`: the first key stands on the line of the dash.
fn item_of_list(value: &Json, indent: usize, text: &mut String) {
    if !is_block(value) {
        return nested(value, indent, text);
    }
    let mut inner = String::new();
    block(value, indent, &mut inner);
    text.push(' ');
    *text += inner.trim_start_matches(' ');
}

fn is_block(value: &Json) -> bool {
    match value {
        Json::Object(map) => !map.is_empty(),
        Json::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn inline(value: &Json) -> String {
    match value {
        Json::String(text) => scalar(text),
        Json::Object(_) => "{}".into(),
        Json::Array(_) => "[]".into(),
        other => other.to_string(),
    }
}

/// Plain where no reader, old or new, could take it for something else; else double-quoted (JSON strings are YAML).
fn scalar(text: &str) -> String {
    let plain_chars = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@' | '+' | '=' | ':')
    };
    let safe = text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '_'))
        && text.chars().all(plain_chars)
        && !text.ends_with(':')
        && yaml::plain_kind(text) == Some(Kind::Text)
        && crate::quantity::boolean(text).is_none();
    if safe {
        text.to_owned()
    } else {
        Json::String(text.to_owned()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let value = json!({
            "a": {"b": [1, "1", "yes", "x: y", {"c": null, "d": []}, [[2], {}]], "e": "two\nlines", "": "é#"},
            "on": true, "n": -1.5, "t": "12:30", "s": " x ", "dash": "-", "null": "null"
        });
        let mut sources = crate::yaml::Sources::default();
        let file = sources.add(Path::new("x"), Path::new("/"), yaml(&value));
        let keys_are_text = crate::yaml::parse(&sources, file).unwrap().remove(0);
        assert_eq!(json(&keys_are_text), value);
    }
}
