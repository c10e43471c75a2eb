//! Moments as `--since` and `--until` spell them.

use anyhow::{Result, anyhow};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::values;

/// A date (`2026-01-02`, `2026-01-02T15:04:05`, with or without a zone), seconds since 1970
/// (`1767366245.5`), or how long ago (`10m`).
pub fn moment(option: &str, text: &str, now: Timestamp) -> Result<Timestamp> {
    ago(text, now)
        .or_else(|| unix(text))
        .or_else(|| text.parse().ok())
        .or_else(|| local(text))
        .ok_or_else(|| {
            anyhow!(
                "invalid value for {option:?}: {text:?} is no date, no Unix time and no duration"
            )
        })
}

fn ago(text: &str, now: Timestamp) -> Option<Timestamp> {
    let duration = values::duration("", text).ok().filter(|_| text != "0")?;
    now.checked_sub(SignedDuration::try_from(duration).ok()?)
        .ok()
}

fn unix(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.is_empty() || !digits(seconds) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanoseconds: i32 = format!("{fraction:0<9}").parse().ok()?;
    Timestamp::new(seconds.parse().ok()?, nanoseconds).ok()
}

/// Without a zone the time is meant here.
fn local(text: &str) -> Option<Timestamp> {
    let civil: DateTime = text.parse().ok()?;
    TimeZone::system().to_timestamp(civil).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling() {
        let now: Timestamp = "2026-01-02T15:00:00Z".parse().unwrap();
        let cases = [
            ("10m", "2026-01-02T14:50:00Z"),
            ("1h30m", "2026-01-02T13:30:00Z"),
            ("1767366245", "2026-01-02T15:04:05Z"),
            ("1767366245.5", "2026-01-02T15:04:05.5Z"),
            ("2026-01-02T15:04:05Z", "2026-01-02T15:04:05Z"),
            (
                "2026-01-02T15:04:05.123456789+01:00",
                "2026-01-02T14:04:05.123456789Z",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(
                moment("since", text, now).unwrap(),
                expected.parse().unwrap(),
                "{text}"
            );
        }
        assert!(moment("since", "2026-01-02", now).is_ok());
        for wrong in ["", "yesterday", "1.2.3", "10x", "-5"] {
            assert!(moment("since", wrong, now).is_err(), "{wrong:?}");
        }
    }
}
