//! What differs between the files of two images: their merged trees, compared
//! path by path. Layers that both have are not looked into.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::compare;
use crate::error::{errno, file};
use crate::layer::{Seen, View};
use crate::{Error, Image};

/// One path that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Below the root of both images, beginning with `/`.
    pub path: PathBuf,
    /// How it differs.
    pub kind: Kind,
}

/// How a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only the second image has it.
    Added,
    /// Both have it, with other content, owner, mode or attributes. Times do not count.
    Changed,
    /// Only the first image has it; of a directory, what was in it is not listed.
    Deleted,
}

/// What changed from one image to the other, by path.
pub fn diff(from: &Image, to: &Image) -> Result<Vec<Change>, Error> {
    let (from, to) = (Tree::of(from), Tree::of(to));
    let (before, after) = (from.walk()?, to.walk()?);
    let mut changes = Vec::new();
    let mut gone: Option<&[u8]> = None;
    for (path, seen) in &before {
        if gone.is_some_and(|gone| path.starts_with(gone) && path.get(gone.len()) == Some(&b'/')) {
            continue;
        }
        let kind = match after.get(path) {
            None => Kind::Deleted,
            Some(other) if differs(&from, *seen, &to, *other, path)? => Kind::Changed,
            Some(_) => continue,
        };
        if kind == Kind::Deleted && seen.is_directory {
            gone = Some(path);
        }
        changes.push(change(path, kind));
    }
    let added = after.keys().filter(|path| !before.contains_key(*path));
    changes.extend(added.map(|path| change(path, Kind::Added)));
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(changes)
}

fn change(path: &[u8], kind: Kind) -> Change {
    let path = Path::new("/").join(OsStr::from_bytes(path));
    Change { path, kind }
}

/// The trees of an image's layers, topmost first.
struct Tree(Vec<PathBuf>);

impl Tree {
    fn of(image: &Image) -> Self {
        let layers = image.layers.iter().rev();
        Self(layers.map(|layer| layer.directory.clone()).collect())
    }

    fn walk(&self) -> Result<std::collections::BTreeMap<Vec<u8>, Seen>, Error> {
        let nothing = PathBuf::new();
        let top = self.0.first().unwrap_or(&nothing);
        View::open(&self.0)
            .and_then(|view| view.walk())
            .map_err(errno("list the layers below", top))
    }

    fn path(&self, seen: Seen, path: &[u8]) -> PathBuf {
        self.0[seen.layer].join(OsStr::from_bytes(path))
    }
}

fn differs(from: &Tree, seen: Seen, to: &Tree, other: Seen, path: &[u8]) -> Result<bool, Error> {
    let (left, right) = (from.path(seen, path), to.path(other, path));
    if left == right {
        return Ok(false);
    }
    let metadata = |path: &Path| fs::symlink_metadata(path).map_err(file("read", path));
    let sides = [(&*left, &metadata(&left)?), (&*right, &metadata(&right)?)];
    let difference = compare::difference(sides).map_err(file("compare", &right))?;
    Ok(difference.is_some())
}
