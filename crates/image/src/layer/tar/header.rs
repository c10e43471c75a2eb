//! The 512 bytes in front of each entry (POSIX ustar, GNU, star, V7).

use super::{Kind, Time};

/// A block whose checksum is right.
pub(super) struct Header([u8; 512]);

#[derive(PartialEq, Eq)]
enum Format {
    Ustar,
    Star,
    Gnu,
    V7,
}

impl Header {
    /// `None` when the checksum is wrong.
    pub(super) fn parse(block: [u8; 512]) -> Option<Self> {
        let stored = octal(&block[148..156])?;
        // The sum counts its own field as spaces; some old writers summed signed bytes.
        let bytes = || {
            block
                .iter()
                .enumerate()
                .map(|(at, b)| if (148..156).contains(&at) { b' ' } else { *b })
        };
        let unsigned: u64 = bytes().map(u64::from).sum();
        let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
        let right = stored == unsigned || i64::try_from(stored).is_ok_and(|sum| sum == signed);
        right.then_some(Self(block))
    }

    pub(super) fn bytes(&self) -> &[u8; 512] {
        &self.0
    }

    pub(super) fn kind(&self) -> u8 {
        self.0[156]
    }

    /// Before there were type flags, a slash at the end made a directory.
    pub(super) fn is_old_directory(&self, path: &[u8]) -> bool {
        self.kind() == 0 && path.ends_with(b"/")
    }

    fn format(&self) -> Format {
        match (&self.0[257..263], &self.0[263..265], &self.0[508..512]) {
            (b"ustar\0", _, b"tar\0") => Format::Star,
            (b"ustar\0", _, _) => Format::Ustar,
            (b"ustar ", b" \0", _) => Format::Gnu,
            _ => Format::V7,
        }
    }

    pub(super) fn path(&self) -> Vec<u8> {
        let name = text(&self.0[0..100]);
        let prefix = match self.format() {
            Format::Ustar => text(&self.0[345..500]),
            Format::Star => text(&self.0[345..476]),
            Format::Gnu | Format::V7 => &[],
        };
        if prefix.is_empty() {
            name.to_vec()
        } else {
            [prefix, b"/", name].concat()
        }
    }

    pub(super) fn link(&self) -> Vec<u8> {
        text(&self.0[157..257]).to_vec()
    }

    pub(super) fn mode(&self) -> Option<u32> {
        u32::try_from(number(&self.0[100..108])? & 0o7777).ok()
    }

    pub(super) fn uid(&self) -> Option<u64> {
        u64::try_from(number(&self.0[108..116])?).ok()
    }

    pub(super) fn gid(&self) -> Option<u64> {
        u64::try_from(number(&self.0[116..124])?).ok()
    }

    pub(super) fn size(&self) -> Option<u64> {
        u64::try_from(number(&self.0[124..136])?).ok()
    }

    /// A time no file can have counts as 1970, as containerd has it.
    pub(super) fn mtime(&self) -> Time {
        Time {
            seconds: number(&self.0[136..148]).unwrap_or(0),
            nanoseconds: 0,
        }
    }

    /// Zeros for all but devices.
    pub(super) fn device(&self, kind: Kind) -> Option<(u32, u32)> {
        if !matches!(kind, Kind::CharDevice | Kind::BlockDevice) || self.format() == Format::V7 {
            return Some((0, 0));
        }
        let part = |bytes| u32::try_from(number(bytes)?).ok();
        Some((part(&self.0[329..337])?, part(&self.0[337..345])?))
    }
}

fn text(field: &[u8]) -> &[u8] {
    let end = field
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(field.len());
    &field[..end]
}

/// Octal digits, or GNU's base 256 when the first bit is set.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 == 0 {
        return i64::try_from(octal(field)?).ok();
    }
    // Two's complement over the whole field; the flag bit takes the sign's place.
    let negative = field[0] & 0x40 != 0;
    let first = if negative { field[0] } else { field[0] & 0x7f };
    let mut value = if negative { -1i64 } else { 0 };
    for byte in std::iter::once(&first).chain(&field[1..]) {
        value = value.checked_mul(256)?.checked_add(i64::from(*byte))?;
    }
    Some(value)
}

/// Digits between spaces and zeros; an empty field is 0.
pub(super) fn octal(field: &[u8]) -> Option<u64> {
    let blank = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field
        .iter()
        .position(|byte| !blank(byte))
        .unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(blank).unwrap_or(digits.len());
    let mut value = 0u64;
    for digit in &digits[..end] {
        if !matches!(digit, b'0'..=b'7') {
            return None;
        }
        value = value.checked_mul(8)?.checked_add(u64::from(digit - b'0'))?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_both_bases() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(b"99\0"), None);
        assert_eq!(number(b"\x80\0\0\0\0\0\x01\0"), Some(256));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xff"), Some(-1));
        assert_eq!(
            number(&[0x80, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255]),
            None
        );
    }
}
