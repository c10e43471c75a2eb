//! Files with holes: GNU's old form and pax 1.0 (0.0 and 0.1 are plain records).

use super::header::number;
use super::pax::decimal;

const SEGMENTS_LIMIT: usize = 1 << 20;
/// What ext4 can hold; more is a bomb for whoever copies the file.
const SIZE_LIMIT: u64 = 16 << 40;

/// A part of a sparse file that has data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where in the file.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// In order, apart, inside the file, and exactly the data that follows.
pub(super) fn check(size: u64, segments: &[Segment], data: u64) -> bool {
    let mut end = 0;
    let mut total = 0u64;
    for segment in segments {
        let Some(next) = segment.offset.checked_add(segment.length) else {
            return false;
        };
        if segment.offset < end || next > size {
            return false;
        }
        end = next;
        total += segment.length;
    }
    total == data && size <= SIZE_LIMIT && segments.len() <= SEGMENTS_LIMIT
}

/// The old form's size, first four segments, and whether more blocks follow.
pub(super) fn in_header(block: &[u8; 512]) -> Option<(u64, Vec<Segment>, bool)> {
    let size = u64::try_from(number(&block[483..495])?).ok()?;
    let mut segments = Vec::new();
    pairs(&block[386..482], &mut segments)?;
    Some((size, segments, block[482] != 0))
}

/// The next 21 segments of the old form, and whether more blocks follow.
pub(super) fn in_block(block: &[u8; 512], segments: &mut Vec<Segment>) -> Option<bool> {
    pairs(&block[..504], segments)?;
    (segments.len() <= SEGMENTS_LIMIT).then_some(block[504] != 0)
}

fn pairs(bytes: &[u8], segments: &mut Vec<Segment>) -> Option<()> {
    for pair in bytes.chunks(24) {
        if pair[0] == 0 {
            break;
        }
        let offset = u64::try_from(number(&pair[..12])?).ok()?;
        let length = u64::try_from(number(&pair[12..])?).ok()?;
        segments.push(Segment { offset, length });
    }
    Some(())
}

/// The map of pax 1.0: a count, then offset and length in turn, a line each.
#[derive(Default)]
pub(super) struct Lines {
    count: Option<u64>,
    numbers: Vec<u64>,
    line: Vec<u8>,
}

impl Lines {
    pub(super) fn is_complete(&self) -> bool {
        self.count
            .is_some_and(|count| self.numbers.len() as u64 == count * 2)
    }

    /// Reads one block; what follows the last line is padding.
    pub(super) fn take(&mut self, block: &[u8; 512]) -> Option<()> {
        for byte in block {
            if self.is_complete() {
                return Some(());
            }
            match byte {
                b'\n' => self.end_line()?,
                _ if self.line.len() < 20 => self.line.push(*byte),
                _ => return None,
            }
        }
        Some(())
    }

    fn end_line(&mut self) -> Option<()> {
        let value = decimal(&self.line)?;
        self.line.clear();
        match self.count {
            None if value > SEGMENTS_LIMIT as u64 => return None,
            None => self.count = Some(value),
            Some(_) => self.numbers.push(value),
        }
        Some(())
    }

    pub(super) fn into_segments(self) -> Vec<Segment> {
        let pairs = self.numbers.chunks_exact(2);
        pairs
            .map(|pair| Segment {
                offset: pair[0],
                length: pair[1],
            })
            .collect()
    }
}
