//! Mounts, by file descriptor: a mount is made detached, given its attributes,
//! and only then moved onto a target that was opened and checked.
//!
//! In go the mount operations of `op.rs` and the container's [`Root`]; out comes
//! a mount namespace that shows what was asked and nothing of the host.
//! mount_setattr(2), move_mount(2), open_tree(2), fsopen(2); Linux 5.12.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
    move_mount, open_tree,
};

use crate::error::Failure;
use crate::file::{self, Kind, Root};
use crate::op::{Attributes, Inside, Mount, Overlay, Propagation};

type Result<T> = std::result::Result<T, Failure>;

/// `MOUNT_ATTR_RDONLY`.
pub const READ_ONLY: u64 = MountAttrFlags::MOUNT_ATTR_RDONLY.bits() as u64;
/// `MOUNT_ATTR_IDMAP`.
const ID_MAP: u64 = MountAttrFlags::MOUNT_ATTR_IDMAP.bits() as u64;

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
#[derive(Default)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// mount_setattr(2) on an open mount.
fn set_attributes(mount: BorrowedFd<'_>, recursive: bool, attr: &MountAttr) -> Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string, and `attr` points to a live struct of the size given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().into()),
    }
}

/// Set and clear attributes of an open mount.
pub fn change(mount: BorrowedFd<'_>, attributes: Attributes, recursive: bool) -> Result<()> {
    if attributes == Attributes::default() {
        return Ok(());
    }
    let attr = MountAttr {
        set: attributes.set,
        clear: attributes.clear,
        ..MountAttr::default()
    };
    set_attributes(mount, recursive, &attr)
}

/// Show an open, detached mount with the ids of a user namespace.
pub fn map_ids(mount: BorrowedFd<'_>, namespace: BorrowedFd<'_>, recursive: bool) -> Result<()> {
    let attr = MountAttr {
        set: ID_MAP,
        user_namespace: namespace.as_raw_fd() as u64,
        ..MountAttr::default()
    };
    set_attributes(mount, recursive, &attr)
}

/// Decide whether mounts travel from and to an open mount. mount_namespaces(7).
pub fn propagate(mount: BorrowedFd<'_>, propagation: Propagation, recursive: bool) -> Result<()> {
    let flag = match propagation {
        Propagation::Private => libc::MS_PRIVATE,
        Propagation::Shared => libc::MS_SHARED,
        Propagation::Slave => libc::MS_SLAVE,
        Propagation::Unbindable => libc::MS_UNBINDABLE,
    };
    let attr = MountAttr {
        propagation: flag,
        ..MountAttr::default()
    };
    set_attributes(mount, recursive, &attr)
}

/// Take a detached copy of what is mounted at a path of the host.
pub fn tree(path: &Path, recursive: bool, no_follow: bool) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    flags.set(OpenTreeFlags::AT_SYMLINK_NOFOLLOW, no_follow);
    Ok(open_tree(CWD, path, flags)?)
}

/// Take a detached copy of what an open descriptor names.
fn tree_of(fd: BorrowedFd<'_>, recursive: bool) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    Ok(open_tree(fd, c"", flags)?)
}

/// Move a detached mount onto an open target.
fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, c"", target, c"", flags)?)
}

/// A new filesystem, mounted nowhere yet.
fn filesystem(
    kind: &str,
    source: &str,
    options: &[(String, Option<String>)],
    attributes: Attributes,
) -> Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    let configure = || -> rustix::io::Result<OwnedFd> {
        if !source.is_empty() {
            fsconfig_set_string(&context, "source", source)?;
        }
        for (key, value) in options {
            set_option(&context, kind, key, value.as_deref())?;
        }
        fsconfig_create(&context)?;
        let attributes = MountAttrFlags::from_bits_retain(attributes.set as u32);
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    configure().map_err(|errno| explain(&context, errno))
}

