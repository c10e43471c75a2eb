//! How Go prints values: `%v`, `print`, `println`, `printf`.

use serde_json::{Map, Value};

/// A value as an action prints it.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".into(),
        value => verb_v(value),
    }
}

/// A value as `%v` prints it.
fn verb_v(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::Bool(truth) => truth.to_string(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number
            .as_f64()
            .filter(|_| !number.is_i64() && !number.is_u64())
        {
            Some(float) => shortest(float),
            None => number.to_string(),
        },
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(verb_v).collect::<Vec<_>>().join(" ")
        ),
        Value::Object(map) => {
            let items = sorted(map)
                .into_iter()
                .map(|(key, item)| format!("{key}:{}", verb_v(item)));
            format!("map[{}]", items.collect::<Vec<_>>().join(" "))
        }
    }
}

/// Go's `%v` of a float: the fewest digits, with an exponent from 1e6 on and below 1e-4.
fn shortest(float: f64) -> String {
    let magnitude = float.abs();
    if magnitude != 0.0 && !(1e-4..1e6).contains(&magnitude) {
        let text = format!("{float:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let number: i32 = exponent.parse().unwrap_or_default();
        return format!(
            "{digits}e{}{:02}",
            if number < 0 { '-' } else { '+' },
            number.abs()
        );
    }
    float.to_string()
}

/// The entries of a map in the order of their keys, as Go prints maps.
pub fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    entries
}

/// The Go type that a value would have.
pub fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() || number.is_u64() => "int",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// `print`: a space only between operands of which neither is a string.
pub fn print(arguments: &[Value]) -> String {
    let mut out = String::new();
    for (i, argument) in arguments.iter().enumerate() {
        if i > 0 && !argument.is_string() && !arguments[i - 1].is_string() {
            out.push(' ');
        }
        out.push_str(&verb_v(argument));
    }
    out
}

/// `println`: always a space between, a newline at the end.
pub fn println(arguments: &[Value]) -> String {
    format!(
        "{}\n",
        arguments.iter().map(verb_v).collect::<Vec<_>>().join(" ")
    )
}

/// One `%` directive.
#[derive(Default)]
struct Directive {
    minus: bool,
    plus: bool,
    sharp: bool,
    zero: bool,
    space: bool,
    width: usize,
    precision: Option<usize>,
}

/// Go's `fmt.Sprintf` over JSON values.
pub fn printf(format: &str, values: &[Value]) -> String {
    let mut out = String::new();
    let mut values = values.iter();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (directive, after) = directive(rest, &mut values);
        let Some(verb) = after.chars().next() else {
            out.push_str("%!(NOVERB)");
            return out;
        };
        rest = &after[verb.len_utf8()..];
        match (verb, verb != '%') {
            (_, false) => out.push('%'),
            (verb, _) => match values.next() {
                Some(value) => out.push_str(&directive.apply(verb, value)),
                None => out.push_str(&format!("%!{verb}(MISSING)")),
            },
        }
    }
    out.push_str(rest);
    let extra: Vec<String> = values
        .map(|value| format!("{}={}", type_of(value), verb_v(value)))
        .collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

/// Reads flags, width and precision; what is left starts with the verb.
fn directive<'f>(format: &'f str, values: &mut std::slice::Iter<Value>) -> (Directive, &'f str) {
    let mut directive = Directive::default();
    let flags = format
        .find(|c| !"-+# 0".contains(c))
        .unwrap_or(format.len());
    for flag in format[..flags].chars() {
        match flag {
            '-' => directive.minus = true,
            '+' => directive.plus = true,
            '#' => directive.sharp = true,
            '0' => directive.zero = true,
            _ => directive.space = true,
        }
    }
    let (width, rest) = measure(&format[flags..], values);
    directive.width = width.unwrap_or(0);
    let Some(rest) = rest.strip_prefix('.') else {
        return (directive, rest);
    };
    let (precision, rest) = measure(rest, values);
    directive.precision = Some(precision.unwrap_or(0));
    (directive, rest)
}

