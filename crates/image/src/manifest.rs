//! Descriptors, manifests and indexes (image-spec: descriptor.md, manifest.md,
//! image-index.md; Docker's schema 2 has the same shape).
//!
//! A [`Document`] keeps the bytes it was read from: those, never our own
//! rendering, are what is stored and pushed, since their digest is their name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::json::{JsonError, null_as_empty, parse};
use crate::media_type::{self, Kind};
use crate::{Digest, Error, ImageConfig, Platform};

const LAYERS_LIMIT: usize = 500;
const MANIFESTS_LIMIT: usize = 1000;

/// A pointer to content: what it is, how large, and its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the content is.
    pub media_type: String,
    /// Its only name.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// Where else it can be had, for layers a registry may not keep.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_empty"
    )]
    pub urls: Vec<String>,
    /// Notes for people and tools.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_as_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// The content itself in base64, for small things.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// In an index: where the image runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What kind of artifact, when it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// Describes `bytes`.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// A descriptor without any of the optional parts.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            data: None,
            platform: None,
            artifact_type: None,
        }
    }

    /// Whether the media type is one of a layer.
    pub(crate) fn is_layer(&self) -> bool {
        matches!(media_type::kind(&self.media_type), Some(Kind::Layer(_)))
    }

    /// Attestations and other entries of an index that are no image to run.
    pub fn is_runnable(&self) -> bool {
        let attestation = self
            .annotations
            .get("vnd.docker.reference.type")
            .is_some_and(|kind| kind == "attestation-manifest");
        let unknown = self.platform.as_ref().is_some_and(|p| p.os == "unknown");
        !attestation && !unknown && self.artifact_type.is_none()
    }
}

/// One image: its config and its layers, bottom first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// Its own media type; OCI allows leaving it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What kind of artifact, when it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The image's config.
    pub config: Descriptor,
    /// Bottom first.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub layers: Vec<Descriptor>,
    /// The image this manifest says something about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Box<Descriptor>>,
    /// Notes for people and tools.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_as_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// The bytes of a manifest made here.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether it and its config describe an image; `digest` names it in the error.
    pub(crate) fn check(&self, digest: &Digest, config: &ImageConfig) -> Result<(), Error> {
        let not_an_image = |reason: String| {
            Err(Error::NotAnImage {
                digest: digest.clone(),
                reason,
            })
        };
        let (layers, diff_ids) = (self.layers.len(), config.rootfs.diff_ids.len());
        if let Some(kind) = &self.artifact_type {
            return not_an_image(format!("it is an artifact of type {kind:?}"));
        }
        if layers != diff_ids {
            return not_an_image(format!(
                "its manifest has {layers} layers, its config {diff_ids}"
            ));
        }
        match self.layers.iter().find(|layer| !layer.is_layer()) {
            Some(layer) => not_an_image(format!(
                "a layer has the unknown media type {:?}",
                layer.media_type
            )),
            None => Ok(()),
        }
    }
}

/// The same image for several platforms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// Its own media type; OCI allows leaving it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What kind of artifact, when it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// One for each platform, and attestations.
    #[serde(deserialize_with = "null_as_empty")]
    pub manifests: Vec<Descriptor>,
    /// The image this index says something about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Box<Descriptor>>,
    /// Notes for people and tools.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_as_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// An index of nothing.
    pub(crate) fn empty() -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media_type::OCI_INDEX.to_owned()),
            artifact_type: None,
            manifests: Vec::new(),
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// The bytes of an index made here.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What a reference names in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "there are only ever a few at a time"
)]
pub enum Document {
    /// A list to choose from.
    Index(Index),
    /// One image.
    Manifest(Manifest),
}

/// A document with exactly the bytes it was read from: those have the digest.
#[derive(Clone, Debug)]
pub struct Original {
    /// As they came.
    pub bytes: Vec<u8>,
    /// Type, digest and size of them.
    pub descriptor: Descriptor,
    /// What they say.
    pub document: Document,
}

impl Original {
    /// Reads bytes whose digest was checked.
    pub(crate) fn read(digest: Digest, media_type: &str, bytes: Vec<u8>) -> Result<Self, Error> {
        let document = Document::parse(&bytes, media_type).map_err(|source| Error::Document {
            what: "manifest",
            digest: digest.clone(),
            source,
        })?;
        Ok(Self {
            descriptor: Descriptor::new(media_type, digest, bytes.len() as u64),
            bytes,
            document,
        })
    }

