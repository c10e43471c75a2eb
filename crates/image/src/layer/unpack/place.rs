//! Where an entry goes: a directory of the layer, found or made, with the path
//! it really has. Symbolic links of the layer on the way are followed and stay
//! in its root.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::fs::{self, AtFlags, FileType, Mode};
use rustix::io::{self, Errno};

use super::attributes::{Defaults, SET_GROUP_ID};
use super::{DIRECTORY, Last, Unpacker, at, open_real};
use crate::layer::LayerError;
use crate::layer::merged::is_whiteout;
use crate::layer::name::{parts, split_last};

const LINKS_LIMIT: usize = 40;
/// The longest path the kernel takes.
const PATH_LIMIT: usize = 4096;
const OPEN_LIMIT: usize = 24;

/// An open directory of the layer.
pub(super) struct Place {
    pub(super) fd: OwnedFd,
    /// Below the root, without links.
    pub(super) path: Vec<u8>,
    /// What is made in it belongs to this process's own group.
    pub(super) ours: bool,
}

impl Place {
    pub(super) fn open(fd: OwnedFd, path: Vec<u8>, defaults: &Defaults) -> io::Result<Self> {
        let stat = fs::fstat(&fd)?;
        let ours = stat.st_gid == defaults.gid && stat.st_mode & SET_GROUP_ID == 0;
        Ok(Self { fd, path, ours })
    }

    /// The path of something in it.
    pub(super) fn child(&self, name: &[u8]) -> Vec<u8> {
        joined(&self.path, name)
    }
}

fn joined(path: &[u8], name: &[u8]) -> Vec<u8> {
    match path {
        b"" => name.to_vec(),
        _ => [path, b"/", name].concat(),
    }
}

impl Unpacker {
    /// The directory an entry goes to, made when there is none.
    pub(super) fn parent(&mut self, path: &[u8]) -> Result<Rc<Place>, LayerError> {
        self.directory(path, true)
            .map_err(at("make directory", path))
    }

    /// A directory of this layer; ENOENT when there is none.
    pub(super) fn existing(&mut self, path: &[u8]) -> io::Result<Rc<Place>> {
        self.directory(path, false)
    }

    fn directory(&mut self, path: &[u8], make: bool) -> io::Result<Rc<Place>> {
        if path.is_empty() {
            return Ok(Rc::clone(&self.root));
        }
        if let Some((_, place)) = self.parents.iter().find(|(known, _)| known == path) {
            return Ok(Rc::clone(place));
        }
        let place = match open_real(&self.root.fd, path, DIRECTORY) {
            Ok(fd) => Place::open(fd, path.to_vec(), &self.defaults)?,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => self.walk(path, make)?,
            Err(error) => return Err(error),
        };
        let place = Rc::new(place);
        self.remember(path, &place);
        Ok(place)
    }

    pub(super) fn remember(&mut self, path: &[u8], place: &Rc<Place>) {
        self.parents.retain(|(known, _)| known != path);
        self.parents.push_front((path.to_vec(), Rc::clone(place)));
        self.parents.truncate(OPEN_LIMIT);
    }

    /// Goes down part by part, through symbolic links, making what is missing.
    fn walk(&mut self, path: &[u8], make: bool) -> io::Result<Place> {
        let mut todo: VecDeque<Vec<u8>> = parts(path).map(<[u8]>::to_vec).collect();
        let mut dir = open_real(&self.root.fd, b"", DIRECTORY)?;
        let mut here: Vec<u8> = Vec::new();
        let mut links = 0;
        while let Some(part) = todo.pop_front() {
            if part == b".." {
                here.truncate(split_last(&here).map_or(0, |(parents, _)| parents.len()));
                dir = open_real(&self.root.fd, &here, DIRECTORY)?;
                continue;
            }
            let next = joined(&here, &part);
            if next.len() >= PATH_LIMIT {
                return Err(Errno::NAMETOOLONG);
            }
            match fs::statat(&dir, &part[..], AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                    links += 1;
                    if links > LINKS_LIMIT {
                        return Err(Errno::LOOP);
                    }
                    let target = fs::readlinkat(&dir, &part[..], Vec::new())?;
                    let target = target.as_bytes();
                    if target.starts_with(b"/") {
                        here.clear();
                        dir = open_real(&self.root.fd, b"", DIRECTORY)?;
                    }
                    for piece in parts(target).rev() {
                        todo.push_front(piece.to_vec());
                    }
                    continue;
                }
                Ok(stat) if is_whiteout(&stat) && make => self.uncover(&dir, &part, &next)?,
                Ok(stat) if is_whiteout(&stat) => return Err(Errno::NOENT),
                Err(Errno::NOENT) if make => self.imply(&dir, &part, &next)?,
                Err(error) => return Err(error),
                Ok(_) => {}
            }
            dir = fs::openat(&dir, &part[..], DIRECTORY, Mode::empty())?;
            here = next;
        }
        Place::open(dir, here, &self.defaults)
    }

    /// A directory where this layer hides what is below: made anew, and what is below stays hidden.
    fn uncover(&mut self, dir: &OwnedFd, name: &[u8], path: &[u8]) -> io::Result<()> {
        self.done.whiteouts.remove(path);
        fs::unlinkat(dir, name, AtFlags::empty())?;
        self.make_covered(dir, name, path)
    }

    fn make_covered(&mut self, dir: &OwnedFd, name: &[u8], path: &[u8]) -> io::Result<()> {
        self.make_plain(dir, name)?;
        self.keep_for_last(path.to_vec(), Last::default());
        let made = fs::openat(dir, name, DIRECTORY, Mode::empty())?;
        self.make_opaque(&made, path)
    }

    /// A directory that no entry describes, so far.
    fn imply(&mut self, dir: &OwnedFd, name: &[u8], path: &[u8]) -> io::Result<()> {
        if self.done.links.remove(path).is_some() {
            return self.make_covered(dir, name, path);
        }
        self.make_plain(dir, name)?;
        let last = Last {
            implied: true,
            ..Last::default()
        };
        self.keep_for_last(path.to_vec(), last);
        Ok(())
    }

    /// rwxr-xr-x, whatever the umask says, and ours, whatever the directory it is in.
    fn make_plain(&self, dir: &OwnedFd, name: &[u8]) -> io::Result<()> {
        fs::mkdirat(dir, name, 0o755.into())?;
        let made = fs::openat(dir, name, DIRECTORY, Mode::empty())?;
        self.defaults.prepare_root(&made)
    }
}