/// A number, or `*` for one from the arguments. Bounded: nobody needs a page of spaces.
fn measure<'f>(format: &'f str, values: &mut std::slice::Iter<Value>) -> (Option<usize>, &'f str) {
    let number = |value: u64| usize::try_from(value.min(4096)).ok();
    if let Some(rest) = format.strip_prefix('*') {
        return (values.next().and_then(Value::as_u64).and_then(number), rest);
    }
    let digits = format
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(format.len());
    (
        format[..digits].parse().ok().and_then(number),
        &format[digits..],
    )
}

impl Directive {
    fn apply(&self, verb: char, value: &Value) -> String {
        let text = match (verb, value) {
            ('v', Value::String(text)) if self.sharp => format!("{text:?}"),
            ('v', value) => self.cut(verb_v(value)),
            ('T', value) => type_of(value).into(),
            ('t', Value::Bool(truth)) => truth.to_string(),
            ('s', Value::String(text)) => self.cut(text.clone()),
            ('s', Value::Array(_) | Value::Object(_)) => verb_v(value),
            ('q', Value::String(text)) => format!("{:?}", self.cut(text.clone())),
            ('x' | 'X', Value::String(text)) => {
                let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
                if verb == 'X' { hex.to_uppercase() } else { hex }
            }
            (verb, Value::Number(number)) => match self.number(verb, number) {
                Some(text) => text,
                None => return bad(verb, value),
            },
            _ => return bad(verb, value),
        };
        self.padded(text, value.is_number())
    }

    fn number(&self, verb: char, number: &serde_json::Number) -> Option<String> {
        let integer = number.as_i64();
        let magnitude = integer.map(i64::unsigned_abs);
        let digits = match verb {
            'd' => magnitude?.to_string(),
            'x' => format!("{}{:x}", if self.sharp { "0x" } else { "" }, magnitude?),
            'X' => format!("{}{:X}", if self.sharp { "0X" } else { "" }, magnitude?),
            'o' => format!("{:o}", magnitude?),
            'b' => format!("{:b}", magnitude?),
            'c' => return char::from_u32(u32::try_from(integer?).ok()?).map(String::from),
            'U' => format!("U+{:04X}", magnitude?),
            'q' => return char::from_u32(u32::try_from(integer?).ok()?).map(|c| format!("{c:?}")),
            'f' | 'F' if integer.is_none() => {
                format!("{:.*}", self.precision.unwrap_or(6), number.as_f64()?.abs())
            }
            'g' if integer.is_none() => shortest(number.as_f64()?.abs()),
            'e' if integer.is_none() => {
                exponent(number.as_f64()?.abs(), self.precision.unwrap_or(6))
            }
            _ => return None,
        };
        let negative = number.as_f64().is_some_and(|float| float < 0.0);
        let sign = match (negative, self.plus, self.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        };
        let zeros = match self.zero && !self.minus {
            true => self.width.saturating_sub(sign.len() + digits.len()),
            false => 0,
        };
        Some(format!("{sign}{}{digits}", "0".repeat(zeros)))
    }

    fn cut(&self, text: String) -> String {
        match self.precision {
            Some(precision) => text.chars().take(precision).collect(),
            None => text,
        }
    }

    fn padded(&self, text: String, number: bool) -> String {
        let width = self.width;
        match (self.minus, self.zero && !number) {
            (true, _) => format!("{text:<width$}"),
            (_, true) => format!(
                "{}{text}",
                "0".repeat(width.saturating_sub(text.chars().count()))
            ),
            _ => format!("{text:>width$}"),
        }
    }
}

fn exponent(float: f64, precision: usize) -> String {
    let text = format!("{float:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let number: i32 = exponent.parse().unwrap_or_default();
    format!(
        "{digits}e{}{:02}",
        if number < 0 { '-' } else { '+' },
        number.abs()
    )
}

fn bad(verb: char, value: &Value) -> String {
    format!("%!{verb}({}={})", type_of(value), verb_v(value))
}
