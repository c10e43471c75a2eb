//! Creates a layer's entries below one directory, and nowhere else.
//!
//! In: entries of an archive. Out: a tree in overlay's form, and what could not
//! be decided without the layers below ([`Unpacked::finish`]). Every path is
//! resolved by the kernel with RESOLVE_IN_ROOT, and everything is made relative
//! to the file descriptor of its parent, never following a last symbolic link;
//! so no order of entries can lead out (CVE-2020-10696, CVE-2021-32760 and kin).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::BufRead;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{
    self, AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid,
};
use rustix::io::{self, Errno};

use super::LayerError;
use super::merged::{self, is_whiteout, set_opaque};
use super::name::{Meaning, clean, meaning};
use super::tar::{Entry, Kind, Reader, Segment, Time};

mod attributes;

const LINKS_LIMIT: usize = 40;
const DIRECTORY_LIMIT_OPEN: usize = 24;
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A directory reached through links of the layer, which stay in its root.
const THROUGH_LINKS: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

type Parts = Vec<Vec<u8>>;

/// How much a layer may make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Entries of the archive.
    pub(crate) entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 2_000_000 }
    }
}

/// A layer whose entries are made.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// Bytes of its files.
    pub(crate) size: u64,
    /// Entries of the archive.
    pub(crate) entries: u64,
    /// What people should know: one sentence each.
    pub(crate) notes: BTreeSet<String>,
    root: PathBuf,
    /// Links to files that must be in a layer below, in order.
    links: Vec<(Parts, Parts)>,
    /// Directories that no entry describes.
    implied: BTreeSet<Parts>,
    /// Names hidden from the layers below.
    whiteouts: BTreeSet<Parts>,
    /// Set last, since making things in a directory changes its time.
    times: BTreeMap<Parts, Time>,
}

/// Unpacks `reader` into the empty directory `root`.
pub(crate) fn unpack<S: BufRead>(
    reader: &mut Reader<S>,
    root: &Path,
    limits: Limits,
) -> Result<Unpacked, LayerError> {
    let fd = fs::open(root, DIRECTORY, Mode::empty()).map_err(|source| LayerError::Root {
        path: root.to_owned(),
        source,
    })?;
    let mut unpacker = Unpacker {
        root: Rc::new(fd),
        parents: VecDeque::new(),
        done: Unpacked {
            size: 0,
            entries: 0,
            notes: BTreeSet::new(),
            root: root.to_owned(),
            links: Vec::new(),
            implied: BTreeSet::new(),
            whiteouts: BTreeSet::new(),
            times: BTreeMap::new(),
        },
    };
    while let Some(entry) = reader.next_entry()? {
        unpacker.done.entries += 1;
        if unpacker.done.entries > limits.entries {
            return Err(LayerError::TooMany {
                limit: limits.entries,
            });
        }
        unpacker.take(&entry, reader)?;
    }
    let done = unpacker.done;
    if !done.depends_on_lower() {
        done.set_times()?;
    }
    Ok(done)
}

struct Unpacker {
    root: Rc<OwnedFd>,
    /// Directories used last, newest first; most entries follow their siblings.
    parents: VecDeque<(Parts, Rc<OwnedFd>)>,
    done: Unpacked,
}

impl Unpacker {
    fn take<S: BufRead>(
        &mut self,
        entry: &Entry,
        reader: &mut Reader<S>,
    ) -> Result<(), LayerError> {
        let mut parts = clean(&entry.path)?;
        if entry
            .path
            .split(|byte| *byte == b'/')
            .any(|part| part == b"..")
        {
            self.note("a name with .. was kept below the root");
        }
        let Some(last) = parts.pop() else {
            return self.set_root(entry);
        };
        match meaning(&last)? {
            Meaning::Ignored => Ok(()),
            Meaning::Plain => self.create(parts, last, entry, reader),
            _ if entry.size != 0 => Err(forbidden(&entry.path, "a whiteout has no content")),
            Meaning::Hides(name) => self.hide(parts, name),
            Meaning::HidesAll => {
                let parent = self.parent(&parts)?;
                set_opaque(&*parent).map_err(at("hide the content of", &parts))
            }
        }
    }

    /// The entry `.`: it can only be the directory itself.
    fn set_root(&mut self, entry: &Entry) -> Result<(), LayerError> {
        if entry.kind != Kind::Directory {
            return Err(forbidden(&entry.path, "the root of a layer is a directory"));
        }
        self.done.times.insert(Vec::new(), entry.mtime);
        let root = Rc::clone(&self.root);
        self.set_attributes(&root, entry)
    }

