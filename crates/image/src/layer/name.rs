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

/// The parts of a path below the root: no `/` in front, no `.`, and `..`
/// stops at the root, as other tools have it.
pub(crate) fn clean(name: &[u8]) -> Result<Vec<Vec<u8>>, InvalidName> {
    if name.is_empty() {
        return Err(InvalidName::Empty);
    }
    if name.contains(&0) {
        return Err(InvalidName::Nul {
            name: start_of(name),
        });
    }
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            _ if part.len() > PART_LIMIT => {
                return Err(InvalidName::TooLong {
                    name: start_of(part),
                });
            }
            _ => parts.push(part.to_vec()),
        }
    }
    if name.len() > PATH_LIMIT {
        return Err(InvalidName::TooLong {
            name: start_of(name),
        });
    }
    Ok(parts)
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

    fn joined(name: &[u8]) -> Vec<u8> {
        clean(name)
            .unwrap_or_else(|error| panic!("{error}"))
            .join(&b'/')
    }

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
            assert_eq!(joined(name.as_bytes()), cleaned.as_bytes(), "{name}");
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
            if let Ok(parts) = clean(&name) {
                for part in parts {
                    prop_assert!(!part.is_empty() && part != b"." && part != b"..");
                    prop_assert!(!part.contains(&b'/') && !part.contains(&0));
                    let _ = meaning(&part);
                }
            }
        }
    }
}
