//! Writes tar archives: ustar, with pax records for all that ustar cannot say.
//!
//! The same entries give the same bytes: nothing of the host or the hour gets in.

use std::io::{self, Read, Write};

use super::{BLOCK, Entry, Kind, Time};

/// Writes entries to `out`.
pub struct Writer<W: Write> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// Starts an archive.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Writes an entry; a file's data, exactly `entry.size` bytes, comes from `data`.
    pub fn entry(&mut self, entry: &Entry, data: &mut dyn Read) -> io::Result<()> {
        let records = records(entry);
        if !records.is_empty() {
            let name = [b"PaxHeaders.0/", last_part(&entry.path)].concat();
            let size = records.len() as u64;
            self.out.write_all(&header(&Fields {
                name: &name,
                flag: b'x',
                size,
                mode: 0o644,
                ..Fields::default()
            }))?;
            self.out.write_all(&records)?;
            self.pad(size)?;
        }
        self.out.write_all(&header(&Fields::of(entry)))?;
        if entry.kind == Kind::File {
            let copied = io::copy(&mut data.take(entry.size), &mut self.out)?;
            if copied != entry.size {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the file became shorter while it was read",
                ));
            }
            self.pad(entry.size)?;
        }
        Ok(())
    }

    /// Writes a plain file owned by root, made in 1970: for archives of blobs.
    pub fn file(
        &mut self,
        path: &str,
        mode: u32,
        size: u64,
        data: &mut dyn Read,
    ) -> io::Result<()> {
        self.entry(
            &Entry::plain(path.as_bytes().to_vec(), Kind::File, mode, size),
            data,
        )
    }

    /// Writes a directory like [`Writer::file`].
    pub fn directory(&mut self, path: &str) -> io::Result<()> {
        let entry = Entry::plain(format!("{path}/").into_bytes(), Kind::Directory, 0o755, 0);
        self.entry(&entry, &mut io::empty())
    }

    /// Writes the end of the archive.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let padding = usize::try_from(size.wrapping_neg() % BLOCK as u64).unwrap_or(0);
        self.out.write_all(&[0; BLOCK][..padding])
    }
}

impl Entry {
    /// An entry without owner, time, link and attributes.
    pub fn plain(path: Vec<u8>, kind: Kind, mode: u32, size: u64) -> Self {
        Self {
            path,
            kind,
            link: Vec::new(),
            mode,
            uid: 0,
            gid: 0,
            mtime: Time::default(),
            size,
            device: (0, 0),
            xattrs: Vec::new(),
            segments: None,
        }
    }
}

#[derive(Default)]
struct Fields<'a> {
    name: &'a [u8],
    link: &'a [u8],
    flag: u8,
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    seconds: i64,
    device: (u32, u32),
}

impl<'a> Fields<'a> {
    fn of(entry: &'a Entry) -> Self {
        let size = if entry.kind == Kind::File {
            entry.size
        } else {
            0
        };
        Self {
            name: &entry.path,
            link: &entry.link,
            flag: match entry.kind {
                Kind::File => b'0',
                Kind::HardLink => b'1',
                Kind::Symlink => b'2',
                Kind::CharDevice => b'3',
                Kind::BlockDevice => b'4',
                Kind::Directory => b'5',
                Kind::Fifo => b'6',
            },
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            size,
            seconds: entry.mtime.seconds,
            device: entry.device,
        }
    }
}

/// What does not fit is cut here and whole in the pax records.
fn header(fields: &Fields<'_>) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put(&mut block[0..100], fields.name);
    octal(&mut block[100..108], u64::from(fields.mode));
    octal(&mut block[108..116], u64::from(fields.uid));
    octal(&mut block[116..124], u64::from(fields.gid));
    octal(&mut block[124..136], fields.size);
    octal(
        &mut block[136..148],
        u64::try_from(fields.seconds).unwrap_or(0),
    );
    block[156] = fields.flag;
    put(&mut block[157..257], fields.link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    octal(&mut block[329..337], u64::from(fields.device.0));
    octal(&mut block[337..345], u64::from(fields.device.1));
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    let text = format!("{sum:06o}\0 ");
    block[148..156].copy_from_slice(text.as_bytes());
    block
}

fn put(field: &mut [u8], text: &[u8]) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
}

fn octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let value = if fits(value, digits) { value } else { 0 };
    let text = format!("{value:0digits$o}");
    field[..digits].copy_from_slice(text.as_bytes());
}

fn fits(value: u64, digits: usize) -> bool {
    value < 1 << (3 * digits)
}

