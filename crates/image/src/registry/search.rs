//! Looking for repositories by a word.
//!
//! The distribution specification knows no search. Docker Hub and a few others
//! have the first API's (`/v1/search`); where that is missing, the list of all
//! repositories (`/v2/_catalog`) is looked through, as far as a registry gives it.

use http::header::LINK;
use http::{Method, StatusCode};
use reqwest::Response;
use serde::Deserialize;
use url::Url;

use super::client::{Session, plain, read_limited, run};
use super::endpoint::Endpoint;
use super::tags::next_page;
use super::{Options, RegistryError};
use crate::json::{DOCUMENT_LIMIT, null_as_empty, parse};
use crate::{DEFAULT_REGISTRY, Error};

/// Docker Hub's search is on another host than its images.
const HUB_SEARCH: &str = "https://index.docker.io/";
const PAGES: usize = 1000;

/// One repository that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Match {
    /// Without the registry, except for what the registry itself answers.
    pub name: String,
    /// Empty when the registry tells none.
    #[serde(deserialize_with = "null_as_empty")]
    pub description: String,
    /// How many people like it.
    #[serde(rename = "star_count")]
    pub stars: u64,
    /// Whether the registry's owner vouches for it.
    #[serde(rename = "is_official")]
    pub official: bool,
}

#[derive(Deserialize)]
struct Results {
    #[serde(deserialize_with = "null_as_empty")]
    results: Vec<Match>,
}

#[derive(Deserialize)]
struct Catalog {
    #[serde(default, deserialize_with = "null_as_empty")]
    repositories: Vec<String>,
}

/// The repositories of `registry` that have to do with `term`, at most `limit`.
pub fn search(
    registry: &str,
    term: &str,
    limit: usize,
    options: &Options,
) -> Result<Vec<Match>, Error> {
    let session = Session::of_registry(registry, options)?;
    let mut found = run(session.search(term, limit))?;
    found.truncate(limit);
    Ok(found)
}

impl Session {
    async fn search(&self, term: &str, limit: usize) -> Result<Vec<Match>, Error> {
        let mut origin = self.origin();
        if origin.registry == DEFAULT_REGISTRY
            && let Ok(base) = Url::parse(HUB_SEARCH)
        {
            origin.base = base;
        }
        let mut url = origin.base.clone();
        url.set_path("/v1/search");
        url.query_pairs_mut()
            .append_pair("q", term)
            .append_pair("n", &limit.to_string());
        let response = self.retry(|| self.ask(&origin, url.clone(), "")).await?;
        if response.status().is_success() {
            let bytes = read_limited(response, DOCUMENT_LIMIT, self.stall).await?;
            // Some answer every address with a page for people.
            if let Ok(Results { results }) = parse(&bytes) {
                return Ok(results);
            }
        }
        self.catalog(&origin, term, limit).await
    }

    async fn ask(&self, endpoint: &Endpoint, url: Url, scope: &str) -> Result<Response, Error> {
        let response = self
            .send(endpoint, url, scope, plain(Method::GET, ""))
            .await?;
        let status = response.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Ok(self
                .expect_success(response, "the list of repositories")
                .await?);
        }
        Ok(response)
    }

    /// Repositories whose names contain the word.
    async fn catalog(
        &self,
        origin: &Endpoint,
        term: &str,
        limit: usize,
    ) -> Result<Vec<Match>, Error> {
        let mut url = origin.base.clone();
        url.set_path("/v2/_catalog");
        let (mut next, mut found) = (Some(url), Vec::new());
        for _ in 0..PAGES {
            let Some(url) = next.filter(|_| found.len() < limit) else {
                break;
            };
            let response = self
                .retry(|| self.ask(origin, url.clone(), "registry:catalog:*"))
                .await?;
            if !response.status().is_success() {
                return Err(self.no_search());
            }
            let url = response.url().clone();
            let link = response
                .headers()
                .get(LINK)
                .and_then(|value| value.to_str().ok());
            next = link
                .and_then(|link| next_page(&url, link))
                .filter(|next| next.origin() == url.origin());
            let bytes = read_limited(response, DOCUMENT_LIMIT, self.stall).await?;
            let Ok(page) = parse::<Catalog>(&bytes) else {
                return Err(self.no_search());
            };
            let names = page
                .repositories
                .into_iter()
                .filter(|name| name.contains(term));
            found.extend(names.map(|name| Match {
                name,
                ..Match::default()
            }));
        }
        Ok(found)
    }

    fn no_search(&self) -> Error {
        RegistryError::NoSearch {
            registry: self.registry.clone(),
        }
        .into()
    }
}
