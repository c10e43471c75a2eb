//! Removing a tree, however deep it is: layers come from strangers, and one
//! descriptor for each level would run out.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::{self, Errno};

/// Levels that are gone down at once; what is deeper is moved up first.
const LEVELS: usize = 64;

/// Removes a directory and all below it, never following a link. What others
/// remove at the same time is no error.
pub(crate) fn remove_directory(parent: impl AsFd, name: &[u8]) -> io::Result<()> {
    let top = open(&parent, name)?;
    loop {
        empty(&top, &top, 1)?;
        match fs::unlinkat(&parent, name, AtFlags::REMOVEDIR) {
            // Something deep was moved here, unseen by the list that was being read.
            Err(Errno::NOTEMPTY) => {}
            other => return gone_is_fine(other),
        }
    }
}

fn empty(dir: &OwnedFd, top: &OwnedFd, level: usize) -> io::Result<()> {
    for entry in fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        let result = match entry.file_type() {
            FileType::Directory => below(dir, name, top, level),
            _ => match fs::unlinkat(dir, name, AtFlags::empty()) {
                Err(Errno::ISDIR) => below(dir, name, top, level),
                other => other,
            },
        };
        gone_is_fine(result)?;
    }
    Ok(())
}

fn below(dir: &OwnedFd, name: &[u8], top: &OwnedFd, level: usize) -> io::Result<()> {
    if level == LEVELS {
        static MOVED: AtomicU32 = AtomicU32::new(0);
        let number = MOVED.fetch_add(1, Ordering::Relaxed);
        let moved = format!(".deep-{}-{number}", std::process::id());
        return fs::renameat(dir, name, top, moved);
    }
    empty(&open(dir, name)?, top, level + 1)?;
    match fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOTEMPTY) => below(dir, name, top, level),
        other => other,
    }
}

fn open(parent: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(parent, name, flags, Mode::empty())
}

fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_deeper_than_descriptors_reach_is_removed() {
        let base = tempfile::tempdir().unwrap();
        let base_fd = fs::open(base.path(), OFlags::DIRECTORY, Mode::empty()).unwrap();
        fs::mkdirat(&base_fd, "tree", Mode::RWXU).unwrap();
        let mut dir = open(&base_fd, b"tree").unwrap();
        for level in 0..1500 {
            let name = format!("{}", level % 7);
            fs::mkdirat(&dir, "other", Mode::RWXU).unwrap();
            fs::mkdirat(&dir, &name, Mode::RWXU).unwrap();
            fs::symlinkat("/", &dir, "link").unwrap();
            dir = open(&dir, name.as_bytes()).unwrap();
        }
        remove_directory(&base_fd, b"tree").unwrap();
        assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0);
    }
}
