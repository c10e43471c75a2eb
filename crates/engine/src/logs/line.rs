//! One line of a log file: docker's json-file format, `{"log":"...\n","stream":"stdout","time":"..."}`.
//!
//! What is no UTF-8 cannot stand in JSON: `log` then has U+FFFD in its place, as docker's has, and a further `bytes` has
//! the line itself in base64, so that `logs` gives back what was written.

use std::borrow::Cow;
use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde::Deserialize;

/// Longer lines are kept in parts of this many bytes; all but the last have no newline at their end.
pub(crate) const PART: usize = 16 << 10;

/// Appends one line to `out`.
pub(crate) fn encode(out: &mut Vec<u8>, text: &[u8], stderr: bool, time: Timestamp) {
    out.extend_from_slice(b"{\"log\":\"");
    let mut whole = true;
    for chunk in text.utf8_chunks() {
        escape(out, chunk.valid());
        if !chunk.invalid().is_empty() {
            whole = false;
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    if !whole {
        out.extend_from_slice(b"\",\"bytes\":\"");
        out.extend_from_slice(BASE64.encode(text).as_bytes());
    }
    let stream = if stderr { "stderr" } else { "stdout" };
    // Writing to a Vec cannot fail.
    let _ = writeln!(out, "\",\"stream\":\"{stream}\",\"time\":\"{time}\"}}");
}

fn escape(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut plain = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let short: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 | 0x7f => b"",
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain..at]);
        if short.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.extend_from_slice(short);
        }
        plain = at + 1;
    }
    out.extend_from_slice(&bytes[plain..]);
}

/// One line, read back.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry<'a> {
    /// The text, as far as it is text.
    #[serde(borrow)]
    log: Cow<'a, str>,
    /// All of it in base64, when it is not.
    #[serde(borrow, default)]
    bytes: Option<Cow<'a, str>>,
    /// `stdout` or `stderr`.
    #[serde(borrow)]
    pub(crate) stream: Cow<'a, str>,
    /// When.
    pub(crate) time: Timestamp,
}

impl Entry<'_> {
    /// What was written.
    pub(crate) fn text(&self) -> Cow<'_, [u8]> {
        let whole = self
            .bytes
            .as_ref()
            .and_then(|text| BASE64.decode(text.as_bytes()).ok());
        whole.map_or(Cow::Borrowed(self.log.as_bytes()), Cow::Owned)
    }
}

/// Reads one line; none when it is damaged (a power cut in the middle of a write).
pub(crate) fn decode(line: &[u8]) -> Option<Entry<'_>> {
    serde_json::from_slice(line).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_dockers_format() {
        let mut out = Vec::new();
        let time = "2026-01-02T03:04:05.000000600Z".parse().unwrap();
        encode(
            &mut out,
            b"say \"hi\"\t\\o/ \x1b[1m\xff\xc3\xa9\n",
            true,
            time,
        );
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"{"log":"say \"hi\"\t\\o/ \u001b[1m�é\n","bytes":"c2F5ICJoaSIJXG8vIBtbMW3/w6kK","stream":"stderr","time":"2026-01-02T03:04:05.0000006Z"}"#);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in any::<String>(), stderr: bool, nanos in 0i128..4_000_000_000_000_000_000) {
            let time = Timestamp::from_nanosecond(nanos).unwrap();
            let mut out = Vec::new();
            encode(&mut out, text.as_bytes(), stderr, time);
            prop_assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
            let entry = decode(&out).unwrap();
            prop_assert_eq!(entry.text().into_owned(), text.into_bytes());
            prop_assert_eq!(entry.stream == "stderr", stderr);
            prop_assert_eq!(entry.time, time);
        }

        #[test]
        fn any_bytes_give_one_readable_line(bytes: Vec<u8>) {
            let mut out = Vec::new();
            encode(&mut out, &bytes, false, Timestamp::UNIX_EPOCH);
            let entry = decode(&out).unwrap();
            prop_assert_eq!(&entry.text().into_owned(), &bytes);
            prop_assert_eq!(entry.log.as_ref(), String::from_utf8_lossy(&bytes));
        }
    }
}
