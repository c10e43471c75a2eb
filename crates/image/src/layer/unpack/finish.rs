//! What a layer's tree needs when all entries are made: what depends on the
//! layers below, then the attributes of directories that making things in them
//! would have changed.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::{self, Errno};

use super::attributes::DEFAULT_ACL;
use super::{DIRECTORY, Last, Unpacked, at, open_real, times};
use crate::layer::LayerError;
use crate::layer::merged::{self, Found, View};
use crate::layer::name::split_last;
use crate::layer::tar::Time;

impl Unpacked {
    /// Whether the tree needs the layers below to be right.
    pub(super) fn depends_on_lower(&self) -> bool {
        !self.links.is_empty()
            || !self.whiteouts.is_empty()
            || self.directories.values().any(|last| last.implied)
    }

    /// Decides what depended on the layers below (their roots, topmost first).
    /// True when the tree is right only on top of them.
    pub(crate) fn finish(mut self, lower: &[PathBuf]) -> Result<(Self, bool), LayerError> {
        if !self.depends_on_lower() {
            return Ok((self, false));
        }
        let root = self.open_root()?;
        let below = View::open(lower).map_err(at("open the layers below", b"/"))?;
        self.finish_whiteouts(&root, &below)?;
        self.finish_links(&root, &below, lower)?;
        self.finish_implied(&root, &below)?;
        self.finish_directories()?;
        Ok((self, true))
    }

    fn open_root(&self) -> Result<OwnedFd, LayerError> {
        fs::open(&self.root, DIRECTORY, Mode::empty()).map_err(|source| LayerError::Root {
            path: self.root.clone(),
            source,
        })
    }

    /// Below a directory that is opaque in this layer, nothing depends on other layers.
    pub(super) fn drop_useless_whiteouts(&mut self) -> Result<(), LayerError> {
        let hiding = self.hiding_directories();
        if hiding.is_empty() {
            return Ok(());
        }
        let hidden =
            |path: &[u8]| split_last(path).is_some_and(|(above, _)| hiding.contains(above));
        let root = self.open_root()?;
        for path in std::mem::take(&mut self.whiteouts).into_keys() {
            if hidden(&path) {
                remove_file(&root, &path).map_err(at("remove", &path))?;
            } else {
                self.whiteouts.insert(path, ());
            }
        }
        for (path, last) in &mut self.directories {
            last.implied &= !hidden(path);
        }
        Ok(())
    }

    /// Those that are opaque, and all below them. In their order a directory comes before what is in it.
    fn hiding_directories(&self) -> BTreeSet<Vec<u8>> {
        let mut hiding: BTreeSet<Vec<u8>> = BTreeSet::new();
        for (path, last) in &self.directories {
            if last.opaque || split_last(path).is_some_and(|(above, _)| hiding.contains(above)) {
                hiding.insert(path.clone());
            }
        }
        hiding
    }

    /// A whiteout of nothing would show up as a device in a directory that does
    /// not merge with one below, since overlay lists such directories unfiltered.
    fn finish_whiteouts(&mut self, root: &OwnedFd, below: &View) -> Result<(), LayerError> {
        for path in std::mem::take(&mut self.whiteouts).into_keys() {
            if below.find(&path).map_err(at("look up", &path))?.is_none() {
                remove_file(root, &path).map_err(at("remove", &path))?;
            }
        }
        Ok(())
    }

    /// A directory that no entry describes looks as it does below (containerd's `mkparent`).
    fn finish_implied(&mut self, root: &OwnedFd, below: &View) -> Result<(), LayerError> {
        for (path, last) in self.directories.iter_mut().filter(|(_, last)| last.implied) {
            let Some(found) = below.find(path).map_err(at("look up", path))? else {
                continue;
            };
            if FileType::from_raw_mode(found.stat.st_mode) != FileType::Directory {
                continue;
            }
            let from = fs::openat(&found.parent, &found.name[..], DIRECTORY, Mode::empty());
            let from = from.map_err(at("open", path))?;
            let to = open_real(root, path, DIRECTORY).map_err(at("open", path))?;
            merged::copy_attributes(&from, &to).map_err(at("set the attributes of", path))?;
            last.time = Time {
                seconds: found.stat.st_mtime,
                nanoseconds: u32::try_from(found.stat.st_mtime_nsec).unwrap_or(0),
            };
        }
        Ok(())
    }

    /// A hard link to a file below: that file is copied up and linked.
    fn finish_links(
        &mut self,
        root: &OwnedFd,
        below: &View,
        lower: &[PathBuf],
    ) -> Result<(), LayerError> {
        let links = std::mem::take(&mut self.links);
        let whole = if links.is_empty() {
            None
        } else {
            let layers: Vec<PathBuf> = [std::slice::from_ref(&self.root), lower].concat();
            Some(View::open(&layers).map_err(at("open the layers below", b"/"))?)
        };
        let mut copied: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for (path, target) in links {
            let failed = |errno| at("link to a file of a layer below", &path)(errno);
            match copied.get(&target) {
                Some(first) => link_again(root, first, &path).map_err(failed)?,
                None => {
                    let found = find_below(below, whole.as_ref(), &target).map_err(failed)?;
                    self.size += copy_up(root, &found, &path).map_err(failed)?;
                    copied.insert(target, path);
                }
            }
        }
        Ok(())
    }

