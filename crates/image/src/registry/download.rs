//! One file from any web address, for `import URL`: through the same proxies,
//! authorities and limits of time as a registry, and never with credentials.

use http::Method;
use tokio::time::timeout;
use url::Url;

use super::client::{Session, plain, run, shown, transport};
use super::endpoint::Endpoint;
use super::{Options, RegistryError};
use crate::Error;

/// Hands every piece of the body to `keep`, in order.
pub(crate) fn download(
    address: &str,
    keep: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let unusable = |reason: String| RegistryError::Transport {
        url: address.to_owned(),
        reason,
    };
    let url = Url::parse(address).map_err(|error| unusable(error.to_string()))?;
    let host = url
        .host_str()
        .ok_or_else(|| unusable("it names no host".to_owned()))?;
    let session = Session::of_registry(host, &Options::default())?;
    run(session.download(url.clone(), keep))
}

impl Session {
    async fn download(
        &self,
        url: Url,
        keep: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let endpoint = Endpoint::foreign(&url);
        let make = plain(Method::GET, "");
        let response = self.send(&endpoint, url.clone(), "", make).await?;
        let mut response = self.expect_success(response, url.path()).await?;
        loop {
            let piece = timeout(self.stall, response.chunk()).await;
            let piece = piece.map_err(|_| RegistryError::Stalled {
                url: shown(&url),
                wait: self.stall,
            })?;
            match piece.map_err(|error| transport(&url, &error))? {
                Some(piece) => keep(&piece)?,
                None => return Ok(()),
            }
        }
    }
}
