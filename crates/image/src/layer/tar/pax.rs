//! pax records: `LENGTH KEY=VALUE\n`, binary values allowed (POSIX pax, and
//! the keys of star, libarchive and GNU tar).

use base64::Engine as _;

use super::{Segment, TarError, Time};

/// The records in front of one entry, in order.
#[derive(Default)]
pub(super) struct Records(Vec<(Vec<u8>, Vec<u8>)>);

const SCHILY: &[u8] = b"SCHILY.xattr.";
const LIBARCHIVE: &[u8] = b"LIBARCHIVE.xattr.";

impl Records {
    pub(super) fn parse(mut bytes: &[u8], at: u64) -> Result<Self, TarError> {
        let mut records = Vec::new();
        while !bytes.is_empty() {
            let (key, value, rest) = split_record(bytes).ok_or(TarError::Field {
                field: "pax record",
                offset: at,
            })?;
            // A name with a zero byte would be another name to the kernel.
            let named = matches!(
                key,
                b"path" | b"linkpath" | b"GNU.sparse.name" | b"uname" | b"gname"
            );
            if key.is_empty() || key.contains(&0) || (named && value.contains(&0)) {
                return Err(TarError::Field {
                    field: "pax record",
                    offset: at,
                });
            }
            records.push((key.to_vec(), value.to_vec()));
            bytes = rest;
        }
        Ok(Self(records))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The last value of a key; an empty one means the header's field counts.
    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let value = &self.0.iter().rev().find(|(name, _)| name == key)?.1;
        (!value.is_empty()).then_some(value.as_slice())
    }

    fn number(&self, key: &'static str, at: u64) -> Result<Option<u64>, TarError> {
        let Some(value) = self.get(key.as_bytes()) else {
            return Ok(None);
        };
        decimal(value).map(Some).ok_or(TarError::Field {
            field: key,
            offset: at,
        })
    }

    pub(super) fn path(&self, long: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let sparse = self.get(b"GNU.sparse.name");
        sparse.or(self.get(b"path")).map(<[u8]>::to_vec).or(long)
    }

    pub(super) fn link(&self, long: Option<Vec<u8>>) -> Option<Vec<u8>> {
        self.get(b"linkpath").map(<[u8]>::to_vec).or(long)
    }

    pub(super) fn size(&self, at: u64) -> Result<Option<u64>, TarError> {
        self.number("size", at)
    }

    pub(super) fn uid(&self, at: u64) -> Result<Option<u64>, TarError> {
        self.number("uid", at)
    }

    pub(super) fn gid(&self, at: u64) -> Result<Option<u64>, TarError> {
        self.number("gid", at)
    }

    /// A time no file can have counts as 1970, as containerd has it.
    pub(super) fn mtime(&self, at: u64) -> Result<Option<Time>, TarError> {
        let Some(value) = self.get(b"mtime") else {
            return Ok(None);
        };
        time(value).map(Some).ok_or(TarError::Field {
            field: "mtime",
            offset: at,
        })
    }

    pub(super) fn xattrs(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.0
            .iter()
            .filter_map(|(key, value)| xattr(key, value))
            .collect()
    }

    pub(super) fn is_sparse_1_0(&self) -> bool {
        self.get(b"GNU.sparse.major") == Some(b"1") && self.get(b"GNU.sparse.minor") == Some(b"0")
    }

    /// The size of the file with its holes.
    pub(super) fn sparse_size(&self, at: u64) -> Result<u64, TarError> {
        let size = self.number("GNU.sparse.realsize", at)?;
        let size = if size.is_some() {
            size
        } else {
            self.number("GNU.sparse.size", at)?
        };
        size.ok_or(TarError::Field {
            field: "size with holes",
            offset: at,
        })
    }

    /// pax 0.0 (pairs of records, in order) and 0.1 (one record with commas).
    pub(super) fn sparse_map(&self, at: u64) -> Result<Option<(u64, Vec<Segment>)>, TarError> {
        let broken = || TarError::Field {
            field: "map of holes",
            offset: at,
        };
        let numbers: Option<Vec<u64>> = match self.get(b"GNU.sparse.map") {
            Some(map) => map.split(|byte| *byte == b',').map(decimal).collect(),
            None if self.get(b"GNU.sparse.numblocks").is_some() => self.sparse_pairs(),
            None => return Ok(None),
        };
        let numbers = numbers
            .filter(|numbers| numbers.len() % 2 == 0)
            .ok_or_else(broken)?;
        let segments = numbers.chunks(2).map(|pair| Segment {
            offset: pair[0],
            length: pair[1],
        });
        Ok(Some((self.sparse_size(at)?, segments.collect())))
    }

