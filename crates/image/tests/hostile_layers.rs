//! Layers made to break out, to mislead or to exhaust, through the front door:
//! each becomes a docker archive that is loaded into a fresh store.
//!
//! After every case a tree beside the store must be untouched; after every
//! refusal nothing of the layer may be left. Needs root (devices, owners,
//! trusted attributes); without it the tests say so and pass over.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use image::archive::{Source, load};
use image::layer::tar::{Entry, Kind, Time, Writer};
use image::{Digest, Silent, Store};

/// A tar archive under construction.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn entry(mut self, entry: &Entry, data: &[u8]) -> Self {
        let mut writer = Writer::new(&mut self.0);
        writer.entry(entry, &mut Cursor::new(data)).unwrap();
        self
    }

    fn file(self, path: impl AsRef<[u8]>, data: &str) -> Self {
        let entry = Entry::plain(path.as_ref().to_vec(), Kind::File, 0o644, data.len() as u64);
        self.entry(&entry, data.as_bytes())
    }

    fn dir(self, path: &str, mode: u32) -> Self {
        self.entry(
            &Entry::plain(format!("{path}/").into(), Kind::Directory, mode, 0),
            b"",
        )
    }

    fn symlink(self, path: &str, target: impl AsRef<[u8]>) -> Self {
        let link = target.as_ref().to_vec();
        self.entry(
            &Entry {
                link,
                ..Entry::plain(path.into(), Kind::Symlink, 0o777, 0)
            },
            b"",
        )
    }

    fn hardlink(self, path: &str, target: &str) -> Self {
        let link = target.as_bytes().to_vec();
        self.entry(
            &Entry {
                link,
                ..Entry::plain(path.into(), Kind::HardLink, 0o777, 0)
            },
            b"",
        )
    }

    fn device(self, path: &str, kind: Kind, device: (u32, u32)) -> Self {
        self.entry(
            &Entry {
                device,
                ..Entry::plain(path.into(), kind, 0o600, 0)
            },
            b"",
        )
    }

    /// A header with some bytes of its own, and its checksum made right.
    fn raw(
        mut self,
        name: &[u8],
        flag: u8,
        size: u64,
        change: impl FnOnce(&mut [u8]),
        data: &[u8],
    ) -> Self {
        let mut block = [0u8; 512];
        block[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
        block[100..107].copy_from_slice(b"0000644");
        block[108..115].copy_from_slice(b"0000000");
        block[116..123].copy_from_slice(b"0000000");
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        block[136..147].copy_from_slice(b"00000000000");
        block[156] = flag;
        block[257..265].copy_from_slice(b"ustar\x0000");
        change(&mut block);
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&block);
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn pax(self, flag: u8, records: &[u8]) -> Self {
        self.raw(b"pax", flag, records.len() as u64, |_| {}, records)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest..)
        .find(|length| *length == rest + length.to_string().len())
        .unwrap();
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// A store with a tree beside it that must not change.
struct Bench {
    _dir: tempfile::TempDir,
    canary: PathBuf,
    before: BTreeMap<PathBuf, String>,
    store: Store,
    root: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let canary = dir.path().join("canary");
        fs::create_dir_all(canary.join("sub")).unwrap();
        fs::write(canary.join("file"), "untouched").unwrap();
        fs::write(canary.join("sub/file"), "untouched").unwrap();
        let root = dir.path().join("root");
        let store = Store::open(&root).unwrap();
        Self {
            before: describe(&canary),
            canary,
            store,
            root,
            _dir: dir,
        }
    }

    fn canary(&self) -> &str {
        self.canary.to_str().unwrap()
    }

    /// Loads an image of these layers; their directories, bottom first.
    fn load(&self, layers: &[Vec<u8>]) -> Result<Vec<PathBuf>, String> {
        let archive = archive(layers);
        let result = load(
            &self.store,
            Source::Archive(Box::new(Cursor::new(archive))),
            None,
            &Silent,
        );
        assert_eq!(describe(&self.canary), self.before, "the canary changed");
        match result {
            Ok(_) => {
                let image = self.store.find("t:1").unwrap();
                Ok(image
                    .layers
                    .into_iter()
                    .map(|layer| layer.directory)
                    .collect())
            }
            Err(error) => {
                let text = whole(&error);
                self.nothing_left(&text);
                Err(text)
            }
        }
    }

    fn nothing_left(&self, after: &str) {
        let names = |path: &str| -> Vec<_> {
            fs::read_dir(self.root.join(path))
                .unwrap()
                .map(|found| found.unwrap().file_name())
                .collect()
        };
        for path in [
            "layers",
            "images/blobs/sha256",
            "images/partial",
            "images/pins",
        ] {
            assert!(
                names(path).is_empty(),
                "after {after}: {path} holds {:?}",
                names(path)
            );
        }
        assert!(
            !names("images")
                .iter()
                .any(|name| name.as_bytes().starts_with(b"spool-"))
        );
        assert!(self.store.entries().unwrap().is_empty());
    }
}

fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// docker's kind of archive: nothing in it says what a layer's digest should be.
fn archive(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| plain_digest(layer)).collect();
    let config = serde_json::json!({
        "architecture": image::Platform::host().architecture, "os": "linux",
        "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids},
    })
    .to_string();
    let names: Vec<String> = (0..layers.len())
        .map(|at| format!("{at}/layer.tar"))
        .collect();
    let manifest =
        serde_json::json!([{"Config": "c.json", "RepoTags": ["t:1"], "Layers": names}]).to_string();
    let mut writer = Writer::new(Vec::new());
    let mut put = |name: &str, bytes: &[u8]| {
        writer
            .file(name, 0o644, bytes.len() as u64, &mut Cursor::new(bytes))
            .unwrap();
    };
    put("c.json", config.as_bytes());
    put("manifest.json", manifest.as_bytes());
    for (name, layer) in names.iter().zip(layers) {
        put(name, layer);
    }
    writer.finish().unwrap()
}

