//! Reads tar archives: ustar, GNU and pax, with every odd form layers have.
//!
//! In: a buffered stream. Out: one [`Entry`] after the other, then its data,
//! borrowed from the stream's own buffer. Nothing is created here; what an
//! entry may do is decided in `unpack.rs`. Differences between readers smuggle
//! files (CVE-2025-62518), so where formats are vague we read as Go's
//! `archive/tar` does, which is what docker and containerd use.

use std::io::{self, BufRead, ErrorKind};

mod header;
mod pax;
mod sparse;
mod write;

pub use sparse::Segment;
pub use write::Writer;

use header::Header;
use pax::Records;

const BLOCK: usize = 512;
/// pax records and GNU long names; the longest real ones carry a few xattrs.
const EXTENSION_LIMIT: u64 = 1 << 20;

/// The archive breaks a rule.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The stream failed; what it says comes from the layer below.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// The archive stops inside an entry.
    #[error("the archive ends in the middle of an entry, at byte {offset}")]
    Truncated {
        /// Where, in the plain archive.
        offset: u64,
    },
    /// A header's checksum is wrong: not a tar archive, or a damaged one.
    #[error("the header at byte {offset} is not one of a tar archive (wrong checksum)")]
    Checksum {
        /// Where, in the plain archive.
        offset: u64,
    },
    /// A field has no legal value.
    #[error("the header at byte {offset} has an unreadable {field}")]
    Field {
        /// Which.
        field: &'static str,
        /// Where, in the plain archive.
        offset: u64,
    },
    /// An entry of a kind layers cannot have.
    #[error("the entry at byte {offset} has the unknown type {kind:?}")]
    Kind {
        /// Its type flag.
        kind: char,
        /// Where, in the plain archive.
        offset: u64,
    },
    /// pax records or a long name of more than 1 MiB.
    #[error(
        "the extended header at byte {offset} has {size} bytes; at most {EXTENSION_LIMIT} are read"
    )]
    ExtensionTooLarge {
        /// Its size.
        size: u64,
        /// Where, in the plain archive.
        offset: u64,
    },
}

/// What an entry makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file with data.
    File,
    /// Another name of a file of this layer or one below.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// Seconds and nanoseconds since 1970; nanoseconds count forward, as in `timespec`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// May be negative.
    pub seconds: i64,
    /// 0 to 999 999 999.
    pub nanoseconds: u32,
}

/// An entry, its extensions applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As written, neither cleaned nor checked.
    pub path: Vec<u8>,
    /// What it makes.
    pub kind: Kind,
    /// The target of a link, as written.
    pub link: Vec<u8>,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of the content.
    pub mtime: Time,
    /// Bytes of the file when unpacked, holes included.
    pub size: u64,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes, as written.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The parts of a sparse file that have data; `None` for a plain file.
    pub segments: Option<Vec<Segment>>,
}

/// Reads entries from `source`.
pub struct Reader<S> {
    source: S,
    offset: u64,
    /// Data of the current entry not read yet.
    data: u64,
    /// Zeros after it.
    padding: u64,
}

impl<S: BufRead> Reader<S> {
    /// Starts at the first header.
    pub fn new(source: S) -> Self {
        Self {
            source,
            offset: 0,
            data: 0,
            padding: 0,
        }
    }

