//! `diff`: what a container changed of its image's files.
//!
//! In: the container's own layer, in overlay's form (Documentation/filesystems/overlayfs.rst). Out: a line for each path that
//! was added, changed or deleted. The container may run and swap what is looked at: every directory is held open, and no
//! symbolic link is followed.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, openat, statat};

use crate::rootfs::Rootfs;
use crate::{Engine, Error, Result};

/// What became of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Added,
    Changed,
    Deleted,
}

/// One path that differs from the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What became of it.
    pub kind: Kind,
    /// The path in the container.
    pub path: PathBuf,
}

/// Made by every start, below which the container writes nothing of its own.
const OURS: [&str; 6] = [
    "/dev",
    "/proc",
    "/sys",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
];

impl Engine {
    /// What a container changed, by path.
    pub fn diff(&self, who: &str) -> Result<Vec<Change>> {
        let id = self.resolve(who)?;
        let layers = crate::prepare::layers(&self.record(&id)?, &self.paths.container(&id));
        let image = Rootfs::of_image(&layers)?;
        let mut changes = Vec::new();
        openat(
            CWD,
            &layers.upper,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .and_then(|own| walk(own.as_fd(), Path::new("/"), &image, &mut changes))
        .map_err(|errno| Error::path("read", &layers.upper)(errno.into()))?;
        changes.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(changes)
    }
}

fn walk(
    parent: BorrowedFd<'_>,
    at: &Path,
    image: &Rootfs,
    changes: &mut Vec<Change>,
) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // The descriptor may be one of the path alone, which cannot be read.
    let directory = openat(parent, ".", flags, Mode::empty())?;
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            look(directory.as_fd(), name, at, image, changes)?;
        }
    }
    Ok(())
}

fn look(
    directory: BorrowedFd<'_>,
    name: &CStr,
    at: &Path,
    image: &Rootfs,
    changes: &mut Vec<Change>,
) -> rustix::io::Result<()> {
    let path = at.join(std::str::from_utf8(name.to_bytes()).unwrap_or("\u{fffd}"));
    if OURS.iter().any(|ours| path == Path::new(ours)) {
        return Ok(());
    }
    let Ok(status) = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else {
        // Gone since the directory was read.
        return Ok(());
    };
    let before = before(image, &path);
    let mut push = |kind| {
        changes.push(Change {
            kind,
            path: path.clone(),
        })
    };
    match (FileType::from_raw_mode(status.st_mode), before) {
        // A device 0:0 stands for what was deleted.
        (FileType::CharacterDevice, _) if status.st_rdev == 0 => push(Kind::Deleted),
        (FileType::Directory, before) => {
            let count = changes.len();
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            if let Ok(inner) = openat(directory, name, flags, Mode::empty()) {
                walk(inner.as_fd(), &path, image, changes)?;
            }
            match before {
                None => changes.push(Change {
                    kind: Kind::Added,
                    path,
                }),
                // A directory is copied up for what is made in it, which may have been ours alone.
                Some(before) if changes.len() > count || !same(&before, &status) => {
                    changes.push(Change {
                        kind: Kind::Changed,
                        path,
                    });
                }
                Some(_) => {}
            }
        }
        (_, None) => push(Kind::Added),
        (_, Some(_)) => push(Kind::Changed),
    }
    Ok(())
}

/// The path in the image, if it is there.
fn before(image: &Rootfs, path: &Path) -> Option<Stat> {
    let found = image.open(path, OFlags::PATH | OFlags::NOFOLLOW).ok()?;
    rustix::fs::fstat(&found).ok()
}

fn same(before: &Stat, now: &Stat) -> bool {
    (before.st_mode, before.st_uid, before.st_gid) == (now.st_mode, now.st_uid, now.st_gid)
}