fn plain_digest(layer: &[u8]) -> String {
    let mut plain = Vec::new();
    let unpacked = match layer {
        [0x1f, 0x8b, ..] => {
            std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(layer), &mut plain)
                .is_ok()
        }
        _ => false,
    };
    Digest::of(if unpacked { &plain } else { layer }).to_string()
}

/// Every path below `root` with what it is.
fn describe(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(path) = todo.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let kind = meta.file_type();
        let what = if kind.is_dir() {
            todo.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|found| found.unwrap().path()),
            );
            "dir".to_owned()
        } else if kind.is_symlink() {
            format!("-> {}", fs::read_link(&path).unwrap().display())
        } else if kind.is_file() {
            String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()
        } else if kind.is_char_device() && meta.rdev() == 0 {
            "whiteout".to_owned()
        } else if kind.is_fifo() {
            "fifo".to_owned()
        } else {
            format!(
                "device {}:{}",
                rustix::fs::major(meta.rdev()),
                rustix::fs::minor(meta.rdev())
            )
        };
        let name = path.strip_prefix(root).unwrap().to_owned();
        all.insert(
            name,
            format!(
                "{what} {:o} {}:{}",
                meta.mode() & 0o7777,
                meta.uid(),
                meta.gid()
            ),
        );
    }
    all
}

fn can_run() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

fn is_opaque(path: &Path) -> bool {
    let mut value = [0u8; 8];
    rustix::fs::getxattr(path, "trusted.overlay.opaque", &mut value[..])
        .is_ok_and(|n| value[..n] == *b"y")
}

type Make = fn(&Bench) -> Vec<u8>;