    fn create<S: BufRead>(
        &mut self,
        parents: Parts,
        name: Vec<u8>,
        entry: &Entry,
        reader: &mut Reader<S>,
    ) -> Result<(), LayerError> {
        let parent = self.parent(&parents)?;
        let mut path = parents;
        path.push(name.clone());
        match entry.kind {
            Kind::Directory => return self.create_directory(&parent, &name, path, entry),
            Kind::HardLink => return self.create_link(&parent, &name, path, entry),
            _ => {}
        }
        self.forget(&path);
        let make = |this: &mut Self| match entry.kind {
            Kind::File => this.create_file(&parent, &name, entry, reader),
            Kind::Symlink => this.create_symlink(&parent, &name, entry),
            _ => this.create_node(&parent, &name, entry),
        };
        self.replacing(&parent, &name, &path, make)
    }

    /// Runs `make`; when something of the name is there already, removes it and tries again.
    fn replacing(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        path: &Parts,
        mut make: impl FnMut(&mut Self) -> Result<(), LayerError>,
    ) -> Result<(), LayerError> {
        match make(self) {
            Err(LayerError::Entry {
                source: Errno::EXIST,
                ..
            }) => {
                self.remove(parent, name, path)?;
                make(self)
            }
            other => other,
        }
    }

    fn create_directory(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        path: Parts,
        entry: &Entry,
    ) -> Result<(), LayerError> {
        let mut replaced = false;
        match fs::mkdirat(parent, name, Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let there = fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
                let there = there.map_err(at("read", &path))?;
                if FileType::from_raw_mode(there.st_mode) != FileType::Directory {
                    self.remove(parent, name, &path)?;
                    fs::mkdirat(parent, name, Mode::RWXU).map_err(at("make directory", &path))?;
                    replaced = true;
                }
            }
            Err(error) => return Err(at("make directory", &path)(error)),
        }
        let dir = fs::openat(parent, name, DIRECTORY, Mode::empty()).map_err(at("open", &path))?;
        // Hidden or replaced and made again in one layer: what is below stays hidden.
        if replaced {
            set_opaque(&dir).map_err(at("hide the content of", &path))?;
        }
        self.set_attributes(&dir, entry)?;
        self.done.implied.remove(&path);
        self.done.links.retain(|(link, _)| *link != path);
        self.remember(&path, &Rc::new(dir));
        self.done.times.insert(path, entry.mtime);
        Ok(())
    }

    fn create_file<S: BufRead>(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        entry: &Entry,
        reader: &mut Reader<S>,
    ) -> Result<(), LayerError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(entry_error("create", entry))?;
        match &entry.segments {
            None => self.write(&file, entry, reader, u64::MAX)?,
            Some(segments) => self.write_sparse(&file, entry, segments, reader)?,
        }
        self.set_attributes(&file, entry)?;
        fs::futimens(&file, &times(entry.mtime)).map_err(entry_error("set the time of", entry))
    }

    /// Writes up to `limit` bytes of the entry's data where the file stands.
    fn write<S: BufRead>(
        &mut self,
        file: &OwnedFd,
        entry: &Entry,
        reader: &mut Reader<S>,
        limit: u64,
    ) -> Result<(), LayerError> {
        let mut left = limit;
        loop {
            let piece = reader.data()?;
            let length = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if length == 0 {
                return Ok(());
            }
            let mut rest = &piece[..length];
            while !rest.is_empty() {
                match io::write(file, rest) {
                    Ok(written) => rest = &rest[written..],
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(entry_error("write", entry)(error)),
                }
            }
            reader.consume(length);
            left -= length as u64;
            self.done.size += length as u64;
        }
    }

    fn write_sparse<S: BufRead>(
        &mut self,
        file: &OwnedFd,
        entry: &Entry,
        segments: &[Segment],
        reader: &mut Reader<S>,
    ) -> Result<(), LayerError> {
        fs::ftruncate(file, entry.size).map_err(entry_error("size", entry))?;
        for segment in segments {
            fs::seek(file, fs::SeekFrom::Start(segment.offset))
                .map_err(entry_error("seek in", entry))?;
            self.write(file, entry, reader, segment.length)?;
        }
        Ok(())
    }

    fn create_symlink(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), LayerError> {
        if entry.link.is_empty() || entry.link.contains(&0) || entry.link.len() >= 4096 {
            return Err(forbidden(
                &entry.path,
                "a symbolic link needs a target of 1 to 4095 bytes without zeros",
            ));
        }
        fs::symlinkat(&entry.link[..], parent, name).map_err(entry_error("create", entry))?;
        self.set_attributes_at(parent, name, entry)
    }

    fn create_node(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), LayerError> {
        let kind = match entry.kind {
            Kind::CharDevice => FileType::CharacterDevice,
            Kind::BlockDevice => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        let (major, minor) = entry.device;
        if kind == FileType::CharacterDevice && entry.device == (0, 0) {
            return Err(forbidden(
                &entry.path,
                "a character device 0:0 would hide files of the layers below",
            ));
        }
        fs::mknodat(parent, name, kind, Mode::empty(), fs::makedev(major, minor))
            .map_err(entry_error("create", entry))?;
        self.set_attributes_at(parent, name, entry)
    }

    fn create_link(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        path: Parts,
        entry: &Entry,
    ) -> Result<(), LayerError> {
        let target = clean(&entry.link)?;
        if target == path || target.is_empty() {
            return Err(forbidden(
                &entry.path,
                "a hard link to itself or to the root",
            ));
        }
        match self.link(&target, parent, name, &path) {
            Err(Errno::NOENT) => {
                // Not in this layer, so far: it must be in one below.
                self.forget(&path);
                self.remove_any(parent, name, &path)?;
                self.done.links.push((path, target));
                Ok(())
            }
            Err(Errno::PERM) => Err(forbidden(&entry.path, "a hard link to a directory")),
            other => {
                self.done.links.retain(|(link, _)| *link != path);
                other.map_err(entry_error("link", entry))
            }
        }
    }

    /// Links `target` of this layer; ENOENT when it is not there (yet).
    fn link(
        &mut self,
        target: &Parts,
        parent: &OwnedFd,
        name: &[u8],
        path: &Parts,
    ) -> Result<(), Errno> {
        let Some((target_name, target_dir)) = target.split_last() else {
            return Err(Errno::NOENT);
        };
        let from = self.open_existing(target_dir)?;
        let stat = fs::statat(&*from, &target_name[..], AtFlags::SYMLINK_NOFOLLOW)?;
        if is_whiteout(&stat) {
            return Err(Errno::NOENT);
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return Err(Errno::PERM);
        }
        let link = || fs::linkat(&*from, &target_name[..], parent, name, AtFlags::empty());
        match link() {
            Err(Errno::EXIST) => {
                let there = fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
                if (there.st_dev, there.st_ino) == (stat.st_dev, stat.st_ino) {
                    return Ok(());
                }
                self.remove(parent, name, path)
                    .map_err(|error| match error {
                        LayerError::Entry { source, .. } => source,
                        _ => Errno::INVAL,
                    })?;
                link()
            }
            other => other,
        }
    }

    /// A whiteout: hides the layers below, never entries of this layer.
    fn hide(&mut self, parents: Parts, name: Vec<u8>) -> Result<(), LayerError> {
        let parent = self.parent(&parents)?;
        let mut path = parents;
        path.push(name.clone());
        if self.done.links.iter().any(|(link, _)| *link == path) {
            return Ok(());
        }
        let device = fs::mknodat(
            &*parent,
            &name[..],
            FileType::CharacterDevice,
            Mode::empty(),
            0,
        );
        match device {
            Ok(()) => drop(self.done.whiteouts.insert(path)),
            Err(Errno::EXIST) => {
                if let Ok(dir) = fs::openat(&*parent, &name[..], DIRECTORY, Mode::empty()) {
                    set_opaque(&dir).map_err(at("hide the content of", &path))?;
                    self.done.implied.remove(&path);
                }
            }
            Err(error) => return Err(at("hide", &path)(error)),
        }
        Ok(())
    }

    /// An existing directory of this layer; links on the way stay in the root.
    fn open_existing(&mut self, parts: &[Vec<u8>]) -> Result<Rc<OwnedFd>, Errno> {
        if parts.is_empty() {
            return Ok(Rc::clone(&self.root));
        }
        if let Some(at) = self.parents.iter().position(|(known, _)| known == parts) {
            return Ok(Rc::clone(&self.parents[at].1));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = Rc::new(open_in(&self.root, &parts.join(&b'/'), flags)?);
        self.remember(&parts.to_vec(), &dir);
        Ok(dir)
    }

    /// The directory an entry goes to, made when there is none.
    fn parent(&mut self, parts: &Parts) -> Result<Rc<OwnedFd>, LayerError> {
        match self.open_existing(parts) {
            Err(Errno::NOENT | Errno::NOTDIR) => {
                let dir = Rc::new(self.make_parents(parts)?);
                self.remember(parts, &dir);
                Ok(dir)
            }
            other => other.map_err(at("open directory", parts)),
        }
    }

    /// Goes down `parts` one by one, through symbolic links, making what is missing.
    fn make_parents(&mut self, parts: &Parts) -> Result<OwnedFd, LayerError> {
        let fail = |errno| at("make directory", parts)(errno);
        let clone = |fd: &OwnedFd| fd.try_clone().map_err(|_| fail(Errno::MFILE));
        let mut todo: VecDeque<Vec<u8>> = parts.clone().into();
        let mut stack: Vec<OwnedFd> = vec![clone(&self.root)?];
        let mut here: Parts = Vec::new();
        let mut links = 0;
        while let Some(part) = todo.pop_front() {
            if part == b".." {
                if here.pop().is_some() {
                    stack.pop();
                }
                continue;
            }
            let Some(dir) = stack.last() else { break };
            match fs::statat(dir, &part[..], AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                    links += 1;
                    if links > LINKS_LIMIT {
                        return Err(fail(Errno::LOOP));
                    }
                    let target = fs::readlinkat(dir, &part[..], Vec::new()).map_err(fail)?;
                    if target.as_bytes().starts_with(b"/") {
                        stack.truncate(1);
                        here.clear();
                    }
                    let pieces = target.as_bytes().split(|byte| *byte == b'/');
                    for piece in pieces.rev().filter(|piece| !matches!(*piece, b"" | b".")) {
                        todo.push_front(piece.to_vec());
                    }
                    continue;
                }
                Ok(stat) if is_whiteout(&stat) => {
                    here.push(part.clone());
                    self.done.whiteouts.remove(&here);
                    fs::unlinkat(dir, &part[..], AtFlags::empty()).map_err(fail)?;
                    fs::mkdirat(dir, &part[..], 0o755.into()).map_err(fail)?;
                    let made =
                        fs::openat(dir, &part[..], DIRECTORY, Mode::empty()).map_err(fail)?;
                    set_opaque(&made).map_err(fail)?;
                    fs::fchmod(&made, 0o755.into()).map_err(fail)?;
                    self.done.times.insert(here.clone(), Time::default());
                    stack.push(made);
                    continue;
                }
                Ok(_) => {}
                Err(Errno::NOENT) => {
                    fs::mkdirat(dir, &part[..], 0o755.into()).map_err(fail)?;
                    // Whatever the umask says.
                    fs::chmodat(dir, &part[..], 0o755.into(), AtFlags::empty()).map_err(fail)?;
                    let mut made = here.clone();
                    made.push(part.clone());
                    self.done.links.retain(|(link, _)| *link != made);
                    self.done.times.insert(made.clone(), Time::default());
                    self.done.implied.insert(made);
                }
                Err(error) => return Err(fail(error)),
            }
            let next = fs::openat(dir, &part[..], DIRECTORY, Mode::empty()).map_err(fail)?;
            here.push(part);
            stack.push(next);
        }
        stack.pop().ok_or_else(|| fail(Errno::NOENT))
    }

    fn remember(&mut self, parts: &Parts, dir: &Rc<OwnedFd>) {
        self.parents.retain(|(known, _)| known != parts);
        self.parents.push_front((parts.clone(), Rc::clone(dir)));
        self.parents.truncate(DIRECTORY_LIMIT_OPEN);
    }

    /// Removes what is at `path`, and everything remembered about it.
    fn remove(&mut self, parent: &OwnedFd, name: &[u8], path: &Parts) -> Result<(), LayerError> {
        self.forget(path);
        // A link on the way may have led to what is removed: look all up again.
        self.parents.clear();
        match fs::unlinkat(parent, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {
                self.note("a directory was replaced by something else in the same layer");
                remove_below(parent, name).map_err(at("remove", path))
            }
            other => other.map_err(at("remove", path)),
        }
    }

    fn remove_any(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        path: &Parts,
    ) -> Result<(), LayerError> {
        match self.remove(parent, name, path) {
            Err(LayerError::Entry {
                source: Errno::NOENT,
                ..
            }) => Ok(()),
            other => other,
        }
    }

    fn forget(&mut self, path: &Parts) {
        let done = &mut self.done;
        if !done.links.is_empty() {
            done.links.retain(|(link, _)| !link.starts_with(path));
        }
        done.whiteouts.remove(path);
        if done.times.contains_key(path) {
            done.times.retain(|known, _| !known.starts_with(path));
            done.implied.retain(|known| !known.starts_with(path));
            done.whiteouts.retain(|known| !known.starts_with(path));
        }
    }

    fn note(&mut self, text: &str) {
        if !self.done.notes.contains(text) {
            self.done.notes.insert(text.to_owned());
        }
    }
}

