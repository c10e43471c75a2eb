//! Unix sockets at paths of any length.
//!
//! An address holds 107 bytes (unix(7)), a state directory may be deeper. The directory is opened, and the address goes
//! through `/proc/self/fd`.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

const LONGEST: usize = 107;

/// A path short enough for a socket's address, valid as long as this value lives.
#[derive(Debug)]
pub(crate) struct Short {
    path: PathBuf,
    _directory: Option<OwnedFd>,
}

impl Short {
    /// Another way to the same place, when it is too far.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if path.as_os_str().len() <= LONGEST {
            return Ok(Self {
                path: path.to_owned(),
                _directory: None,
            });
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, parent, flags, Mode::empty())?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
        Ok(Self {
            path,
            _directory: Some(directory),
        })
    }

    /// For bind(2) and connect(2).
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
