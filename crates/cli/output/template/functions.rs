//! The functions of templates: Go's own, and those docker adds.

use std::cmp::Ordering;

use serde_json::Value;

use super::print;

/// What the functions are applied to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Set {
    /// Real values.
    Values,
    /// Column headings, which docker's functions leave as they are.
    Headings,
}

const GO: &[&str] = &[
    "and", "or", "not", "len", "index", "slice", "print", "printf", "println", "html", "js",
    "urlquery", "eq", "ne", "lt", "le", "gt", "ge",
];
const DOCKER: &[&str] = &[
    "json", "split", "join", "title", "lower", "upper", "pad", "truncate",
];

/// Whether a template may call this.
pub fn is_known(name: &str) -> bool {
    GO.contains(&name) || DOCKER.contains(&name)
}

/// Calls a function; `and` and `or` never come here, since they do not evaluate all arguments.
pub fn call(name: &str, arguments: &[Value], set: Set) -> Result<Value, String> {
    if set == Set::Headings && DOCKER.contains(&name) {
        return Ok(arguments
            .iter()
            .rfind(|a| a.is_string())
            .or(arguments.first())
            .cloned()
            .unwrap_or_default());
    }
    match name {
        "eq" => equal(arguments).map(Value::Bool),
        "ne" | "lt" | "le" | "gt" | "ge" => compare(name, arguments).map(Value::Bool),
        "index" => index(arguments),
        "slice" => slice(arguments),
        "print" => Ok(print::print(arguments).into()),
        "println" => Ok(print::println(arguments).into()),
        "printf" => printf(arguments),
        "html" => Ok(html(&print::print(arguments)).into()),
        "js" => Ok(javascript(&print::print(arguments)).into()),
        "urlquery" => Ok(url_query(&print::print(arguments)).into()),
        "join" => two(arguments).and_then(|(list, separator)| join(list, text(separator)?)),
        "split" => {
            two(arguments).and_then(|(source, separator)| split(text(source)?, text(separator)?))
        }
        "truncate" => {
            two(arguments).and_then(|(source, length)| truncate(text(source)?, whole(length)?))
        }
        "pad" => pad(arguments),
        _ => one(arguments).and_then(|argument| unary(name, argument)),
    }
}

fn unary(name: &str, argument: &Value) -> Result<Value, String> {
    match name {
        "not" => Ok((!is_true(argument)).into()),
        "len" => length(argument).map(Value::from),
        "json" => Ok(serde_json::to_string(argument)
            .map_err(|error| error.to_string())?
            .into()),
        "lower" => Ok(text(argument)?.to_lowercase().into()),
        "upper" => Ok(text(argument)?.to_uppercase().into()),
        "title" => Ok(title(text(argument)?).into()),
        _ => Err(format!("{name} is not a function")),
    }
}

/// Go's truth: not zero, not empty.
pub fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

fn one(arguments: &[Value]) -> Result<&Value, String> {
    match arguments {
        [argument] => Ok(argument),
        _ => Err(format!(
            "wrong number of args: want 1 got {}",
            arguments.len()
        )),
    }
}

fn two(arguments: &[Value]) -> Result<(&Value, &Value), String> {
    match arguments {
        [first, second] => Ok((first, second)),
        _ => Err(format!(
            "wrong number of args: want 2 got {}",
            arguments.len()
        )),
    }
}

fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null => Ok(""),
        other => Err(format!(
            "wrong type for value; expected string; got {}",
            print::type_of(other)
        )),
    }
}

fn whole(value: &Value) -> Result<usize, String> {
    value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| format!("expected a number, got {}", print::shown(value)))
}

/// True if the first equals any of the others.
fn equal(arguments: &[Value]) -> Result<bool, String> {
    let Some((first, others)) = arguments
        .split_first()
        .filter(|(_, others)| !others.is_empty())
    else {
        return Err("missing argument for comparison".into());
    };
    for other in others {
        if same(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn same(left: &Value, right: &Value) -> Result<bool, String> {
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => Ok(left == right),
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => {
            Err("non-comparable type for comparison".into())
        }
        _ => order(left, right).map(|order| order == Ordering::Equal),
    }
}

fn order(left: &Value, right: &Value) -> Result<Ordering, String> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Ok(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Ok(left.cmp(&right)),
            _ => left
                .as_f64()
                .partial_cmp(&right.as_f64())
                .ok_or_else(|| "incompatible types for comparison".into()),
        },
        _ => Err("incompatible types for comparison".into()),
    }
}

fn compare(name: &str, arguments: &[Value]) -> Result<bool, String> {
    let (left, right) = two(arguments)?;
    if name == "ne" {
        return same(left, right).map(|same| !same);
    }
    let order = order(left, right)?;
    Ok(match name {
        "lt" => order.is_lt(),
        "le" => order.is_le(),
        "gt" => order.is_gt(),
        _ => order.is_ge(),
    })
}

