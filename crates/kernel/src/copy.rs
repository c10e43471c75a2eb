//! Copying a small tree from one directory to another, both held by descriptor.
//!
//! Used to fill a new tmpfs with what it will cover (`tmpcopyup`). Owners, modes,
//! links and device nodes are kept; nothing is followed.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Result;

/// Copy everything below `from` to `to`.
pub(crate) fn tree(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy(from, to, name)?;
        }
    }
    let status = rustix::fs::fstat(from)?;
    rustix::fs::fchown(
        to,
        Some(Uid::from_raw(status.st_uid)),
        Some(Gid::from_raw(status.st_gid)),
    )?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(status.st_mode))
}

fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let status = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let mode = Mode::from_raw_mode(status.st_mode);
    match FileType::from_raw_mode(status.st_mode) {
        FileType::Directory => {
            rustix::fs::mkdirat(to, name, Mode::RWXU)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let inner = rustix::fs::openat(from, name, flags, Mode::empty())?;
            let outer = rustix::fs::openat(to, name, flags, Mode::empty())?;
            return tree(inner.as_fd(), outer.as_fd());
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(from, name, Vec::new())?;
            rustix::fs::symlinkat(&target, to, name)?;
            return own(to, name, &status);
        }
        FileType::RegularFile => regular(from, to, name, mode)?,
        kind => rustix::fs::mknodat(to, name, kind, mode, status.st_rdev)?,
    }
    own(to, name, &status)?;
    // After the owner: changing it clears set-id bits.
    rustix::fs::chmodat(to, name, mode, AtFlags::empty())
}

fn regular(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, mode: Mode) -> Result<()> {
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let source = rustix::fs::openat(from, name, read, Mode::empty())?;
    let target = rustix::fs::openat(to, name, write, mode)?;
    while rustix::fs::sendfile(&target, &source, None, 1 << 30)? > 0 {}
    Ok(())
}

fn own(to: BorrowedFd<'_>, name: &CStr, status: &Stat) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
    rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}