fn set_option(
    context: &OwnedFd,
    kind: &str,
    key: &str,
    value: Option<&str>,
) -> rustix::io::Result<()> {
    match value {
        None => fsconfig_set_flag(context, key),
        // One option may hold 255 bytes at most: give a list of layers one by one.
        Some(layers) if kind == "overlay" && key == "lowerdir" && layers.len() > 255 => {
            for layer in split_layers(layers) {
                fsconfig_set_string(context, "lowerdir+", layer)?;
            }
            Ok(())
        }
        Some(value) => fsconfig_set_string(context, key, value),
    }
}

/// The parts of overlayfs' `lowerdir` between colons that no backslash hides.
fn split_layers(list: &str) -> Vec<String> {
    let mut layers = vec![String::new()];
    let mut characters = list.chars();
    while let Some(character) = characters.next() {
        let last = layers.len() - 1;
        match character {
            ':' => layers.push(String::new()),
            '\\' => layers[last].extend(characters.next()),
            other => layers[last].push(other),
        }
    }
    layers
}

/// Add the words that the filesystem left in its context.
fn explain(context: &OwnedFd, errno: Errno) -> Failure {
    let mut failure = Failure::from(errno);
    let mut message = [0; 512];
    while let Ok(length) = rustix::io::read(context, &mut message) {
        let text = String::from_utf8_lossy(&message[..length]);
        // `e overlay: No changes allowed in reconfigure`: a letter for the gravity comes first.
        let text = text
            .trim_end()
            .trim_start_matches(['e', 'w', 'i'])
            .trim_start();
        if !failure.note.is_empty() {
            failure.note.push_str("; ");
        }
        failure.note.push_str(text);
    }
    failure
}

/// Mount something inside the root.
pub fn mount(root: &Root, mount: &Mount, prepared: Option<OwnedFd>) -> Result<()> {
    let (made, fresh) = match prepared {
        Some(tree) => (tree, false),
        None => make(root, mount)?,
    };
    let kind = file::kind(&made)?;
    // What is made here has no mode that anybody chose: the filesystem keeps its own.
    let take_mode = mount.take_mode && root.find(&mount.target).is_ok();
    let target = target(root, mount, kind)?;
    if fresh {
        fill(target.as_fd(), made.as_fd(), mount.copy_up, take_mode)?;
    }
    change(made.as_fd(), mount.attributes, false)?;
    change(made.as_fd(), mount.recursive, true)?;
    attach(made.as_fd(), target.as_fd())?;
    // After attaching: a detached tree takes part in no propagation.
    for (propagation, recursive) in &mount.propagation {
        propagate(made.as_fd(), *propagation, *recursive)?;
    }
    Ok(())
}

/// Give a new filesystem what its target has (`tmpcopyup`), or at least its mode.
fn fill(
    target: BorrowedFd<'_>,
    made: BorrowedFd<'_>,
    copy_up: bool,
    take_mode: bool,
) -> Result<()> {
    if copy_up {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let from = rustix::fs::openat(target, c".", flags, Mode::empty())?;
        // The descriptor of a new mount is one that only points (`O_PATH`).
        let to = rustix::fs::openat(made, c".", flags, Mode::empty())?;
        crate::copy::tree(from.as_fd(), to.as_fd())?;
    } else if take_mode {
        let mode = Mode::from_raw_mode(file::status(target)?.stx_mode.into());
        rustix::fs::chmodat(made, c".", mode, rustix::fs::AtFlags::empty())?;
    }
    Ok(())
}

