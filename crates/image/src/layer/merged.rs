//! A path in the merged view of several unpacked layers, without mounting them.
//!
//! Follows overlay's rules (Documentation/filesystems/overlayfs.rst): the
//! topmost layer that has a name decides, a device 0:0 hides it, directories
//! merge until one is opaque. Symbolic links stay inside the merged root.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::{self, Errno};

use super::name::parts;

const LINKS_LIMIT: usize = 40;
const OPAQUE: &str = "trusted.overlay.opaque";

/// Something found in the merged view.
pub(super) struct Found {
    /// Which layer it is in, 0 for the topmost.
    pub(super) layer: usize,
    /// The directory of that layer it is in.
    pub(super) parent: OwnedFd,
    /// Its name there.
    pub(super) name: Vec<u8>,
    /// What it is; never a whiteout.
    pub(super) stat: Stat,
}

/// A directory of the merged view: the same path in each layer that has it, topmost first.
type Merged = Vec<(usize, OwnedFd)>;

/// The merged view of some layers.
pub(crate) struct View {
    root: Merged,
}

impl View {
    /// The view of `layers`: their roots, topmost first.
    pub(crate) fn open(layers: &[PathBuf]) -> io::Result<Self> {
        let roots = layers.iter().enumerate();
        let roots = roots.map(|(at, layer)| Ok((at, fs::open(layer, DIRECTORY, Mode::empty())?)));
        Ok(Self {
            root: visible(roots.collect::<io::Result<_>>()?)?,
        })
    }

