//! The files below the two directories: read, written, claimed and locked.
//!
//! Everything is 0700 or 0600, written beside its place and renamed into it, so that a reader sees
//! the old or the new file and never half of one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use kernel::netlink::Cidr;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Endpoint, Error};

/// Something that no other call on this host returns.
pub(super) fn nonce() -> String {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    format!(
        "{} {} {call}",
        jiff::Timestamp::now().as_nanosecond(),
        std::process::id()
    )
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { what, path, source }
}

/// Nothing where a missing file is no error.
fn unless_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let Some(bytes) = unless_missing(fs::read(path)).map_err(failed("cannot read", path))? else {
        return Ok(None);
    };
    let corrupt = |source| Error::Corrupt {
        path: path.to_owned(),
        source,
    };
    serde_json::from_slice(&bytes).map(Some).map_err(corrupt)
}

/// Replaces a file, or makes it.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let beside = write_beside(path, value)?;
    fs::rename(&beside, path).map_err(failed("cannot write", path))
}

/// Makes a file that must not be there yet; false when it is. Survives a power cut.
pub(super) fn create<T: Serialize>(path: &Path, value: &T) -> Result<bool, Error> {
    let beside = write_beside(path, value)?;
    let linked = File::open(&beside)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::hard_link(&beside, path));
    remove(&beside)?;
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed("cannot write", path)(error)),
    }
}

fn write_beside<T: Serialize>(path: &Path, value: &T) -> Result<PathBuf, Error> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed("cannot write", path)(
            io::ErrorKind::InvalidInput.into(),
        ));
    };
    make_directory(directory)?;
    let beside = directory.join(format!(
        ".{}.{}",
        name.to_string_lossy(),
        std::process::id()
    ));
    let corrupt = |source| Error::Corrupt {
        path: path.to_owned(),
        source,
    };
    let mut bytes = serde_json::to_vec_pretty(value).map_err(corrupt)?;
    bytes.push(b'\n');
    let mut options = OpenOptions::new();
    let opened = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside);
    opened
        .and_then(|mut file| file.write_all(&bytes))
        .map_err(failed("cannot write", &beside))?;
    Ok(beside)
}

fn make_directory(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed("cannot create", path))
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    unless_missing(fs::rename(from, to))
        .map(|_| ())
        .map_err(failed("cannot rename", from))
}

pub(super) fn remove(path: &Path) -> Result<(), Error> {
    unless_missing(fs::remove_file(path))
        .map(|_| ())
        .map_err(failed("cannot remove", path))
}

pub(super) fn remove_tree(path: &Path) -> Result<(), Error> {
    unless_missing(fs::remove_dir_all(path))
        .map(|_| ())
        .map_err(failed("cannot remove", path))
}

/// The names in a directory, sorted, without those that are still being written.
pub(super) fn names(directory: &Path) -> Result<Vec<String>, Error> {
    let entries =
        unless_missing(fs::read_dir(directory)).map_err(failed("cannot list", directory))?;
    let mut names: Vec<String> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    Ok(names)
}

/// The leases in a directory, without those of containers that have ended; one that is removed
/// meanwhile is none.
pub(crate) fn endpoints(directory: &Path) -> Result<Vec<Endpoint>, Error> {
    let read = |name: &String| read(&directory.join(name)).transpose();
    let names = names(directory)?;
    let leases = names.iter().filter(|name| name.ends_with(".json"));
    leases.filter_map(read).collect()
}

/// Claims an address for a container; says who has it when somebody does.
pub(super) fn claim(
    directory: &Path,
    address: IpAddr,
    container: &str,
) -> Result<Option<String>, Error> {
    let path = directory.join(address.to_string());
    let mut claimed = symlink(container, &path);
    if claimed
        .as_ref()
        .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    {
        make_directory(directory)?;
        claimed = symlink(container, &path);
    }
    match claimed {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Some(holder(&path))),
        Err(error) => Err(failed("cannot claim", &path)(error)),
    }
}

/// The claimed addresses' paths, each with the container that holds it.
pub(super) fn claims(directory: &Path) -> Result<Vec<(PathBuf, String)>, Error> {
    let paths = names(directory)?
        .into_iter()
        .map(|name| directory.join(name));
    Ok(paths.map(|path| (path.clone(), holder(&path))).collect())
}

fn holder(path: &Path) -> String {
    fs::read_link(path)
        .map(|target| target.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Locks a directory, which need not hold a file for it; the lock is released when the descriptor
/// is dropped, also by the kernel after a crash.
pub(super) fn lock(directory: &Path) -> Result<File, Error> {
    make_directory(directory)?;
    let opened = File::open(directory).map_err(failed("cannot open", directory))?;
    opened.lock().map_err(failed("cannot lock", directory))?;
    Ok(opened)
}

/// Locks a file for as long as the descriptor lives, whatever name it gets; none when somebody else
/// has it, or when it is gone.
pub(super) fn try_lock(path: &Path) -> Result<Option<File>, Error> {
    let Some(file) = unless_missing(File::open(path)).map_err(failed("cannot open", path))? else {
        return Ok(None);
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(failed("cannot lock", path)(error)),
    }
}

/// Marks a directory as changed for whoever looks at its time. Nobody looking is no harm.
pub(super) fn touch(directory: &Path) {
    let now = std::time::SystemTime::now();
    let _ = File::open(directory).and_then(|directory| directory.set_modified(now));
}

/// Whether a kernel parameter of the calling thread's namespaces is 1.
pub(super) fn is_on(parameter: &str) -> bool {
    let path = format!("/proc/sys/{}", parameter.replace('.', "/"));
    fs::read_to_string(path).is_ok_and(|value| value.trim() == "1")
}

/// Whether this kernel has IPv6 at all; its parameters are missing otherwise.
pub(super) fn host_has_ipv6() -> bool {
    Path::new("/proc/sys/net/ipv6").exists()
}

/// The host's name servers as networks of one address: no network may hide them.
pub(super) fn host_resolvers() -> Vec<Cidr> {
    let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let servers = text
        .lines()
        .filter_map(|line| line.strip_prefix("nameserver")?.trim().parse().ok());
    let single = |address: IpAddr| Cidr::new(address, if address.is_ipv4() { 32 } else { 128 });
    servers.filter_map(single).collect()
}