fn records(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::new();
    let number = |value: u64, digits: usize| (!fits(value, digits)).then(|| value.to_string());
    let fields = [
        ("path", (entry.path.len() > 100).then(|| entry.path.clone())),
        (
            "linkpath",
            (entry.link.len() > 100).then(|| entry.link.clone()),
        ),
        ("uid", number(entry.uid.into(), 7).map(String::into_bytes)),
        ("gid", number(entry.gid.into(), 7).map(String::into_bytes)),
        ("size", number(entry.size, 11).map(String::into_bytes)),
        ("mtime", time(entry.mtime).map(String::into_bytes)),
    ];
    for (key, value) in fields {
        if let Some(value) = value {
            record(&mut out, key.as_bytes(), &value);
        }
    }
    for (name, value) in &entry.xattrs {
        record(&mut out, &[b"SCHILY.xattr.", &name[..]].concat(), value);
    }
    out
}

/// `None` when ustar's whole seconds say it all.
fn time(time: Time) -> Option<String> {
    let plain =
        time.nanoseconds == 0 && u64::try_from(time.seconds).is_ok_and(|seconds| fits(seconds, 11));
    if plain {
        return None;
    }
    let (sign, seconds, nanoseconds) = if time.seconds < 0 && time.nanoseconds > 0 {
        ("-", -(time.seconds + 1), 1_000_000_000 - time.nanoseconds)
    } else if time.seconds < 0 {
        ("-", -time.seconds, 0)
    } else {
        ("", time.seconds, time.nanoseconds)
    };
    let text = format!("{sign}{seconds}.{nanoseconds:09}");
    Some(text.trim_end_matches('0').trim_end_matches('.').to_owned())
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn last_part(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    &last[..last.len().min(80)]
}

#[cfg(test)]
mod tests {
    use super::super::Reader;
    use super::*;
    use proptest::prelude::*;

    fn kinds() -> impl Strategy<Value = Kind> {
        prop_oneof![
            Just(Kind::File),
            Just(Kind::HardLink),
            Just(Kind::Symlink),
            Just(Kind::CharDevice),
            Just(Kind::BlockDevice),
            Just(Kind::Directory),
            Just(Kind::Fifo)
        ]
    }

    prop_compose! {
        fn entries()(
            kind in kinds(),
            path in "[^\\x00]{1,150}",
            link in "[^\\x00]{1,150}",
            mode in 0u32..0o10000,
            uid in 0..u32::MAX,
            gid in 0..u32::MAX,
            seconds in -10_000_000_000i64..100_000_000_000,
            nanoseconds in 0u32..1_000_000_000,
            size in 0u64..2000,
            device in (0u32..0o7777777, 0u32..0o7777777),
            xattrs in proptest::collection::vec(("user\\.[a-z]{1,9}", proptest::collection::vec(any::<u8>(), 0..50)), 0..3),
        ) -> Entry {
            let is_link = matches!(kind, Kind::HardLink | Kind::Symlink);
            let is_device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
            Entry {
                path: path.into_bytes(),
                kind,
                link: if is_link { link.into_bytes() } else { Vec::new() },
                mode, uid, gid,
                mtime: Time { seconds, nanoseconds },
                size: if kind == Kind::File { size } else { 0 },
                device: if is_device { device } else { (0, 0) },
                xattrs: xattrs.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect(),
                segments: None,
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(all in proptest::collection::vec(entries(), 0..5)) {
            let mut writer = Writer::new(Vec::new());
            for entry in &all {
                writer.entry(entry, &mut io::repeat(7)).unwrap();
            }
            let bytes = writer.finish().unwrap();
            let mut reader = Reader::new(&bytes[..]);
            for entry in &all {
                prop_assert_eq!(&reader.next_entry().unwrap().unwrap(), entry);
                prop_assert_eq!(reader.remaining(), entry.size);
            }
            prop_assert!(reader.next_entry().unwrap().is_none());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
            let mut reader = Reader::new(&bytes[..]);
            while let Ok(Some(_)) = reader.next_entry() {}
        }

        /// Whole archives with a few bytes changed, so that checksums often stay right.
        #[test]
        fn damaged_archives_are_read_or_refused(
            all in proptest::collection::vec(entries(), 1..4),
            damage in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..6),
        ) {
            let mut writer = Writer::new(Vec::new());
            for entry in &all {
                writer.entry(entry, &mut io::repeat(b'7')).unwrap();
            }
            let mut bytes = writer.finish().unwrap();
            for (at, byte) in damage {
                let at = usize::from(at) % bytes.len();
                bytes[at] = byte;
            }
            let mut reader = Reader::new(&bytes[..]);
            while let Ok(Some(_)) = reader.next_entry() {}
        }
    }
}
