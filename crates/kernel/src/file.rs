//! Files: paths inside a container's root, and the host's procfs.
//!
//! A path that an image, a layer or a bundle names is resolved below the root's
//! file descriptor by openat2(2) with `RESOLVE_IN_ROOT`: symbolic links and `..`
//! stay inside, whoever swaps them meanwhile. What is done is done to the
//! descriptor that came back, never to the path again.
//!
//! Read `mount.rs` next, the main user.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags};
use rustix::io::{Errno, Result};

use crate::op::Inside;

/// A root filesystem that is held by its descriptor.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
}

/// What a mount target or mask must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// Anything else.
    File,
}

impl Root {
    /// Hold a root that was opened.
    pub fn from_fd(fd: OwnedFd) -> Root {
        Root { fd }
    }

    /// Hold a directory of the host as a root.
    pub fn open(path: &Path) -> Result<Root> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Root {
            fd: rustix::fs::open(path, flags, Mode::empty())?,
        })
    }

    /// The root's own descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Open a path inside, following links as the container would.
    pub fn resolve(&self, path: &Path, flags: OFlags) -> Result<OwnedFd> {
        in_root(self.fd.as_fd(), path, flags)
    }

    /// Find a path inside without opening what it names.
    pub fn find(&self, path: &Inside) -> Result<OwnedFd> {
        self.resolve(path.as_path(), OFlags::PATH)
    }

    /// As [`Root::find`], but a link in the last component is itself what is found.
    pub fn find_no_follow(&self, path: &Inside) -> Result<OwnedFd> {
        self.resolve(path.as_path(), OFlags::PATH | OFlags::NOFOLLOW)
    }

    /// Make a directory and those above it, one component at a time, and hold it.
    ///
    /// New directories get `mode`; those that exist keep theirs. A link that
    /// leads nowhere is followed: what it names is made, inside the root.
    pub fn make_directories(&self, path: &Path, mode: u32) -> Result<OwnedFd> {
        if let Ok(found) = self.resolve(path, OFlags::PATH | OFlags::DIRECTORY) {
            return Ok(found);
        }
        let mut left: Vec<PathBuf> = parts(path).rev().collect();
        let mut done = PathBuf::from("/");
        let mut at = self.resolve(&done, OFlags::PATH | OFlags::DIRECTORY)?;
        let mut links = 0;
        while let Some(part) = left.pop() {
            let next = done.join(&part);
            match self.step(at.as_fd(), &next, &part, mode)? {
                Walked::Into(directory) => {
                    at = directory;
                    done = next;
                }
                Walked::Link(target) => {
                    links += 1;
                    if links > 40 {
                        return Err(Errno::LOOP);
                    }
                    if target.is_absolute() {
                        done = PathBuf::from("/");
                        at = self.resolve(&done, OFlags::PATH | OFlags::DIRECTORY)?;
                    }
                    left.extend(parts(&target).rev());
                }
            }
        }
        Ok(at)
    }

    /// One component of [`Root::make_directories`].
    fn step(&self, at: BorrowedFd<'_>, path: &Path, part: &Path, mode: u32) -> Result<Walked> {
        // `..` and links that lead somewhere are the kernel's business.
        match self.resolve(path, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(directory) => return Ok(Walked::Into(directory)),
            Err(Errno::NOENT) => {}
            Err(other) => return Err(other),
        }
        match rustix::fs::mkdirat(at, part, Mode::from_raw_mode(mode)) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                // Something is there that leads nowhere: a link, or a racing mkdir.
                if let Ok(target) = rustix::fs::readlinkat(at, part, Vec::new()) {
                    return Ok(Walked::Link(PathBuf::from(OsStr::from_bytes(
                        target.as_bytes(),
                    ))));
                }
            }
            Err(other) => return Err(other),
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        Ok(Walked::Into(in_root(at, part, flags)?))
    }

    /// Find a path inside, making it (as an empty file or a directory) when missing.
    pub fn find_or_make(&self, path: &Inside, kind: Kind) -> Result<OwnedFd> {
        match self.find(path) {
            Ok(found) => return Ok(found),
            Err(Errno::NOENT) => {}
            Err(other) => return Err(other),
        }
        if kind == Kind::Directory {
            return self.make_directories(path.as_path(), 0o755);
        }
        let (parent, name) = self.parent(path)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        match rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o644)) {
            Ok(_) => in_root(
                parent.as_fd(),
                Path::new(name),
                OFlags::PATH | OFlags::NOFOLLOW,
            ),
            // A link that leads nowhere: make what it names.
            Err(Errno::EXIST) => self.make_link_target(path, &parent, name),
            Err(other) => Err(other),
        }
    }

    fn make_link_target(&self, path: &Inside, parent: &OwnedFd, name: &OsStr) -> Result<OwnedFd> {
        let target = rustix::fs::readlinkat(parent, name, Vec::new())?;
        let target = Path::new(OsStr::from_bytes(target.as_bytes()));
        let above = path.as_path().parent().unwrap_or(Path::new("/"));
        let target = Inside::new(above.join(target));
        let (parent, name) = self.parent(&target)?;
        let flags = OFlags::CREATE | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o644))?;
        in_root(
            parent.as_fd(),
            Path::new(name),
            OFlags::PATH | OFlags::NOFOLLOW,
        )
    }

    /// The directory that holds a path, made when missing, and the path's last component.
    pub fn parent<'p>(&self, path: &'p Inside) -> Result<(OwnedFd, &'p OsStr)> {
        let path = path.as_path();
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let above = path.parent().unwrap_or(Path::new("/"));
        Ok((self.make_directories(above, 0o755)?, name))
    }
}

