//! The list of tags of a repository.

use serde::Deserialize;

use super::client::Session;
use super::pages::List;
use crate::Error;
use crate::json::null_as_empty;

#[derive(Deserialize)]
struct Page {
    #[serde(default, deserialize_with = "null_as_empty")]
    tags: Vec<String>,
}

impl Session {
    /// All of them, in the registry's order.
    pub(super) async fn tags(&self) -> Result<Vec<String>, Error> {
        let origin = self.origin();
        let list = List {
            endpoint: &origin,
            first: origin.url("tags/list"),
            scope: &origin.pull_scope(),
            accept: "",
            what: &self.repository,
        };
        let mut tags = Vec::new();
        self.pages(&list, |page: Page| {
            tags.extend(page.tags);
            true
        })
        .await?;
        Ok(tags)
    }
}