    fn sparse_pairs(&self) -> Option<Vec<u64>> {
        let keys = [b"GNU.sparse.offset".as_slice(), b"GNU.sparse.numbytes"];
        let values = self
            .0
            .iter()
            .filter(|(key, _)| keys.contains(&key.as_slice()));
        let in_turn = values.enumerate().map(|(at, (key, value))| {
            (key.as_slice() == keys[at % 2])
                .then(|| decimal(value))
                .flatten()
        });
        in_turn.collect()
    }
}

/// The first record of `bytes`: key, value, and what follows.
fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(10).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&bytes[..space])?).ok()?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &bytes[length..]))
}

fn xattr(key: &[u8], value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    if let Some(name) = key.strip_prefix(SCHILY) {
        return Some((name.to_vec(), value.to_vec()));
    }
    let name = key.strip_prefix(LIBARCHIVE)?;
    let engine = base64::engine::general_purpose::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        base64::engine::GeneralPurposeConfig::new()
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
    );
    Some((percent_decoded(name), engine.decode(value).ok()?))
}

/// libarchive writes `%XX` for bytes a key cannot have.
fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let digit = |byte: &u8| (*byte as char).to_digit(16);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => digit(high).zip(digit(low)),
            _ => None,
        };
        let (byte, used) = match escaped {
            Some((high, low)) => (u8::try_from(high * 16 + low).unwrap_or(b'%'), 3),
            None => (*first, 1),
        };
        out.push(byte);
        rest = &rest[used..];
    }
    out
}

pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text)
        .ok()
        .filter(|_| digits)?
        .parse()
        .ok()
}

/// `[-]SECONDS[.FRACTION]`; digits after the ninth are cut.
fn time(text: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(text).ok()?;
    let (negative, text) = text
        .strip_prefix('-')
        .map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let Ok(seconds) = whole.parse::<i64>() else {
        return Some(Time::default());
    };
    let nanoseconds: u32 = format!("{:0<9}", &fraction[..fraction.len().min(9)])
        .parse()
        .ok()?;
    Some(match (negative, nanoseconds) {
        (false, _) => Time {
            seconds,
            nanoseconds,
        },
        (true, 0) => Time {
            seconds: -seconds,
            nanoseconds: 0,
        },
        (true, _) => Time {
            seconds: -seconds - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_may_hold_anything_after_the_equals_sign() {
        let bytes = b"30 SCHILY.xattr.user.a=x\ny=\0z\n13 path=a/b\n\n";
        let records = Records::parse(bytes, 0);
        let records = records.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            records.xattrs(),
            [(b"user.a".to_vec(), b"x\ny=\0z".to_vec())]
        );
        assert_eq!(records.path(None), Some(b"a/b\n".to_vec()));
    }

    #[test]
    fn broken_records_are_refused() {
        for wrong in [
            "", " ", "5 a=b", "99 a=b\n", "6 ab\n", "0 a=b\n", "x a=b\n", "+6 a=b\n", "5 =b\n",
        ] {
            let wrong = format!("{wrong} ");
            assert!(Records::parse(wrong.as_bytes(), 0).is_err(), "{wrong:?}");
        }
        assert!(Records::parse(b"11 path=a\0\n", 0).is_err());
    }

    #[test]
    fn times_before_1970_and_beyond() {
        let at = |text: &str| time(text.as_bytes()).map(|t| (t.seconds, t.nanoseconds));
        assert_eq!(at("1.5"), Some((1, 500_000_000)));
        assert_eq!(at("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(at("-1"), Some((-1, 0)));
        assert_eq!(at("1.1234567899"), Some((1, 123_456_789)));
        assert_eq!(at("99999999999999999999999"), Some((0, 0)));
        assert_eq!(at("1e5"), None);
        assert_eq!(at(""), None);
        assert_eq!(at("."), None);
    }

    #[test]
    fn libarchives_attributes() {
        let found = xattr(b"LIBARCHIVE.xattr.user.a%20b", b"aGk");
        assert_eq!(found, Some((b"user.a b".to_vec(), b"hi".to_vec())));
    }
}
