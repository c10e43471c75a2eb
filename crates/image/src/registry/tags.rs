//! The list of tags of a repository, page by page.

use http::Method;
use http::header::LINK;
use serde::Deserialize;
use url::Url;

use super::RegistryError;
use super::client::{Session, plain, read_limited, shown};
use crate::Error;
use crate::json::{DOCUMENT_LIMIT, null_as_empty, parse};

const PAGES: usize = 1000;

#[derive(Deserialize)]
struct Page {
    #[serde(default, deserialize_with = "null_as_empty")]
    tags: Vec<String>,
}

impl Session {
    /// Follows `Link: <...>; rel="next"` (distribution-spec, "Listing Tags").
    pub(super) async fn tags(&self) -> Result<Vec<String>, Error> {
        let endpoint = self.origin();
        let mut next = Some(endpoint.url("tags/list"));
        let mut tags = Vec::new();
        for _ in 0..PAGES {
            let Some(url) = next else { break };
            let make = plain(Method::GET, "");
            let response = self
                .send(&endpoint, url, &endpoint.pull_scope(), make)
                .await?;
            let response = self.expect_success(response, &self.repository).await?;
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
            tags.extend(parse::<Page>(&bytes).map_err(unreadable)?.tags);
        }
        Ok(tags)
    }
}

/// The target of the link to the next page.
pub(super) fn next_page(from: &Url, link: &str) -> Option<Url> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let next = parameters
        .split(';')
        .any(|p| matches!(p.trim(), "rel=\"next\"" | "rel=next"));
    if next { from.join(target).ok() } else { None }
}
