//! The media types of manifests, configs and layers, OCI's and Docker's.
//!
//! Both families mean the same things; [`Kind`] is what the rest of the crate
//! asks about, and an unknown type is refused by name.

/// What a descriptor points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A list of manifests, one for each platform.
    Index,
    /// A config and its layers.
    Manifest,
    /// A layer: a tar archive, packed as said.
    Layer(Packing),
}

/// How a layer's tar archive is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// As it is.
    Plain,
    /// gzip, of one or more members.
    Gzip,
    /// zstd, of one or more frames.
    Zstd,
}

/// `application/vnd.oci.image.index.v1+json`
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// `application/vnd.oci.image.manifest.v1+json`
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// `application/vnd.oci.image.config.v1+json`
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// An uncompressed layer.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// A layer packed with gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A layer packed with zstd.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// The config of an artifact that has none: `{}`.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Docker's name for an index.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's schema 2 manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's config.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker's layer packed with gzip.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// Everything a registry is asked to answer a manifest request with.
pub(crate) const ACCEPT_MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// The kind of a media type, `None` for one we do not know.
pub fn kind(media_type: &str) -> Option<Kind> {
    Some(match media_type {
        OCI_INDEX | DOCKER_LIST => Kind::Index,
        OCI_MANIFEST | DOCKER_MANIFEST => Kind::Manifest,
        _ => Kind::Layer(layer(media_type)?),
    })
}

fn layer(media_type: &str) -> Option<Packing> {
    let docker = media_type
        .strip_prefix("application/vnd.docker.image.rootfs.diff.tar")
        .or_else(|| {
            media_type.strip_prefix("application/vnd.docker.image.rootfs.foreign.diff.tar")
        });
    let oci = media_type
        .strip_prefix("application/vnd.oci.image.layer.v1.tar")
        .or_else(|| {
            media_type.strip_prefix("application/vnd.oci.image.layer.nondistributable.v1.tar")
        });
    match docker.or(oci)? {
        "" => Some(Packing::Plain),
        "+gzip" | ".gzip" => Some(Packing::Gzip),
        "+zstd" | ".zstd" => Some(Packing::Zstd),
        _ => None,
    }
}

/// OCI's name for a layer's type.
pub(crate) fn as_oci(media_type: &str) -> String {
    let name = match layer(media_type) {
        Some(Packing::Plain) => OCI_LAYER,
        Some(Packing::Gzip) => OCI_LAYER_GZIP,
        Some(Packing::Zstd) => OCI_LAYER_ZSTD,
        None => media_type,
    };
    name.to_owned()
}

/// A layer that its owner forbids to push to other registries.
pub fn is_nondistributable(media_type: &str) -> bool {
    media_type.contains(".nondistributable.") || media_type.contains(".foreign.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_known() {
        assert_eq!(kind(DOCKER_LIST), Some(Kind::Index));
        assert_eq!(kind(OCI_MANIFEST), Some(Kind::Manifest));
        assert_eq!(kind(OCI_LAYER_ZSTD), Some(Kind::Layer(Packing::Zstd)));
        assert_eq!(kind(DOCKER_LAYER_GZIP), Some(Kind::Layer(Packing::Gzip)));
        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        assert_eq!(kind(foreign), Some(Kind::Layer(Packing::Gzip)));
        assert!(is_nondistributable(foreign));
        assert_eq!(kind("application/vnd.oci.image.layer.v1.tar+xz"), None);
        assert_eq!(kind("text/html"), None);
    }
}
