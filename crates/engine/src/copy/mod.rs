//! `cp`: files between host and container, every path inside resolved under the container's root and nowhere else.
//!
//! Both ends are held as directory descriptors before a byte is copied; a link that the container swaps in meanwhile leads
//! nowhere (openat2(2), then `*at` without following). No program of the container is run. cp's rules on directories and
//! trailing slashes are docker's.

mod archive;

use std::ffi::CString;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};

use crate::config::{ContainerConfig, MountSource};
use crate::prepare::layers;
use crate::rootfs::Rootfs;
use crate::tree::{Keeping, copy_entry, copy_keeping};
use crate::{Engine, Error, Result};

/// How to copy.
#[derive(Debug, Clone, Copy, Default)]
pub struct CopyOptions {
    /// Keep user and group (`-a`), set-id bits and attributes.
    pub archive: bool,
    /// Follow a symbolic link that is the source (`-L`).
    pub follow_link: bool,
}

const LINKS: usize = 40;

impl Engine {
    /// `cp HOST_PATH CONTAINER:PATH`, with cp's rules on directories and trailing slashes.
    pub fn copy_to(&self, who: &str, host: &Path, inside: &str, how: CopyOptions) -> Result<()> {
        if inside.is_empty() {
            return Err(Error::invalid(
                "destination",
                inside,
                "give a path in the container",
            ));
        }
        let (root, path) = self.root_at(who, inside)?;
        let from = Source::find(&Side::Host, host, how.follow_link)?;
        let keeping = Keeping {
            owner: (!how.archive).then_some((0, 0)),
            powers: true,
        };
        place(&from, &Side::Inside(&root), &path, keeping)
    }

    /// `cp CONTAINER:PATH HOST_PATH`. Without `archive` the files become the caller's, without what would give them power.
    pub fn copy_from(&self, who: &str, inside: &str, host: &Path, how: CopyOptions) -> Result<()> {
        let (root, path) = self.root_at(who, inside)?;
        let from = Source::find(&Side::Inside(&root), &path, how.follow_link)?;
        let me = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        let keeping = Keeping {
            owner: (!how.archive).then_some(me),
            powers: how.archive,
        };
        place(&from, &Side::Host, host, keeping)
    }

    /// `cp - CONTAINER:DIRECTORY`: unpacks a tar stream.
    pub fn unpack_to(
        &self,
        who: &str,
        tar: &mut dyn Read,
        inside: &str,
        how: CopyOptions,
    ) -> Result<()> {
        let (root, path) = self.root_at(who, inside)?;
        let side = Side::Inside(&root);
        if !side.kind(&path)?.is_some_and(FileType::is_dir) {
            return Err(Error::invalid(
                "destination",
                inside,
                "it must be a directory of the container",
            ));
        }
        archive::unpack(tar, &root, &path, how.archive)
    }

    /// `cp CONTAINER:PATH -`: writes a tar stream.
    pub fn pack_from(
        &self,
        who: &str,
        inside: &str,
        tar: &mut dyn Write,
        how: CopyOptions,
    ) -> Result<()> {
        let (root, path) = self.root_at(who, inside)?;
        let from = Source::find(&Side::Inside(&root), &path, how.follow_link)?;
        archive::pack(&from, tar).map_err(Error::path("pack", &path))
    }

    /// The root under which a path of a container lies, and the path there: its own root as it runs, its joined layers when
    /// it does not; then a path in a volume or bind mount lies under that mount.
    fn root_at(&self, who: &str, inside: &str) -> Result<(Rootfs, PathBuf)> {
        let seen = self.observe_as(who)?;
        let path = Path::new("/").join(inside);
        if let Ok(pid) = seen.pid() {
            let root = Rootfs::of_process(pid)?;
            // Only now is it certain that the number still was the container's when its root was opened.
            self.observe(&seen.record.id)?.pid()?;
            return Ok((root, path));
        }
        if let Some((mount, rest)) = self.mount_below(&seen.record.config, &path)? {
            return Ok((mount, rest));
        }
        Ok((
            Rootfs::writable(&layers(
                &seen.record,
                &self.paths.container(&seen.record.id),
            ))?,
            path,
        ))
    }

