//! Blobs from a registry: a stream that goes on where it broke.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_RANGE, RANGE};
use http::{Method, StatusCode};
use reqwest::{Client, RequestBuilder, Response};
use tokio::sync::mpsc::Sender;
use tokio::time::{sleep, timeout};
use url::Url;

use super::RegistryError;
use super::client::{Session, read_limited, shown, transport};
use super::endpoint::{Endpoint, is_loopback};
use crate::json::DOCUMENT_LIMIT;
use crate::media_type::is_nondistributable;
use crate::{Descriptor, Error, Mismatch, Verifier};

/// Attempts without a single new byte.
const TRIES: u32 = 10;
/// Bytes that must come while a silent registry would be waited for.
const LEAST: u64 = 1024;

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// All bytes were handed over.
    Complete,
    /// The receiver did not want more; it knows why.
    Refused,
}

impl Session {
    /// A small blob (a config), checked.
    pub(crate) async fn small_blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        if descriptor.size > DOCUMENT_LIMIT {
            let url = descriptor.digest.to_string();
            return Err(RegistryError::TooLarge {
                url,
                limit: DOCUMENT_LIMIT,
            }
            .into());
        }
        let bytes = self.each_endpoint(|endpoint| async move {
            let url = endpoint.url(&format!("blobs/{}", descriptor.digest));
            let response = self.blob_from(&endpoint, url, descriptor, 0).await?;
            let bytes = read_limited(response, descriptor.size + 1, self.stall).await?;
            let mut verifier = Verifier::new(&descriptor.digest, descriptor.size);
            verifier.update(&bytes)?;
            verifier.finish()?;
            Ok(bytes.to_vec())
        });
        bytes.await
    }

    /// Sends the bytes of a blob from `offset` on to `sink`, through as many
    /// connections and places as it takes: each of [`Session::sources`] once, then
    /// the registry itself with patience. `retrying` is told before each wait.
    pub(crate) async fn stream_blob(
        &self,
        descriptor: &Descriptor,
        mut offset: u64,
        sink: &Sender<Bytes>,
        retrying: &dyn Fn(Duration),
    ) -> Result<Delivery, Error> {
        for (place, url) in self.sources(descriptor) {
            match self
                .one_connection(&place, url, descriptor, &mut offset, sink)
                .await
            {
                Ok(done) => return Ok(done),
                Err(failure) if failure.is_temporary() => self.forget(&place),
                Err(_) => {}
            }
        }
        let mut tries = 0;
        loop {
            let (origin, before) = (self.origin(), offset);
            let url = origin.url(&format!("blobs/{}", descriptor.digest));
            let failure = match self
                .one_connection(&origin, url, descriptor, &mut offset, sink)
                .await
            {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            tries = if offset > before {
                0
            } else {
                tries + failure.weight()
            };
            match &failure {
                Failure::Registry(error) if failure.is_temporary() && tries < TRIES => {
                    let wait = self.wait_before(tries, error);
                    retrying(wait);
                    sleep(wait).await;
                }
                _ => return Err(failure.into_error()),
            }
        }
    }

    /// Where else than at the registry itself a blob may be: the mirrors; for
    /// layers that registries may not keep, the addresses their manifest names
    /// (image-spec, "Non-Distributable Layers"), without credentials.
    fn sources(&self, descriptor: &Descriptor) -> Vec<(Endpoint, Url)> {
        let named = descriptor
            .urls
            .iter()
            .filter_map(|text| Url::parse(text).ok());
        // An image from elsewhere has no business with servers of this machine.
        let local = is_loopback(&self.origin().base);
        let fitting = |url: &Url| match is_loopback(url) {
            true => local && matches!(url.scheme(), "http" | "https"),
            false => url.scheme() == "https",
        };
        let named = named
            .filter(|_| is_nondistributable(&descriptor.media_type))
            .filter(fitting)
            .map(|url| (Endpoint::foreign(&url), url));
        let mirrors = self.mirrors().into_iter().map(|mirror| {
            let url = mirror.url(&format!("blobs/{}", descriptor.digest));
            (mirror, url)
        });
        mirrors.chain(named).collect()
    }

    /// Hands over what one connection gives, and counts it in `offset`.
    async fn one_connection(
        &self,
        endpoint: &Endpoint,
        url: Url,
        descriptor: &Descriptor,
        offset: &mut u64,
        sink: &Sender<Bytes>,
    ) -> Result<Delivery, Failure> {
        if *offset >= descriptor.size {
            return Ok(Delivery::Complete);
        }
        let mut response = self.blob_from(endpoint, url, descriptor, *offset).await?;
        let url = response.url().clone();
        let mut skip = skipped(&response, descriptor, *offset)?;
        let mut pace = Pace::new(self.stall);
        while *offset < descriptor.size {
            let piece = match timeout(self.stall, response.chunk()).await {
                Err(_) => {
                    return Err(RegistryError::Stalled {
                        url: shown(&url),
                        wait: self.stall,
                    }
                    .into());
                }
                Ok(piece) => piece.map_err(|error| transport(&url, &error))?,
            };
            let Some(mut piece) = piece else {
                let reason = format!(
                    "the answer ended after {offset} of {} bytes",
                    descriptor.size
                );
                return Err(RegistryError::Transport {
                    url: shown(&url),
                    reason,
                }
                .into());
            };
            if !pace.is_kept(piece.len()) {
                return Err(RegistryError::Stalled {
                    url: shown(&url),
                    wait: self.stall,
                }
                .into());
            }
            let cut = skip.min(piece.len() as u64);
            skip -= cut;
            let _ = piece.split_to(usize::try_from(cut).unwrap_or(piece.len()));
            if piece.is_empty() {
                continue;
            }
            *offset += piece.len() as u64;
            if *offset > descriptor.size {
                return Err(wrong_size(descriptor, *offset).into());
            }
            if sink.send(piece).await.is_err() {
                return Ok(Delivery::Refused);
            }
        }
        Ok(Delivery::Complete)
    }

    async fn blob_from(
        &self,
        endpoint: &Endpoint,
        url: Url,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<Response, RegistryError> {
        let make = move |client: &Client, url: Url| -> RequestBuilder {
            let request = client.request(Method::GET, url);
            if offset == 0 {
                request
            } else {
                request.header(RANGE, format!("bytes={offset}-"))
            }
        };
        let response = self
            .send(endpoint, url, &endpoint.pull_scope(), make)
            .await?;
        self.expect_success(response, &descriptor.digest.to_string())
            .await
    }
}

/// Why one connection ended early.
enum Failure {
    Registry(RegistryError),
    Mismatch(Mismatch),
}

impl Failure {
    fn is_temporary(&self) -> bool {
        matches!(self, Self::Registry(error) if error.is_temporary())
    }

    fn weight(&self) -> u32 {
        match self {
            Self::Registry(error) => error.weight(),
            Self::Mismatch(_) => 1,
        }
    }

    fn into_error(self) -> Error {
        match self {
            Self::Registry(error) => error.into(),
            Self::Mismatch(mismatch) => mismatch.into(),
        }
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

impl From<Mismatch> for Failure {
    fn from(mismatch: Mismatch) -> Self {
        Self::Mismatch(mismatch)
    }
}

/// How many bytes at the start of the answer are known already: some servers
/// send all of it whatever was asked for.
fn skipped(response: &Response, descriptor: &Descriptor, offset: u64) -> Result<u64, Failure> {
    let protocol = |problem: String| RegistryError::Protocol {
        url: shown(response.url()),
        problem,
    };
    let start = if response.status() == StatusCode::PARTIAL_CONTENT {
        let range = response
            .headers()
            .get(CONTENT_RANGE)
            .and_then(|value| value.to_str().ok());
        let (start, total) = range
            .and_then(parse_range)
            .ok_or_else(|| protocol("sent a part of a blob without saying which".to_owned()))?;
        if start != offset {
            return Err(protocol(format!("sent bytes from {start} on instead of {offset}")).into());
        }
        if total.is_some_and(|total| total != descriptor.size) {
            return Err(wrong_size(descriptor, total.unwrap_or(0)).into());
        }
        start
    } else {
        0
    };
    if let Some(length) = response.content_length()
        && start + length != descriptor.size
    {
        return Err(wrong_size(descriptor, start + length).into());
    }
    Ok(offset - start)
}

/// `bytes START-END/TOTAL` (RFC 9110, section 14.4)
fn parse_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    let total = if total == "*" {
        None
    } else {
        Some(total.parse().ok()?)
    };
    Some((start.parse().ok()?, total))
}

fn wrong_size(descriptor: &Descriptor, found: u64) -> Mismatch {
    Mismatch::Size {
        digest: descriptor.digest.clone(),
        expected: descriptor.size,
        found,
    }
}

/// A connection that drips is as bad as a silent one.
struct Pace {
    window: Duration,
    since: Instant,
    bytes: u64,
}

impl Pace {
    fn new(window: Duration) -> Self {
        Self {
            window,
            since: Instant::now(),
            bytes: 0,
        }
    }

    /// False when a whole window brought less than [`LEAST`].
    fn is_kept(&mut self, bytes: usize) -> bool {
        self.bytes += bytes as u64;
        if self.since.elapsed() < self.window {
            return true;
        }
        let kept = self.bytes >= LEAST;
        *self = Self::new(self.window);
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(parse_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(parse_range("bytes 5-9/*"), Some((5, None)));
        for wrong in [
            "",
            "bytes",
            "bytes */10",
            "bytes 5/10",
            "items 5-9/10",
            "bytes a-9/10",
        ] {
            assert_eq!(parse_range(wrong), None, "{wrong}");
        }
    }
}
