//! What a repository has about one of its manifests: signatures, lists of
//! materials and the like (distribution-spec, "Listing Referrers").
//!
//! A registry without that interface keeps the list under a tag made from the
//! digest ("Referrers Tag Schema"), which whoever pushes has to keep up.

use super::RegistryError;
use super::client::Session;
use super::pages::List;
use crate::media_type::OCI_INDEX;
use crate::{Descriptor, Digest, Document, Error, Index};

impl Session {
    /// Everything that refers to `digest`, in the registry's order.
    pub(crate) async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>, Error> {
        let origin = self.origin();
        let list = List {
            endpoint: &origin,
            first: origin.url(&format!("referrers/{digest}")),
            scope: &origin.pull_scope(),
            accept: OCI_INDEX,
            what: &digest.to_string(),
        };
        let mut found = Vec::new();
        let listed = self.pages(&list, |page: Index| {
            found.extend(page.manifests);
            true
        });
        match listed.await {
            // So answers a registry without the interface: without referrers the list is empty.
            Err(Error::Registry(RegistryError::NotFound { .. })) => {
                let index = self.tagged_referrers(digest).await?;
                Ok(index.map_or(Vec::new(), |index| index.manifests))
            }
            Err(error) => Err(error),
            Ok(()) => Ok(found),
        }
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
