//! Signatures of images as cosign makes them: is a manifest signed by the owner
//! of a public key?
//!
//! In: the digest of a manifest, and public keys. cosign keeps the signatures of
//! `sha256:HEX` in the same repository under the tag `sha256-HEX.sig`: a manifest
//! with one layer for each, a payload that names the digest (containers/image,
//! "simple signing"), and the signature of the payload in an annotation of the
//! layer (cosign, SIGNATURE_SPEC). Which keys count says `--verify-key`, else
//! `policy.toml` (`registry/configuration.rs`).

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;

use crate::json::parse;
use crate::registry::{Demand, Options, RegistryError, Session, demand};
use crate::{Descriptor, Digest, Document, Error, Reference};

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const PAYLOAD_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const KIND: &str = "cosign container image signature";
/// Signatures that are looked at.
const LIMIT: usize = 50;
/// The SubjectPublicKeyInfo of every P-256 key begins so (RFC 5480); the point follows.
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const POINT: usize = 65;

/// A point on P-256.
struct PublicKey(Vec<u8>);

/// What an image must show, with the keys read.
pub(crate) struct Rule {
    /// None when no signature is asked for.
    keys: Option<Vec<PublicKey>>,
}

impl Rule {
    /// For images called `reference`: a given key counts instead of the policy.
    pub(crate) fn of(
        reference: &Reference,
        given: Option<&Path>,
        options: &Options,
    ) -> Result<Self, Error> {
        let name = reference.name();
        let paths: Vec<PathBuf> = match (given, demand(&name, options)?) {
            (Some(given), _) => vec![given.to_owned()],
            (None, Demand::Accept) => return Ok(Self { keys: None }),
            (None, Demand::Reject { place }) => return Err(Error::Rejected { name, place }),
            (None, Demand::Signed { keys }) => keys,
        };
        let keys = paths.iter().map(|path| PublicKey::read(path));
        Ok(Self {
            keys: Some(keys.collect::<Result<_, _>>()?),
        })
    }

    /// Whether one of `digests`, an image and what it is part of, is signed by one of the keys.
    pub(crate) async fn check(&self, session: &Session, digests: &[&Digest]) -> Result<(), Error> {
        let Some(keys) = &self.keys else {
            return Ok(());
        };
        let mut seen = 0;
        for (at, digest) in digests.iter().enumerate() {
            if digests[..at].contains(digest) {
                continue;
            }
            let signatures = signatures(session, digest).await?;
            seen += signatures.len();
            for signature in signatures.iter().take(LIMIT) {
                if is_signed(session, signature, digest, keys).await? {
                    return Ok(());
                }
            }
        }
        Err(Error::Unsigned {
            digest: digests[0].clone(),
            reason: match seen {
                0 => "it has no signatures".to_owned(),
                1 => "its signature is not by this key".to_owned(),
                count => format!("none of its {count} signatures is by this key"),
            },
        })
    }
}

/// The layers of the manifest with the signatures of `digest`.
async fn signatures(session: &Session, digest: &Digest) -> Result<Vec<Descriptor>, Error> {
    let tag = format!("{}-{}.sig", digest.algorithm().name(), digest.hex());
    let found = match session.manifest(&tag, None).await {
        Err(Error::Registry(RegistryError::NotFound { .. })) => return Ok(Vec::new()),
        other => other?,
    };
    Ok(match found.document {
        Document::Index(_) => Vec::new(),
        Document::Manifest(manifest) => {
            let layers = manifest.layers.into_iter();
            layers
                .filter(|layer| layer.media_type == PAYLOAD_TYPE)
                .collect()
        }
    })
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Signed,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Signed {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

async fn is_signed(
    session: &Session,
    layer: &Descriptor,
    digest: &Digest,
    keys: &[PublicKey],
) -> Result<bool, Error> {
    let signature = layer
        .annotations
        .get(SIGNATURE)
        .and_then(|text| STANDARD.decode(text).ok());
    let Some(signature) = signature else {
        return Ok(false);
    };
    let payload = session.small_blob(layer).await?;
    Ok(keys.iter().any(|key| key.has_signed(&payload, &signature)) && names(&payload, digest))
}

/// Whether a payload is about this digest.
fn names(payload: &[u8], digest: &Digest) -> bool {
    parse::<Payload>(payload).is_ok_and(|payload| {
        payload.critical.kind == KIND && payload.critical.image.digest == digest.to_string()
    })
}

impl PublicKey {
    fn read(path: &Path) -> Result<Self, Error> {
        let unusable = |reason: String| Error::Key {
            path: path.to_owned(),
            reason,
        };
        let text = fs::read(path).map_err(|error| unusable(error.to_string()))?;
        Self::parse(&text).ok_or_else(|| {
            unusable(
                "it is no PEM file with an ECDSA P-256 public key, as cosign makes them".to_owned(),
            )
        })
    }

    fn parse(pem: &[u8]) -> Option<Self> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).ok()?;
        let point = der.strip_prefix(&P256)?;
        (point.len() == POINT).then(|| Self(point.to_vec()))
    }

    fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0);
        key.verify(message, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

    fn payload(digest: &Digest, kind: &str) -> Vec<u8> {
        let text = format!(
            r#"{{"critical":{{"identity":{{"docker-reference":""}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"{kind}"}},"optional":null}}"#
        );
        text.into_bytes()
    }

    #[test]
    fn a_signature_is_of_one_message_by_one_key() {
        let random = SystemRandom::new();
        let pair = || {
            let kind = &ECDSA_P256_SHA256_ASN1_SIGNING;
            let key = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
            EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), &random).unwrap()
        };
        let (ours, other) = (pair(), pair());
        let der = [&P256[..], ours.public_key().as_ref()].concat();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(der)
        );
        let key = PublicKey::parse(pem.as_bytes()).unwrap();
        let message = payload(&Digest::of(b"x"), KIND);
        let signature = ours.sign(&random, &message).unwrap();
        assert!(key.has_signed(&message, signature.as_ref()));
        assert!(!key.has_signed(&message[1..], signature.as_ref()));
        let signature = other.sign(&random, &message).unwrap();
        assert!(!key.has_signed(&message, signature.as_ref()));
        assert!(
            PublicKey::parse(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----")
                .is_none()
        );
    }

    #[test]
    fn a_payload_is_about_one_digest() {
        let (one, other) = (Digest::of(b"x"), Digest::of(b"y"));
        assert!(names(&payload(&one, KIND), &one));
        assert!(!names(&payload(&one, KIND), &other));
        assert!(!names(&payload(&one, "something else"), &one));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = PublicKey::parse(&bytes);
            prop_assert!(!names(&bytes, &Digest::of(b"x")));
        }
    }
}