impl Unpacked {
    /// Whether the tree needs the layers below to be right.
    pub(crate) fn depends_on_lower(&self) -> bool {
        !self.links.is_empty() || !self.implied.is_empty() || !self.whiteouts.is_empty()
    }

    /// Decides what depended on the layers below (their roots, topmost first).
    /// True when the tree is now right only on top of them.
    pub(crate) fn finish(mut self, lower: &[PathBuf]) -> Result<(Self, bool), LayerError> {
        if !self.depends_on_lower() {
            return Ok((self, false));
        }
        let root =
            fs::open(&self.root, DIRECTORY, Mode::empty()).map_err(|source| LayerError::Root {
                path: self.root.clone(),
                source,
            })?;
        let mut changed = self.finish_implied(&root, lower)?;
        changed |= self.finish_whiteouts(&root, lower)?;
        changed |= self.finish_links(&root, lower)?;
        self.set_times()?;
        Ok((self, changed))
    }

    /// A directory that no entry describes looks as it does below (containerd's `mkparent`).
    fn finish_implied(&mut self, root: &OwnedFd, lower: &[PathBuf]) -> Result<bool, LayerError> {
        let mut changed = false;
        for path in std::mem::take(&mut self.implied) {
            if is_hidden(root, &path).map_err(at("read", &path))? {
                continue;
            }
            let Some(found) = merged::find(lower, &path).map_err(at("look up", &path))? else {
                continue;
            };
            if FileType::from_raw_mode(found.stat.st_mode) != FileType::Directory {
                continue;
            }
            let from = fs::openat(&found.parent, &found.name[..], DIRECTORY, Mode::empty());
            let from = from.map_err(at("open", &path))?;
            let to = open_in(root, &path.join(&b'/'), DIRECTORY).map_err(at("open", &path))?;
            merged::copy_attributes(&from, &to).map_err(at("set the attributes of", &path))?;
            let time = Time {
                seconds: found.stat.st_mtime,
                nanoseconds: u32::try_from(found.stat.st_mtime_nsec).unwrap_or(0),
            };
            self.times.insert(path, time);
            changed = true;
        }
        Ok(changed)
    }

