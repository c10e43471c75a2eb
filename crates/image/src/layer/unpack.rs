//! Creates a layer's entries below one directory, and nowhere else.
//!
//! In: entries of an archive. Out: a tree in overlay's form, and what could not
//! be decided without the layers below ([`Unpacked::finish`], in `finish.rs`).
//! Every path is resolved by the kernel without leaving the root, and everything
//! is made relative to the file descriptor of its parent (`place.rs`), never
//! following a last symbolic link; so no order of entries can lead out
//! (CVE-2020-10696, CVE-2021-32760 and kin).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::BufRead;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps};
use rustix::io::{self, Errno};

use super::LayerError;
use super::merged::{is_whiteout, set_opaque};
use super::name::{Meaning, clean, meaning, split_last};
use super::tar::{Entry, Kind, Reader, Segment, Time};
use attributes::Defaults;
use place::Place;

use crate::remove::remove_directory;

mod attributes;
mod finish;
mod place;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// How much a layer may make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Entries of the archive.
    pub(crate) entries: u64,
    /// Bytes of the paths that must be remembered until the end.
    pub(crate) remembered: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 2_000_000,
            remembered: 32 << 20,
        }
    }
}

/// A layer whose entries are made. Paths are real ones: no symbolic link is on their way.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// Bytes of its files.
    pub(crate) size: u64,
    /// Entries of the archive.
    pub(crate) entries: u64,
    /// What people should know: one sentence each.
    pub(crate) notes: BTreeSet<String>,
    /// Whether an entry describes the root itself.
    pub(crate) describes_root: bool,
    root: PathBuf,
    /// Links to files that must be in a layer below: path and target.
    links: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Names hidden from the layers below.
    whiteouts: BTreeMap<Vec<u8>, ()>,
    /// What directories get last.
    directories: BTreeMap<Vec<u8>, Last>,
}

/// What a directory gets when everything in it is made, which would change it
/// (its time) or take after it (group, access control list).
#[derive(Debug, Default)]
struct Last {
    time: Time,
    /// Permissions, when they have the set-group-id bit.
    mode: Option<u32>,
    /// `system.posix_acl_default`.
    default_acl: Option<Box<[u8]>>,
    /// No entry describes it: it looks as it does below.
    implied: bool,
    /// It hides what the layers below have in it.
    opaque: bool,
}

/// Unpacks `reader` into the empty directory `root`.
pub(crate) fn unpack<S: BufRead>(
    reader: &mut Reader<S>,
    root: &Path,
    limits: Limits,
) -> Result<Unpacked, LayerError> {
    let mut unpacker = Unpacker::new(root)?;
    while let Some(entry) = reader.next_entry()? {
        unpacker.done.entries += 1;
        if unpacker.done.entries > limits.entries {
            return Err(LayerError::TooMany {
                limit: limits.entries,
            });
        }
        unpacker.take(&entry, reader)?;
        if unpacker.remembered > limits.remembered {
            return Err(LayerError::TooManyPaths {
                limit: limits.remembered,
            });
        }
    }
    let mut done = unpacker.done;
    done.drop_useless_whiteouts()?;
    if !done.depends_on_lower() {
        done.finish_directories()?;
    }
    Ok(done)
}

struct Unpacker {
    root: Rc<Place>,
    /// Directories used last, newest first; most entries follow their siblings.
    parents: VecDeque<(Vec<u8>, Rc<Place>)>,
    defaults: Defaults,
    /// Bytes of paths kept in `done`; what is forgotten again still counts.
    remembered: usize,
    done: Unpacked,
}

impl Unpacker {
    fn new(root: &Path) -> Result<Self, LayerError> {
        let failed = |source| LayerError::Root {
            path: root.to_owned(),
            source,
        };
        let defaults = Defaults::of_this_process();
        let fd = fs::open(root, DIRECTORY, Mode::empty()).map_err(failed)?;
        defaults.prepare_root(&fd).map_err(failed)?;
        let root_place = Place::open(fd, Vec::new(), &defaults).map_err(failed)?;
        Ok(Self {
            root: Rc::new(root_place),
            parents: VecDeque::new(),
            defaults,
            remembered: 0,
            done: Unpacked {
                size: 0,
                entries: 0,
                notes: BTreeSet::new(),
                describes_root: false,
                root: root.to_owned(),
                links: BTreeMap::new(),
                whiteouts: BTreeMap::new(),
                directories: BTreeMap::from([(Vec::new(), Last::default())]),
            },
        })
    }