/// What must be refused, and words of the refusal.
const REFUSED: &[(&str, &str, Make)] = &[
    ("a link that leads to itself", "Too many levels", |_| {
        Tar::default().symlink("a", "a").file("a/x", "").end()
    }),
    ("links that lead to each other", "Too many levels", |_| {
        Tar::default()
            .symlink("a", "b")
            .symlink("b", "a")
            .file("a/x", "")
            .end()
    }),
    ("a hard link to a file of the host", "No such file", |_| {
        Tar::default().hardlink("x", "/etc/passwd").end()
    }),
    ("a hard link out by dots", "No such file", |b| {
        Tar::default()
            .hardlink("x", &format!("../../../../..{}/file", b.canary()))
            .end()
    }),
    (
        "a hard link through a link to the host",
        "No such file",
        |b| {
            Tar::default()
                .symlink("s", b.canary())
                .hardlink("x", "s/file")
                .end()
        },
    ),
    ("a hard link through a link of dots", "No such file", |b| {
        Tar::default()
            .symlink("s", "../../../../../../..")
            .hardlink("x", &format!("s{}/file", b.canary()))
            .end()
    }),
    ("a hard link to itself", "itself", |_| {
        Tar::default().hardlink("x", "x").end()
    }),
    ("a hard link to the root", "root", |_| {
        Tar::default().hardlink("x", "/").end()
    }),
    ("a hard link to a directory", "directory", |_| {
        Tar::default().dir("d", 0o755).hardlink("x", "d").end()
    }),
    ("a hard link to what comes later", "No such file", |_| {
        Tar::default().hardlink("x", "y").file("y", "").end()
    }),
    (
        "a hard link to what a whiteout hides",
        "No such file",
        |_| Tar::default().file(".wh.y", "").hardlink("x", "y").end(),
    ),
    ("a hard link without a target", "no name", |_| {
        Tar::default().hardlink("x", "").end()
    }),
    ("the root as a link", "root of a layer", |b| {
        Tar::default().symlink(".", b.canary()).end()
    }),
    (
        "the root as a link, written with a slash",
        "root of a layer",
        |b| Tar::default().symlink("/", b.canary()).end(),
    ),
    ("the root as a file", "root of a layer", |_| {
        Tar::default().file("./", "x").end()
    }),
    ("the root as a device", "root of a layer", |_| {
        Tar::default().device("..", Kind::BlockDevice, (8, 0)).end()
    }),
    ("a whiteout of nothing", "hides a name", |_| {
        Tar::default().file(".wh.", "").end()
    }),
    ("a whiteout of the directory", "hides a name", |_| {
        Tar::default().file("d/.wh..", "").end()
    }),
    ("a whiteout of the parent", "hides a name", |_| {
        Tar::default().file("d/.wh...", "").end()
    }),
    ("a whiteout with content", "no content", |_| {
        Tar::default().file(".wh.x", "content").end()
    }),
    ("an opaque mark with content", "no content", |_| {
        Tar::default().file(".wh..wh..opq", "content").end()
    }),
    ("a device that would be a whiteout", "0:0", |_| {
        Tar::default().device("x", Kind::CharDevice, (0, 0)).end()
    }),
    ("a symbolic link to nothing", "symbolic link", |_| {
        Tar::default().symlink("x", "").end()
    }),
    (
        "a symbolic link too long for the kernel",
        "symbolic link",
        |_| Tar::default().symlink("x", [b'a'; 4096]).end(),
    ),
    ("a target with a zero byte", "pax record", |_| {
        Tar::default()
            .pax(b'x', &record("linkpath", b"a\0b"))
            .raw(b"x", b'2', 0, |_| {}, b"")
            .end()
    }),
    ("a name with a zero byte", "pax record", |_| {
        Tar::default()
            .pax(b'x', &record("path", b"a\0b"))
            .raw(b"x", b'0', 0, |_| {}, b"")
            .end()
    }),
    ("no name", "no name", |_| {
        Tar::default().raw(b"", b'0', 0, |_| {}, b"").end()
    }),
    ("a part of a name too long", "too long", |_| {
        Tar::default().file([b'a'; 256], "").end()
    }),
    ("a name too long", "too long", |_| {
        Tar::default().file(b"a/".repeat(2500), "").end()
    }),
    ("a file as a directory", "Not a directory", |_| {
        Tar::default().file("a", "").file("a/b", "").end()
    }),
    ("a device as a directory", "Not a directory", |_| {
        Tar::default()
            .device("null", Kind::CharDevice, (1, 3))
            .file("null/b", "")
            .end()
    }),
    ("a pipe as a directory", "Not a directory", |_| {
        Tar::default()
            .device("p", Kind::Fifo, (0, 0))
            .file("p/b", "")
            .end()
    }),
    ("owner 2^32 - 1", "owner", |_| {
        Tar::default()
            .pax(b'x', &record("uid", b"4294967295"))
            .raw(b"x", b'0', 0, |_| {}, b"")
            .end()
    }),
    ("owner 2^32", "owner", |_| {
        Tar::default()
            .pax(b'x', &record("uid", b"4294967296"))
            .raw(b"x", b'0', 0, |_| {}, b"")
            .end()
    }),
    ("owner -1", "uid", |_| {
        Tar::default()
            .pax(b'x', &record("uid", b"-1"))
            .raw(b"x", b'0', 0, |_| {}, b"")
            .end()
    }),
    ("a negative owner in base 256", "owner", |_| {
        Tar::default()
            .raw(b"x", b'0', 0, |block| block[108..116].fill(0xff), b"")
            .end()
    }),
    ("group 2^40", "group", |_| {
        Tar::default()
            .pax(b'x', &record("gid", b"1099511627776"))
            .raw(b"x", b'0', 0, |_| {}, b"")
            .end()
    }),
    ("a negative size", "size", |_| {
        Tar::default()
            .raw(b"x", b'0', 0, |block| block[124..136].fill(0xff), b"")
            .end()
    }),
    ("a size that is no number", "size", |_| {
        Tar::default()
            .raw(b"x", b'0', 0, |block| block[124] = b'9', b"")
            .end()
    }),
    ("a size beyond the end", "middle of an entry", |_| {
        Tar::default().raw(b"x", b'0', 1 << 30, |_| {}, b"short").0
    }),
    ("a pax size beyond the end", "middle of an entry", |_| {
        Tar::default()
            .pax(b'x', &record("size", b"9999999"))
            .raw(b"x", b'0', 0, |_| {}, b"")
            .end()
    }),
    ("a header cut in the middle", "middle of an entry", |_| {
        let mut bytes = Tar::default().file("a", "b").0;
        bytes.truncate(700 + 512);
        bytes.truncate(300);
        bytes
    }),
    ("extensions of nothing", "middle of an entry", |_| {
        Tar::default().pax(b'x', &record("path", b"a")).end()
    }),
    ("a wrong checksum", "checksum", |_| {
        let mut bytes = Tar::default().file("a", "b").end();
        bytes[0] = b'c';
        bytes
    }),
    ("a web page", "checksum", |_| {
        b"<html>not found</html>".repeat(100)
    }),
    ("one block of zeros, then more", "checksum", |_| {
        let mut bytes = vec![0; 512];
        bytes.extend(Tar::default().file("hidden", "x").end());
        bytes
    }),
    ("an unknown type", "unknown type", |_| {
        Tar::default().raw(b"x", b'Z', 0, |_| {}, b"").end()
    }),
    ("pax records of 10 MB", "at most 1048576", |_| {
        Tar::default()
            .pax(b'x', &record("comment", &vec![b'a'; 10 << 20]))
            .raw(b"x", b'0', 0, |_| {}, b"")
            .end()
    }),
    ("a global header of 10 MB", "at most 1048576", |_| {
        Tar::default()
            .pax(b'g', &record("comment", &vec![b'a'; 10 << 20]))
            .end()
    }),
    ("a GNU name of 2 MB", "at most 1048576", |_| {
        Tar::default()
            .raw(b"L", b'L', 2 << 20, |_| {}, &vec![b'a'; 2 << 20])
            .end()
    }),
    ("a record of length 0", "pax record", |_| {
        Tar::default()
            .pax(b'x', b"0 a=b\n")
            .raw(b"x", b'0', 0, |_| {}, b"")
            .end()
    }),
    ("a record longer than all", "pax record", |_| {
        Tar::default()
            .pax(b'x', b"99 a=b\n")
            .raw(b"x", b'0', 0, |_| {}, b"")
            .end()
    }),
    ("a record without =", "pax record", |_| {
        Tar::default()
            .pax(b'x', b"6 abc\n")
            .raw(b"x", b'0', 0, |_| {}, b"")
            .end()
    }),
    ("a time that is no number", "mtime", |_| {
        Tar::default()
            .pax(b'x', &record("mtime", b"soon"))
            .raw(b"x", b'0', 0, |_| {}, b"")
            .end()
    }),
    ("a sparse file of 2^60 bytes", "map of holes", |_| {
        let records = [
            record("GNU.sparse.major", b"1"),
            record("GNU.sparse.minor", b"0"),
            record("GNU.sparse.name", b"bomb"),
            record("GNU.sparse.realsize", b"1152921504606846976"),
        ];
        let mut map = b"0\n".to_vec();
        map.resize(512, 0);
        Tar::default()
            .pax(b'x', &records.concat())
            .raw(b"x", b'0', 512, |_| {}, &map)
            .end()
    }),
    ("a sparse map that overlaps", "map of holes", |_| {
        let records = [
            record("GNU.sparse.size", b"100"),
            record("GNU.sparse.numblocks", b"2"),
            record("GNU.sparse.map", b"0,10,5,10"),
        ];
        Tar::default()
            .pax(b'x', &records.concat())
            .raw(b"x", b'0', 20, |_| {}, &[1; 20])
            .end()
    }),
    ("a sparse map beyond the file", "map of holes", |_| {
        let records = [
            record("GNU.sparse.size", b"10"),
            record("GNU.sparse.map", b"5,10"),
        ];
        Tar::default()
            .pax(b'x', &records.concat())
            .raw(b"x", b'0', 10, |_| {}, &[1; 10])
            .end()
    }),
    ("a sparse map of a million lines", "map of holes", |_| {
        let records = [
            record("GNU.sparse.major", b"1"),
            record("GNU.sparse.minor", b"0"),
            record("GNU.sparse.realsize", b"1"),
        ];
        Tar::default()
            .pax(b'x', &records.concat())
            .raw(
                b"x",
                b'0',
                512,
                |_| {},
                &[b"99999999\n", &[0u8; 503][..]].concat(),
            )
            .end()
    }),
    ("a sparse map that never ends", "map of holes", |_| {
        let records = [
            record("GNU.sparse.major", b"1"),
            record("GNU.sparse.minor", b"0"),
            record("GNU.sparse.realsize", b"1"),
        ];
        Tar::default()
            .pax(b'x', &records.concat())
            .raw(b"x", b'0', 512, |_| {}, &[b'1'; 512])
            .end()
    }),
    ("an old sparse map that overflows", "map of holes", |_| {
        Tar::default()
            .raw(
                b"x",
                b'S',
                0,
                |block| {
                    block[386..397].copy_from_slice(b"77777777777");
                    block[398..409].copy_from_slice(b"77777777777");
                    block[483..494].copy_from_slice(b"00000000001");
                },
                b"",
            )
            .end()
    }),
    ("xz", "xz", |_| b"\xfd7zXZ\0\0\0\0\0".to_vec()),
    ("bzip2", "bzip2", |_| b"BZh91AY&SY....".to_vec()),
    ("gzip with garbage after it", "inflate", |_| {
        [
            gzip(&Tar::default().file("a", "").end()),
            b"garbage".to_vec(),
        ]
        .concat()
    }),
    ("gzip cut short", "inflate", |_| {
        let mut bytes = gzip(&Tar::default().file("a", &"text ".repeat(1000)).end());
        bytes.truncate(bytes.len() - 20);
        bytes
    }),
    ("gzip with a wrong checksum", "inflate", |_| {
        let mut bytes = gzip(&Tar::default().file("a", "").end());
        let at = bytes.len() - 8;
        bytes[at] ^= 1;
        bytes
    }),
];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn hostile_layers_are_refused_and_leave_nothing() {
    if !can_run() {
        return;
    }
    for (name, words, make) in REFUSED {
        let bench = Bench::new();
        match bench.load(&[make(&bench)]) {
            Ok(_) => panic!("{name}: was unpacked"),
            Err(text) => assert!(text.contains(words), "{name}: said {text:?}"),
        }
    }
}

