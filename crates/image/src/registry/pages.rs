//! Lists that come page by page: tags, repositories, referrers.
//!
//! Each page has a header `Link: <...>; rel="next"` as long as there is more
//! (distribution-spec, "Listing Tags"; RFC 8288). It is followed only at the same
//! place, and not for ever.

use http::Method;
use http::header::LINK;
use serde::de::DeserializeOwned;
use url::Url;

use super::RegistryError;
use super::client::{Session, plain, read_limited, shown};
use super::endpoint::Endpoint;
use crate::Error;
use crate::json::{DOCUMENT_LIMIT, parse};

const PAGES: usize = 1000;

/// What is listed, and how it is asked for.
pub(super) struct List<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) first: Url,
    pub(super) scope: &'a str,
    /// The media type asked for; may be empty.
    pub(super) accept: &'static str,
    /// For messages.
    pub(super) what: &'a str,
}

impl Session {
    /// Hands each page to `take`, until that wants no more.
    pub(super) async fn pages<T: DeserializeOwned>(
        &self,
        list: &List<'_>,
        mut take: impl FnMut(T) -> bool,
    ) -> Result<(), Error> {
        let mut next = Some(list.first.clone());
        for _ in 0..PAGES {
            let Some(url) = next else { break };
            let (page, following) = self.retry(|| self.page(list, url.clone())).await?;
            next = following;
            if !take(page) {
                break;
            }
        }
        Ok(())
    }

    /// One page, and where the next one is.
    async fn page<T: DeserializeOwned>(
        &self,
        list: &List<'_>,
        url: Url,
    ) -> Result<(T, Option<Url>), Error> {
        let make = plain(Method::GET, list.accept);
        let response = self.send(list.endpoint, url, list.scope, make).await?;
        let response = self.expect_success(response, list.what).await?;
        let url = response.url().clone();
        let link = response
            .headers()
            .get(LINK)
            .and_then(|value| value.to_str().ok());
        let next = link
            .and_then(|link| next_page(&url, link))
            .filter(|next| next.origin() == url.origin());
        let bytes = read_limited(response, DOCUMENT_LIMIT, self.stall).await?;
        let unreadable = |source| RegistryError::Answer {
            url: shown(&url),
            source,
        };
        Ok((parse(&bytes).map_err(unreadable)?, next))
    }
}

/// The target of the link to the next page.
fn next_page(from: &Url, link: &str) -> Option<Url> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let next = parameters
        .split(';')
        .any(|p| matches!(p.trim(), "rel=\"next\"" | "rel=next"));
    if next { from.join(target).ok() } else { None }
}