    fn take<S: BufRead>(
        &mut self,
        entry: &Entry,
        reader: &mut Reader<S>,
    ) -> Result<(), LayerError> {
        let path = clean(&entry.path)?;
        let dots = |path: &[u8]| path.split(|byte| *byte == b'/').any(|part| part == b"..");
        if path.len() != entry.path.len() && dots(&entry.path) {
            self.note("a name with .. was kept below the root");
        }
        let Some((parents, name)) = split_last(&path) else {
            return self.set_root(entry);
        };
        match meaning(name)? {
            Meaning::Ignored => Ok(()),
            Meaning::Plain => self.create(parents, name, entry, reader),
            _ if entry.size != 0 => Err(forbidden(&entry.path, "a whiteout has no content")),
            Meaning::Hides(hidden) => self.hide(parents, &hidden),
            Meaning::HidesAll => {
                let parent = self.parent(parents)?;
                self.make_opaque(&parent.fd, &parent.path)
                    .map_err(at("hide the content of", parents))
            }
        }
    }

    /// The entry `.`: it can only be the directory itself.
    fn set_root(&mut self, entry: &Entry) -> Result<(), LayerError> {
        if entry.kind != Kind::Directory {
            return Err(forbidden(&entry.path, "the root of a layer is a directory"));
        }
        self.done.describes_root = true;
        let root = Rc::clone(&self.root);
        self.describe_directory(&root, entry, false)
    }

    fn create<S: BufRead>(
        &mut self,
        parents: &[u8],
        name: &[u8],
        entry: &Entry,
        reader: &mut Reader<S>,
    ) -> Result<(), LayerError> {
        let parent = self.parent(parents)?;
        let path = parent.child(name);
        match entry.kind {
            Kind::Directory => return self.create_directory(&parent, name, path, entry),
            Kind::HardLink => return self.create_link(&parent, name, path, entry),
            _ => {}
        }
        self.forget(&path);
        let make = |this: &mut Self| match entry.kind {
            Kind::File => this.create_file(&parent, name, entry, reader),
            Kind::Symlink => this.create_symlink(&parent, name, entry),
            _ => this.create_node(&parent, name, entry),
        };
        self.replacing(&parent, name, &path, make)
    }