    fn mount_below(
        &self,
        config: &ContainerConfig,
        path: &Path,
    ) -> Result<Option<(Rootfs, PathBuf)>> {
        let clean = clean(path);
        let below = config
            .mounts
            .iter()
            .filter(|mount| clean.starts_with(mount.target.trim_end_matches('/')));
        let Some(mount) = below.max_by_key(|mount| mount.target.len()) else {
            return Ok(None);
        };
        let source = match &mount.source {
            MountSource::Bind { path, .. } => path.clone(),
            MountSource::Volume {
                name: Some(name), ..
            } => {
                let volume = self.volume(name)?;
                if volume.device().is_some() {
                    let why = "it is in a volume that is mounted only while a container runs";
                    let shown = path.display().to_string();
                    return Err(Error::invalid("path", shown, why));
                }
                volume.directory()
            }
            // Memory, and files that are written at each start: there is nothing of them now.
            _ => return Ok(None),
        };
        let rest = clean
            .strip_prefix(mount.target.trim_end_matches('/'))
            .unwrap_or(Path::new(""));
        let trailing = path.as_os_str().as_bytes().ends_with(b"/.");
        let rest = if trailing {
            rest.join(".")
        } else {
            rest.to_owned()
        };
        Ok(Some((
            Rootfs::directory(&source)?,
            Path::new("/").join(rest),
        )))
    }
}

/// A path without `.` and `..`, by its letters.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    clean
}

/// On which side a path is resolved.
enum Side<'a> {
    Host,
    Inside(&'a Rootfs),
}

impl Side<'_> {
    fn open(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        match self {
            Side::Host => rustix::fs::openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty()),
            Side::Inside(root) => root.open(path, flags),
        }
    }

    fn directory(&self, path: &Path) -> Result<OwnedFd> {
        self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(|e| Error::path("open", path)(e.into()))
    }

    /// Where a path leads when its last parts are links to nothing yet: that is what is to be made.
    fn end_of_links(&self, path: &Path) -> Result<PathBuf> {
        let mut path = path.to_owned();
        for _ in 0..LINKS {
            let (parent, name) = split(self, &path)?;
            match rustix::fs::readlinkat(&parent, &name, Vec::new()) {
                Ok(target) => path = beside(&path, &target),
                Err(_) => return Ok(path),
            }
        }
        Err(Error::path("follow", &path)(rustix::io::Errno::LOOP.into()))
    }

    /// What a path leads to, links followed; none when there is nothing.
    fn kind(&self, path: &Path) -> Result<Option<FileType>> {
        match self.open(path, OFlags::PATH) {
            Ok(fd) => {
                let stat =
                    rustix::fs::fstat(&fd).map_err(|e| Error::path("look at", path)(e.into()))?;
                Ok(Some(FileType::from_raw_mode(stat.st_mode)))
            }
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(e) => Err(Error::path("look at", path)(e.into())),
        }
    }
}

/// What is copied, held open.
enum Source {
    /// What a directory holds (`DIR/.`), or the root.
    Contents(OwnedFd),
    /// One entry of a directory.
    Entry {
        parent: OwnedFd,
        name: CString,
        directory: bool,
    },
}

impl Source {
    fn find(side: &Side<'_>, path: &Path, follow: bool) -> Result<Self> {
        let bytes = path.as_os_str().as_bytes();
        let contents = bytes.ends_with(b"/.") || path.file_name().is_none();
        if contents {
            return Ok(Self::Contents(side.directory(path)?));
        }
        let mut path = path.to_owned();
        for _ in 0..LINKS {
            let (parent, name) = split(side, &path)?;
            let stat = rustix::fs::statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|e| Error::path("find", &path)(e.into()))?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            if !(kind.is_symlink() && (follow || bytes.ends_with(b"/"))) {
                if bytes.ends_with(b"/") && !kind.is_dir() {
                    return Err(Error::path("enter", &path)(
                        rustix::io::Errno::NOTDIR.into(),
                    ));
                }
                return Ok(Self::Entry {
                    parent,
                    name,
                    directory: kind.is_dir(),
                });
            }
            let target = rustix::fs::readlinkat(&parent, &name, Vec::new())
                .map_err(|e| Error::path("read the link", &path)(e.into()))?;
            path = beside(&path, &target);
        }
        Err(Error::path("follow", &path)(rustix::io::Errno::LOOP.into()))
    }

    fn is_directory(&self) -> bool {
        match self {
            Source::Contents(_) => true,
            Source::Entry { directory, .. } => *directory,
        }
    }
}

/// Where a link at `path` leads.
fn beside(path: &Path, target: &std::ffi::CStr) -> PathBuf {
    let target = std::ffi::OsStr::from_bytes(target.to_bytes());
    path.parent().unwrap_or(Path::new("/")).join(target)
}

