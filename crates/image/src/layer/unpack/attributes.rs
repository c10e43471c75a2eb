//! Owner, extended attributes and mode of an entry, in the one order that works:
//! chown clears setuid and capabilities, so these come after it. What a new file
//! has by itself is not set again: most files of most layers belong to root and
//! have a mode that the umask lets through.

use std::os::fd::OwnedFd;

use rustix::fs::{self, AtFlags, Gid, Mode, Uid, XattrFlags};
use rustix::io::{self, Errno};

use super::place::Place;
use super::{Unpacker, entry_error, times};
use crate::layer::tar::{Entry, Kind};
use crate::layer::{LayerError, merged};

pub(super) const SET_GROUP_ID: u32 = 0o2000;
/// What files made in a directory inherit.
pub(super) const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";
/// Attributes of the host that wrote the archive, not of the file.
const DROPPED: [&[u8]; 4] = [
    b"security.selinux",
    b"security.ima",
    b"security.evm",
    b"system.nfs4_acl",
];
const OVERLAY: &[u8] = b"trusted.overlay.";

/// What the kernel gives to what this process makes.
pub(super) struct Defaults {
    umask: u32,
    uid: u32,
    pub(super) gid: u32,
}

impl Defaults {
    pub(super) fn of_this_process() -> Self {
        Self {
            // Reading it with umask(2) would change it for other threads.
            umask: umask().unwrap_or(0o777),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    /// The mode to make an entry with.
    pub(super) fn mode(&self, entry: &Entry) -> Mode {
        Mode::from_raw_mode(entry.mode & !special(entry))
    }

    /// Whether an entry made with [`Defaults::mode`] has the mode it shall have.
    fn gives_mode(&self, entry: &Entry) -> bool {
        entry.mode & (self.umask | special(entry)) == 0
    }

    /// Whether it belongs to whom it shall, in a directory that gives it our group.
    fn gives_owner(&self, entry: &Entry) -> bool {
        (entry.uid, entry.gid) == (self.uid, self.gid)
    }

    /// Makes a directory docker's default (rwxr-xr-x, ours), with nothing for what is made in it to inherit.
    pub(super) fn prepare_root(&self, dir: &OwnedFd) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        match fs::fremovexattr(dir, DEFAULT_ACL) {
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            other => other?,
        }
        fs::fchown(dir, Some(uid), Some(gid))?;
        fs::fchmod(dir, 0o755.into())
    }
}

/// Takes all extended attributes off a file but those that mean something to overlay.
pub(super) fn clear_xattrs(file: &OwnedFd) -> io::Result<()> {
    for name in merged::xattr_names(file)? {
        match fs::fremovexattr(file, &name[..]) {
            Err(Errno::NODATA | Errno::PERM | Errno::OPNOTSUPP) => {}
            other => other?,
        }
    }
    Ok(())
}

/// The bits of a mode that creating something does not set.
fn special(entry: &Entry) -> u32 {
    match entry.kind {
        Kind::Directory => 0o6000,
        _ => 0o7000,
    }
}

fn umask() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(line.trim(), 8).ok()
}

impl Unpacker {
    /// For files and directories, which can be opened. `fresh` ones were just made, with
    /// [`Defaults::mode`] and in a directory of our group. What must wait until a
    /// directory is full is left out, and its default access control list given back.
    pub(super) fn set_attributes(
        &mut self,
        file: &OwnedFd,
        entry: &Entry,
        fresh: bool,
    ) -> Result<Option<Box<[u8]>>, LayerError> {
        let owned = fresh && self.defaults.gives_owner(entry);
        if !owned {
            let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
            fs::fchown(file, Some(uid), Some(gid)).map_err(entry_error("chown", entry))?;
        }
        let mut default_acl = None;
        for (name, value) in &entry.xattrs {
            if name == DEFAULT_ACL {
                default_acl = Some(value.clone().into_boxed_slice());
            } else if let Some(name) = stored_name(name) {
                let result = fs::fsetxattr(file, &name[..], value, XattrFlags::empty());
                self.tolerate(result, &name, entry)?;
            }
        }
        if !owned || !entry.xattrs.is_empty() || !self.defaults.gives_mode(entry) {
            let mode = match entry.kind {
                Kind::Directory => entry.mode & !SET_GROUP_ID,
                _ => entry.mode,
            };
            fs::fchmod(file, Mode::from_raw_mode(mode)).map_err(entry_error("chmod", entry))?;
        }
        Ok(default_acl)
    }

    /// For links, devices and pipes, which cannot; never follows a link.
    pub(super) fn set_attributes_at(
        &mut self,
        parent: &Place,
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), LayerError> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        if !(parent.ours && self.defaults.gives_owner(entry)) {
            let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
            fs::chownat(&parent.fd, name, Some(uid), Some(gid), flags)
                .map_err(entry_error("chown", entry))?;
        }
        self.set_xattrs_at(&parent.fd, name, entry)?;
        if entry.kind != Kind::Symlink {
            // Just made by us with O_EXCL semantics in a directory nobody else writes: no link.
            let mode = Mode::from_raw_mode(entry.mode);
            fs::chmodat(&parent.fd, name, mode, AtFlags::empty())
                .map_err(entry_error("chmod", entry))?;
        }
        fs::utimensat(&parent.fd, name, &times(entry.mtime), flags)
            .map_err(entry_error("set the time of", entry))
    }

    /// Only reachable by path: through the descriptor's entry in /proc, which is
    /// the parent itself, then the name without following it.
    fn set_xattrs_at(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), LayerError> {
        use std::os::fd::AsRawFd;
        if entry.xattrs.is_empty() {
            return Ok(());
        }
        let prefix = format!("/proc/self/fd/{}/", parent.as_raw_fd());
        let path = [prefix.as_bytes(), name].concat();
        for (name, value) in &entry.xattrs {
            if let Some(name) = stored_name(name) {
                let result = fs::lsetxattr(&path[..], &name[..], value, XattrFlags::empty());
                self.tolerate(result, &name, entry)?;
            }
        }
        Ok(())
    }

    /// A filesystem without attributes is a note, but a program without its
    /// capabilities would not work.
    fn tolerate(
        &mut self,
        result: Result<(), Errno>,
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), LayerError> {
        match result {
            Err(Errno::OPNOTSUPP | Errno::PERM) if name != b"security.capability" => {
                self.note("some extended attributes cannot be stored here and were left out");
                Ok(())
            }
            other => other.map_err(entry_error("set an extended attribute of", entry)),
        }
    }
}

/// The name an attribute gets; `None` for those left out.
fn stored_name(name: &[u8]) -> Option<Vec<u8>> {
    if DROPPED.contains(&name) || name.is_empty() || name.contains(&0) {
        return None;
    }
    // The kernel would obey overlay's own attributes; escaped ones it shows to
    // containers under the name they had (Linux 6.7, overlayfs.rst "Nesting").
    match name.strip_prefix(OVERLAY) {
        Some(rest) => Some([OVERLAY, b"overlay.", rest].concat()),
        None => Some(name.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlays_own_attributes_are_escaped() {
        let stored =
            |name: &[u8]| stored_name(name).map(|name| String::from_utf8_lossy(&name).into_owned());
        assert_eq!(
            stored(b"trusted.overlay.redirect").as_deref(),
            Some("trusted.overlay.overlay.redirect")
        );
        assert_eq!(
            stored(b"security.capability").as_deref(),
            Some("security.capability")
        );
        assert_eq!(stored(b"security.selinux"), None);
        assert_eq!(stored(b""), None);
    }
}
