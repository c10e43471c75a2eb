//! Copies a tree from one directory to another, both held by descriptor; nothing is followed, nothing leaves the two.
//!
//! Owners, modes, times, extended attributes, hard links and device nodes are kept.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};

/// How much of a tree its copy keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keeping {
    /// All files get this user and group; none keeps theirs.
    pub(crate) owner: Option<(u32, u32)>,
    /// Set-id bits, extended attributes (capabilities) and device nodes too. Not for what a stranger made.
    pub(crate) powers: bool,
}

/// Files seen with more than one name: (device, inode) to the directory and name of the first copy.
type Links = HashMap<(u64, u64), (Rc<OwnedFd>, CString)>;

/// Copies everything below `from`, and its own attributes, to `to`.
pub(crate) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    copy_keeping(
        from,
        to,
        Keeping {
            owner: None,
            powers: true,
        },
    )
}

/// [`copy`] with a choice of what is kept.
pub(crate) fn copy_keeping(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    keeping: Keeping,
) -> io::Result<()> {
    let mut copier = Copier {
        keeping,
        links: Links::new(),
    };
    copier.directory(from, Rc::new(to.try_clone_to_owned()?))
}

/// Copies one entry of a directory, whatever it is, to another directory under a new name.
pub(crate) fn copy_entry(
    from: BorrowedFd<'_>,
    name: &CStr,
    to: BorrowedFd<'_>,
    new_name: &CStr,
    keeping: Keeping,
) -> io::Result<()> {
    let mut copier = Copier {
        keeping,
        links: Links::new(),
    };
    copier.entry(from, name, &Rc::new(to.try_clone_to_owned()?), new_name)
}

struct Copier {
    keeping: Keeping,
    links: Links,
}

impl Copier {
    fn directory(&mut self, from: BorrowedFd<'_>, to: Rc<OwnedFd>) -> io::Result<()> {
        let stat = rustix::fs::fstat(from)?;
        for entry in Dir::read_from(from)? {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                self.entry(from, name, &to, name)?;
            }
        }
        // Last: a read-only directory could not be filled, and filling it changes its times.
        if self.keeping.powers {
            copy_attributes(from, to.as_fd())?;
        }
        self.own_fd(to.as_fd(), &stat)?;
        rustix::fs::fchmod(&*to, self.mode(&stat))?;
        rustix::fs::futimens(&*to, &times(&stat))?;
        Ok(())
    }

    fn entry(
        &mut self,
        from: BorrowedFd<'_>,
        name: &CStr,
        to: &Rc<OwnedFd>,
        new: &CStr,
    ) -> io::Result<()> {
        let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            let inner = open(from, name, OFlags::DIRECTORY)?;
            match rustix::fs::mkdirat(&**to, new, Mode::RWXU) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
            let outer = open(to.as_fd(), new, OFlags::DIRECTORY)?;
            return self.directory(inner.as_fd(), Rc::new(outer));
        }
        if stat.st_nlink > 1
            && let Some((place, first)) = self.links.get(&(stat.st_dev, stat.st_ino))
        {
            remove(to.as_fd(), new)?;
            rustix::fs::linkat(&**place, first.as_c_str(), &**to, new, AtFlags::empty())?;
            return Ok(());
        }
        remove(to.as_fd(), new)?;
        match kind {
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(&target, &**to, new)?;
            }
            FileType::RegularFile => regular(from, name, to.as_fd(), new, self.keeping.powers)?,
            // A socket is its listener's, not the tree's.
            FileType::Socket => return Ok(()),
            _ if !self.keeping.powers => return Ok(()),
            kind => rustix::fs::mknodat(&**to, new, kind, Mode::RUSR | Mode::WUSR, stat.st_rdev)?,
        }
        if stat.st_nlink > 1 {
            self.links
                .insert((stat.st_dev, stat.st_ino), (Rc::clone(to), new.to_owned()));
        }
        self.finish(to.as_fd(), new, &stat, kind)
    }

    fn finish(
        &self,
        to: BorrowedFd<'_>,
        name: &CStr,
        stat: &Stat,
        kind: FileType,
    ) -> io::Result<()> {
        let (uid, gid) = self.owner(stat);
        rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if kind != FileType::Symlink {
            // After the owner: changing it clears set-id bits. By descriptor: chmod(2) follows a link, and a container may put
            // one there at any moment.
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let made = rustix::fs::openat(to, name, flags, Mode::empty())?;
            if FileType::from_raw_mode(rustix::fs::fstat(&made)?.st_mode) != kind {
                return Err(rustix::io::Errno::STALE.into());
            }
            let path = format!("/proc/self/fd/{}", made.as_raw_fd());
            rustix::fs::chmod(path, self.mode(stat))?;
        }
        rustix::fs::utimensat(to, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    fn own_fd(&self, to: BorrowedFd<'_>, stat: &Stat) -> io::Result<()> {
        let (uid, gid) = self.owner(stat);
        Ok(rustix::fs::fchown(to, Some(uid), Some(gid))?)
    }

    fn mode(&self, stat: &Stat) -> Mode {
        let mode = Mode::from_raw_mode(stat.st_mode);
        if self.keeping.powers {
            mode
        } else {
            mode - Mode::SUID - Mode::SGID
        }
    }

    fn owner(&self, stat: &Stat) -> (Uid, Gid) {
        let (uid, gid) = self.keeping.owner.unwrap_or((stat.st_uid, stat.st_gid));
        (Uid::from_raw(uid), Gid::from_raw(gid))
    }
}

fn open(directory: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?)
}