    /// Finds `path`; links on the way are followed, one at the end is not.
    pub(super) fn find(&self, path: &[u8]) -> io::Result<Option<Found>> {
        let mut todo: VecDeque<Vec<u8>> = parts(path).map(<[u8]>::to_vec).collect();
        // Only names are kept of the way back: open directories are few.
        let mut here: Vec<Vec<u8>> = Vec::new();
        let mut current: Option<Merged> = None;
        let mut links = 0;
        while let Some(part) = todo.pop_front() {
            if part == b".." {
                here.pop();
                current = self.directory(&here)?;
                continue;
            }
            let merged = current.as_ref().unwrap_or(&self.root);
            let Some(found) = step(merged, &part)? else {
                return Ok(None);
            };
            if todo.is_empty() {
                return Ok(Some(found));
            }
            match FileType::from_raw_mode(found.stat.st_mode) {
                FileType::Directory => {
                    current = Some(descend(merged, &part)?);
                    here.push(part);
                }
                FileType::Symlink => {
                    links += 1;
                    if links > LINKS_LIMIT {
                        return Err(Errno::LOOP);
                    }
                    let target = fs::readlinkat(&found.parent, &found.name[..], Vec::new())?;
                    if target.as_bytes().starts_with(b"/") {
                        here.clear();
                        current = None;
                    }
                    for piece in parts(target.as_bytes()).rev() {
                        todo.push_front(piece.to_vec());
                    }
                }
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Every path there is, links not followed, with the topmost layer that has it.
    pub(crate) fn walk(&self) -> io::Result<BTreeMap<Vec<u8>, Seen>> {
        let mut seen = BTreeMap::new();
        visit(&self.root, &[], &mut seen)?;
        Ok(seen)
    }

    /// A directory that was found before; none for the root.
    fn directory(&self, path: &[Vec<u8>]) -> io::Result<Option<Merged>> {
        let mut current = None;
        for part in path {
            current = Some(descend(current.as_ref().unwrap_or(&self.root), part)?);
        }
        Ok(current)
    }
}

/// What the merged view has at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Which layer it is in, 0 for the topmost.
    pub(crate) layer: usize,
    pub(crate) is_directory: bool,
}

fn visit(here: &Merged, path: &[u8], seen: &mut BTreeMap<Vec<u8>, Seen>) -> io::Result<()> {
    let mut names: BTreeSet<Vec<u8>> = BTreeSet::new();
    for (_, dir) in here {
        for entry in fs::Dir::read_from(dir)? {
            names.insert(entry?.file_name().to_bytes().to_vec());
        }
    }
    for name in names {
        if matches!(&name[..], b"." | b"..") {
            continue;
        }
        let Some(found) = step(here, &name)? else {
            continue;
        };
        let path = match path {
            b"" => name.clone(),
            _ => [path, b"/", &name].concat(),
        };
        let is_directory = FileType::from_raw_mode(found.stat.st_mode) == FileType::Directory;
        let layer = found.layer;
        drop(found);
        seen.insert(
            path.clone(),
            Seen {
                layer,
                is_directory,
            },
        );
        if is_directory {
            visit(&descend(here, &name)?, &path, seen)?;
        }
    }
    Ok(())
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The topmost thing of that name, unless it is hidden.
fn step(here: &Merged, part: &[u8]) -> io::Result<Option<Found>> {
    for (layer, dir) in here {
        match fs::statat(dir, part, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
            Ok(stat) if is_whiteout(&stat) => return Ok(None),
            Ok(stat) => {
                let parent = dir.try_clone().map_err(|_| Errno::MFILE)?;
                return Ok(Some(Found {
                    layer: *layer,
                    parent,
                    name: part.to_vec(),
                    stat,
                }));
            }
        }
    }
    Ok(None)
}

/// The directory of that name in every layer whose part of it is visible.
fn descend(here: &Merged, part: &[u8]) -> io::Result<Merged> {
    let mut below = Vec::new();
    for (layer, dir) in here {
        match fs::openat(dir, part, DIRECTORY, Mode::empty()) {
            Ok(found) => below.push((*layer, found)),
            Err(Errno::NOENT) => {}
            // Anything but a directory hides what is below it.
            Err(Errno::NOTDIR | Errno::LOOP) => break,
            Err(error) => return Err(error),
        }
    }
    visible(below)
}

/// Cuts what an opaque directory hides.
fn visible(mut dirs: Merged) -> io::Result<Merged> {
    for at in 0..dirs.len() {
        if is_opaque(&dirs[at].1)? {
            dirs.truncate(at + 1);
            break;
        }
    }
    Ok(dirs)
}

/// Whether a directory hides the layers below.
pub(super) fn is_opaque(dir: impl AsFd) -> io::Result<bool> {
    let mut value = [0u8; 2];
    match fs::fgetxattr(dir, OPAQUE, &mut value) {
        Ok(length) => Ok(value[..length] == *b"y"),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a directory hide the layers below.
pub(super) fn set_opaque(dir: impl AsFd) -> io::Result<()> {
    fs::fsetxattr(dir, OPAQUE, b"y", fs::XattrFlags::empty())
}

/// Overlay's whiteout: a character device 0:0.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Owner, attributes, mode and times of one open file to another of its kind.
pub(super) fn copy_attributes(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    let stat = fs::fstat(from)?;
    fs::fchown(
        to,
        Some(fs::Uid::from_raw(stat.st_uid)),
        Some(fs::Gid::from_raw(stat.st_gid)),
    )?;
    copy_xattrs(from, to)?;
    fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    fs::futimens(to, &times_of(&stat))
}

/// The times of a file, for giving them to another.
pub(super) fn times_of(stat: &Stat) -> fs::Timestamps {
    let time = |seconds, nanoseconds| fs::Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    fs::Timestamps {
        last_access: time(stat.st_atime as _, stat.st_atime_nsec as _),
        last_modification: time(stat.st_mtime as _, stat.st_mtime_nsec as _),
    }
}

fn copy_xattrs(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    for name in xattr_names(from)? {
        let mut value = vec![0u8; 64 << 10];
        let length = fs::fgetxattr(from, &name[..], &mut value[..])?;
        fs::fsetxattr(to, &name[..], &value[..length], fs::XattrFlags::empty())?;
    }
    Ok(())
}

/// The extended attributes of a file, but those that mean something to overlay.
pub(super) fn xattr_names(file: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = vec![0u8; 64 << 10];
    let length = match fs::flistxattr(file, &mut names[..]) {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        other => other?,
    };
    let overlays = |name: &[u8]| {
        name.starts_with(b"trusted.overlay.") && !name.starts_with(b"trusted.overlay.overlay.")
    };
    Ok(names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty() && !overlays(name))
        .map(<[u8]>::to_vec)
        .collect())
}