enum Walked {
    Into(OwnedFd),
    Link(PathBuf),
}

fn parts(path: &Path) -> impl DoubleEndedIterator<Item = PathBuf> + '_ {
    path.components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| PathBuf::from(part.as_os_str()))
}

/// openat2(2) below `root`. A rename in the tree meanwhile makes it say EAGAIN.
fn in_root(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..128 {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// What a descriptor is.
pub fn kind(fd: impl AsFd) -> Result<Kind> {
    let mode = status(fd)?.stx_mode;
    match FileType::from_raw_mode(mode.into()) {
        FileType::Directory => Ok(Kind::Directory),
        _ => Ok(Kind::File),
    }
}

/// statx(2) of a descriptor.
pub fn status(fd: impl AsFd) -> Result<Statx> {
    rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
}

/// Is this descriptor the character device `major:minor`?
pub fn is_character_device(fd: impl AsFd, major: u32, minor: u32) -> Result<bool> {
    let status = status(fd)?;
    let character = FileType::from_raw_mode(status.stx_mode.into()) == FileType::CharacterDevice;
    Ok(character && (status.stx_rdev_major, status.stx_rdev_minor) == (major, minor))
}

/// `/proc`, verified to be a whole procfs: what is written through it reaches the kernel and not a
/// file that an image or a volume put in the way.
pub fn proc() -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let proc = rustix::fs::open("/proc", flags, Mode::empty())?;
    verify_proc(proc.as_fd())?;
    // The number that procfs gives its root, and no other directory.
    const ROOT: u64 = 1;
    match status(&proc)?.stx_ino {
        ROOT => Ok(proc),
        _ => Err(Errno::XDEV),
    }
}

fn verify_proc(fd: BorrowedFd<'_>) -> Result<()> {
    match rustix::fs::fstatfs(fd)?.f_type as i64 {
        libc::PROC_SUPER_MAGIC => Ok(()),
        _ => Err(Errno::XDEV),
    }
}

/// Write to a file below a procfs, if nothing is mounted over it and no link leads away.
pub fn write_proc(proc: BorrowedFd<'_>, path: &str, value: &[u8]) -> Result<()> {
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat2(proc, path, flags, Mode::empty(), resolve)?;
    verify_proc(file.as_fd())?;
    write_once(file.as_fd(), value)
}

/// The own pid as the procfs counts, which a process in a new pid namespace cannot know otherwise.
pub fn own_pid(proc: BorrowedFd<'_>) -> Result<String> {
    let link = rustix::fs::readlinkat(proc, "self", Vec::new())?;
    link.into_string().map_err(|_| Errno::INVAL)
}

/// One write(2), as kernel files want it: all or an error.
pub fn write_once(fd: BorrowedFd<'_>, value: &[u8]) -> Result<()> {
    match rustix::io::retry_on_intr(|| rustix::io::write(fd, value))? {
        written if written == value.len() => Ok(()),
        _ => Err(Errno::IO),
    }
}

/// Read a small file whole; a longer one is an error.
pub fn read_small(path: &Path, limit: u64) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(limit + 1)
        .read_to_string(&mut text)?;
    match text.len() as u64 <= limit {
        true => Ok(text),
        false => Err(std::io::Error::from_raw_os_error(libc::EFBIG)),
    }
}

/// Create a directory of the host and those above it.
pub fn make_host_directories(path: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
}

/// Write a file of the host by atomic rename: a reader sees the old or the new, never a part.
pub fn write_host_file(path: &Path, content: &[u8], mode: u32) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let draft = path.with_extension(format!("new{}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let result = options
        .open(&draft)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| std::fs::rename(&draft, path));
    if result.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    result
}

/// Remove a file or a tree of the host; a missing one is fine.
pub fn remove_host(path: &Path) -> std::io::Result<()> {
    let result = match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Open a path of the host to point at it only.
pub fn point_at(path: &Path) -> Result<OwnedFd> {
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn root() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn links_and_parents_stay_inside() {
        let (dir, root) = root();
        symlink("/etc", dir.path().join("absolute")).unwrap();
        symlink("../../../../etc", dir.path().join("climbing")).unwrap();
        for path in ["/absolute/new", "/climbing/other", "/../../etc/third"] {
            root.make_directories(Path::new(path), 0o755).unwrap();
        }
        let mut made: Vec<_> = fs::read_dir(dir.path().join("etc"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        made.sort();
        assert_eq!(made, ["new", "other", "third"]);
        assert!(!Path::new("/etc/new").exists());
    }

    #[test]
    fn a_loop_of_links_ends() {
        let (dir, root) = root();
        symlink("b", dir.path().join("a")).unwrap();
        symlink("a", dir.path().join("b")).unwrap();
        assert_eq!(
            root.make_directories(Path::new("/a/c"), 0o755).unwrap_err(),
            Errno::LOOP
        );
    }

    #[test]
    fn a_file_is_made_where_a_dangling_link_leads() {
        let (dir, root) = root();
        symlink("/run/resolv.conf", dir.path().join("resolv.conf")).unwrap();
        root.find_or_make(&Inside::new("/resolv.conf"), Kind::File)
            .unwrap();
        assert!(dir.path().join("run/resolv.conf").is_file());
    }

    #[test]
    fn only_procfs_is_taken_for_procfs() {
        let dir = tempfile::tempdir().unwrap();
        let other = Root::open(dir.path()).unwrap();
        assert_eq!(verify_proc(other.fd()), Err(Errno::XDEV));
        proc().unwrap();
    }
}