    /// The bytes of a manifest made here.
    pub(crate) fn of(manifest: Manifest) -> Self {
        let bytes = manifest.to_bytes();
        Self {
            descriptor: Descriptor::of(media_type::OCI_MANIFEST, &bytes),
            bytes,
            document: Document::Manifest(manifest),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: Option<u32>,
    media_type: Option<String>,
    manifests: Option<serde_json::Value>,
    config: Option<serde_json::Value>,
    layers: Option<serde_json::Value>,
    #[serde(rename = "fsLayers")]
    schema_one: Option<serde_json::Value>,
}

impl Document {
    /// Reads a manifest or an index whose media type is said to be `media_type`.
    ///
    /// The field `mediaType`, the type said outside and the members present
    /// must agree (CVE-2021-41190: one document, two readings).
    pub fn parse(bytes: &[u8], media_type: &str) -> Result<Self, JsonError> {
        let shape: Shape = parse(bytes)?;
        let kind = agreed_kind(&shape, media_type)?;
        match kind {
            Kind::Index => {
                let index: Index = parse(bytes)?;
                at_most("manifests", index.manifests.len(), MANIFESTS_LIMIT)?;
                Ok(Self::Index(index))
            }
            _ => {
                let manifest: Manifest = parse(bytes)?;
                at_most("layers", manifest.layers.len(), LAYERS_LIMIT)?;
                Ok(Self::Manifest(manifest))
            }
        }
    }
}

fn at_most(what: &str, count: usize, limit: usize) -> Result<(), JsonError> {
    if count > limit {
        return Err(JsonError::Rule(format!(
            "it has {count} {what}; at most {limit} are read"
        )));
    }
    Ok(())
}

fn agreed_kind(shape: &Shape, said: &str) -> Result<Kind, JsonError> {
    let rule = |text: String| Err(JsonError::Rule(text));
    if shape.schema_one.is_some() || shape.schema_version == Some(1) {
        return rule(
            "it is of Docker's schema 1, which registries gave up in 2017: push the image again"
                .into(),
        );
    }
    if shape.schema_version != Some(2) {
        return rule("its schemaVersion is not 2".into());
    }
    if let Some(inner) = &shape.media_type
        && inner != said
    {
        return rule(format!("it calls itself {inner} but was sent as {said}"));
    }
    let (index, manifest) = (
        shape.manifests.is_some(),
        shape.config.is_some() || shape.layers.is_some(),
    );
    match media_type::kind(said) {
        Some(Kind::Index) if index && !manifest => Ok(Kind::Index),
        Some(Kind::Manifest) if manifest && !index => Ok(Kind::Manifest),
        Some(Kind::Index | Kind::Manifest) => {
            rule(format!("its members do not fit its type {said}"))
        }
        _ => rule(format!(
            "its type is {said}, which is neither a manifest nor an index"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_type::{OCI_INDEX, OCI_MANIFEST};
    use proptest::prelude::*;

    fn reason(text: &str, media_type: &str) -> String {
        Document::parse(text.as_bytes(), media_type)
            .map_or_else(|e| e.to_string(), |d| format!("{d:?}"))
    }

    #[test]
    fn one_document_has_one_reading() {
        let both = r#"{"schemaVersion":2,"manifests":[],"layers":[],"config":{}}"#;
        assert!(reason(both, OCI_MANIFEST).contains("members do not fit"));
        assert!(reason(both, OCI_INDEX).contains("members do not fit"));
        let lie = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[]}}"#);
        assert!(reason(&lie, OCI_MANIFEST).contains("but was sent as"));
        assert!(reason(&lie, OCI_INDEX).starts_with("Index"));
        assert!(reason(r#"{"schemaVersion":1,"fsLayers":[]}"#, OCI_MANIFEST).contains("schema 1"));
        assert!(reason(r#"{"schemaVersion":2,"manifests":[]}"#, "text/html").contains("text/html"));
    }

    #[test]
    fn digests_are_checked_while_reading() {
        let text = r#"{"schemaVersion":2,"config":{"mediaType":"x","digest":"sha256:../../x","size":1},"layers":[]}"#;
        assert!(reason(text, OCI_MANIFEST).contains("is not a digest"));
        let text = text.replace("1}", "-1}");
        assert!(Document::parse(text.as_bytes(), OCI_MANIFEST).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Document::parse(&bytes, OCI_MANIFEST);
            let _ = Document::parse(&bytes, OCI_INDEX);
        }
    }
}
