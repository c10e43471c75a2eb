//! Owner, extended attributes and mode of an entry, in the one order that works:
//! chown clears setuid and capabilities, so these come after it.

use std::os::fd::OwnedFd;

use rustix::fs::{self, AtFlags, Gid, Mode, Uid, XattrFlags};
use rustix::io::Errno;

use super::{Unpacker, entry_error, times};
use crate::layer::LayerError;
use crate::layer::tar::{Entry, Kind};

/// Attributes of the host that wrote the archive, not of the file.
const DROPPED: [&[u8]; 4] = [
    b"security.selinux",
    b"security.ima",
    b"security.evm",
    b"system.nfs4_acl",
];
const OVERLAY: &[u8] = b"trusted.overlay.";

impl Unpacker {
    /// For files and directories, which can be opened.
    pub(super) fn set_attributes(
        &mut self,
        file: &OwnedFd,
        entry: &Entry,
    ) -> Result<(), LayerError> {
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        fs::fchown(file, Some(uid), Some(gid)).map_err(entry_error("chown", entry))?;
        for (name, value) in &entry.xattrs {
            if let Some(name) = stored_name(name) {
                let result = fs::fsetxattr(file, &name[..], value, XattrFlags::empty());
                self.tolerate(result, &name, entry)?;
            }
        }
        fs::fchmod(file, Mode::from_raw_mode(entry.mode)).map_err(entry_error("chmod", entry))
    }

    /// For links, devices and pipes, which cannot; never follows a link.
    pub(super) fn set_attributes_at(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), LayerError> {
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        fs::chownat(
            parent,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .map_err(entry_error("chown", entry))?;
        self.set_xattrs_at(parent, name, entry)?;
        if entry.kind != Kind::Symlink {
            // Just made by us with O_EXCL semantics in a directory nobody else writes: no link.
            fs::chmodat(
                parent,
                name,
                Mode::from_raw_mode(entry.mode),
                AtFlags::empty(),
            )
            .map_err(entry_error("chmod", entry))?;
        }
        fs::utimensat(parent, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
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
