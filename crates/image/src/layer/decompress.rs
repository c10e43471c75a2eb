//! Packed bytes to plain ones: gzip of several members, zstd of several
//! frames, or as they are.
//!
//! What is inside is told by the first bytes, not by the media type: a wrong
//! type harms nobody, since the diff id is checked anyhow.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;

use crate::media_type::Packing;

/// 128 MiB, the window of `zstd --ultra --long=27`; larger ones are refused.
const ZSTD_WINDOW_LOG: u32 = 27;

/// The stream is packed in a way layers may not be, or wrongly.
#[derive(Debug, thiserror::Error)]
pub enum DecompressError {
    /// xz or bzip2.
    #[error("it is packed with {name}, which image layers may not be")]
    Unsupported {
        /// The program.
        name: &'static str,
    },
    /// The decoder could not be made.
    #[error("cannot start to unpack: {0}")]
    Start(#[from] io::Error),
}

/// Reads plain bytes.
pub(crate) enum Decoder<S: BufRead> {
    Plain(S),
    Gzip(Box<MultiGzDecoder<S>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, S>>),
}

/// Which packing the first bytes of a stream show.
pub(crate) fn sniff(start: &[u8]) -> Result<Packing, DecompressError> {
    Ok(match start {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        // A zstd frame, or a skippable one as zstd:chunked has.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Packing::Zstd,
        [0xfd, b'7', b'z', b'X', ..] => return Err(DecompressError::Unsupported { name: "xz" }),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => {
            return Err(DecompressError::Unsupported { name: "bzip2" });
        }
        _ => Packing::Plain,
    })
}

impl<S: BufRead> Decoder<S> {
    /// A decoder for a stream whose first bytes are `start` (still to be read from it).
    pub(crate) fn new(start: &[u8], source: S) -> Result<Self, DecompressError> {
        Ok(match sniff(start)? {
            Packing::Plain => Self::Plain(source),
            Packing::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(source))),
            Packing::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Self::Zstd(Box::new(decoder))
            }
        })
    }
}

impl<S: BufRead> Read for Decoder<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(source) => source.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn unpack(bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut decoder =
            Decoder::new(&bytes[..bytes.len().min(8)], bytes).map_err(|e| e.to_string())?;
        let mut out = Vec::new();
        decoder.read_to_end(&mut out).map_err(|e| e.to_string())?;
        Ok(out)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder
            .write_all(bytes)
            .and_then(|()| encoder.finish())
            .unwrap()
    }

    #[test]
    fn several_members_and_frames_are_one_stream() {
        assert_eq!(
            unpack(&[gzip(b"a"), gzip(b""), gzip(b"b")].concat()),
            Ok(b"ab".to_vec())
        );
        let frame = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0][..], b"xx"].concat();
        let all = [skippable.clone(), frame(b"a"), skippable, frame(b"b")].concat();
        assert_eq!(unpack(&all), Ok(b"ab".to_vec()));
        assert_eq!(unpack(b"plain"), Ok(b"plain".to_vec()));
        assert_eq!(unpack(b""), Ok(Vec::new()));
    }

    #[test]
    fn garbage_and_other_packings_are_refused() {
        assert!(unpack(&[gzip(b"a"), b"garbage".to_vec()].concat()).is_err());
        let cut = gzip(b"some text that is long enough");
        assert!(unpack(&cut[..cut.len() - 4]).is_err());
        assert!(unpack(b"\xfd7zXZ\0").unwrap_err().contains("xz"));
        assert!(unpack(b"BZh91AY").unwrap_err().contains("bzip2"));
    }
}
