//! Small texts with a meaning: byte sizes, durations, booleans, command lines.
//!
//! Pure functions from the text a user writes to a value and back to the canonical text, with docker's rules.

use std::time::Duration;

/// Bytes from `1024`, `512m`, `1.5 GiB`. Units count by 1024, `b` may follow and `i` may stand between.
///
/// # Errors
/// A sentence that says what is expected.
pub fn bytes(text: &str) -> Result<i64, String> {
    if let Ok(plain) = text.parse::<i64>() {
        return Ok(plain);
    }
    let wrong = || {
        format!("{text:?} is not a size; write bytes or a number with b, k, m or g, such as 512m")
    };
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let unit = match unit.strip_suffix("ib") {
        Some(short) => short,
        None => unit.strip_suffix('b').unwrap_or(&unit),
    };
    let power = match unit {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(wrong()),
    };
    let value = number * 1024f64.powi(power);
    if value > i64::MAX as f64 {
        Err(format!("{text:?} is more than this machine can count"))
    } else {
        Ok(value as i64)
    }
}

const NANOSECOND: u128 = 1;
const SECOND: u128 = 1_000_000_000;
const UNITS: [(&str, u128); 10] = [
    ("ns", NANOSECOND),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
    ("d", 24 * 3600 * SECOND),
    ("w", 7 * 24 * 3600 * SECOND),
];

/// A duration from `1m30s`, `1.5s`, `250ms`, `1d`. A bare number has no unit and is refused, except `0`.
///
/// # Errors
/// A sentence that says what is expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let wrong =
        || format!("{text:?} is not a duration; write numbers with units, such as 1m30s or 500ms");
    let mut total = 0u128;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        if number.is_empty() {
            return Err(wrong());
        }
        if tail.is_empty() {
            return Err(format!(
                "{text:?} lacks a unit; write for example {text}s for seconds"
            ));
        }
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let (_, scale) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(wrong)?;
        total = scaled(number, *scale)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(wrong)?;
        rest = tail;
    }
    let nanoseconds = u64::try_from(total)
        .ok()
        .filter(|n| i64::try_from(*n).is_ok())
        .ok_or_else(wrong)?;
    if text.is_empty() {
        Err(wrong())
    } else {
        Ok(Duration::from_nanos(nanoseconds))
    }
}

/// `1.25` of a unit, exactly.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = if whole.is_empty() {
        0
    } else {
        whole.parse::<u128>().ok()?
    };
    let mut total = whole.checked_mul(scale)?;
    let mut unit = scale;
    for digit in fraction.chars().take(18) {
        unit /= 10;
        total += u128::from(digit.to_digit(10)?) * unit;
    }
    Some(total)
}

/// As Go prints durations: `1m30s`, `1.5s`, `250ms`, `24h0m0s`, `0s`.
#[must_use]
pub fn duration_text(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    if nanoseconds == 0 {
        return "0s".into();
    }
    if nanoseconds < SECOND {
        let (unit, scale) = [("ms", 1_000_000), ("µs", 1_000)]
            .into_iter()
            .find(|(_, s)| nanoseconds >= *s)
            .unwrap_or(("ns", 1));
        return format!("{}{unit}", decimal(nanoseconds, scale));
    }
    let (hours, rest) = (nanoseconds / (3600 * SECOND), nanoseconds % (3600 * SECOND));
    let (minutes, rest) = (rest / (60 * SECOND), rest % (60 * SECOND));
    let seconds = decimal(rest, SECOND);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

fn decimal(value: u128, scale: u128) -> String {
    let (whole, fraction) = (value / scale, value % scale);
    if fraction == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    format!(
        "{whole}.{}",
        format!("{fraction:0width$}").trim_end_matches('0')
    )
}

/// `true`, `yes`, `on`, `y` and their opposites, in any case.
#[must_use]
pub fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "y" | "yes" | "on" => Some(true),
        "false" | "n" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Splits a command line into words: blanks separate, quotes and backslashes protect. Nothing is expanded.
///
/// # Errors
/// An open quote or a trailing backslash.
pub fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\\' => match chars.next() {
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err("the command ends in a lone backslash".into()),
            },
            '\'' => quoted(&mut chars, '\'', word.get_or_insert_default())?,
            '"' => quoted(&mut chars, '"', word.get_or_insert_default())?,
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(chars: &mut std::str::Chars<'_>, quote: char, word: &mut String) -> Result<(), String> {
    while let Some(c) = chars.next() {
        match c {
            _ if c == quote => return Ok(()),
            '\\' if quote == '"' => match chars.next() {
                Some(next @ ('"' | '\\' | '$' | '`')) => word.push(next),
                Some(next) => word.extend(['\\', next]),
                None => break,
            },
            _ => word.push(c),
        }
    }
    Err(format!("the command has an open {quote} quote"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, want) in [
            ("1024", 1024),
            ("512m", 512 << 20),
            ("0.5g", 1 << 29),
            ("1GiB", 1 << 30),
            ("100kb", 102_400),
            ("2 KB", 2048),
            ("-1", -1),
        ] {
            assert_eq!(bytes(text), Ok(want), "{text}");
        }
        for text in ["12x", "", "m", "1e3", "1.2.3m"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, want) in [
            ("1m30s", "1m30s"),
            ("1.5s", "1.5s"),
            ("1d", "24h0m0s"),
            ("0s", "0s"),
            ("250ms", "250ms"),
            ("90s", "1m30s"),
            ("1500us", "1.5ms"),
        ] {
            assert_eq!(
                duration(text).map(duration_text).as_deref(),
                Ok(want),
                "{text}"
            );
        }
        for text in ["90", "", "s", "1x", "-1s", "1m30"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn command_lines() {
        assert_eq!(
            words(r#"sh -c "echo \"a b\"" 'c d' e\ f"#).unwrap(),
            ["sh", "-c", "echo \"a b\"", "c d", "e f"]
        );
        assert_eq!(words(" '' x").unwrap(), ["", "x"]);
        assert!(words("sh -c \"x").is_err());
    }
}
