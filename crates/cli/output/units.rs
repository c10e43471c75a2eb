//! Sizes and ages in docker's words: `1.23GB`, `About an hour`.

use jiff::Timestamp;

/// Bytes in powers of 1000 with so many significant digits: `13.3kB`.
pub fn size(bytes: u64, digits: usize) -> String {
    scaled(
        bytes,
        1000.0,
        &["B", "kB", "MB", "GB", "TB", "PB", "EB"],
        digits,
    )
}

/// Bytes in powers of 1024: `64MiB`.
pub fn binary_size(bytes: u64) -> String {
    scaled(
        bytes,
        1024.0,
        &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"],
        4,
    )
}

fn scaled(bytes: u64, base: f64, units: &[&str], digits: usize) -> String {
    #[allow(clippy::cast_precision_loss)] // four digits are shown
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    format!("{}{}", significant(value, digits), units[unit])
}

/// C's `%.Ng` for numbers of at most N digits before the point.
fn significant(value: f64, digits: usize) -> String {
    let before = value.log10().floor().max(0.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // between 0 and 18
    let decimals = digits.saturating_sub(before as usize + 1);
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A duration as docker words it: `Less than a second`, `3 minutes`, `2 weeks`.
pub fn duration(seconds: i64) -> String {
    let minutes = seconds / 60;
    let hours = (seconds + 1800) / 3600;
    match (seconds, minutes, hours) {
        (..1, ..) => "Less than a second".into(),
        (1, ..) => "1 second".into(),
        (..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".into(),
        (_, ..60, _) => format!("{minutes} minutes"),
        (_, _, 1) => "About an hour".into(),
        (_, _, ..48) => format!("{hours} hours"),
        (_, _, ..336) => format!("{} days", hours / 24),
        (_, _, ..1440) => format!("{} weeks", hours / 168),
        (_, _, ..17_520) => format!("{} months", hours / 720),
        _ => format!("{} years", seconds / (3600 * 24 * 365)),
    }
}

/// How long ago something was: `3 minutes ago`.
pub fn ago(then: Timestamp) -> String {
    format!(
        "{} ago",
        duration(Timestamp::now().as_second() - then.as_second())
    )
}

/// A time as Go prints it, in the local time zone: `2026-01-02 15:04:05 +0000 UTC`.
pub fn moment(then: Timestamp) -> String {
    then.to_zoned_datetime(jiff::tz::TimeZone::system())
        .strftime("%Y-%m-%d %H:%M:%S %z %Z")
        .to_string()
}

/// The first twelve digits of an id, without its algorithm.
pub fn short_id(id: &str) -> &str {
    let hex = id.split_once(':').map_or(id, |(_, hex)| hex);
    hex.get(..12).unwrap_or(hex)
}

/// At most so many characters, the last one an ellipsis if something was cut.
pub fn ellipsis(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars()
        .take(most.saturating_sub(1))
        .chain(['…'])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_significant_digits() {
        let cases = [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (13_256, "13.3kB"),
            (1_840_000, "1.84MB"),
            (133_000_000, "133MB"),
            (1_234_567_890, "1.23GB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes, 3), text);
        }
    }

    #[test]
    fn binary_sizes_have_four() {
        assert_eq!(binary_size(64 << 20), "64MiB");
        assert_eq!(binary_size(1_500_000), "1.431MiB");
        assert_eq!(binary_size(0), "0B");
    }

    #[test]
    fn durations_are_worded_as_docker_does() {
        let cases = [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (5400, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (14 * 86_400, "2 weeks"),
            (60 * 86_400, "2 months"),
            (730 * 86_400, "2 years"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text, "{seconds} s");
        }
    }

    #[test]
    fn long_text_is_cut_with_an_ellipsis() {
        assert_eq!(
            ellipsis("\"docker-entrypoint.sh postgres\"", 20),
            "\"docker-entrypoint.…"
        );
        assert_eq!(ellipsis("short", 20), "short");
    }
}
