//! Whether two files, or two trees, are the same: names, kinds, modes, owners, times,
//! extended attributes, link targets and content.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

const PIECE: usize = 256 << 10;

/// The first thing that differs between `expected` and `found`.
pub(crate) fn first_difference(expected: &Path, found: &Path) -> io::Result<Option<String>> {
    let mut todo = vec![std::path::PathBuf::new()];
    while let Some(relative) = todo.pop() {
        let (left, right) = (expected.join(&relative), found.join(&relative));
        let left_meta = fs::symlink_metadata(&left)?;
        let right_meta = match fs::symlink_metadata(&right) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Some(format!("{} is missing", relative.display())));
            }
            other => other?,
        };
        let sides = [(&*left, &left_meta), (&*right, &right_meta)];
        if let Some(what) = exact_difference(sides)? {
            return Ok(Some(format!("{} of /{}", what, relative.display())));
        }
        if left_meta.is_dir() {
            let (names, others) = (names(&left)?, names(&right)?);
            if let Some(extra) = others.difference(&names).next() {
                return Ok(Some(format!(
                    "/{} should not be there",
                    relative.join(extra).display()
                )));
            }
            todo.extend(names.iter().map(|name| relative.join(name)));
        }
    }
    Ok(None)
}

fn names(directory: &Path) -> io::Result<BTreeSet<OsString>> {
    fs::read_dir(directory)?
        .map(|found| Ok(found?.file_name()))
        .collect()
}

/// A path and what it is.
type Side<'a> = (&'a Path, &'a Metadata);

/// Also its time and how many names it has.
fn exact_difference(sides: [Side<'_>; 2]) -> io::Result<Option<&'static str>> {
    let [(_, left), (_, right)] = sides;
    let same_time = (left.mtime(), left.mtime_nsec()) == (right.mtime(), right.mtime_nsec());
    // A whiteout has no time of its own.
    let timeless = left.file_type().is_char_device() && left.rdev() == 0;
    if !left.is_dir() && left.nlink() != right.nlink() {
        return Ok(Some("number of links"));
    }
    if !same_time && !timeless {
        return Ok(Some("time"));
    }
    difference(sides)
}

/// What differs between two files, or between two directories without what is in them.
pub(crate) fn difference(
    [(left, left_meta), (right, right_meta)]: [Side<'_>; 2],
) -> io::Result<Option<&'static str>> {
    let owner = |metadata: &Metadata| (metadata.uid(), metadata.gid());
    let checks = [
        ("kind or mode", left_meta.mode() == right_meta.mode()),
        ("owner", owner(left_meta) == owner(right_meta)),
        (
            "size",
            left_meta.is_dir() || left_meta.size() == right_meta.size(),
        ),
        ("device", left_meta.rdev() == right_meta.rdev()),
    ];
    if let Some((what, _)) = checks.iter().find(|(_, same)| !same) {
        return Ok(Some(what));
    }
    if xattrs(left)? != xattrs(right)? {
        return Ok(Some("extended attributes"));
    }
    if left_meta.is_symlink() && fs::read_link(left)? != fs::read_link(right)? {
        return Ok(Some("target"));
    }
    if left_meta.is_file() && !same_content(left, right)? {
        return Ok(Some("content"));
    }
    Ok(None)
}

/// All extended attributes, by name; a link's own.
pub(crate) fn xattrs(path: &Path) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut names = vec![0u8; 64 << 10];
    let length = match rustix::fs::llistxattr(path, &mut names[..]) {
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(Vec::new()),
        other => other?,
    };
    let names = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    let mut found = Vec::new();
    for name in names {
        let mut value = vec![0u8; 64 << 10];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..])?;
        value.truncate(length);
        found.push((name.to_vec(), value));
    }
    found.sort();
    Ok(found)
}

fn same_content(left: &Path, right: &Path) -> io::Result<bool> {
    let (mut left, mut right) = (File::open(left)?, File::open(right)?);
    let (mut one, mut other) = (vec![0; PIECE], vec![0; PIECE]);
    loop {
        let count = left.read(&mut one)?;
        if count == 0 {
            return Ok(right.read(&mut other)? == 0);
        }
        if right.read_exact(&mut other[..count]).is_err() || one[..count] != other[..count] {
            return Ok(false);
        }
    }
}
