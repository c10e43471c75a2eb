//! Looking for repositories by a word.
//!
//! The distribution specification knows no search. Docker Hub and a few others
//! have the first API's (`/v1/search`); where that is missing, the list of all
//! repositories (`/v2/_catalog`) is looked through, as far as a registry gives it.

use serde::Deserialize;
use url::Url;

use super::client::{Session, run};
use super::endpoint::Endpoint;
use super::pages::List;
use super::{Options, RegistryError};
use crate::json::null_as_empty;
use crate::{DEFAULT_REGISTRY, Error};

/// Docker Hub's search is on another host than its images.
const HUB_SEARCH: &str = "https://index.docker.io/";

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
        let list = List {
            endpoint: &origin,
            first: url,
            scope: "",
            accept: "",
            what: "the search",
        };
        let mut found = Vec::new();
        let asked = self.pages(&list, |page: Results| {
            found.extend(page.results);
            found.len() < limit
        });
        match asked.await {
            // Some answer every address with a page for people.
            Err(error) if is_no_such_list(&error) => self.catalog(&origin, term, limit).await,
            other => other.map(|()| found),
        }
    }

    /// Repositories whose names contain the word.
    async fn catalog(
        &self,
        origin: &Endpoint,
        term: &str,
        limit: usize,
    ) -> Result<Vec<Match>, Error> {
        let mut first = origin.base.clone();
        first.set_path("/v2/_catalog");
        let list = List {
            endpoint: origin,
            first,
            scope: "registry:catalog:*",
            accept: "",
            what: "the list of repositories",
        };
        let mut found = Vec::new();
        let listed = self.pages(&list, |page: Catalog| {
            let names = page.repositories.into_iter();
            let fitting = names.filter(|name| name.contains(term));
            found.extend(fitting.map(|name| Match {
                name,
                ..Match::default()
            }));
            found.len() < limit
        });
        match listed.await {
            Err(error) if is_no_such_list(&error) => Err(self.no_search()),
            other => other.map(|()| found),
        }
    }

    fn no_search(&self) -> Error {
        RegistryError::NoSearch {
            registry: self.registry.clone(),
        }
        .into()
    }
}

/// Whether the registry answered, but not with a list.
fn is_no_such_list(error: &Error) -> bool {
    match error {
        Error::Registry(RegistryError::Status { status, .. }) => {
            (400..500).contains(status) && !error.is_temporary()
        }
        Error::Registry(
            RegistryError::NotFound { .. }
            | RegistryError::Denied { .. }
            | RegistryError::Answer { .. },
        ) => true,
        _ => false,
    }
}