/// A path's directory, opened, and its last name.
fn split(side: &Side<'_>, path: &Path) -> Result<(OwnedFd, CString)> {
    let name = path.file_name().ok_or_else(|| {
        Error::invalid(
            "path",
            path.display().to_string(),
            "it must end with a name",
        )
    })?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = CString::new(name.as_bytes())
        .map_err(|_| Error::invalid("path", path.display().to_string(), "it holds a NUL byte"))?;
    Ok((side.directory(parent)?, name))
}

/// Copies to where cp would.
fn place(from: &Source, side: &Side<'_>, to: &Path, keeping: Keeping) -> Result<()> {
    let fail = |e: std::io::Error| Error::path("copy to", to)(e);
    let refuse = |why: &str| Err(Error::invalid("destination", to.display().to_string(), why));
    let slash = to.as_os_str().as_bytes().ends_with(b"/");
    match (side.kind(to)?, from) {
        (Some(kind), Source::Contents(from)) if kind.is_dir() => {
            copy_keeping(from.as_fd(), side.directory(to)?.as_fd(), keeping).map_err(fail)
        }
        (Some(kind), Source::Entry { parent, name, .. }) if kind.is_dir() => {
            let into = side.directory(to)?;
            copy_entry(parent.as_fd(), name, into.as_fd(), name, keeping).map_err(fail)
        }
        (Some(_), from) if from.is_directory() => refuse("a directory cannot be copied to a file"),
        (Some(_), _) if slash => refuse("it is not a directory"),
        (None, from) if slash && !from.is_directory() => refuse("there is no such directory"),
        (_, Source::Entry { parent, name, .. }) => {
            let (into, new) = split(side, &side.end_of_links(to)?)?;
            copy_entry(parent.as_fd(), name, into.as_fd(), &new, keeping).map_err(fail)
        }
        (_, Source::Contents(from)) => {
            let (into, new) = split(side, to)?;
            rustix::fs::mkdirat(&into, &new, Mode::RWXU).map_err(|e| fail(e.into()))?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let into = rustix::fs::openat(&into, &new, flags, Mode::empty())
                .map_err(|e| fail(e.into()))?;
            copy_keeping(from.as_fd(), into.as_fd(), keeping).map_err(fail)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn copy(from: &Path, to: &Path) -> Result<()> {
        let me = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        let keeping = Keeping {
            owner: Some(me),
            powers: false,
        };
        place(
            &Source::find(&Side::Host, from, false)?,
            &Side::Host,
            to,
            keeping,
        )
    }

    #[test]
    fn cps_rules() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| PathBuf::from(format!("{}/{path}", dir.path().display()));
        std::fs::create_dir_all(at("src/sub")).unwrap();
        std::fs::create_dir(at("there")).unwrap();
        std::fs::write(at("src/file"), "text").unwrap();
        copy(&at("src/file"), &at("new")).unwrap();
        copy(&at("src/file"), &at("there")).unwrap();
        copy(&at("src"), &at("there")).unwrap();
        copy(&at("src"), &at("fresh")).unwrap();
        copy(&at("src/."), &at("contents")).unwrap();
        for path in [
            "new",
            "there/file",
            "there/src/file",
            "fresh/file",
            "contents/file",
        ] {
            assert_eq!(std::fs::read_to_string(at(path)).unwrap(), "text", "{path}");
        }
        assert!(copy(&at("src/file"), &at("nowhere/")).is_err());
        assert!(copy(&at("src"), &at("new")).is_err());
        assert!(copy(&at("src/none"), &at("x")).is_err());
        assert!(copy(&at("src/file/"), &at("x")).is_err());
    }

    #[test]
    fn a_link_inside_leads_inside() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/passwd"), "its own").unwrap();
        symlink("/etc", root.join("link")).unwrap();
        symlink("../../../../etc/passwd", root.join("file")).unwrap();
        let inside = Rootfs::directory(&root).unwrap();
        let to = dir.path().join("out");
        for path in ["/link/passwd", "/file"] {
            let from = Source::find(&Side::Inside(&inside), Path::new(path), true).unwrap();
            place(
                &from,
                &Side::Host,
                &to,
                Keeping {
                    owner: None,
                    powers: false,
                },
            )
            .unwrap();
            assert_eq!(std::fs::read_to_string(&to).unwrap(), "its own", "{path}");
        }
    }
}