/// What is unpacked all the same, and a path of the layer with what is there.
const CONTAINED: &[(&str, &str, &str, Make)] = &[
    ("dots stop at the root", "canary/file", "x 644 0:0", |_| {
        Tar::default().file("../../canary/file", "x").end()
    }),
    ("dots in the middle", "b", "x 644 0:0", |_| {
        Tar::default().file("a/../../../b", "x").end()
    }),
    (
        "a name from the root of all",
        "etc/passwd",
        "x 644 0:0",
        |_| Tar::default().file("/etc/passwd", "x").end(),
    ),
    ("slashes and dots", "a/b", "x 644 0:0", |_| {
        Tar::default().file(".//a/./b", "x").end()
    }),
    ("a link of dots stays in the root", "x", "x 644 0:0", |_| {
        Tar::default()
            .symlink("s", "../../../../..")
            .file("s/x", "x")
            .end()
    }),
    ("a file over a link to the host", "p", "x 644 0:0", |b| {
        Tar::default()
            .symlink("p", format!("{}/file", b.canary()))
            .file("p", "x")
            .end()
    }),
    (
        "a directory over a link to the host",
        "s",
        "dir 777 0:0",
        |b| {
            Tar::default()
                .symlink("s", b.canary())
                .dir("s", 0o777)
                .end()
        },
    ),
    (
        "a directory that becomes a link, then used",
        "d",
        "-> /nowhere 777 0:0",
        |_| {
            Tar::default()
                .dir("d", 0o755)
                .file("d/a", "1")
                .symlink("d", "/nowhere")
                .file("d/x", "x")
                .end()
        },
    ),
    (
        "a hard link to a link, then written",
        "t",
        "x 644 0:0",
        |b| {
            Tar::default()
                .symlink("s", format!("{}/file", b.canary()))
                .hardlink("t", "s")
                .file("t", "x")
                .end()
        },
    ),
    ("a whiteout through a link", "s", "-> /sub 777 0:0", |_| {
        Tar::default()
            .symlink("s", "/sub")
            .file("s/.wh.file", "")
            .end()
    }),
    ("the last of two wins", "a", "2 644 0:0", |_| {
        Tar::default().file("a", "1").file("a", "2").end()
    }),
    ("a file over a directory", "a", "1 644 0:0", |_| {
        Tar::default()
            .dir("a", 0o755)
            .file("a/b", "")
            .file("a", "1")
            .end()
    }),
    ("a directory over a file", "a/b", "1 644 0:0", |_| {
        Tar::default()
            .file("a", "")
            .dir("a", 0o755)
            .file("a/b", "1")
            .end()
    }),
    ("aufs's notes are left out", "", "dir 755 0:0", |_| {
        Tar::default()
            .file(".wh..wh.plnk", "")
            .file(".wh..wh.aufs", "")
            .end()
    }),
    ("a device as it is", "null", "device 1:3 666 0:0", |_| {
        Tar::default()
            .entry(
                &Entry {
                    device: (1, 3),
                    ..Entry::plain(b"null".to_vec(), Kind::CharDevice, 0o666, 0)
                },
                b"",
            )
            .end()
    }),
    ("a pipe", "p", "fifo 600 0:0", |_| {
        Tar::default().device("p", Kind::Fifo, (0, 0)).end()
    }),
    ("a newline in a name", "a\nb", "x 644 0:0", |_| {
        Tar::default().file("a\nb", "x").end()
    }),
    (
        "setuid survives the owner",
        "su",
        "x 4755 1000:1000",
        |_| {
            let entry = Entry {
                uid: 1000,
                gid: 1000,
                ..Entry::plain(b"su".to_vec(), Kind::File, 0o4755, 1)
            };
            Tar::default().entry(&entry, b"x").end()
        },
    ),
    ("the root's own mode", "", "dir 711 5:6", |_| {
        let entry = Entry {
            uid: 5,
            gid: 6,
            ..Entry::plain(b"./".to_vec(), Kind::Directory, 0o711, 0)
        };
        Tar::default().entry(&entry, b"").end()
    }),
    (
        "global records do not name files",
        "real",
        "x 644 0:0",
        |_| {
            Tar::default()
                .pax(b'g', &record("path", b"evil"))
                .file("real", "x")
                .end()
        },
    ),
    ("pax's size beats the header's", "b", "y 644 0:0", |_| {
        Tar::default()
            .pax(b'x', &record("size", b"0"))
            .raw(b"a", b'0', 512, |_| {}, b"")
            .file("b", "y")
            .end()
    }),
    (
        "pax's size does not count for a name header",
        "b",
        "y 644 0:0",
        |_| {
            let name = [b"b\0".to_vec(), vec![0; 10]].concat();
            Tar::default()
                .pax(b'x', &record("size", b"1"))
                .raw(b"L", b'L', 12, |_| {}, &name)
                .raw(b"a", b'0', 0, |_| {}, b"y")
                .end()
        },
    ),
    ("a hard link's size is no data", "b", "y 644 0:0", |_| {
        Tar::default()
            .file("a", "1")
            .raw(b"l", b'1', 512, |block| block[157] = b'a', b"")
            .file("b", "y")
            .end()
    }),
    ("the oldest kind of directory", "d", "dir 644 0:0", |_| {
        Tar::default().raw(b"d/", 0, 0, |_| {}, b"").end()
    }),
    ("a contiguous file is a file", "c", "x 644 0:0", |_| {
        Tar::default().raw(b"c", b'7', 1, |_| {}, b"x").end()
    }),
    ("bytes after the end", "a", "x 644 0:0", |_| {
        [Tar::default().file("a", "x").end(), vec![7; 5000]].concat()
    }),
    ("an archive without an end", "a", "x 644 0:0", |_| {
        Tar::default().file("a", "x").0
    }),
    ("an empty archive", "", "dir 755 0:0", |_| Vec::new()),
    ("several gzip members", "a", "x 644 0:0", |_| {
        let bytes = Tar::default().file("a", "x").end();
        [gzip(&bytes[..700]), gzip(&bytes[700..])].concat()
    }),
];

