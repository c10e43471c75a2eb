//! Names in layers: cleaned, checked, and read as whiteouts.

const PATH_LIMIT: usize = 4096;
const PART_LIMIT: usize = 255;

/// A name no file can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// No name at all.
    #[error("an entry has no name")]
    Empty,
    /// The kernel would see another name.
    #[error("an entry's name has a zero byte: {}", name.escape_ascii())]
    Nul {
        /// As written.
        name: Vec<u8>,
    },
    /// Longer than the kernel allows.
    #[error("an entry's name is too long: {}...", name.escape_ascii())]
    TooLong {
        /// Its beginning.
        name: Vec<u8>,
    },
    /// `.wh.`, `.wh..` and `.wh...` hide nothing there could be.
    #[error("an entry hides a name that no file can have: {}", name.escape_ascii())]
    Whiteout {
        /// As written.
        name: Vec<u8>,
    },
}

/// What the last part of a path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A file of its own.
    Plain,
    /// Hides this name of the layers below.
    Hides(Vec<u8>),
    /// Hides all that the layers below have in the directory.
    HidesAll,
    /// Notes of aufs, nothing to unpack.
    Ignored,
}

/// The path below the root: no `/` in front, no `.`, and `..` stops at the root,
/// as other tools have it. Empty for the root itself.
pub(crate) fn clean(name: &[u8]) -> Result<Vec<u8>, InvalidName> {
    if name.is_empty() {
        return Err(InvalidName::Empty);
    }
    if name.contains(&0) {
        return Err(InvalidName::Nul {
            name: start_of(name),
        });
    }
    let mut path: Vec<u8> = Vec::with_capacity(name.len().min(PATH_LIMIT));
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => path.truncate(split_last(&path).map_or(0, |(parents, _)| parents.len())),
            _ if part.len() > PART_LIMIT => {
                return Err(InvalidName::TooLong {
                    name: start_of(part),
                });
            }
            _ => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(part);
            }
        }
    }
    if name.len() > PATH_LIMIT {
        return Err(InvalidName::TooLong {
            name: start_of(name),
        });
    }
    Ok(path)
}

/// The directory a clean path is in, and its last part; none for the root.
pub(crate) fn split_last(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.is_empty() {
        return None;
    }
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => Some((&path[..slash], &path[slash + 1..])),
        None => Some((&[], path)),
    }
}

/// The parts of a path or of a link's target that lead somewhere.
pub(crate) fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."))
}

/// Reads the last part of a path (image-spec, layer.md, "Whiteouts").
pub(crate) fn meaning(last: &[u8]) -> Result<Meaning, InvalidName> {
    let Some(hidden) = last.strip_prefix(b".wh.") else {
        return Ok(Meaning::Plain);
    };
    match hidden {
        b".wh..opq" => Ok(Meaning::HidesAll),
        b"" | b"." | b".." => Err(InvalidName::Whiteout {
            name: last.to_vec(),
        }),
        _ if hidden.starts_with(b".wh.") => Ok(Meaning::Ignored),
        _ => Ok(Meaning::Hides(hidden.to_vec())),
    }
}

fn start_of(name: &[u8]) -> Vec<u8> {
    name[..name.len().min(100)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_stay_below_the_root() {
        for (name, cleaned) in [
            ("a/b", "a/b"),
            ("/etc/passwd", "etc/passwd"),
            ("./a", "a"),
            ("../../a", "a"),
            ("a/../../b", "b"),
            ("a//./b/", "a/b"),
            (".", ""),
            ("/", ""),
        ] {
            assert_eq!(clean(name.as_bytes()), Ok(cleaned.into()), "{name}");
        }
        assert_eq!(clean(b""), Err(InvalidName::Empty));
        assert!(matches!(clean(b"a\0b"), Err(InvalidName::Nul { .. })));
        assert!(matches!(
            clean(&[b'a'; 256]),
            Err(InvalidName::TooLong { .. })
        ));
        assert!(matches!(
            clean(&b"a/".repeat(3000)),
            Err(InvalidName::TooLong { .. })
        ));
    }

    #[test]
    fn whiteouts() {
        assert_eq!(meaning(b".wh.x"), Ok(Meaning::Hides(b"x".to_vec())));
        assert_eq!(meaning(b".wh..wh..opq"), Ok(Meaning::HidesAll));
        assert_eq!(meaning(b".wh..wh.plnk"), Ok(Meaning::Ignored));
        assert_eq!(
            meaning(b".wh..hidden"),
            Ok(Meaning::Hides(b".hidden".to_vec()))
        );
        assert_eq!(meaning(b"wh.x"), Ok(Meaning::Plain));
        for wrong in [".wh.", ".wh..", ".wh..."] {
            assert!(meaning(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leaves_the_root(name: Vec<u8>) {
            if let Ok(path) = clean(&name) {
                for part in path.split(|byte| *byte == b'/').filter(|_| !path.is_empty()) {
                    prop_assert!(!part.is_empty() && part != b"." && part != b"..");
                    prop_assert!(!part.contains(&b'/') && !part.contains(&0));
                    let _ = meaning(part);
                }
            }
        }
    }
}