fn remove(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

fn regular(
    from: BorrowedFd<'_>,
    name: &CStr,
    to: BorrowedFd<'_>,
    new: &CStr,
    powers: bool,
) -> io::Result<()> {
    let source = open(from, name, OFlags::empty())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let target = rustix::fs::openat(to, new, flags, Mode::RUSR | Mode::WUSR)?;
    while rustix::fs::sendfile(&target, &source, None, 1 << 30)? > 0 {}
    if powers {
        copy_attributes(source.as_fd(), target.as_fd())?;
    }
    Ok(())
}

/// Extended attributes, file capabilities and ACLs among them; overlayfs' own stay behind.
fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let mut names = vec![0; 64 << 10];
    let length = match rustix::fs::flistxattr(from, &mut names) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    for name in names[..length]
        .split(|b| *b == 0)
        .filter(|name| !name.is_empty())
    {
        if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
            continue;
        }
        let mut value = vec![0; 64 << 10];
        let length = rustix::fs::fgetxattr(from, name, &mut value)?;
        match rustix::fs::fsetxattr(to, name, &value[..length], XattrFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

fn times(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: stat.st_atime,
            tv_nsec: stat.st_atime_nsec.cast_signed(),
        },
        last_modification: Timespec {
            tv_sec: stat.st_mtime,
            tv_nsec: stat.st_mtime_nsec.cast_signed(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn open_directory(path: &std::path::Path) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::open(path, flags, Mode::empty())?)
    }

    #[test]
    fn a_copy_keeps_what_makes_a_tree() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (a, b) = (from.path(), to.path());
        std::fs::create_dir(a.join("d")).unwrap();
        std::fs::write(a.join("d/file"), "text").unwrap();
        std::fs::set_permissions(a.join("d/file"), PermissionsExt::from_mode(0o4750)).unwrap();
        std::fs::hard_link(a.join("d/file"), a.join("again")).unwrap();
        symlink("/etc/passwd", a.join("link")).unwrap();
        std::fs::set_permissions(a.join("d"), PermissionsExt::from_mode(0o500)).unwrap();
        let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        std::fs::File::open(a.join("d/file"))
            .unwrap()
            .set_modified(old)
            .unwrap();
        copy(
            open_directory(a).unwrap().as_fd(),
            open_directory(b).unwrap().as_fd(),
        )
        .unwrap();
        let file = std::fs::metadata(b.join("d/file")).unwrap();
        assert_eq!(std::fs::read_to_string(b.join("again")).unwrap(), "text");
        assert_eq!((file.mode() & 0o7777, file.nlink()), (0o4750, 2));
        assert_eq!(file.modified().unwrap(), old);
        assert_eq!(
            std::fs::read_link(b.join("link")).unwrap().to_str(),
            Some("/etc/passwd")
        );
        assert_eq!(
            std::fs::metadata(b.join("d")).unwrap().mode() & 0o777,
            0o500
        );
    }
}
