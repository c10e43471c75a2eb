//! From a tree in overlay's form to the archive of a layer: the way back from `unpack.rs`.
//!
//! The same tree gives the same bytes: names are sorted, and nothing of the host gets in but what the
//! files have (owner, mode, times, attributes). Devices 0:0 become whiteouts, opaque directories
//! say so, further names of a file become hard links. Holes are written as zeros.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{major, minor};

use super::tar::{Entry, Kind, Time, Writer};
use crate::Error;
use crate::compare::xattrs;
use crate::error::file;

const OPAQUE: &[u8] = b"trusted.overlay.opaque";
const OVERLAY: &[u8] = b"trusted.overlay.";
/// What overlay shows to containers under the name of its own attributes.
const ESCAPED: &[u8] = b"trusted.overlay.overlay.";

/// Writes the layer of the tree `root`, the root itself included; the number of its entries.
pub fn pack(root: &Path, out: impl Write) -> Result<u64, Error> {
    let mut packer = Packer {
        root,
        out: Writer::new(out),
        links: HashMap::new(),
        entries: 0,
    };
    packer.directory(&mut PathBuf::new())?;
    let Packer { out, entries, .. } = packer;
    out.finish().map_err(file("write the layer of", root))?;
    Ok(entries)
}

struct Packer<'a, W: Write> {
    root: &'a Path,
    out: Writer<W>,
    /// The first name of each file that has several.
    links: HashMap<(u64, u64), PathBuf>,
    entries: u64,
}

impl<W: Write> Packer<'_, W> {
    /// A directory, then all below it; `path` is the same afterwards.
    fn directory(&mut self, path: &mut PathBuf) -> Result<(), Error> {
        let whole = self.root.join(&path);
        let metadata = fs::symlink_metadata(&whole).map_err(file("read", &whole))?;
        let attributes = xattrs(&whole).map_err(file("read the attributes of", &whole))?;
        let opaque = attributes
            .iter()
            .any(|(name, value)| name == OPAQUE && value == b"y");
        self.write(path, &metadata, attributes)?;
        if opaque {
            self.mark(&path.join(".wh..wh..opq"))?;
        }
        let list = fs::read_dir(&whole).map_err(file("list", &whole))?;
        let names: io::Result<Vec<_>> = list.map(|found| Ok(found?.file_name())).collect();
        let mut names = names.map_err(file("list", &whole))?;
        names.sort();
        for name in names {
            path.push(&name);
            self.found(path, &name)?;
            path.pop();
        }
        Ok(())
    }

    fn found(&mut self, path: &mut PathBuf, name: &OsStr) -> Result<(), Error> {
        let whole = self.root.join(&path);
        let metadata = fs::symlink_metadata(&whole).map_err(file("read", &whole))?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            return self.directory(path);
        }
        if kind.is_char_device() && metadata.rdev() == 0 {
            let hiding = [b".wh.", name.as_bytes()].concat();
            return self.mark(&path.with_file_name(OsStr::from_bytes(&hiding)));
        }
        // Sockets are of a process that is gone, and archives have no word for them.
        if kind.is_socket() {
            return Ok(());
        }
        if name.as_bytes().starts_with(b".wh.") {
            let reserved =
                io::Error::other("layers read a name that begins with .wh. as a deletion");
            return Err(file("pack", &whole)(reserved));
        }
        let attributes = xattrs(&whole).map_err(file("read the attributes of", &whole))?;
        self.write(path, &metadata, attributes)
    }

    /// An empty file whose name says it all.
    fn mark(&mut self, path: &Path) -> Result<(), Error> {
        let name = path.as_os_str().as_bytes().to_vec();
        self.put(
            path,
            &Entry::plain(name, Kind::File, 0, 0),
            &mut io::empty(),
        )
    }

    fn write(
        &mut self,
        path: &Path,
        metadata: &Metadata,
        attributes: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<(), Error> {
        let whole = self.root.join(path);
        let mut entry = described(path, metadata, attributes);
        let inode = (metadata.dev(), metadata.ino());
        if entry.kind != Kind::Directory && metadata.nlink() > 1 {
            if let Some(first) = self.links.get(&inode) {
                entry.kind = Kind::HardLink;
                entry.link = first.clone().into_os_string().into_vec();
                entry.size = 0;
                entry.xattrs.clear();
                return self.put(path, &entry, &mut io::empty());
            }
            self.links.insert(inode, path.to_owned());
        }
        match entry.kind {
            Kind::File => {
                let mut data = File::open(&whole).map_err(file("open", &whole))?;
                self.put(path, &entry, &mut data)
            }
            Kind::Symlink => {
                let target = fs::read_link(&whole).map_err(file("read", &whole))?;
                entry.link = target.into_os_string().into_vec();
                self.put(path, &entry, &mut io::empty())
            }
            _ => self.put(path, &entry, &mut io::empty()),
        }
    }

    fn put(&mut self, path: &Path, entry: &Entry, data: &mut dyn Read) -> Result<(), Error> {
        self.entries += 1;
        let written = self.out.entry(entry, data);
        written.map_err(file("pack", &self.root.join(path)))
    }
}