fn length(value: &Value) -> Result<usize, String> {
    match value {
        Value::String(text) => Ok(text.len()),
        Value::Array(items) => Ok(items.len()),
        Value::Object(map) => Ok(map.len()),
        Value::Null => Ok(0),
        other => Err(format!("len of type {}", print::type_of(other))),
    }
}

/// `index x 1 "a"` is `x[1]["a"]`. A key that a map lacks is an empty string, as in
/// docker's maps of labels.
fn index(arguments: &[Value]) -> Result<Value, String> {
    let Some((item, keys)) = arguments.split_first() else {
        return Err("wrong number of args: want at least 1 got 0".into());
    };
    keys.iter()
        .try_fold(item.clone(), |item, key| match (&item, key) {
            (Value::Object(map), Value::String(key)) => {
                Ok(map.get(key).cloned().unwrap_or_else(|| "".into()))
            }
            (Value::Array(items), Value::Number(_)) => items
                .get(whole(key)?)
                .cloned()
                .ok_or_else(|| format!("index out of range: {}", print::shown(key))),
            (Value::String(text), Value::Number(_)) => text
                .as_bytes()
                .get(whole(key)?)
                .map(|byte| Value::from(*byte))
                .ok_or_else(|| format!("index out of range: {}", print::shown(key))),
            (Value::Null, _) => Ok("".into()),
            _ => Err(format!(
                "can't index item of type {}",
                print::type_of(&item)
            )),
        })
}

fn slice(arguments: &[Value]) -> Result<Value, String> {
    let (item, bounds) = arguments
        .split_first()
        .ok_or("wrong number of args: want at least 1 got 0")?;
    let size = length(item)?;
    let start = bounds.first().map_or(Ok(0), whole)?;
    let end = bounds.get(1).map_or(Ok(size), whole)?;
    if start > end || end > size {
        return Err(format!("index out of range: {start}:{end}"));
    }
    match item {
        Value::String(text) => text
            .get(start..end)
            .map(Value::from)
            .ok_or_else(|| "slice cuts a character".to_owned()),
        Value::Array(items) => Ok(items[start..end].to_vec().into()),
        other => Err(format!(
            "can't slice item of type {}",
            print::type_of(other)
        )),
    }
}

fn printf(arguments: &[Value]) -> Result<Value, String> {
    let (format, values) = arguments
        .split_first()
        .ok_or("wrong number of args: want at least 1 got 0")?;
    Ok(print::printf(text(format)?, values).into())
}

fn join(list: &Value, separator: &str) -> Result<Value, String> {
    match list {
        Value::Array(items) => Ok(items
            .iter()
            .map(print::shown)
            .collect::<Vec<_>>()
            .join(separator)
            .into()),
        Value::Null => Ok("".into()),
        other => Err(format!(
            "wrong type for value; expected []string; got {}",
            print::type_of(other)
        )),
    }
}

fn split(source: &str, separator: &str) -> Result<Value, String> {
    let parts: Vec<Value> = match separator {
        "" => source.chars().map(|c| c.to_string().into()).collect(),
        _ => source.split(separator).map(Value::from).collect(),
    };
    Ok(parts.into())
}

fn truncate(source: &str, length: usize) -> Result<Value, String> {
    Ok(source.chars().take(length).collect::<String>().into())
}

fn pad(arguments: &[Value]) -> Result<Value, String> {
    let [source, before, after] = arguments else {
        return Err(format!(
            "wrong number of args: want 3 got {}",
            arguments.len()
        ));
    };
    let (source, before, after) = (
        text(source)?,
        whole(before)?.min(4096),
        whole(after)?.min(4096),
    );
    if source.is_empty() {
        return Ok("".into());
    }
    Ok(format!("{:before$}{source}{:after$}", "", "").into())
}

fn title(text: &str) -> String {
    let mut start = true;
    text.chars()
        .map(|c| {
            let upper = if start {
                c.to_uppercase().next().unwrap_or(c)
            } else {
                c
            };
            start = !(c.is_alphanumeric() || c == '_' || c == '\'');
            upper
        })
        .collect()
}

fn html(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '<' => "&lt;".into(),
            '>' => "&gt;".into(),
            '&' => "&amp;".into(),
            '"' => "&#34;".into(),
            '\'' => "&#39;".into(),
            c => c.to_string(),
        })
        .collect()
}

fn javascript(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\\' => r"\\".into(),
            '\'' => r"\'".into(),
            '"' => "\\\"".into(),
            '<' => r"\u003C".into(),
            '>' => r"\u003E".into(),
            '&' => r"\u0026".into(),
            '=' => r"\u003D".into(),
            c if c < ' ' => format!("\\u{:04X}", u32::from(c)),
            c => c.to_string(),
        })
        .collect()
}

fn url_query(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            b' ' => "+".into(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
