//! Running from a copy of lighter that no container can write.
//!
//! A container's process can reach the program of a process that enters it by
//! `/proc/PID/exe` (CVE-2019-5736). So the process that creates or enters a
//! container runs from a read-only overlay over the program's directory, mounted
//! nowhere: it shares the program's pages, costs no copy, and cannot be opened
//! for writing or unwrapped. Without overlayfs a sealed copy in memory serves.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags};
use rustix::io::{Errno, Result};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};

use crate::program::pointers;

/// Tells a protected lighter where its program lies on the host.
const ORIGIN: &str = "LIGHTER_PROGRAM";

/// Does this process run from a copy that cannot be written?
pub fn is_protected() -> bool {
    let Ok(own) = own() else { return false };
    if let Ok(seals) = rustix::fs::fcntl_get_seals(&own) {
        return seals.contains(SealFlags::WRITE);
    }
    let read_only = rustix::fs::fstatvfs(&own)
        .is_ok_and(|status| status.f_flag.contains(StatVfsMountFlags::RDONLY));
    let overlay =
        rustix::fs::fstatfs(&own).is_ok_and(|status| status.f_type == libc::OVERLAYFS_SUPER_MAGIC);
    read_only && overlay
}

/// Where the program lies on the host, also when this process runs from a copy.
pub fn origin() -> std::io::Result<PathBuf> {
    match std::env::var_os(ORIGIN) {
        Some(path) if is_protected() => Ok(PathBuf::from(path)),
        _ => std::env::current_exe(),
    }
}

/// Open a copy of this program that cannot be written, to execute it.
///
/// # Errors
/// memfd_create(2)'s and sendfile(2)'s, when an overlay could not be made either.
pub fn open() -> Result<OwnedFd> {
    if is_protected() {
        return own();
    }
    in_overlay().or_else(|_| in_memory())
}

/// Start this program again from a copy that cannot be written, unless it runs from one.
///
/// Takes about a millisecond. Arguments and environment stay.
pub fn ensure() -> Result<()> {
    if is_protected() {
        return Ok(());
    }
    let program = open()?;
    let text = |text: std::ffi::OsString| CString::new(text.into_vec()).map_err(|_| Errno::INVAL);
    let args: Vec<_> = std::env::args_os().map(text).collect::<Result<_>>()?;
    let mut env: Vec<_> = std::env::vars_os()
        .filter(|(name, _)| name != ORIGIN)
        .map(|(name, value)| {
            text(
                [name.as_os_str(), OsStr::new("="), &value]
                    .into_iter()
                    .collect(),
            )
        })
        .collect::<Result<_>>()?;
    if let Ok(path) = std::env::current_exe() {
        env.push(text(
            [OsStr::new(ORIGIN), OsStr::new("="), path.as_os_str()]
                .into_iter()
                .collect(),
        )?);
    }
    let (args, env) = (pointers(&args), pointers(&env));
    // SAFETY: an open descriptor, an empty C string, and two null-terminated arrays of C strings
    // that live until the call returns, which it does only on failure.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            args.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}

fn own() -> Result<OwnedFd> {
    rustix::fs::open(
        c"/proc/self/exe",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// The program in a read-only overlay over its directory.
fn in_overlay() -> Result<OwnedFd> {
    let path = std::env::current_exe().map_err(|_| Errno::NOENT)?;
    let (directory, name) = path.parent().zip(path.file_name()).ok_or(Errno::NOENT)?;
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", "lighter")?;
    // Without an upper directory overlayfs wants two lower ones: an empty one lies below.
    let empty = empty_directory()?;
    for lower in [
        directory,
        &Path::new("/proc/self/fd").join(empty.as_raw_fd().to_string()),
    ] {
        fsconfig_set_string(&context, "lowerdir+", lower)?;
    }
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOSUID;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    let program = rustix::fs::openat(
        &mount,
        name,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    same_file(&program)?;
    Ok(program)
}

fn empty_directory() -> Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_RDONLY,
    )
}

/// The program may have been replaced by a newer one: then run the one that runs.
fn same_file(program: &OwnedFd) -> Result<()> {
    let (found, own) = (rustix::fs::fstat(program)?, rustix::fs::fstat(own()?)?);
    let same = (found.st_size, found.st_mtime) == (own.st_size, own.st_mtime);
    if same { Ok(()) } else { Err(Errno::STALE) }
}

/// The program copied to memory and sealed.
fn in_memory() -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = match rustix::fs::memfd_create("lighter", flags | MemfdFlags::EXEC) {
        // MFD_EXEC is known since Linux 6.3.
        Err(Errno::INVAL) => rustix::fs::memfd_create("lighter", flags)?,
        other => other?,
    };
    let program = own()?;
    while rustix::fs::sendfile(copy.as_fd(), program.as_fd(), None, 1 << 30)? > 0 {}
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&copy, seals)?;
    // A descriptor that can write cannot be executed: open it again for reading.
    let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_in_memory_is_sealed() {
        let copy = in_memory().unwrap();
        assert!(
            rustix::fs::fcntl_get_seals(&copy)
                .unwrap()
                .contains(SealFlags::WRITE)
        );
        let size = rustix::fs::fstat(&copy).unwrap().st_size;
        assert_eq!(size, rustix::fs::fstat(own().unwrap()).unwrap().st_size);
    }
}