#[test]
fn odd_layers_stay_inside() {
    if !can_run() {
        return;
    }
    for (name, path, what, make) in CONTAINED {
        let bench = Bench::new();
        let layers = bench
            .load(&[make(&bench)])
            .unwrap_or_else(|text| panic!("{name}: {text}"));
        let tree = describe(&layers[0]);
        assert_eq!(
            tree.get(Path::new(path)).map(String::as_str),
            Some(*what),
            "{name}: {tree:#?}"
        );
    }
}

#[test]
fn a_link_to_the_host_leads_into_the_layer() {
    if !can_run() {
        return;
    }
    let bench = Bench::new();
    let layer = Tar::default()
        .symlink("s", bench.canary())
        .file("s/file", "evil")
        .end();
    let layers = bench.load(&[layer]).unwrap();
    let inside = layers[0]
        .join(bench.canary().trim_start_matches('/'))
        .join("file");
    assert_eq!(fs::read_to_string(inside).unwrap(), "evil");
}

#[test]
fn names_are_bytes() {
    if !can_run() {
        return;
    }
    let bench = Bench::new();
    let layers = bench
        .load(&[Tar::default().file([0xff, b'a', 0xfe], "x").end()])
        .unwrap();
    assert!(
        layers[0]
            .join(std::ffi::OsStr::from_bytes(&[0xff, b'a', 0xfe]))
            .exists()
    );
}