    /// The next entry; what was not read of the one before is skipped.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        self.skip_data()?;
        let mut records = Records::default();
        let (mut long_name, mut long_link) = (None, None);
        loop {
            let at = self.offset;
            let Some(header) = self.next_header()? else {
                let extended = !records.is_empty() || long_name.is_some() || long_link.is_some();
                return if extended {
                    Err(TarError::Truncated { offset: at })
                } else {
                    Ok(None)
                };
            };
            match header.kind() {
                // Global records hold for every entry that follows, which would let one
                // entry speak for another: no writer of layers needs them.
                b'g' => drop(self.extension(&header)?),
                b'x' => records = Records::parse(&self.extension(&header)?, at)?,
                b'L' => long_name = Some(until_nul(self.extension(&header)?)),
                b'K' => long_link = Some(until_nul(self.extension(&header)?)),
                _ => {
                    let mut entry = self.entry(&header, &records, at)?;
                    // A long name beats the field, and pax beats both.
                    entry.path = records.path(long_name).unwrap_or(entry.path);
                    entry.link = records.link(long_link).unwrap_or(entry.link);
                    if header.is_old_directory(&entry.path) {
                        entry.kind = Kind::Directory;
                    }
                    return Ok(Some(entry));
                }
            }
        }
    }

    /// The next piece of the current entry's data, empty at its end. Call
    /// [`Reader::consume`] with how much of it was used.
    pub fn data(&mut self) -> Result<&[u8], TarError> {
        if self.data == 0 {
            return Ok(&[]);
        }
        let offset = self.offset;
        let available = fill(&mut self.source)?;
        if available.is_empty() {
            return Err(TarError::Truncated { offset });
        }
        let length = available
            .len()
            .min(usize::try_from(self.data).unwrap_or(usize::MAX));
        Ok(&available[..length])
    }

    /// Goes on by `count` bytes of the data.
    pub fn consume(&mut self, count: usize) {
        self.source.consume(count);
        self.offset += count as u64;
        self.data -= count as u64;
    }

    /// Data of the current entry not read yet.
    pub fn remaining(&self) -> u64 {
        self.data
    }

    /// The stream, after the end of the archive.
    pub fn into_inner(self) -> S {
        self.source
    }

    fn entry(&mut self, header: &Header, records: &Records, at: u64) -> Result<Entry, TarError> {
        let field = |field| TarError::Field { field, offset: at };
        let kind = kind_of(header.kind()).ok_or(TarError::Kind {
            kind: header.kind() as char,
            offset: at,
        })?;
        let stored = match records.size(at)? {
            Some(size) => size,
            None => header.size().ok_or_else(|| field("size"))?,
        };
        // Links, devices and directories carry no data whatever their size says.
        let stored = if kind == Kind::File { stored } else { 0 };
        self.expect_data(stored);
        let sparse = if kind == Kind::File {
            self.sparse(header, records, at)?
        } else {
            None
        };
        let (size, segments) = match sparse {
            Some((size, segments)) => (size, Some(segments)),
            None => (stored, None),
        };
        let number = |text: Option<u64>, from: Option<u64>, name| {
            let value = text.or(from).ok_or_else(|| field(name))?;
            // 2^32 - 1 means "leave as it is" to chown: no file can belong to it.
            u32::try_from(value)
                .ok()
                .filter(|id| *id != u32::MAX)
                .ok_or_else(|| field(name))
        };
        Ok(Entry {
            path: header.path(),
            kind,
            link: header.link(),
            mode: header.mode().ok_or_else(|| field("mode"))? & 0o7777,
            uid: number(records.uid(at)?, header.uid(), "owner")?,
            gid: number(records.gid(at)?, header.gid(), "group")?,
            mtime: records.mtime(at)?.unwrap_or_else(|| header.mtime()),
            size,
            device: header.device(kind).ok_or_else(|| field("device number"))?,
            xattrs: records.xattrs(),
            segments,
        })
    }

    fn expect_data(&mut self, size: u64) {
        self.data = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn sparse(
        &mut self,
        header: &Header,
        records: &Records,
        at: u64,
    ) -> Result<Option<(u64, Vec<Segment>)>, TarError> {
        let found = if header.kind() == b'S' {
            Some(self.old_gnu_sparse(header, at)?)
        } else if records.is_sparse_1_0() {
            let size = records.sparse_size(at)?;
            Some((size, self.sparse_map_in_data(at)?))
        } else {
            records.sparse_map(at)?
        };
        let Some((size, segments)) = found else {
            return Ok(None);
        };
        sparse::check(size, &segments, self.data)
            .then_some(Some((size, segments)))
            .ok_or(TarError::Field {
                field: "map of holes",
                offset: at,
            })
    }

    /// The old GNU form: four segments in the header, more in blocks after it.
    fn old_gnu_sparse(
        &mut self,
        header: &Header,
        at: u64,
    ) -> Result<(u64, Vec<Segment>), TarError> {
        let broken = || TarError::Field {
            field: "map of holes",
            offset: at,
        };
        let (size, mut segments, mut more) =
            sparse::in_header(header.bytes()).ok_or_else(broken)?;
        while more {
            let block = self.block()?.ok_or(TarError::Truncated { offset: at })?;
            more = sparse::in_block(&block, &mut segments).ok_or_else(broken)?;
        }
        Ok((size, segments))
    }

    /// pax 1.0: decimal lines at the start of the data, padded to a block.
    fn sparse_map_in_data(&mut self, at: u64) -> Result<Vec<Segment>, TarError> {
        let broken = || TarError::Field {
            field: "map of holes",
            offset: at,
        };
        let mut map = sparse::Lines::default();
        while !map.is_complete() {
            if self.data < BLOCK as u64 {
                return Err(broken());
            }
            let block = self.block()?.ok_or(TarError::Truncated { offset: at })?;
            self.data -= BLOCK as u64;
            map.take(&block).ok_or_else(broken)?;
        }
        Ok(map.into_segments())
    }

    /// The next header; `None` at the end: two blocks of zeros, or no bytes.
    fn next_header(&mut self) -> Result<Option<Header>, TarError> {
        let at = self.offset;
        let Some(block) = self.block()? else {
            return Ok(None);
        };
        if block != [0; BLOCK] {
            return Header::parse(block)
                .ok_or(TarError::Checksum { offset: at })
                .map(Some);
        }
        match self.block()? {
            Some(second) if second != [0; BLOCK] => Err(TarError::Checksum { offset: at }),
            _ => Ok(None),
        }
    }

    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut block = [0; BLOCK];
        let mut have = 0;
        while have < BLOCK {
            let available = fill(&mut self.source)?;
            if available.is_empty() {
                return if have == 0 {
                    Ok(None)
                } else {
                    Err(TarError::Truncated {
                        offset: self.offset,
                    })
                };
            }
            let count = available.len().min(BLOCK - have);
            block[have..have + count].copy_from_slice(&available[..count]);
            self.source.consume(count);
            self.offset += count as u64;
            have += count;
        }
        Ok(Some(block))
    }

    /// The data of an extension header: its own size field counts, never pax's.
    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, TarError> {
        let offset = self.offset;
        let size = header.size().ok_or(TarError::Field {
            field: "size",
            offset,
        })?;
        if size > EXTENSION_LIMIT {
            return Err(TarError::ExtensionTooLarge { size, offset });
        }
        self.expect_data(size);
        let mut bytes = Vec::new();
        loop {
            let piece = self.data()?;
            let length = piece.len();
            if length == 0 {
                break;
            }
            bytes.extend_from_slice(piece);
            self.consume(length);
        }
        self.skip_data()?;
        Ok(bytes)
    }

    fn skip_data(&mut self) -> Result<(), TarError> {
        self.data += std::mem::take(&mut self.padding);
        loop {
            let length = self.data()?.len();
            if length == 0 {
                return Ok(());
            }
            self.consume(length);
        }
    }
}

fn fill<S: BufRead>(source: &mut S) -> Result<&[u8], TarError> {
    loop {
        match source.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
            // Asked twice because a borrow cannot leave a loop that goes on.
            Ok(_) => return Ok(source.fill_buf()?),
        }
    }
}

fn kind_of(flag: u8) -> Option<Kind> {
    Some(match flag {
        0 | b'0' | b'7' | b'S' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::CharDevice,
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        _ => return None,
    })
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}
