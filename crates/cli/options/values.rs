//! Sizes, durations and lists as docker's options spell them.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

/// A number of bytes: `64m`, `1.5g`, `512kb`, `1024`. Units are powers of 1024.
pub fn bytes(option: &str, text: &str) -> Result<u64> {
    parse_bytes(text)
        .ok_or_else(|| anyhow!("invalid argument {text:?} for {option:?}: invalid size: '{text}'"))
}

fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let unit = text[digits..].trim_start().to_ascii_lowercase();
    let letter = unit
        .strip_suffix("ib")
        .or_else(|| unit.strip_suffix('b'))
        .unwrap_or(&unit);
    let shift = ["", "k", "m", "g", "t", "p"]
        .iter()
        .position(|known| *known == letter)?;
    let scale = 1u64 << (10 * shift);
    match text[..digits].parse::<u64>() {
        Ok(whole) => whole.checked_mul(scale),
        Err(_) => scaled(text[..digits].parse().ok()?, scale),
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
fn scaled(number: f64, scale: u64) -> Option<u64> {
    let product = number * scale as f64;
    (0.0..9.0e18).contains(&product).then_some(product as u64)
}

/// Bytes, or -1 for no limit.
pub fn bytes_or_unlimited(option: &str, text: &str) -> Result<i64> {
    if text == "-1" {
        return Ok(-1);
    }
    i64::try_from(bytes(option, text)?).with_context(|| format!("{option}: {text} is too large"))
}

/// A duration as Go writes it: `1m30s`, `1.5h`, `200ms`. A bare `0` is zero.
pub fn duration(option: &str, text: &str) -> Result<Duration> {
    parse_duration(text).ok_or_else(|| {
        anyhow!("invalid argument {text:?} for {option:?}: time: invalid duration {text:?}")
    })
}

fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        total += number * seconds(&rest[..unit])?;
        rest = &rest[unit..];
    }
    Duration::try_from_secs_f64(total)
        .ok()
        .filter(|duration| duration.as_secs() < 1 << 33)
}

fn seconds(unit: &str) -> Option<f64> {
    match unit {
        "ns" => Some(1e-9),
        "us" | "µs" | "μs" => Some(1e-6),
        "ms" => Some(1e-3),
        "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    }
}

/// The fields of one line of CSV, which is how `--mount` is written: quotes protect commas.
pub fn fields(text: &str) -> Result<Vec<String>> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            '"' => bail!("a quote in the middle of the field {field:?}"),
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            letter => field.push(letter),
        }
    }
    if quoted {
        bail!("a quote is not closed");
    }
    fields.push(field);
    Ok(fields)
}

/// `ctrl-p,ctrl-q` or `a,b` as the bytes a terminal sends; an empty text turns detaching off.
pub fn detach_keys(text: &str) -> Result<Vec<u8>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',')
        .map(|key| {
            self::key(key)
                .ok_or_else(|| anyhow!("invalid detach keys ({text}): unknown key '{key}'"))
        })
        .collect()
}

fn key(text: &str) -> Option<u8> {
    match text.strip_prefix("ctrl-").map(str::as_bytes) {
        // A control character is its letter without the upper bits (ascii(7)).
        Some([letter @ (b'a'..=b'z' | b'@' | b'[' | b'\\' | b']' | b'^' | b'_')]) => {
            Some(letter & 0x1f)
        }
        Some(_) => None,
        None => match text.as_bytes() {
            [byte] if byte.is_ascii() => Some(*byte),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases = [
            ("0", Some(0)),
            ("1024", Some(1024)),
            ("1b", Some(1)),
            ("4k", Some(4096)),
            ("4KB", Some(4096)),
            ("4KiB", Some(4096)),
            ("64m", Some(64 << 20)),
            ("1.5g", Some(3 << 29)),
            ("2 g", Some(2 << 30)),
            ("1t", Some(1 << 40)),
            ("", None),
            ("m", None),
            ("-1", None),
            ("1x", None),
            ("1e3", None),
            ("1.2.3", None),
            ("99999999999999999999", None),
            ("99999999p", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_bytes(text), expected, "{text:?}");
        }
    }

    #[test]
    fn durations() {
        let cases = [
            ("0", Some(0)),
            ("30s", Some(30_000)),
            ("1m30s", Some(90_000)),
            ("1.5h", Some(5_400_000)),
            ("200ms", Some(200)),
            ("1h1m1s1ms", Some(3_661_001)),
            ("5", None),
            ("", None),
            ("s", None),
            ("1d", None),
            ("-1s", None),
            ("1s ", None),
            ("9999999999999h", None),
        ];
        for (text, expected) in cases {
            assert_eq!(
                parse_duration(text).map(|d| d.as_millis()),
                expected,
                "{text:?}"
            );
        }
    }

    #[test]
    fn keys() {
        assert_eq!(detach_keys("ctrl-p,ctrl-q").unwrap(), [16, 17]);
        assert_eq!(detach_keys("a,ctrl-],ctrl-@").unwrap(), [b'a', 29, 0]);
        assert!(detach_keys("").unwrap().is_empty());
        assert!(detach_keys("ctrl-1").is_err());
        assert!(detach_keys("ab").is_err());
    }

    #[test]
    fn quotes_protect_commas() {
        assert_eq!(fields(r#"a=1,"b=2,3",c="#).unwrap(), ["a=1", "b=2,3", "c="]);
        assert_eq!(fields(r#""a=""q""""#).unwrap(), [r#"a="q""#]);
        assert!(fields(r#""a"#).is_err());
        assert!(fields(r#"a="b""#).is_err());
    }
}
