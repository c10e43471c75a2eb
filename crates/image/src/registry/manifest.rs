//! Manifests and indexes from a registry, checked before anybody reads them.

use http::Method;
use http::header::CONTENT_TYPE;
use serde::Deserialize;

use super::RegistryError;
use super::client::{Session, plain, read_limited, shown};
use super::endpoint::Endpoint;
use crate::json::{DOCUMENT_LIMIT, parse};
use crate::media_type::{self, ACCEPT_MANIFESTS};
use crate::{Descriptor, Digest, Error, Original, Verifier};

const DIGEST_HEADER: &str = "docker-content-digest";

impl Session {
    /// The digest a tag has now, if the registry tells without sending the manifest.
    /// Only a hint: nothing is believed because of it.
    pub(crate) async fn digest_of(&self, tag: &str) -> Option<Digest> {
        let path = format!("manifests/{tag}");
        let asked = self.each_endpoint(|endpoint| {
            let path = path.clone();
            async move {
                let make = plain(Method::HEAD, ACCEPT_MANIFESTS);
                let response = self
                    .send(&endpoint, endpoint.url(&path), &endpoint.pull_scope(), make)
                    .await?;
                Ok(self.expect_success(response, tag).await?)
            }
        });
        let response = asked.await.ok()?;
        response
            .headers()
            .get(DIGEST_HEADER)?
            .to_str()
            .ok()?
            .parse()
            .ok()
    }

    /// What `wanted` (a tag, or a digest with its descriptor) names.
    pub(crate) async fn manifest(
        &self,
        wanted: &str,
        expected: Option<&Descriptor>,
    ) -> Result<Original, Error> {
        self.each_endpoint(|endpoint| self.manifest_at(endpoint, wanted, expected))
            .await
    }

    /// From one place, checked, so that a mirror with another manifest is passed by.
    async fn manifest_at(
        &self,
        endpoint: Endpoint,
        wanted: &str,
        expected: Option<&Descriptor>,
    ) -> Result<Original, Error> {
        let (bytes, media_type, promised) = self.read_manifest(&endpoint, wanted).await?;
        let digest = checked_digest(wanted, &bytes, promised, expected)?;
        Original::read(digest, &media_type, bytes)
    }

    async fn read_manifest(
        &self,
        endpoint: &Endpoint,
        wanted: &str,
    ) -> Result<(Vec<u8>, String, Option<String>), RegistryError> {
        let url = endpoint.url(&format!("manifests/{wanted}"));
        let make = plain(Method::GET, ACCEPT_MANIFESTS);
        let response = self
            .send(endpoint, url.clone(), &endpoint.pull_scope(), make)
            .await?;
        let name =
            format!("{}/{}:{wanted}", self.registry, self.repository).replace(":sha", "@sha");
        let response = self.expect_success(response, &name).await?;
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let said = header(CONTENT_TYPE.as_str()).unwrap_or_default();
        let promised = header(DIGEST_HEADER);
        let bytes = read_limited(response, DOCUMENT_LIMIT, self.stall)
            .await?
            .to_vec();
        let said = said
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let media_type = media_type_of(&said, &bytes).ok_or_else(|| RegistryError::Protocol {
            url: shown(&url),
            problem: format!("sent {said:?} where a manifest was asked for"),
        })?;
        Ok((bytes, media_type, promised))
    }
}

/// The header's type; where a simple web server has none, what the document calls itself.
fn media_type_of(said: &str, bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Named {
        media_type: Option<String>,
    }
    match said {
        "" | "application/json" | "text/plain" | "application/octet-stream" => {
            parse::<Named>(bytes).ok()?.media_type
        }
        // The first schema came with these; the document says so better than we could.
        "application/vnd.docker.distribution.manifest.v1+json"
        | "application/vnd.docker.distribution.manifest.v1+prettyjws" => Some(said.to_owned()),
        _ => media_type::kind(said).map(|_| said.to_owned()),
    }
}

/// The digest of what came: the one asked for, the one the parent promised, or
/// for a tag the one the registry itself says.
fn checked_digest(
    wanted: &str,
    bytes: &[u8],
    promised: Option<String>,
    expected: Option<&Descriptor>,
) -> Result<Digest, Error> {
    let named = wanted.parse::<Digest>().ok();
    let promised = promised.and_then(|digest| digest.parse::<Digest>().ok());
    let expected_digest = expected.map(|descriptor| descriptor.digest.clone());
    let Some(digest) = expected_digest.or(named).or(promised) else {
        return Ok(Digest::of(bytes));
    };
    let size = expected.map_or(bytes.len() as u64, |descriptor| descriptor.size);
    let mut verifier = Verifier::new(&digest, size);
    verifier.update(bytes)?;
    verifier.finish()?;
    Ok(digest)
}