fn described(path: &Path, metadata: &Metadata, attributes: Vec<(Vec<u8>, Vec<u8>)>) -> Entry {
    let kind = match metadata.file_type() {
        kind if kind.is_dir() => Kind::Directory,
        kind if kind.is_symlink() => Kind::Symlink,
        kind if kind.is_char_device() => Kind::CharDevice,
        kind if kind.is_block_device() => Kind::BlockDevice,
        kind if kind.is_fifo() => Kind::Fifo,
        _ => Kind::File,
    };
    let name = match (path.as_os_str().as_bytes(), kind) {
        (b"", _) => b"./".to_vec(),
        (name, Kind::Directory) => [name, b"/"].concat(),
        (name, _) => name.to_vec(),
    };
    let device = match kind {
        Kind::CharDevice | Kind::BlockDevice => (major(metadata.rdev()), minor(metadata.rdev())),
        _ => (0, 0),
    };
    let size = if kind == Kind::File {
        metadata.len()
    } else {
        0
    };
    Entry {
        uid: metadata.uid(),
        gid: metadata.gid(),
        mtime: Time {
            seconds: metadata.mtime(),
            nanoseconds: u32::try_from(metadata.mtime_nsec()).unwrap_or(0),
        },
        device,
        xattrs: attributes.into_iter().filter_map(named).collect(),
        ..Entry::plain(name, kind, metadata.mode() & 0o7777, size)
    }
}

/// An attribute under the name it has in archives; none for overlay's own.
fn named((name, value): (Vec<u8>, Vec<u8>)) -> Option<(Vec<u8>, Vec<u8>)> {
    match name.strip_prefix(ESCAPED) {
        Some(rest) => Some(([OVERLAY, rest].concat(), value)),
        None if name.starts_with(OVERLAY) => None,
        None => Some((name, value)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;
    use crate::compare::first_difference;
    use crate::layer::Limits;
    use crate::layer::tar::Reader;
    use crate::layer::unpack::unpack;

    fn entries() -> impl Strategy<Value = Vec<(Entry, Vec<u8>)>> {
        proptest::collection::vec(entry(), 0..20)
    }

    fn entry() -> impl Strategy<Value = (Entry, Vec<u8>)> {
        let kinds = [
            Kind::File,
            Kind::Directory,
            Kind::Symlink,
            Kind::HardLink,
            Kind::CharDevice,
            Kind::Fifo,
        ];
        let name = "[ab]/[ab\u{e9}]|[ab]|[ab]/\\.wh\\.[ab]|[ab]/\\.wh\\.\\.wh\\.\\.opq|x{120}/[ab]";
        let owner = (0..3u32, 0..70_000u32);
        let time = (-10_000_000_000..10_000_000_000i64, 0..1_000_000_000u32);
        let data = proptest::collection::vec(any::<u8>(), 0..600);
        let parts = (name, 0..kinds.len(), 0..0o10000u32, owner, time, data);
        parts.prop_map(
            move |(name, kind, mode, (uid, gid), (seconds, nanoseconds), data)| {
                let hiding = name.contains(".wh.");
                let kind = if hiding { Kind::File } else { kinds[kind] };
                let data = if hiding || kind != Kind::File {
                    Vec::new()
                } else {
                    data
                };
                let mut entry = Entry {
                    uid,
                    gid,
                    link: b"a/b".to_vec(),
                    mtime: Time {
                        seconds,
                        nanoseconds,
                    },
                    device: (4, 5),
                    ..Entry::plain(name.into_bytes(), kind, mode, data.len() as u64)
                };
                if kind == Kind::File && !hiding && mode % 3 == 0 {
                    entry.xattrs.push((b"user.x".to_vec(), b"a\0b".to_vec()));
                    entry
                        .xattrs
                        .push((b"trusted.overlay.redirect".to_vec(), b"/x".to_vec()));
                }
                (entry, data)
            },
        )
    }

    fn unpacked(archive: &[u8], lower: &Path) -> Option<tempfile::TempDir> {
        let root = tempfile::tempdir().unwrap();
        let mut reader = Reader::new(Cursor::new(archive));
        unpack(&mut reader, root.path(), Limits::default())
            .and_then(|done| done.finish(&[lower.to_owned()]))
            .ok()?;
        Some(root)
    }

    fn archive(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
        let mut archive = Writer::new(Vec::new());
        for (entry, data) in entries {
            archive.entry(entry, &mut Cursor::new(data)).unwrap();
        }
        archive.finish().unwrap()
    }

    /// Something for whiteouts to hide.
    fn lower() -> tempfile::TempDir {
        let lower = tempfile::tempdir().unwrap();
        for name in ["a/a", "a/b", "b/a", "b/b"] {
            let path = lower.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        lower
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// Whatever tree a layer makes, its own archive makes it again, byte for byte the same.
        #[test]
        fn pack_is_the_way_back_from_unpack(entries in entries()) {
            if !rustix::process::geteuid().is_root() {
                return Ok(());
            }
            let lower = lower();
            let mut kept: Vec<(Entry, Vec<u8>)> = Vec::new();
            for entry in entries {
                kept.push(entry);
                // Refused after those before it: a file below a file, for one.
                if unpacked(&archive(&kept), lower.path()).is_none() {
                    kept.pop();
                }
            }
            let first = unpacked(&archive(&kept), lower.path()).expect("it was unpacked before");
            let (mut once, mut twice) = (Vec::new(), Vec::new());
            pack(first.path(), &mut once).unwrap();
            let second = unpacked(&once, lower.path()).expect("what was packed can be unpacked");
            let difference = first_difference(first.path(), second.path()).unwrap();
            prop_assert_eq!(difference, None);
            pack(second.path(), &mut twice).unwrap();
            prop_assert!(once == twice, "the same tree gives other bytes");
        }
    }

    #[test]
    fn a_name_that_would_hide_another_is_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(".wh.x"), "").unwrap();
        let refused = pack(root.path(), io::sink()).unwrap_err().to_string();
        assert!(refused.contains("begins with .wh."), "{refused}");
    }
}