/// Unmount what is at a path of the host, once nobody uses it; nothing there is no error. umount2(2).
pub fn unmount(path: &Path) -> std::io::Result<()> {
    match rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        // EINVAL: it is no mount point.
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Is a path of the host the root of a mount? statx(2), `STATX_ATTR_MOUNT_ROOT`; Linux 5.8.
pub fn is_mount_point(path: &Path) -> std::io::Result<bool> {
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    let found = rustix::fs::statx(CWD, path, flags, rustix::fs::StatxFlags::empty())?;
    let mount_root = rustix::fs::StatxAttributes::MOUNT_ROOT;
    Ok(found.stx_attributes.contains(mount_root))
}

/// Change the rules of a mount that exists inside.
pub fn change_inside(
    root: &Root,
    path: &Inside,
    attributes: Attributes,
    recursive: bool,
) -> Result<()> {
    change(root.find(path)?.as_fd(), attributes, recursive)
}

fn make(root: &Root, mount: &Mount) -> Result<(OwnedFd, bool)> {
    use crate::op::MountSource::{Bind, BindInside, Filesystem, Prepared};
    match &mount.source {
        Filesystem {
            kind,
            source,
            options,
        } => Ok((filesystem(kind, source, options, mount.attributes)?, true)),
        Bind { path, recursive } => Ok((tree(path, *recursive, mount.no_follow)?, false)),
        BindInside { path, recursive } => {
            Ok((tree_of(root.find(path)?.as_fd(), *recursive)?, false))
        }
        Prepared { .. } => Err(Errno::BADF.into()),
    }
}

/// Find the target of a mount, or make it: a directory for a directory, else an empty file.
fn target(root: &Root, mount: &Mount, kind: Kind) -> Result<OwnedFd> {
    if mount.no_follow {
        match root.find_no_follow(&mount.target) {
            Ok(found) => return Ok(found),
            Err(Errno::NOENT) => {}
            Err(other) => return Err(other.into()),
        }
    }
    let target = root.find_or_make(&mount.target, kind)?;
    if file::kind(&target)? != kind {
        let note = match kind {
            Kind::Directory => "a directory cannot be mounted over a file",
            Kind::File => "a file cannot be mounted over a directory",
        };
        return Err(Failure {
            errno: libc::ENOTDIR,
            note: note.into(),
        });
    }
    Ok(target)
}

/// Join layers to one detached mount. Documentation/filesystems/overlayfs.rst.
pub fn overlay(overlay: &Overlay) -> Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let configure = || -> rustix::io::Result<OwnedFd> {
        fsconfig_set_string(&context, "source", "overlay")?;
        for lower in &overlay.lower {
            fsconfig_set_string(&context, "lowerdir+", lower.as_path())?;
        }
        for (key, directory) in [("upperdir", &overlay.upper), ("workdir", &overlay.work)] {
            if let Some(directory) = directory {
                fsconfig_set_string(&context, key, directory.as_path())?;
            }
        }
        for option in &overlay.options {
            match option.split_once('=') {
                Some((key, value)) => fsconfig_set_string(&context, key, value)?,
                None => fsconfig_set_flag(&context, option.as_str())?,
            }
        }
        fsconfig_create(&context)?;
        fsmount(
            &context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::empty(),
        )
    };
    configure().map_err(|errno| explain(&context, errno))
}

/// As [`overlay()`] for kernels before 6.5, which take all layers in one option of one page.
///
/// Names relative to the directory that holds all layers keep the option short.
fn overlay_in_one_page(overlay: &Overlay) -> Result<()> {
    let above = common_parent(&overlay.lower);
    rustix::process::chdir(&above)?;
    overlay_in_one_page_at(overlay, &above)
}

/// With the layers named from `above` on, which is this process's directory unless it is the root.
fn overlay_in_one_page_at(overlay: &Overlay, above: &Path) -> Result<()> {
    let name = |path: &Path| -> Vec<u8> {
        let short = match above == Path::new("/") {
            true => path,
            false => path.strip_prefix(above).unwrap_or(path),
        };
        escape(short.as_os_str().as_bytes())
    };
    let lower: Vec<_> = overlay.lower.iter().map(|path| name(path)).collect();
    let mut data = [b"lowerdir=".as_slice(), &lower.join(&b':')].concat();
    for (key, directory) in [(",upperdir=", &overlay.upper), (",workdir=", &overlay.work)] {
        if let Some(directory) = directory {
            data.extend_from_slice(key.as_bytes());
            data.extend_from_slice(&escape(directory.as_os_str().as_bytes()));
        }
    }
    for option in &overlay.options {
        data.push(b',');
        data.extend_from_slice(option.as_bytes());
    }
    let data = CString::new(data).map_err(|_| Errno::INVAL)?;
    let flags = MountFlags::empty();
    rustix::mount::mount(
        "overlay",
        &overlay.target,
        "overlay",
        flags,
        Some(data.as_c_str()),
    )?;
    Ok(())
}