    /// A whiteout of nothing would show up as a device in a directory that does
    /// not merge with one below, since overlay lists such directories unfiltered.
    fn finish_whiteouts(&mut self, root: &OwnedFd, lower: &[PathBuf]) -> Result<bool, LayerError> {
        let mut changed = false;
        for path in std::mem::take(&mut self.whiteouts) {
            let Some((name, parents)) = path.split_last() else {
                continue;
            };
            let parent =
                open_in(root, &parents.join(&b'/'), THROUGH_LINKS).map_err(at("open", &path))?;
            let hidden = is_hidden(root, &path).map_err(at("read", &path))?;
            let needed = !hidden
                && merged::find(lower, &path)
                    .map_err(at("look up", &path))?
                    .is_some();
            if !needed {
                fs::unlinkat(&parent, &name[..], AtFlags::empty()).map_err(at("remove", &path))?;
                // In an opaque directory it is useless on top of any layers.
                changed |= !hidden;
            }
        }
        Ok(changed)
    }

    /// A hard link to a file below: that file is copied up and linked.
    fn finish_links(&mut self, root: &OwnedFd, lower: &[PathBuf]) -> Result<bool, LayerError> {
        let mut copied: BTreeMap<Parts, Parts> = BTreeMap::new();
        let links = std::mem::take(&mut self.links);
        let changed = !links.is_empty();
        for (path, target) in links {
            let first = copied
                .get(&target)
                .or_else(|| copied.values().find(|made| **made == target));
            let result = match first {
                Some(first) => link_again(root, first, &path),
                None => self.copy_up(root, lower, &target, &path),
            };
            result.map_err(at("link to a file of a layer below", &path))?;
            copied.entry(target).or_insert(path);
        }
        Ok(changed)
    }