#[test]
fn overlays_own_attributes_are_not_obeyed() {
    if !can_run() {
        return;
    }
    let bench = Bench::new();
    let xattrs = vec![
        (b"trusted.overlay.opaque".to_vec(), b"y".to_vec()),
        (b"trusted.overlay.redirect".to_vec(), b"/etc".to_vec()),
        (b"security.selinux".to_vec(), b"x".to_vec()),
    ];
    let entry = Entry {
        xattrs,
        ..Entry::plain(b"d/".to_vec(), Kind::Directory, 0o755, 0)
    };
    let layers = bench
        .load(&[Tar::default().entry(&entry, b"").end()])
        .unwrap();
    let mut names = vec![0u8; 4096];
    let length = rustix::fs::listxattr(layers[0].join("d"), &mut names[..]).unwrap();
    let names = String::from_utf8_lossy(&names[..length]).into_owned();
    assert!(
        !names
            .split('\0')
            .any(|n| n == "trusted.overlay.opaque" || n == "trusted.overlay.redirect"),
        "{names:?}"
    );
    assert!(!names.contains("security.selinux"));
}

#[test]
fn capabilities_and_times_are_kept() {
    if !can_run() {
        return;
    }
    let bench = Bench::new();
    // cap_net_raw+ep, version 2, as setcap writes it.
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].to_vec();
    let entry = Entry {
        uid: 7,
        mtime: Time {
            seconds: -5,
            nanoseconds: 250_000_000,
        },
        xattrs: vec![(b"security.capability".to_vec(), capability.clone())],
        ..Entry::plain(b"d/ping".to_vec(), Kind::File, 0o755, 1)
    };
    let dir = Entry {
        mtime: Time {
            seconds: 1000,
            nanoseconds: 1,
        },
        ..Entry::plain(b"d/".to_vec(), Kind::Directory, 0o755, 0)
    };
    let layers = bench
        .load(&[Tar::default().entry(&dir, b"").entry(&entry, b"x").end()])
        .unwrap();
    let file = layers[0].join("d/ping");
    let mut value = [0u8; 64];
    let length = rustix::fs::getxattr(&file, "security.capability", &mut value[..]).unwrap();
    assert_eq!(value[..length], capability);
    let meta = fs::metadata(&file).unwrap();
    assert_eq!((meta.mtime(), meta.mtime_nsec()), (-5, 250_000_000));
    let meta = fs::metadata(layers[0].join("d")).unwrap();
    assert_eq!((meta.mtime(), meta.mtime_nsec()), (1000, 1));
}

#[test]
fn sparse_files_keep_their_holes() {
    if !can_run() {
        return;
    }
    let bench = Bench::new();
    let records = [
        record("GNU.sparse.major", b"1"),
        record("GNU.sparse.minor", b"0"),
        record("GNU.sparse.name", b"hole"),
        record("GNU.sparse.realsize", b"10000000"),
    ];
    let mut data = b"1\n9999999\n1\n".to_vec();
    data.resize(512, 0);
    data.push(b'z');
    let layer = Tar::default()
        .pax(b'x', &records.concat())
        .raw(b"x", b'0', 513, |_| {}, &data)
        .end();
    let layers = bench.load(&[layer]).unwrap();
    let meta = fs::metadata(layers[0].join("hole")).unwrap();
    assert_eq!(meta.len(), 10_000_000);
    assert!(meta.blocks() * 512 < 1_000_000);
    assert_eq!(
        fs::read(layers[0].join("hole")).unwrap().last(),
        Some(&b'z')
    );
}

#[test]
fn whiteouts_hide_only_what_is_below() {
    if !can_run() {
        return;
    }
    let bench = Bench::new();
    let below = Tar::default()
        .dir("d", 0o755)
        .file("d/a", "1")
        .file("gone", "1")
        .dir("again", 0o755)
        .file("again/old", "1")
        .end();
    let above = Tar::default()
        .file("d/new", "2")
        .file("d/.wh.a", "")
        .file("d/.wh.new", "")
        .file(".wh.gone", "")
        .file(".wh.never-there", "")
        .file(".wh.again", "")
        .dir("again", 0o700)
        .end();
    let layers = bench.load(&[below, above]).unwrap();
    let tree = describe(&layers[1]);
    let at = |path: &str| {
        tree.get(Path::new(path))
            .map(|what| what.split(' ').next().unwrap())
    };
    assert_eq!(at("d/a"), Some("whiteout"));
    assert_eq!(at("d/new"), Some("2"));
    assert_eq!(at("gone"), Some("whiteout"));
    assert_eq!(
        at("never-there"),
        None,
        "a whiteout of nothing would show up in the container"
    );
    assert_eq!(at("again"), Some("dir"));
    assert!(is_opaque(&layers[1].join("again")));
    assert!(!is_opaque(&layers[1].join("d")));
}