fn escape(path: &[u8]) -> Vec<u8> {
    let special = |byte: &u8| matches!(byte, b':' | b',' | b'\\');
    path.iter()
        .flat_map(|byte| {
            special(byte)
                .then_some(b'\\')
                .into_iter()
                .chain(Some(*byte))
        })
        .collect()
}

fn common_parent(paths: &[PathBuf]) -> PathBuf {
    let Some(first) = paths.first() else {
        return PathBuf::from("/");
    };
    let holds_all = |above: &&Path| paths.iter().all(|path| path.starts_with(above));
    first
        .ancestors()
        .skip(1)
        .find(holds_all)
        .unwrap_or(Path::new("/"))
        .to_path_buf()
}

/// Join layers to a detached mount, for whoever only wants to look at them: its target is a place that is free, and empty
/// again afterwards.
pub fn detached_overlay(description: &Overlay) -> Result<OwnedFd> {
    match overlay(description) {
        Err(failure) if failure.errno == libc::EINVAL => {
            overlay_by_descriptors(description).map_err(|_| failure)
        }
        other => other,
    }
}

/// As [`overlay()`] for kernels before 6.5, without changing this process's directory: each layer is opened, and named by
/// its descriptor. fsconfig(2) takes 255 bytes, which is a dozen of them; for more the page of mount(2) is needed.
fn overlay_by_descriptors(overlay: &Overlay) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |path: &PathBuf| rustix::fs::open(path, flags, Mode::empty());
    let layers = overlay
        .lower
        .iter()
        .map(open)
        .collect::<rustix::io::Result<Vec<_>>>()?;
    let names: Vec<PathBuf> = layers
        .iter()
        .map(|layer| PathBuf::from(format!("/proc/self/fd/{}", layer.as_raw_fd())))
        .collect();
    let named = Overlay {
        lower: names,
        ..overlay.clone()
    };
    let lower: Vec<_> = named
        .lower
        .iter()
        .map(|name| name.as_os_str().as_bytes())
        .collect();
    let lower = lower.join(&b':');
    if lower.len() > 255 {
        return overlay_looked_at(&named);
    }
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", "overlay")?;
    fsconfig_set_string(&context, "lowerdir", lower)?;
    for (key, directory) in [("upperdir", &overlay.upper), ("workdir", &overlay.work)] {
        if let Some(directory) = directory {
            fsconfig_set_string(&context, key, directory.as_path())?;
        }
    }
    fsconfig_create(&context)?;
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    Ok(fsmount(&context, flags, MountAttrFlags::empty())?)
}

/// Mounts, opens and unmounts: the descriptor keeps what it shows.
fn overlay_looked_at(overlay: &Overlay) -> Result<OwnedFd> {
    std::fs::create_dir_all(&overlay.target)?;
    overlay_in_one_page_at(overlay, Path::new("/"))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(&overlay.target, flags, Mode::empty());
    unmount(&overlay.target)?;
    std::fs::remove_dir(&overlay.target)?;
    Ok(root?)
}

/// Join layers and mount them where the container's root will be.
pub fn mount_overlay(description: &Overlay) -> Result<Root> {
    match overlay(description) {
        Ok(mount) => root_at(mount, &description.target),
        // `lowerdir+` is unknown before Linux 6.5.
        Err(failure) if failure.errno == libc::EINVAL => {
            if overlay_in_one_page(description).is_err() {
                return Err(failure);
            }
            Ok(Root::open(&description.target)?)
        }
        Err(failure) => Err(failure),
    }
}

/// Make a directory a mount of its own.
///
/// A copy of a mount is in the peer group of its original: with `detach` what is mounted inside
/// later does not travel to the host, nor the host's mounts in.
pub fn bind_root(tree: OwnedFd, target: &Path, detach: bool) -> Result<Root> {
    if detach {
        propagate(tree.as_fd(), Propagation::Private, true)?;
    }
    root_at(tree, target)
}