    /// Runs `make`; when something of the name is there already, removes it and tries again.
    fn replacing(
        &mut self,
        parent: &Place,
        name: &[u8],
        path: &[u8],
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
        parent: &Place,
        name: &[u8],
        path: Vec<u8>,
        entry: &Entry,
    ) -> Result<(), LayerError> {
        let mode = self.defaults.mode(entry);
        let mut replaced = false;
        let mut fresh = true;
        match fs::mkdirat(&parent.fd, name, mode) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let there = fs::statat(&parent.fd, name, AtFlags::SYMLINK_NOFOLLOW);
                let there = there.map_err(at("read", &path))?;
                fresh = FileType::from_raw_mode(there.st_mode) != FileType::Directory;
                if fresh {
                    self.remove(parent, name, &path)?;
                    fs::mkdirat(&parent.fd, name, mode).map_err(at("make directory", &path))?;
                    replaced = true;
                }
            }
            Err(error) => return Err(at("make directory", &path)(error)),
        }
        let fd =
            fs::openat(&parent.fd, name, DIRECTORY, Mode::empty()).map_err(at("open", &path))?;
        // Something was to be here that is no directory, though it is not made yet.
        replaced |= self.done.links.remove(&path).is_some();
        let place = Rc::new(Place {
            fd,
            ours: entry.gid == self.defaults.gid,
            path,
        });
        self.describe_directory(&place, entry, fresh && parent.ours)?;
        // Hidden or replaced and made again in one layer: what is below stays hidden.
        if replaced {
            self.make_opaque(&place.fd, &place.path)
                .map_err(at("hide the content of", &place.path))?;
        }
        self.remember(&place.path, &place);
        Ok(())
    }

    /// Gives a directory what its entry says: now, or last.
    fn describe_directory(
        &mut self,
        place: &Place,
        entry: &Entry,
        fresh: bool,
    ) -> Result<(), LayerError> {
        if !fresh {
            // Described before, or only there for what is in it: the last entry says all.
            attributes::clear_xattrs(&place.fd).map_err(entry_error("clear", entry))?;
        }
        let default_acl = self.set_attributes(&place.fd, entry, fresh)?;
        let last = Last {
            time: entry.mtime,
            mode: (entry.mode & attributes::SET_GROUP_ID != 0).then_some(entry.mode),
            default_acl,
            ..Last::default()
        };
        self.keep_for_last(place.path.clone(), last);
        Ok(())
    }

    fn keep_for_last(&mut self, path: Vec<u8>, last: Last) {
        let acl = last.default_acl.as_ref().map_or(0, |acl| acl.len());
        if !self.done.directories.contains_key(&path) {
            self.remembered += weight(path.len());
        }
        self.remembered += acl;
        let known = self.done.directories.entry(path).or_default();
        let opaque = known.opaque || last.opaque;
        *known = Last { opaque, ..last };
    }

    fn make_opaque(&mut self, dir: &OwnedFd, path: &[u8]) -> io::Result<()> {
        let known = self.done.directories.entry(path.to_vec()).or_default();
        known.opaque = true;
        set_opaque(dir)
    }

    fn create_file<S: BufRead>(
        &mut self,
        parent: &Place,
        name: &[u8],
        entry: &Entry,
        reader: &mut Reader<S>,
    ) -> Result<(), LayerError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&parent.fd, name, flags, self.defaults.mode(entry))
            .map_err(entry_error("create", entry))?;
        match &entry.segments {
            None => self.write(&file, entry, reader, u64::MAX)?,
            Some(segments) => self.write_sparse(&file, entry, segments, reader)?,
        }
        self.set_attributes(&file, entry, parent.ours)?;
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
        parent: &Place,
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), LayerError> {
        if entry.link.is_empty() || entry.link.contains(&0) || entry.link.len() >= 4096 {
            return Err(forbidden(
                &entry.path,
                "a symbolic link needs a target of 1 to 4095 bytes without zeros",
            ));
        }
        fs::symlinkat(&entry.link[..], &parent.fd, name).map_err(entry_error("create", entry))?;
        self.set_attributes_at(parent, name, entry)
    }

    fn create_node(
        &mut self,
        parent: &Place,
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
        let device = fs::makedev(major, minor);
        fs::mknodat(&parent.fd, name, kind, Mode::empty(), device)
            .map_err(entry_error("create", entry))?;
        self.set_attributes_at(parent, name, entry)
    }

    fn create_link(
        &mut self,
        parent: &Place,
        name: &[u8],
        path: Vec<u8>,
        entry: &Entry,
    ) -> Result<(), LayerError> {
        let target = clean(&entry.link)?;
        let Some((directory, target_name)) = split_last(&target) else {
            return Err(forbidden(&entry.path, "a hard link to the root"));
        };
        let from = self.existing(directory);
        // The name the target has in this layer, where links on its way are taken.
        let real = match &from {
            Ok(from) => from.child(target_name),
            Err(_) => target.clone(),
        };
        if real == path {
            return Err(forbidden(&entry.path, "a hard link to itself"));
        }
        match from.and_then(|from| self.link(&from, target_name, parent, name, &path)) {
            // Not in this layer, so far: it must be in one below.
            Err(Errno::NOENT) => {
                // A link to such a link is one to the same file.
                let target = self.done.links.get(&real).cloned().unwrap_or(real);
                self.forget(&path);
                self.remove_any(parent, name, &path)?;
                self.remembered += weight(path.len() + target.len());
                self.done.links.insert(path, target);
                Ok(())
            }
            Err(Errno::PERM) => Err(forbidden(&entry.path, "a hard link to a directory")),
            other => {
                self.done.links.remove(&path);
                other.map_err(entry_error("link", entry))
            }
        }
    }

    /// Links what `from` has of this name; ENOENT when it is not in this layer (yet).
    fn link(
        &mut self,
        from: &Place,
        target: &[u8],
        parent: &Place,
        name: &[u8],
        path: &[u8],
    ) -> Result<(), Errno> {
        let stat = fs::statat(&from.fd, target, AtFlags::SYMLINK_NOFOLLOW)?;
        if is_whiteout(&stat) {
            return Err(Errno::NOENT);
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return Err(Errno::PERM);
        }
        let link = || fs::linkat(&from.fd, target, &parent.fd, name, AtFlags::empty());
        match link() {
            Err(Errno::EXIST) => {
                let there = fs::statat(&parent.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
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
    fn hide(&mut self, parents: &[u8], name: &[u8]) -> Result<(), LayerError> {
        let parent = self.parent(parents)?;
        let path = parent.child(name);
        if self.done.links.contains_key(&path) {
            return Ok(());
        }
        let kind = FileType::CharacterDevice;
        match fs::mknodat(&parent.fd, name, kind, Mode::empty(), 0) {
            Ok(()) => {
                self.remembered += weight(path.len());
                self.done.whiteouts.insert(path, ());
            }
            Err(Errno::EXIST) => {
                if let Ok(dir) = fs::openat(&parent.fd, name, DIRECTORY, Mode::empty()) {
                    self.make_opaque(&dir, &path)
                        .map_err(at("hide the content of", &path))?;
                    if let Some(known) = self.done.directories.get_mut(&path) {
                        known.implied = false;
                    }
                }
            }
            Err(error) => return Err(at("hide", &path)(error)),
        }
        Ok(())
    }

    /// Removes what is at `path`, and everything remembered about it.
    fn remove(&mut self, parent: &Place, name: &[u8], path: &[u8]) -> Result<(), LayerError> {
        self.forget(path);
        // A link on the way may have led to what is removed: look all up again.
        self.parents.clear();
        match fs::unlinkat(&parent.fd, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {
                self.note("a directory was replaced by something else in the same layer");
                remove_directory(&parent.fd, name).map_err(at("remove", path))
            }
            other => other.map_err(at("remove", path)),
        }
    }

    fn remove_any(&mut self, parent: &Place, name: &[u8], path: &[u8]) -> Result<(), LayerError> {
        match self.remove(parent, name, path) {
            Err(LayerError::Entry {
                source: Errno::NOENT,
                ..
            }) => Ok(()),
            other => other,
        }
    }

    fn forget(&mut self, path: &[u8]) {
        forget_below(&mut self.done.links, path);
        forget_below(&mut self.done.whiteouts, path);
        forget_below(&mut self.done.directories, path);
    }

    fn note(&mut self, text: &str) {
        if !self.done.notes.contains(text) {
            self.done.notes.insert(text.to_owned());
        }
    }
}

/// Takes `path` and all below it out of the map.
fn forget_below<V>(map: &mut BTreeMap<Vec<u8>, V>, path: &[u8]) {
    if map.is_empty() {
        return;
    }
    map.remove(path);
    let below = [path, b"/"].concat();
    while let Some((next, _)) = map.range(below.clone()..).next()
        && next.starts_with(&below)
    {
        let next = next.clone();
        map.remove(&next);
    }
}

/// Opens a real path below `root`: links on the way are an error.
fn open_real(root: &OwnedFd, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let path: &[u8] = if path.is_empty() { b"." } else { path };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    fs::openat2(root, path, flags, Mode::empty(), resolve)
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

fn at(action: &'static str, path: &[u8]) -> impl FnOnce(Errno) -> LayerError {
    move |source| LayerError::Entry {
        action,
        path: path.to_vec(),
        source,
    }
}

fn entry_error(action: &'static str, entry: &Entry) -> impl FnOnce(Errno) -> LayerError {
    at(action, &entry.path)
}

/// What a path that is kept until the end counts.
fn weight(length: usize) -> usize {
    length + 32
}