    fn copy_up(
        &mut self,
        root: &OwnedFd,
        lower: &[PathBuf],
        target: &Parts,
        path: &Parts,
    ) -> io::Result<()> {
        let found = merged::find(lower, target)?.ok_or(Errno::NOENT)?;
        let (parent, name) = open_parent(root, path)?;
        match FileType::from_raw_mode(found.stat.st_mode) {
            FileType::Directory => Err(Errno::PERM),
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let from = fs::openat(&found.parent, &found.name[..], flags, Mode::empty())?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let to = fs::openat(&parent, name, flags, Mode::RUSR | Mode::WUSR)?;
                self.size += copy_content(&from, &to)?;
                merged::copy_attributes(&from, &to)
            }
            FileType::Symlink => {
                let link = fs::readlinkat(&found.parent, &found.name[..], Vec::new())?;
                fs::symlinkat(link.as_c_str(), &parent, name)?;
                own_like(&parent, name, &found.stat)
            }
            kind => {
                let mode = Mode::from_raw_mode(found.stat.st_mode & 0o7777);
                fs::mknodat(&parent, name, kind, Mode::empty(), found.stat.st_rdev)?;
                own_like(&parent, name, &found.stat)?;
                fs::chmodat(&parent, name, mode, AtFlags::empty())
            }
        }
    }

    fn set_times(&self) -> Result<(), LayerError> {
        let root =
            fs::open(&self.root, DIRECTORY, Mode::empty()).map_err(|source| LayerError::Root {
                path: self.root.clone(),
                source,
            })?;
        for (path, time) in &self.times {
            let result = if path.is_empty() {
                fs::futimens(&root, &times(*time))
            } else {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                open_in(&root, &path.join(&b'/'), flags)
                    .and_then(|dir| fs::utimensat(&dir, c"", &times(*time), AtFlags::EMPTY_PATH))
            };
            match result {
                // Replaced by something else later in the archive.
                Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(at("set the time of", path)(error)),
            }
        }
        Ok(())
    }
}