/// Attach the future root.
///
/// A process in a user namespace may not be able to reach the target's path: then `/` does, since
/// a new root needs to be mounted somewhere and nobody looks for it there.
fn root_at(mount: OwnedFd, target: &Path) -> Result<Root> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    match move_mount(&mount, c"", CWD, target, flags) {
        Err(Errno::ACCESS) => move_mount(&mount, c"", CWD, c"/", flags)?,
        other => other?,
    }
    Ok(Root::from_fd(mount))
}

/// Keep mounts made below `path` out of other mount namespaces: make the mount that holds it private.
pub fn isolate(path: &Path) -> Result<()> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let path = path.canonicalize()?;
    let points = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescape);
    let point = points
        .filter(|point| path.starts_with(point))
        .max_by_key(|p| p.as_os_str().len());
    let point = point.unwrap_or(PathBuf::from("/"));
    propagate(file::point_at(&point)?.as_fd(), Propagation::Private, false)
}

/// A path as mountinfo writes it: blanks and backslashes as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..3).and_then(|d| std::str::from_utf8(d).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsStr::from_bytes(&bytes))
}

/// Hide a path. `empty` keeps the one read-only tmpfs that all hidden directories share.
pub fn mask(root: &Root, path: &Inside, empty: &mut Option<OwnedFd>) -> Result<()> {
    let Some(target) = existing(root, path)? else {
        return Ok(());
    };
    let cover = match file::kind(&target)? {
        Kind::File => null(root)?,
        Kind::Directory => match empty {
            Some(first) => tree_of(first.as_fd(), false)?,
            None => {
                let options = [
                    ("nr_blocks".into(), Some("1".into())),
                    ("nr_inodes".into(), Some("1".into())),
                ];
                let read_only = Attributes {
                    set: READ_ONLY,
                    clear: 0,
                };
                let first = filesystem("tmpfs", "tmpfs", &options, read_only)?;
                attach(first.as_fd(), target.as_fd())?;
                *empty = Some(first);
                return Ok(());
            }
        },
    };
    attach(cover.as_fd(), target.as_fd())
}

/// A mount of the null device, which is looked at after it was opened: an image or another
/// container may have put something else at `/dev/null`.
fn null(root: &Root) -> Result<OwnedFd> {
    let found = root.find_no_follow(&Inside::new("/dev/null"));
    let inside = found
        .ok()
        .filter(|fd| file::is_character_device(fd, 1, 3).unwrap_or(false));
    let null = match inside {
        Some(null) => null,
        None => file::point_at(Path::new("/dev/null"))?,
    };
    if !file::is_character_device(&null, 1, 3)? {
        return Err(Failure {
            errno: libc::ENODEV,
            note: "/dev/null is not the null device".into(),
        });
    }
    tree_of(null.as_fd(), false)
}

/// Make a path read-only with everything below it.
pub fn read_only(root: &Root, path: &Inside) -> Result<()> {
    let Some(target) = existing(root, path)? else {
        return Ok(());
    };
    let tree = tree_of(target.as_fd(), true)?;
    change(
        tree.as_fd(),
        Attributes {
            set: READ_ONLY,
            clear: 0,
        },
        true,
    )?;
    attach(tree.as_fd(), target.as_fd())
}