#[test]
fn a_hard_link_to_a_lower_layer_is_copied_up() {
    if !can_run() {
        return;
    }
    let bench = Bench::new();
    let original = Entry {
        uid: 9,
        ..Entry::plain(b"lib/a".to_vec(), Kind::File, 0o4755, 3)
    };
    let below = Tar::default()
        .symlink("l", "lib")
        .entry(&original, b"abc")
        .end();
    let above = Tar::default()
        .hardlink("b", "l/a")
        .hardlink("c", "lib/a")
        .end();
    let layers = bench.load(&[below, above]).unwrap();
    let (b, c) = (
        fs::metadata(layers[1].join("b")).unwrap(),
        fs::metadata(layers[1].join("c")).unwrap(),
    );
    assert_eq!(fs::read_to_string(layers[1].join("b")).unwrap(), "abc");
    assert_eq!((b.uid(), b.permissions().mode() & 0o7777), (9, 0o4755));
    assert_eq!(fs::read_to_string(layers[1].join("c")).unwrap(), "abc");
    assert_eq!((c.uid(), c.mode()), (b.uid(), b.mode()));
}

#[test]
fn a_directory_nobody_describes_looks_as_it_does_below() {
    if !can_run() {
        return;
    }
    let bench = Bench::new();
    let below = Tar::default().dir("tmp", 0o1777).end();
    let above = Tar::default().file("tmp/x", "1").file("new/x", "1").end();
    let layers = bench.load(&[below, above]).unwrap();
    let tree = describe(&layers[1]);
    assert_eq!(tree[Path::new("tmp")], "dir 1777 0:0");
    assert_eq!(tree[Path::new("new")], "dir 755 0:0");
}

#[test]
fn a_whiteout_below_a_link_of_its_layer_hides_what_the_link_leads_to() {
    if !can_run() {
        return;
    }
    let bench = Bench::new();
    let below = Tar::default()
        .dir("usr/lib", 0o755)
        .file("usr/lib/old", "1")
        .file("usr/lib/stays", "1")
        .file("lib/old", "1")
        .end();
    let above = Tar::default()
        .symlink("lib", "usr/lib")
        .file("lib/.wh.old", "")
        .file("lib/new", "2")
        .end();
    let layers = bench.load(&[below, above]).unwrap();
    let tree = describe(&layers[1]);
    assert_eq!(tree[Path::new("lib")], "-> usr/lib 777 0:0");
    assert!(tree[Path::new("usr/lib/old")].starts_with("whiteout"));
    assert!(tree[Path::new("usr/lib/new")].starts_with('2'));
    assert_eq!(tree.len(), 6, "{tree:#?}");
}

/// In an image, the layer that depends on those below is another tree in each place.
#[test]
fn a_layer_that_depends_on_those_below_may_be_there_twice() {
    if !can_run() {
        return;
    }
    let bench = Bench::new();
    let first = Tar::default().dir("tmp", 0o1777).file("a", "first").end();
    let dependent = Tar::default()
        .hardlink("b", "a")
        .file("tmp/x", "")
        .file(".wh.gone", "")
        .end();
    let second = Tar::default()
        .dir("tmp", 0o700)
        .file("a", "second")
        .file("gone", "")
        .end();
    let layers = [first, dependent.clone(), second, dependent];
    let layers = bench.load(&layers).unwrap();
    let trees: Vec<_> = layers.iter().map(|layer| describe(layer)).collect();
    let at = |layer: usize, path: &str| trees[layer].get(Path::new(path)).map(String::as_str);
    assert_eq!(at(1, "b"), Some("first 644 0:0"));
    assert_eq!(at(1, "tmp"), Some("dir 1777 0:0"));
    assert_eq!(at(1, "gone"), None);
    assert_eq!(at(3, "b"), Some("second 644 0:0"));
    assert_eq!(at(3, "tmp"), Some("dir 700 0:0"));
    assert_eq!(at(3, "gone"), Some("whiteout 0 0:0"));
}

/// The same layer on other layers, in another image, is another tree too.
#[test]
fn a_layer_that_depends_on_those_below_is_not_shared_with_other_images() {
    if !can_run() {
        return;
    }
    let bench = Bench::new();
    let above = Tar::default().file("tmp/x", "").end();
    for mode in [0o1777, 0o750] {
        let below = Tar::default().dir("tmp", mode).end();
        let layers = bench.load(&[below, above.clone()]).unwrap();
        let tree = describe(&layers[1]);
        assert_eq!(tree[Path::new("tmp")], format!("dir {mode:o} 0:0"));
    }
}

#[test]
fn a_hard_link_through_a_link_of_its_layer_reaches_the_layers_below() {
    if !can_run() {
        return;
    }
    let bench = Bench::new();
    let below = Tar::default().file("usr/lib/a", "below").end();
    let above = Tar::default()
        .symlink("lib", "usr/lib")
        .hardlink("b", "lib/a")
        .hardlink("c", "b")
        .file("b", "replaced")
        .end();
    let layers = bench.load(&[below, above]).unwrap();
    let read = |name: &str| fs::read_to_string(layers[1].join(name)).unwrap();
    assert_eq!((read("b"), read("c")), ("replaced".into(), "below".into()));
}

