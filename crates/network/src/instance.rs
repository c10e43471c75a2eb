//! The names that this lighter gives to things it makes on the host.
//!
//! In: the pair of root and state directories, which makes one lighter. Out: names of bridges,
//! cables and the firewall table that no other lighter on the same host uses. Interface names have
//! at most 15 bytes, so what cannot be written out is a hash.

use std::path::{Path, PathBuf};

use kernel::netlink::Mac;
use sha2::{Digest, Sha256};

const DEFAULT_ROOT: &str = "/var/lib/lighter";
const DEFAULT_STATE: &str = "/run/lighter";

/// One lighter on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    default: bool,
    seed: String,
}

impl Instance {
    pub(crate) fn new(root: &Path, state: &Path) -> Instance {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let (root, state): (PathBuf, PathBuf) = (absolute(root), absolute(state));
        Instance {
            default: root == Path::new(DEFAULT_ROOT) && state == Path::new(DEFAULT_STATE),
            seed: format!("{}\0{}", root.display(), state.display()),
        }
    }

    /// The firewall table: `lighter`, or `lighter-` and 8 digits.
    pub(crate) fn table(&self) -> String {
        match self.default {
            true => "lighter".into(),
            false => format!("lighter-{}", &hash(&[&self.seed])[..8]),
        }
    }

    /// The id of a network that nobody created: `bridge`, `host`, `none`.
    pub(crate) fn predefined_id(&self, name: &str) -> String {
        hash(&[&self.seed, name])
    }

    /// The bridge of a network: `lighter0` for the default one, else `lt-` and 12 digits of its id.
    pub(crate) fn bridge(&self, name: &str, id: &str) -> String {
        match self.default && name == "bridge" {
            true => "lighter0".into(),
            false => format!("lt-{}", id.get(..12).unwrap_or(id)),
        }
    }
}

/// The end of a container's cable on the host: `lv` and 12 digits.
pub(crate) fn host_interface(endpoint_id: &str) -> String {
    format!("lv{}", endpoint_id.get(..12).unwrap_or(endpoint_id))
}

/// A hardware address of the locally administered kind, always the same for the same `parts`.
pub(crate) fn mac(parts: &[&str]) -> Mac {
    let bytes = digest(parts);
    Mac([0x02, bytes[0], bytes[1], bytes[2], bytes[3], bytes[4]])
}

/// 64 hexadecimal digits of the `parts`.
pub(crate) fn hash(parts: &[&str]) -> String {
    digest(parts)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_default_directories_give_the_plain_names() {
        let default = Instance::new(Path::new(DEFAULT_ROOT), Path::new(DEFAULT_STATE));
        let other = Instance::new(Path::new("/tmp/a"), Path::new("/tmp/b"));
        assert_eq!(default.table(), "lighter");
        assert_eq!(default.bridge("bridge", "0123456789abcdef"), "lighter0");
        assert_eq!(
            default.bridge("shop_default", "0123456789abcdef"),
            "lt-0123456789ab"
        );
        assert_ne!(other.table(), default.table());
        assert!(other.bridge("bridge", &other.predefined_id("bridge")).len() <= 15);
        assert_ne!(
            other.predefined_id("bridge"),
            default.predefined_id("bridge")
        );
    }
}