fn existing(root: &Root, path: &Inside) -> Result<Option<OwnedFd>> {
    match root.find(path) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

/// Show a device of the host inside, where making nodes is not allowed.
pub fn bind_device(root: &Root, path: &Inside, major: u32, minor: u32) -> Result<()> {
    let device = file::point_at(path.as_path())?;
    let status = file::status(&device)?;
    if (status.stx_rdev_major, status.stx_rdev_minor) != (major, minor) {
        let note = "the host has another device at this path, and a node may not be made here";
        return Err(Failure {
            errno: libc::ENODEV,
            note: note.into(),
        });
    }
    let tree = tree_of(device.as_fd(), false)?;
    let restricted = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let attributes = Attributes {
        set: restricted.bits().into(),
        clear: 0,
    };
    change(tree.as_fd(), attributes, false)?;
    let target = root.find_or_make(path, Kind::File)?;
    attach(tree.as_fd(), target.as_fd())
}

/// Bind an open file over a path inside (a terminal on `/dev/console`).
pub fn bind_open(root: &Root, source: BorrowedFd<'_>, path: &Inside) -> Result<()> {
    let tree = tree_of(source, false)?;
    let target = root.find_or_make(path, Kind::File)?;
    attach(tree.as_fd(), target.as_fd())
}

/// Make the root `/` and unmount what was there. pivot_root(2).
pub fn pivot(root: &Root) -> Result<()> {
    let old = rustix::fs::open(
        c"/",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    rustix::process::fchdir(root.fd())?;
    // Both arguments the same: the old root is stacked on the new one, and no directory is needed.
    rustix::process::pivot_root(c".", c".")?;
    // That the old root is unmounted here must not travel to the host.
    propagate(old.as_fd(), Propagation::Slave, true)?;
    rustix::process::fchdir(&old)?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")?;
    Ok(())
}

/// As [`pivot`] where the old root cannot be moved: cover it. Mounts of the host that a process
/// could still reach below it are detached first.
pub fn cover_root(root: &Root, target: &Path) -> Result<()> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let points: Vec<_> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescape)
        .collect();
    for point in points.iter().rev() {
        let needed = target.starts_with(point) || point.starts_with(target);
        if !needed {
            let _ = rustix::mount::unmount(point, UnmountFlags::DETACH);
        }
    }
    rustix::process::fchdir(root.fd())?;
    move_mount(
        root.fd(),
        c"",
        CWD,
        c"/",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?;
    rustix::process::chroot(c".")?;
    rustix::process::chdir(c"/")?;
    Ok(())
}

/// Make a mounted root the `/` of this process, which stays in its mount namespace. chroot(2).
pub fn enter_root(path: &Path) -> Result<Root> {
    let root = Root::open(path)?;
    rustix::process::fchdir(root.fd())?;
    rustix::process::chroot(c".")?;
    rustix::process::chdir(c"/")?;
    Ok(root)
}

/// Unmount what [`bind_root`] mounted away from its directory, and remove the mount point.
///
/// The directory is removed only when it is empty: what is still mounted there is somebody's data.
pub fn unmount_root(path: &Path) -> Result<()> {
    match rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        // EINVAL: nothing is mounted there (any more).
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
        Err(other) => return Err(other.into()),
    }
    match rustix::fs::rmdir(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(other) => Err(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_split_at_colons_that_nothing_hides() {
        assert_eq!(split_layers("/a:/b\\:c:/d"), ["/a", "/b:c", "/d"]);
    }

    /// What kernels before 6.5 need works on all: few layers in one option, many in one page.
    #[test]
    fn layers_named_by_descriptors_are_joined_to_a_mount_that_is_nowhere() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        for count in [2, 40] {
            let directory = tempfile::tempdir().unwrap();
            let lower: Vec<PathBuf> = (0..count)
                .map(|number| directory.path().join(format!("layer-{number}")))
                .collect();
            for (number, layer) in lower.iter().enumerate() {
                std::fs::create_dir(layer).unwrap();
                std::fs::write(layer.join(format!("file-{number}")), "x").unwrap();
            }
            let target = directory.path().join("view");
            let overlay = Overlay {
                lower,
                upper: None,
                work: None,
                target: target.clone(),
                options: Vec::new(),
            };
            let root = overlay_by_descriptors(&overlay).unwrap();
            for number in 0..count {
                let name = format!("file-{number}");
                rustix::fs::statat(&root, name, rustix::fs::AtFlags::empty()).unwrap();
            }
            assert!(!target.exists());
        }
    }

    #[test]
    fn mountinfo_hides_blanks() {
        assert_eq!(unescape("/a\\040b\\134c"), PathBuf::from("/a b\\c"));
        assert_eq!(unescape("/plain"), PathBuf::from("/plain"));
    }

    #[test]
    fn layers_share_a_parent() {
        let paths = ["/var/l/a/diff", "/var/l/b/diff"].map(PathBuf::from);
        assert_eq!(common_parent(&paths), PathBuf::from("/var/l"));
    }
}
