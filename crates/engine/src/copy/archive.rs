//! Tar streams for `cp -`: what a container holds as an archive, and an archive into a container.
//!
//! Every name of an archive is resolved under the container's root; the last step never follows a link.

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use tar::{Archive, Builder, Entry, EntryType, Header};

use super::Source;
use crate::rootfs::Rootfs;
use crate::{Error, Result};

/// Writes a source as an archive.
pub(super) fn pack(from: &Source, tar: &mut dyn Write) -> io::Result<()> {
    let mut packer = Packer {
        tar: Builder::new(tar),
        links: HashMap::new(),
    };
    match from {
        Source::Contents(directory) => {
            packer.entry(directory.as_fd(), c".", Path::new("."))?;
        }
        Source::Entry { parent, name, .. } => {
            packer.entry(
                parent.as_fd(),
                name,
                Path::new(OsStr::from_bytes(name.to_bytes())),
            )?;
        }
    }
    packer.tar.finish()
}

struct Packer<'a> {
    tar: Builder<&'a mut dyn Write>,
    /// Files with more than one name: where the first lies in the archive.
    links: HashMap<(u64, u64), PathBuf>,
}

impl Packer<'_> {
    fn directory(&mut self, directory: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
        let mut names: Vec<CString> = Vec::new();
        for entry in Dir::read_from(directory)? {
            let name = entry?.file_name().to_owned();
            if name.as_bytes() != b"." && name.as_bytes() != b".." {
                names.push(name);
            }
        }
        names.sort();
        for name in names {
            let below = path.join(OsStr::from_bytes(name.to_bytes()));
            self.entry(directory, &name, &below)?;
        }
        Ok(())
    }

    fn entry(&mut self, parent: BorrowedFd<'_>, name: &CStr, path: &Path) -> io::Result<()> {
        let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mut header = Header::new_gnu();
        header.set_mode(stat.st_mode & 0o7777);
        header.set_uid(u64::from(stat.st_uid));
        header.set_gid(u64::from(stat.st_gid));
        header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
        header.set_size(0);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                header.set_entry_type(EntryType::Directory);
                // With a slash at its end, as tar(1) writes it.
                self.tar
                    .append_data(&mut header, path.join(""), io::empty())?;
                let inner =
                    rustix::fs::openat(parent, name, flags | OFlags::DIRECTORY, Mode::empty())?;
                self.directory(inner.as_fd(), path)
            }
            FileType::Symlink => {
                header.set_entry_type(EntryType::Symlink);
                let target = rustix::fs::readlinkat(parent, name, Vec::new())?;
                self.tar.append_link(
                    &mut header,
                    path,
                    Path::new(OsStr::from_bytes(target.as_bytes())),
                )
            }
            FileType::RegularFile => {
                let key = (stat.st_dev, stat.st_ino);
                if let Some(first) = self.links.get(&key) {
                    header.set_entry_type(EntryType::Link);
                    return self.tar.append_link(&mut header, path, first);
                }
                if stat.st_nlink > 1 {
                    self.links.insert(key, path.to_owned());
                }
                let file = File::from(rustix::fs::openat(parent, name, flags, Mode::empty())?);
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                header.set_size(size);
                // It may shrink while it is read: then zeros make up for what the header promised.
                self.tar
                    .append_data(&mut header, path, file.chain(io::repeat(0)).take(size))
            }
            kind @ (FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo) => {
                header.set_entry_type(match kind {
                    FileType::CharacterDevice => EntryType::Char,
                    FileType::BlockDevice => EntryType::Block,
                    _ => EntryType::Fifo,
                });
                header.set_device_major(rustix::fs::major(stat.st_rdev))?;
                header.set_device_minor(rustix::fs::minor(stat.st_rdev))?;
                self.tar.append_data(&mut header, path, io::empty())
            }
            // A socket is its listener's.
            _ => Ok(()),
        }
    }
}

/// Unpacks an archive below `into`, a directory inside the root. Without `owners` all becomes root's.
pub(super) fn unpack(tar: &mut dyn Read, root: &Rootfs, into: &Path, owners: bool) -> Result<()> {
    let mut archive = Archive::new(tar);
    let fail = |e: io::Error| Error::path("read the archive for", into)(e);
    for entry in archive.entries().map_err(fail)? {
        let mut entry = entry.map_err(fail)?;
        let name = entry.path().map_err(fail)?.into_owned();
        let inside = into.join(relative(&name)?);
        unpack_entry(&mut entry, root, into, &inside, owners)
            .map_err(Error::path("unpack", &name))?;
    }
    Ok(())
}

fn unpack_entry(
    entry: &mut Entry<'_, &mut dyn Read>,
    root: &Rootfs,
    into: &Path,
    inside: &Path,
    owners: bool,
) -> io::Result<()> {
    let (Some(parent), Some(name)) = (inside.parent(), inside.file_name()) else {
        return Ok(());
    };
    if inside == into {
        return Ok(());
    }
    let parent = make_directories(root, parent)?;
    let name = CString::new(name.as_bytes())?;
    let header = entry.header();
    let mode = Mode::from_raw_mode(header.mode()? & 0o7777);
    let (uid, gid) = if owners {
        (id(header.uid()?)?, id(header.gid()?)?)
    } else {
        (0, 0)
    };
    let time = i64::try_from(header.mtime()?).unwrap_or(0);
    let kind = header.entry_type();
    match kind {
        EntryType::Directory => match rustix::fs::mkdirat(&parent, &name, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(e) => return Err(e.into()),
        },
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            remove(&parent, &name)?;
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(rustix::fs::openat(
                &parent,
                &name,
                flags,
                Mode::RUSR | Mode::WUSR,
            )?);
            io::copy(entry, &mut file)?;
        }
        EntryType::Symlink => {
            let target = entry.link_name_bytes().ok_or(io::ErrorKind::InvalidData)?;
            remove(&parent, &name)?;
            rustix::fs::symlinkat(&*target, &parent, &name)?;
        }
        EntryType::Link => return link(entry, root, into, &parent, &name),
        EntryType::Fifo => {
            remove(&parent, &name)?;
            rustix::fs::mknodat(&parent, &name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        }
        // Devices are handed in with --device; headers of the format itself are the reader's.
        _ => return Ok(()),
    }
    finish(&parent, &name, kind, (uid, gid), mode, time)
}

