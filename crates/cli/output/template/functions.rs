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

/// Why a call gave no value.
#[derive(Debug)]
pub enum Fault {
    /// Too few or too many arguments.
    Count {
        /// How many there must be.
        want: &'static str,
        /// How many there are.
        got: usize,
    },
    /// The function did not like an argument.
    Argument(String),
}

impl<T: Into<String>> From<T> for Fault {
    fn from(what: T) -> Self {
        Self::Argument(what.into())
    }
}

fn fault<T>(what: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Argument(what.into()))
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
pub fn call(name: &str, arguments: &[Value], set: Set) -> Result<Value, Fault> {
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

fn unary(name: &str, argument: &Value) -> Result<Value, Fault> {
    match name {
        "not" => Ok((!is_true(argument)).into()),
        "len" => length(argument).map(Value::from),
        "json" => Ok(serde_json::to_string(argument)
            .map_err(|error| error.to_string())?
            .into()),
        "lower" => Ok(text(argument)?.to_lowercase().into()),
        "upper" => Ok(text(argument)?.to_uppercase().into()),
        "title" => Ok(title(text(argument)?).into()),
        _ => fault(format!("{name} is not a function")),
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

fn one(arguments: &[Value]) -> Result<&Value, Fault> {
    match arguments {
        [argument] => Ok(argument),
        _ => Err(Fault::Count {
            want: "1",
            got: arguments.len(),
        }),
    }
}

fn two(arguments: &[Value]) -> Result<(&Value, &Value), Fault> {
    match arguments {
        [first, second] => Ok((first, second)),
        _ => Err(Fault::Count {
            want: "2",
            got: arguments.len(),
        }),
    }
}

fn text(value: &Value) -> Result<&str, Fault> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null => Ok(""),
        other => fault(format!(
            "wrong type for value; expected string; got {}",
            print::type_of(other)
        )),
    }
}

fn whole(value: &Value) -> Result<usize, Fault> {
    value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| Fault::from(format!("expected a number, got {}", print::shown(value))))
}

/// True if the first equals any of the others.
fn equal(arguments: &[Value]) -> Result<bool, Fault> {
    let Some((first, others)) = arguments
        .split_first()
        .filter(|(_, others)| !others.is_empty())
    else {
        return fault("missing argument for comparison");
    };
    for other in others {
        if same(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn same(left: &Value, right: &Value) -> Result<bool, Fault> {
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => Ok(left == right),
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => {
            fault("non-comparable type for comparison")
        }
        _ => order(left, right).map(|order| order == Ordering::Equal),
    }
}

fn order(left: &Value, right: &Value) -> Result<Ordering, Fault> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Ok(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Ok(left.cmp(&right)),
            _ => left
                .as_f64()
                .partial_cmp(&right.as_f64())
                .ok_or_else(|| Fault::from("incompatible types for comparison")),
        },
        _ => fault("incompatible types for comparison"),
    }
}

fn compare(name: &str, arguments: &[Value]) -> Result<bool, Fault> {
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

fn length(value: &Value) -> Result<usize, Fault> {
    match value {
        Value::String(text) => Ok(text.len()),
        Value::Array(items) => Ok(items.len()),
        Value::Object(map) => Ok(map.len()),
        Value::Null => Ok(0),
        other => fault(format!("len of type {}", print::type_of(other))),
    }
}

/// `index x 1 "a"` is `x[1]["a"]`. A key that a map lacks is an empty string, as in
/// docker's maps of labels.
fn index(arguments: &[Value]) -> Result<Value, Fault> {
    let Some((item, keys)) = arguments.split_first() else {
        return Err(Fault::Count {
            want: "at least 1",
            got: 0,
        });
    };
    keys.iter()
        .try_fold(item.clone(), |item, key| match (&item, key) {
            (Value::Object(map), Value::String(key)) => {
                Ok(map.get(key).cloned().unwrap_or_else(|| "".into()))
            }
            (Value::Array(items), Value::Number(_)) => items
                .get(whole(key)?)
                .cloned()
                .ok_or_else(|| Fault::from(format!("index out of range: {}", print::shown(key)))),
            (Value::String(text), Value::Number(_)) => text
                .as_bytes()
                .get(whole(key)?)
                .map(|byte| Value::from(*byte))
                .ok_or_else(|| Fault::from(format!("index out of range: {}", print::shown(key)))),
            (Value::Null, _) => Ok("".into()),
            _ => fault(format!(
                "can't index item of type {}",
                print::type_of(&item)
            )),
        })
}

fn slice(arguments: &[Value]) -> Result<Value, Fault> {
    let (item, bounds) = arguments.split_first().ok_or(Fault::Count {
        want: "at least 1",
        got: 0,
    })?;
    let size = length(item)?;
    let start = bounds.first().map_or(Ok(0), whole)?;
    let end = bounds.get(1).map_or(Ok(size), whole)?;
    if start > end || end > size {
        return fault(format!("index out of range: {start}:{end}"));
    }
    match item {
        Value::String(text) => text
            .get(start..end)
            .map(Value::from)
            .ok_or_else(|| Fault::from("slice cuts a character")),
        Value::Array(items) => Ok(items[start..end].to_vec().into()),
        other => fault(format!(
            "can't slice item of type {}",
            print::type_of(other)
        )),
    }
}

fn printf(arguments: &[Value]) -> Result<Value, Fault> {
    let (format, values) = arguments.split_first().ok_or(Fault::Count {
        want: "at least 1",
        got: 0,
    })?;
    Ok(print::printf(text(format)?, values).into())
}

fn join(list: &Value, separator: &str) -> Result<Value, Fault> {
    match list {
        Value::Array(items) => Ok(items
            .iter()
            .map(print::shown)
            .collect::<Vec<_>>()
            .join(separator)
            .into()),
        Value::Null => Ok("".into()),
        other => fault(format!(
            "wrong type for value; expected []string; got {}",
            print::type_of(other)
        )),
    }
}

fn split(source: &str, separator: &str) -> Result<Value, Fault> {
    let parts: Vec<Value> = match separator {
        "" => source.chars().map(|c| c.to_string().into()).collect(),
        _ => source.split(separator).map(Value::from).collect(),
    };
    Ok(parts.into())
}

fn truncate(source: &str, length: usize) -> Result<Value, Fault> {
    Ok(source.chars().take(length).collect::<String>().into())
}

fn pad(arguments: &[Value]) -> Result<Value, Fault> {
    let [source, before, after] = arguments else {
        return Err(Fault::Count {
            want: "3",
            got: arguments.len(),
        });
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
