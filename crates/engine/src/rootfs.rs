//! A container's files as the container sees them, reached from the host.
//!
//! A running container's root is `/proc/PID/root`. A stopped one's layers are joined by an overlay mount that is attached
//! nowhere: it is a file descriptor, so nothing is left when this process dies. Every path is resolved under that descriptor
//! (openat2(2), `RESOLVE_IN_ROOT`): a symbolic link of an image leads nowhere else.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use kernel::op::{Attributes, Overlay};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstat, openat, openat2};

use crate::{Error, Result};

/// `MOUNT_ATTR_NOSUID` and `MOUNT_ATTR_NODEV` of mount_setattr(2).
const NO_SET_ID: u64 = 0x2;
const NO_DEVICES: u64 = 0x4;

/// The layers of a container on disk.
#[derive(Debug, Clone)]
pub(crate) struct Layers {
    /// Read-only directories, topmost first.
    pub(crate) lower: Vec<PathBuf>,
    /// The container's own directory.
    pub(crate) upper: PathBuf,
    /// The kernel's scratch directory.
    pub(crate) work: PathBuf,
}

/// A root directory.
#[derive(Debug)]
pub(crate) struct Rootfs {
    root: OwnedFd,
}

impl Rootfs {
    /// The layers, to read only. The container may run meanwhile.
    pub(crate) fn read_only(layers: &Layers) -> Result<Self> {
        let mut all = vec![layers.upper.clone()];
        all.extend(layers.lower.iter().cloned());
        Self::overlay(&all, None)
    }

    /// The image's layers alone, without the container's own.
    pub(crate) fn of_image(layers: &Layers) -> Result<Self> {
        Self::overlay(&layers.lower, None)
    }

    /// The layers of a container that does not run, to write as well.
    pub(crate) fn writable(layers: &Layers) -> Result<Self> {
        Self::overlay(&layers.lower, Some((&layers.upper, &layers.work)))
    }

    fn overlay(lower: &[PathBuf], upper: Option<(&Path, &Path)>) -> Result<Self> {
        // One layer and nothing to write: an overlay of one lower directory is refused by the kernel, and not needed.
        if let ([only], None) = (lower, upper) {
            return Self::directory(only);
        }
        let description = Overlay {
            lower: lower.to_vec(),
            upper: upper.map(|(upper, _)| upper.to_owned()),
            work: upper.map(|(_, work)| work.to_owned()),
            // Only kernels before 6.5 need a place, and only for a moment.
            target: lower
                .first()
                .map(|top| top.with_extension("view"))
                .unwrap_or_default(),
            options: Vec::new(),
        };
        let fail = |failure: kernel::error::Failure| {
            let cause = io::Error::from_raw_os_error(failure.errno);
            Error::system("join the container's layers")(cause)
        };
        let root = kernel::mount::detached_overlay(&description).map_err(fail)?;
        let safe = Attributes {
            set: NO_SET_ID | NO_DEVICES,
            clear: 0,
        };
        kernel::mount::change(root.as_fd(), safe, false).map_err(fail)?;
        Ok(Self { root })
    }

    /// The root of a running process. The caller made sure that the number still names it.
    pub(crate) fn of_process(pid: i32) -> Result<Self> {
        let path = PathBuf::from(format!("/proc/{pid}/root"));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, &path, flags, Mode::empty())
            .map_err(|e| Error::path("open", &path)(e.into()))?;
        Ok(Self { root })
    }

    /// A directory of the host as a root of its own.
    pub(crate) fn directory(path: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, path, flags, Mode::empty())
            .map_err(|e| Error::path("open", path)(e.into()))?;
        Ok(Self { root })
    }

    /// Opens a path below the root; symbolic links are followed, inside.
    pub(crate) fn open(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(
            &self.root,
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            resolve,
        )
    }

    /// Reads a small regular file; none when there is no such file.
    ///
    /// # Errors
    /// When it is no regular file (a FIFO would hang, a device would act) or larger than `limit` bytes.
    pub(crate) fn read_small(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
        let refuse = |why: String| Error::Damaged {
            path: path.to_owned(),
            why,
        };
        let file = match self.open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound || e == rustix::io::Errno::NOTDIR => {
                return Ok(None);
            }
            Err(e) => return Err(Error::path("read inside the container", path)(e.into())),
        };
        let stat =
            fstat(&file).map_err(|e| Error::path("read inside the container", path)(e.into()))?;
        if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(refuse("it is no regular file of the image".into()));
        }
        if u64::try_from(stat.st_size).unwrap_or(u64::MAX) > limit {
            return Err(refuse(format!("it is larger than {limit} bytes")));
        }
        let mut text = Vec::new();
        File::from(file)
            .take(limit)
            .read_to_end(&mut text)
            .map_err(Error::path("read inside the container", path))?;
        Ok(Some(text))
    }
}