fn link(
    entry: &Entry<'_, &mut dyn Read>,
    root: &Rootfs,
    into: &Path,
    parent: &OwnedFd,
    name: &CStr,
) -> io::Result<()> {
    let target = entry.link_name()?.ok_or(io::ErrorKind::InvalidData)?;
    let target = into.join(relative(&target).map_err(io::Error::other)?);
    let (Some(place), Some(first)) = (target.parent(), target.file_name()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let place = root.open(place, OFlags::PATH | OFlags::DIRECTORY)?;
    remove(parent, name)?;
    rustix::fs::linkat(&place, first, parent, name, AtFlags::empty())?;
    Ok(())
}

/// Owner, mode and time of what was made.
fn finish(
    parent: &OwnedFd,
    name: &CStr,
    kind: EntryType,
    (uid, gid): (u32, u32),
    mode: Mode,
    time: i64,
) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::fs::chownat(
        parent,
        name,
        Some(user),
        Some(group),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    if kind == EntryType::Symlink {
        return Ok(());
    }
    // By descriptor: between two calls on a name, the container could put a link there.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let made = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    rustix::fs::fchmod(&made, mode)?;
    let time = Timespec {
        tv_sec: time,
        tv_nsec: 0,
    };
    rustix::fs::futimens(
        &made,
        &Timestamps {
            last_access: time,
            last_modification: time,
        },
    )?;
    Ok(())
}

/// A name of an archive, relative and without steps upwards.
fn relative(name: &Path) -> Result<PathBuf> {
    let mut path = PathBuf::new();
    for part in name.components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir | Component::RootDir => {}
            _ => {
                let shown = name.display().to_string();
                return Err(Error::invalid(
                    "name in the archive",
                    shown,
                    "it leads upwards",
                ));
            }
        }
    }
    Ok(path)
}

/// `mkdir -p` under the root, one component after the other.
fn make_directories(root: &Rootfs, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    match root.open(path, flags) {
        Err(rustix::io::Errno::NOENT) => {}
        other => return Ok(other?),
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let parent = make_directories(root, parent)?;
    match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(e) => return Err(e.into()),
    }
    Ok(root.open(path, flags)?)
}

fn remove(parent: &OwnedFd, name: &CStr) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// -1 would mean "leave it", and a larger number would be cut to a smaller one.
fn id(number: u64) -> io::Result<u32> {
    u32::try_from(number)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or(io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(build: impl FnOnce(&mut Builder<Vec<u8>>)) -> (tempfile::TempDir, Result<()>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("root/in")).unwrap();
        std::fs::create_dir_all(dir.path().join("outside")).unwrap();
        let mut builder = Builder::new(Vec::new());
        build(&mut builder);
        let bytes = builder.into_inner().unwrap();
        let root = Rootfs::directory(&dir.path().join("root")).unwrap();
        let result = unpack(&mut bytes.as_slice(), &root, Path::new("/in"), false);
        (dir, result)
    }

    fn header(kind: EntryType, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o640);
        header
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("d/e")).unwrap();
        std::fs::write(dir.path().join("d/e/file"), "text").unwrap();
        std::os::unix::fs::symlink("e/file", dir.path().join("d/link")).unwrap();
        let root = Rootfs::directory(dir.path()).unwrap();
        let from =
            Source::find(&super::super::Side::Inside(&root), Path::new("/d"), false).unwrap();
        let mut bytes: Vec<u8> = Vec::new();
        pack(&from, &mut bytes).unwrap();
        std::fs::create_dir(dir.path().join("to")).unwrap();
        unpack(&mut bytes.as_slice(), &root, Path::new("/to"), false).unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join("to/d/link")).unwrap(),
            "text"
        );
    }

    #[test]
    fn a_link_out_of_the_root_leads_back_into_it() {
        let (dir, result) = unpacked(|tar| {
            tar.append_link(
                &mut header(EntryType::Symlink, 0),
                "out",
                "../../../../outside",
            )
            .unwrap();
            tar.append_data(&mut header(EntryType::Regular, 4), "out/evil", &b"evil"[..])
                .unwrap();
        });
        assert!(
            std::fs::read_dir(dir.path().join("outside"))
                .unwrap()
                .next()
                .is_none()
        );
        // The link's target does not exist inside: the name cannot be made.
        assert!(result.is_err());
    }

    #[test]
    fn steps_upwards_are_refused() {
        let (_dir, result) = unpacked(|tar| {
            let mut header = header(EntryType::Regular, 0);
            header.as_gnu_mut().unwrap().name[..8].copy_from_slice(b"../evil\0");
            header.set_cksum();
            tar.append(&header, io::empty()).unwrap();
        });
        assert!(result.unwrap_err().to_string().contains("leads upwards"));
    }
}