/// What directories pass on to files made in them must not reach the layer's own files.
#[test]
fn files_take_nothing_from_their_directory() {
    if !can_run() {
        return;
    }
    let bench = Bench::new();
    // user::rwx, user:7:rwx, group::rwx, mask::rwx, other::---; as setfacl -d writes it.
    let acl: Vec<u8> = [
        &2u32.to_le_bytes()[..],
        &[1, 0, 7, 0, 255, 255, 255, 255],
        &[2, 0, 7, 0, 7, 0, 0, 0],
        &[4, 0, 7, 0, 255, 255, 255, 255],
        &[16, 0, 7, 0, 255, 255, 255, 255],
        &[32, 0, 0, 0, 255, 255, 255, 255],
    ]
    .concat();
    let dir = Entry {
        gid: 50,
        xattrs: vec![(b"system.posix_acl_default".to_vec(), acl.clone())],
        ..Entry::plain(b"d/".to_vec(), Kind::Directory, 0o2775, 0)
    };
    let layer = Tar::default()
        .entry(&dir, b"")
        .file("d/file", "")
        .dir("d/sub", 0o755)
        .symlink("d/link", "x")
        .end();
    let layers = bench.load(&[layer]).unwrap();
    let tree = describe(&layers[0]);
    assert_eq!(tree[Path::new("d")], "dir 2775 0:50");
    assert_eq!(tree[Path::new("d/file")], " 644 0:0");
    assert_eq!(tree[Path::new("d/sub")], "dir 755 0:0");
    assert_eq!(tree[Path::new("d/link")], "-> x 777 0:0");
    let mut value = [0u8; 256];
    let mut acl_of = |path: &str, name: &str| {
        let length = rustix::fs::getxattr(layers[0].join(path), name, &mut value[..]);
        length.map(|length| value[..length].to_vec()).ok()
    };
    assert_eq!(acl_of("d", "system.posix_acl_default"), Some(acl));
    assert_eq!(acl_of("d/sub", "system.posix_acl_default"), None);
    assert_eq!(acl_of("d/file", "system.posix_acl_access"), None);
}

/// The root of a container looks as the topmost layer that describes it says.
#[test]
fn a_layer_that_does_not_describe_the_root_leaves_it_alone() {
    if !can_run() {
        return;
    }
    let bench = Bench::new();
    let below = Tar::default().dir(".", 0o711).file("a", "").end();
    let above = Tar::default().file("b", "").end();
    bench.load(&[below, above]).unwrap();
    let image = bench.store.find("t:1").unwrap();
    let container = bench.root.join("container");
    let snapshot = image::Snapshot::prepare(&bench.store, &image, &container).unwrap();
    let mode = fs::metadata(&snapshot.upper).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o711);
}

#[test]
fn of_a_load_that_fails_no_good_layer_stays_either() {
    if !can_run() {
        return;
    }
    let bench = Bench::new();
    let good = Tar::default().file("a", &"text ".repeat(10_000)).end();
    let bad = Tar::default().symlink(".", "/").end();
    for layers in [[good.clone(), bad.clone()], [bad, good]] {
        assert!(bench.load(&layers).unwrap_err().contains("root of a layer"));
    }
}

/// More levels than a process may have open files.
#[test]
fn a_very_deep_tree_is_made_replaced_and_removed() {
    if !can_run() {
        return;
    }
    let bench = Bench::new();
    let deep = "d/".repeat(2000);
    let layers = bench
        .load(&[Tar::default().file(format!("{deep}file"), "x").end()])
        .unwrap();
    assert_eq!(fs::read_dir(layers[0].join("d")).unwrap().count(), 1);
    bench
        .load(&[Tar::default()
            .file(format!("{deep}file"), "x")
            .file("d", "y")
            .end()])
        .unwrap();
    let removed = bench.store.entries().unwrap();
    bench.store.untag(&removed).unwrap();
    bench.store.collect().unwrap();
    bench.nothing_left("a very deep tree");
}

/// What a directory hides of the layers below is not what it looks like itself.
#[test]
fn an_opaque_directory_that_nobody_describes_looks_as_it_does_below() {
    if !can_run() {
        return;
    }
    let bench = Bench::new();
    let below = Tar::default().dir("d", 0o1777).file("d/old", "").end();
    let above = Tar::default().file("d/.wh..wh..opq", "").end();
    let layers = bench.load(&[below, above]).unwrap();
    let tree = describe(&layers[1]);
    assert_eq!(tree[Path::new("d")], "dir 1777 0:0");
    assert!(is_opaque(&layers[1].join("d")));
}

/// A link to a file below is made last, but what takes its place knows it was there.
#[test]
fn a_directory_in_the_place_of_a_link_to_a_lower_file_hides_the_lower_directory() {
    if !can_run() {
        return;
    }
    let bench = Bench::new();
    let below = Tar::default()
        .file("a", "")
        .dir("d", 0o755)
        .file("d/old", "");
    let below = below.dir("e", 0o755).file("e/old", "").end();
    let above = Tar::default()
        .hardlink("d", "a")
        .dir("d", 0o700)
        .hardlink("e", "a")
        .file("e/new", "")
        .end();
    let layers = bench.load(&[below, above]).unwrap();
    assert!(is_opaque(&layers[1].join("d")) && is_opaque(&layers[1].join("e")));
}

#[test]
fn the_last_description_of_a_directory_is_the_only_one() {
    if !can_run() {
        return;
    }
    let bench = Bench::new();
    let noted = Entry {
        xattrs: vec![(b"user.note".to_vec(), b"x".to_vec())],
        ..Entry::plain(b"d/".to_vec(), Kind::Directory, 0o755, 0)
    };
    let layer = Tar::default().entry(&noted, b"").dir("d", 0o700).end();
    let layers = bench.load(&[layer]).unwrap();
    let mut value = [0u8; 8];
    let found = rustix::fs::getxattr(layers[0].join("d"), "user.note", &mut value[..]);
    assert_eq!(found, Err(rustix::io::Errno::NODATA));
}
