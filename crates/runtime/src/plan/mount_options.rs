//! Options of a mount, sorted by who understands them.
//!
//! In goes the list of words of `config.json`; out come attributes of the mount,
//! propagation, what lighter does itself, and the rest, which is the
//! filesystem's to understand. config.md, Linux mount options.

use kernel::op::{Attributes, Propagation};
use oci_spec::runtime::Mount;

use super::rootfs::propagation;
use crate::Error;

const RDONLY: u64 = 0x1;
const NOSUID: u64 = 0x2;
const NODEV: u64 = 0x4;
const NOEXEC: u64 = 0x8;
const ATIME: u64 = 0x70;
const NOATIME: u64 = 0x10;
const STRICTATIME: u64 = 0x20;
const NODIRATIME: u64 = 0x80;
const NOSYMFOLLOW: u64 = 0x20_0000;

/// What the options of one mount mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Options {
    /// Show a part of the host.
    pub bind: bool,
    /// With every mount below.
    pub recursive_bind: bool,
    /// Change a mount that exists.
    pub remount: bool,
    /// Attributes of the mount.
    pub attributes: Attributes,
    /// Attributes of the mount and all below (`rro` and its kin).
    pub recursive: Attributes,
    /// Propagation, in order, with `true` for all mounts below.
    pub propagation: Vec<(Propagation, bool)>,
    /// Show other owners; `true` for all mounts below (`ridmap`).
    pub id_map: Option<bool>,
    /// Copy what the root has there into the new tmpfs.
    pub copy_up: bool,
    /// Do not follow a link at the end of the source.
    pub no_follow_source: bool,
    /// Do not follow a link at the end of the destination.
    pub no_follow_target: bool,
    /// Options of the filesystem.
    pub data: Vec<(String, Option<String>)>,
}

/// Sort the options of a mount.
pub(super) fn parse(mount: &Mount) -> Result<Options, Error> {
    let mut options = Options {
        bind: mount.typ().as_deref() == Some("bind"),
        ..Options::default()
    };
    for word in mount.options().iter().flatten() {
        options.take(word);
    }
    if mount
        .uid_mappings()
        .as_ref()
        .is_some_and(|list| !list.is_empty())
    {
        options.id_map = options.id_map.or(Some(false));
    }
    if options.id_map.is_some() && !options.bind {
        return Err(Error::Config {
            field: format!("mounts[{}]", mount.destination().display()),
            reason: "only a bind mount can have its ids mapped".into(),
        });
    }
    if options.bind {
        // As mount(2) has it: a bind mount has the filesystem's options already.
        options.data.clear();
    }
    Ok(options)
}

impl Options {
    fn take(&mut self, word: &str) {
        if let Some((set, clear)) = attribute(word) {
            return change(&mut self.attributes, set, clear);
        }
        if let Some((set, clear)) = word.strip_prefix('r').and_then(attribute) {
            return change(&mut self.recursive, set, clear);
        }
        if let Some(propagation) = propagation(word) {
            return self.propagation.push(propagation);
        }
        match word {
            "defaults" | "silent" | "loud" | "" => {}
            "bind" => self.bind = true,
            "rbind" => (self.bind, self.recursive_bind) = (true, true),
            "remount" => self.remount = true,
            "tmpcopyup" => self.copy_up = true,
            "idmap" => self.id_map = Some(false),
            "ridmap" => self.id_map = Some(true),
            "src-nofollow" => self.no_follow_source = true,
            "dest-nofollow" => self.no_follow_target = true,
            other => self.data.push(match other.split_once('=') {
                Some((key, value)) => (key.into(), Some(value.into())),
                None => (other.into(), None),
            }),
        }
    }
}

/// A later word overrides an earlier one about the same attribute.
fn change(attributes: &mut Attributes, set: u64, clear: u64) {
    attributes.set = attributes.set & !clear | set;
    attributes.clear = attributes.clear & !set | clear;
    if clear & ATIME == ATIME {
        // mount_setattr(2): the time modes are one field, cleared as a whole.
        attributes.clear |= ATIME;
    }
}

/// Bits that a word sets and clears.
fn attribute(word: &str) -> Option<(u64, u64)> {
    Some(match word {
        "ro" => (RDONLY, 0),
        "rw" => (0, RDONLY),
        "nosuid" => (NOSUID, 0),
        "suid" => (0, NOSUID),
        "nodev" => (NODEV, 0),
        "dev" => (0, NODEV),
        "noexec" => (NOEXEC, 0),
        "exec" => (0, NOEXEC),
        "nodiratime" => (NODIRATIME, 0),
        "diratime" => (0, NODIRATIME),
        "nosymfollow" => (NOSYMFOLLOW, 0),
        "symfollow" => (0, NOSYMFOLLOW),
        // Relative times are the mode whose bits are all zero.
        "relatime" | "atime" | "nostrictatime" => (0, ATIME),
        "noatime" => (NOATIME, ATIME),
        "strictatime" => (STRICTATIME, ATIME),
        // Without a rule of its own a mount is relatime since Linux 2.6.30. mount(2), MS_RELATIME.
        "norelatime" => (0, 0),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str]) -> Options {
        let mut options = Options::default();
        words.iter().for_each(|word| options.take(word));
        options
    }

    #[test]
    fn the_last_word_counts() {
        assert_eq!(
            options(&["ro", "rw"]).attributes,
            Attributes {
                set: 0,
                clear: RDONLY
            }
        );
        assert_eq!(
            options(&["rw", "ro"]).attributes,
            Attributes {
                set: RDONLY,
                clear: 0
            }
        );
    }

    #[test]
    fn time_modes_exclude_each_other() {
        let attributes = options(&["noatime", "strictatime"]).attributes;
        assert_eq!(
            attributes,
            Attributes {
                set: STRICTATIME,
                clear: ATIME
            }
        );
        assert_eq!(
            options(&["relatime"]).attributes,
            Attributes {
                set: 0,
                clear: ATIME
            }
        );
    }

    #[test]
    fn words_that_start_with_r() {
        assert_eq!(
            options(&["rro"]).recursive,
            Attributes {
                set: RDONLY,
                clear: 0
            }
        );
        assert_eq!(
            options(&["rrelatime"]).recursive,
            Attributes {
                set: 0,
                clear: ATIME
            }
        );
        assert_eq!(
            options(&["rprivate"]).propagation,
            [(Propagation::Private, true)]
        );
        assert!(options(&["rbind"]).recursive_bind);
        assert_eq!(options(&["rw"]).recursive, Attributes::default());
    }

    #[test]
    fn the_rest_is_the_filesystems() {
        assert_eq!(
            options(&["size=64k", "noswap"]).data,
            [
                ("size".to_string(), Some("64k".to_string())),
                ("noswap".to_string(), None)
            ]
        );
    }
}
