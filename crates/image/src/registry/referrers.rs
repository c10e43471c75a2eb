//! What a repository has about one of its manifests: signatures, lists of
//! materials and the like (distribution-spec, "Listing Referrers").
//!
//! A registry without that interface keeps the list under a tag made from the
//! digest ("Referrers Tag Schema"), which whoever pushes has to keep up.

use http::Method;
use http::header::LINK;

use super::RegistryError;
use super::client::{Session, plain, read_limited, shown};
use super::tags::next_page;
use crate::json::{DOCUMENT_LIMIT, parse};
use crate::media_type::OCI_INDEX;
use crate::{Descriptor, Digest, Document, Error, Index};

const PAGES: usize = 100;

impl Session {
    /// Everything that refers to `digest`, in the registry's order.
    pub(crate) async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>, Error> {
        let origin = self.origin();
        let mut next = Some(origin.url(&format!("referrers/{digest}")));
        let mut found = Vec::new();
        for _ in 0..PAGES {
            let Some(url) = next else { break };
            let make = plain(Method::GET, OCI_INDEX);
            let response = self.send(&origin, url, &origin.pull_scope(), make).await?;
            // 404 is the answer of a registry without the interface: without
            // referrers the list is empty.
            if response.status() == 404 {
                return Ok(self
                    .tagged_referrers(digest)
                    .await?
                    .map_or(Vec::new(), |index| index.manifests));
            }
            let response = self.expect_success(response, &digest.to_string()).await?;
            let url = response.url().clone();
            let link = response
                .headers()
                .get(LINK)
                .and_then(|value| value.to_str().ok());
            next = link
                .and_then(|link| next_page(&url, link))
                .filter(|next| next.origin() == url.origin());
            let bytes = read_limited(response, DOCUMENT_LIMIT, self.stall).await?;
            let unreadable = |source| RegistryError::Answer {
                url: shown(&url),
                source,
            };
            found.extend(parse::<Index>(&bytes).map_err(unreadable)?.manifests);
        }
        Ok(found)
    }

    /// The list kept under a tag, when there is one.
    async fn tagged_referrers(&self, digest: &Digest) -> Result<Option<Index>, Error> {
        match self.manifest(&referrers_tag(digest), None).await {
            Err(Error::Registry(RegistryError::NotFound { .. })) => Ok(None),
            Err(error) => Err(error),
            Ok(found) => match found.document {
                Document::Index(index) => Ok(Some(index)),
                Document::Manifest(_) => Ok(None),
            },
        }
    }

    /// Adds `referrer` to the list under the tag, for registries that keep none themselves.
    pub(crate) async fn add_to_referrers_tag(
        &self,
        subject: &Digest,
        referrer: Descriptor,
    ) -> Result<(), Error> {
        let found = self.tagged_referrers(subject).await?;
        let mut index = found.unwrap_or_else(Index::empty);
        if index
            .manifests
            .iter()
            .any(|known| known.digest == referrer.digest)
        {
            return Ok(());
        }
        index.manifests.push(referrer);
        let bytes = index.to_bytes();
        self.push_manifest(&referrers_tag(subject), OCI_INDEX, &bytes, None)
            .await
            .map(drop)
    }
}

fn referrers_tag(digest: &Digest) -> String {
    let tag = format!("{}-{}", digest.algorithm().name(), digest.hex());
    // A tag has at most 128 characters.
    tag.chars().take(128).collect()
}