/// Whether this layer itself hides what the layers below have at `path`.
fn is_hidden(root: &OwnedFd, path: &Parts) -> io::Result<bool> {
    for length in 0..path.len() {
        let dir = open_in(root, &path[..length].join(&b'/'), THROUGH_LINKS)?;
        if merged::is_opaque(&dir)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn link_again(root: &OwnedFd, first: &Parts, path: &Parts) -> io::Result<()> {
    let (from, from_name) = open_parent(root, first)?;
    let (to, to_name) = open_parent(root, path)?;
    fs::linkat(&from, from_name, &to, to_name, AtFlags::empty())
}

fn open_parent<'a>(root: &OwnedFd, path: &'a Parts) -> io::Result<(OwnedFd, &'a [u8])> {
    let (name, parents) = path.split_last().ok_or(Errno::INVAL)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok((open_in(root, &parents.join(&b'/'), flags)?, name))
}

/// Opens `path` below `root`, whatever links are on the way.
fn open_in(root: &OwnedFd, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let path: &[u8] = if path.is_empty() { b"." } else { path };
    fs::openat2(
        root,
        path,
        flags,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
}

fn own_like(parent: &OwnedFd, name: &[u8], stat: &fs::Stat) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    fs::chownat(
        parent,
        name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    fs::utimensat(
        parent,
        name,
        &merged::times_of(stat),
        AtFlags::SYMLINK_NOFOLLOW,
    )
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

/// Removes a directory and all below it, never following a link.
fn remove_below(parent: impl AsFd, name: &[u8]) -> io::Result<()> {
    let dir = fs::openat(&parent, name, DIRECTORY, Mode::empty())?;
    for entry in fs::Dir::read_from(&dir)? {
        let entry = entry?;
        let child = entry.file_name().to_bytes();
        if matches!(child, b"." | b"..") {
            continue;
        }
        match fs::unlinkat(&dir, child, AtFlags::empty()) {
            Err(Errno::ISDIR) => remove_below(&dir, child)?,
            other => other?,
        }
    }
    fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}

fn times(time: Time) -> Timestamps {
    let time = Timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanoseconds.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn forbidden(path: &[u8], rule: &'static str) -> LayerError {
    LayerError::Forbidden {
        path: path.to_vec(),
        rule,
    }
}

fn at(action: &'static str, parts: &[Vec<u8>]) -> impl FnOnce(Errno) -> LayerError {
    let path = parts.join(&b'/');
    move |source| LayerError::Entry {
        action,
        path,
        source,
    }
}

fn entry_error(action: &'static str, entry: &Entry) -> impl FnOnce(Errno) -> LayerError {
    let path = entry.path.clone();
    move |source| LayerError::Entry {
        action,
        path,
        source,
    }
}