    /// Times, and what those who were made inside must not have inherited.
    pub(super) fn finish_directories(&self) -> Result<(), LayerError> {
        let root = self.open_root()?;
        let mut parent: Option<(&[u8], OwnedFd)> = None;
        for (path, last) in &self.directories {
            let failed = |errno| at("set the attributes of", path)(errno);
            let Some((above, name)) = split_last(path) else {
                finish_directory(&root, b".", last).map_err(failed)?;
                continue;
            };
            let fd = match parent.take() {
                Some((known, fd)) if known == above => fd,
                _ => match open_real(&root, above, DIRECTORY) {
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                    other => other.map_err(failed)?,
                },
            };
            match finish_directory(&fd, name, last) {
                // Replaced by something else later in the archive.
                Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(failed(error)),
            }
            parent = Some((above, fd));
        }
        Ok(())
    }
}

fn finish_directory(parent: &OwnedFd, name: &[u8], last: &Last) -> io::Result<()> {
    if last.mode.is_some() || last.default_acl.is_some() {
        let dir = fs::openat(parent, name, DIRECTORY, Mode::empty())?;
        if let Some(acl) = &last.default_acl {
            match fs::fsetxattr(&dir, DEFAULT_ACL, acl, XattrFlags::empty()) {
                Err(Errno::OPNOTSUPP) => {}
                other => other?,
            }
        }
        if let Some(mode) = last.mode {
            fs::fchmod(&dir, Mode::from_raw_mode(mode))?;
        }
    }
    fs::utimensat(parent, name, &times(last.time), AtFlags::SYMLINK_NOFOLLOW)
}

fn remove_file(root: &OwnedFd, path: &[u8]) -> io::Result<()> {
    let (parent, name) = open_parent(root, path)?;
    fs::unlinkat(&parent, name, AtFlags::empty())
}

/// What `target` is in the layers below; links of this layer may be on the way.
fn find_below(below: &View, whole: Option<&View>, target: &[u8]) -> io::Result<Found> {
    if let Some(found) = below.find(target)? {
        return Ok(found);
    }
    let found = whole.map(|whole| whole.find(target)).transpose()?.flatten();
    // A file of this layer itself comes later in the archive than the link to it.
    found.filter(|found| found.layer > 0).ok_or(Errno::NOENT)
}

/// Copies a file of a layer below to `path`; the bytes it has.
fn copy_up(root: &OwnedFd, found: &Found, path: &[u8]) -> io::Result<u64> {
    let (parent, name) = open_parent(root, path)?;
    match FileType::from_raw_mode(found.stat.st_mode) {
        FileType::Directory => return Err(Errno::PERM),
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let from = fs::openat(&found.parent, &found.name[..], flags, Mode::empty())?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let to = fs::openat(&parent, name, flags, Mode::RUSR | Mode::WUSR)?;
            let copied = copy_content(&from, &to)?;
            merged::copy_attributes(&from, &to)?;
            return Ok(copied);
        }
        FileType::Symlink => {
            let link = fs::readlinkat(&found.parent, &found.name[..], Vec::new())?;
            fs::symlinkat(link.as_c_str(), &parent, name)?;
            own_like(&parent, name, &found.stat)?;
        }
        kind => {
            let mode = Mode::from_raw_mode(found.stat.st_mode & 0o7777);
            fs::mknodat(&parent, name, kind, Mode::empty(), found.stat.st_rdev)?;
            own_like(&parent, name, &found.stat)?;
            fs::chmodat(&parent, name, mode, AtFlags::empty())?;
        }
    }
    Ok(0)
}

fn link_again(root: &OwnedFd, first: &[u8], path: &[u8]) -> io::Result<()> {
    let (from, from_name) = open_parent(root, first)?;
    let (to, to_name) = open_parent(root, path)?;
    fs::linkat(&from, from_name, &to, to_name, AtFlags::empty())
}

fn open_parent<'a>(root: &OwnedFd, path: &'a [u8]) -> io::Result<(OwnedFd, &'a [u8])> {
    let (parents, name) = split_last(path).ok_or(Errno::INVAL)?;
    Ok((open_real(root, parents, DIRECTORY)?, name))
}

fn own_like(parent: &OwnedFd, name: &[u8], stat: &fs::Stat) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    fs::chownat(parent, name, Some(uid), Some(gid), flags)?;
    fs::utimensat(parent, name, &merged::times_of(stat), flags)
}

fn copy_content(from: &OwnedFd, to: &OwnedFd) -> io::Result<u64> {
    let mut copied = 0;
    loop {
        match fs::sendfile(to, from, None, 1 << 20)? {
            0 => return Ok(copied),
            count => copied += count as u64,
        }
    }
}
