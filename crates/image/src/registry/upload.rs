//! Sending to a registry: blobs in one piece, then manifests
//! (distribution-spec, "Push").

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{Method, StatusCode};
use reqwest::{Body, Client, Response};
use tokio::time::sleep;
use url::Url;

use super::RegistryError;
use super::client::{Session, shown, transport};
use super::endpoint::Endpoint;
use crate::{Descriptor, Digest, Error};

const PIECE: usize = 256 << 10;
const TRIES: u32 = 5;

/// How a blob came to be at the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It was there.
    Exists,
    /// The registry took it from another of its repositories.
    Mounted,
    /// It was sent.
    Uploaded,
}

/// What begins an upload.
enum Begun {
    Mounted,
    At(Url),
}

impl Session {
    /// What pushing needs, and reading `from` to mount its blobs.
    pub(crate) fn push_scope(&self, from: Option<&str>) -> String {
        let own = format!("repository:{}:pull,push", self.repository);
        match from.filter(|from| *from != self.repository) {
            Some(from) => format!("{own} repository:{from}:pull"),
            None => own,
        }
    }

    /// Sends the blob at `path`, unless the registry has it or can take it from `from`.
    pub(crate) async fn push_blob(
        &self,
        descriptor: &Descriptor,
        path: &Path,
        from: Option<&str>,
        sent: &dyn Fn(u64),
    ) -> Result<Sent, Error> {
        let mut tries = 0;
        loop {
            match self.try_push_blob(descriptor, path, from, sent).await {
                Err(Error::Registry(error)) if error.is_temporary() && tries + 1 < TRIES => {
                    sleep(self.wait_before(tries, &error)).await;
                    tries += error.weight();
                }
                other => return other,
            }
        }
    }

    async fn try_push_blob(
        &self,
        descriptor: &Descriptor,
        path: &Path,
        from: Option<&str>,
        sent: &dyn Fn(u64),
    ) -> Result<Sent, Error> {
        let endpoint = self.own_endpoint()?;
        let scope = self.push_scope(from);
        if self
            .has(&endpoint, &format!("blobs/{}", descriptor.digest), &scope)
            .await?
        {
            return Ok(Sent::Exists);
        }
        match self.begin_upload(&descriptor.digest, from, &scope).await? {
            Begun::Mounted => Ok(Sent::Mounted),
            Begun::At(location) => {
                self.upload(location, descriptor, path, &scope, sent)
                    .await?;
                Ok(Sent::Uploaded)
            }
        }
    }

    /// Pushes go to the registry itself, never to a mirror.
    fn own_endpoint(&self) -> Result<Endpoint, RegistryError> {
        let last = self.endpoints.borrow().last().cloned();
        last.ok_or_else(|| RegistryError::Protocol {
            url: self.registry.clone(),
            problem: "has no address".to_owned(),
        })
    }

    async fn has(
        &self,
        endpoint: &Endpoint,
        path: &str,
        scope: &str,
    ) -> Result<bool, RegistryError> {
        let url = self.url(endpoint, path);
        let make = |client: &Client, url: Url| client.request(Method::HEAD, url);
        let response = self.send(endpoint, url, scope, make).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => Ok(true),
            _ => self
                .expect_success(response, &self.repository)
                .await
                .map(|_| true),
        }
    }

    async fn begin_upload(
        &self,
        digest: &Digest,
        from: Option<&str>,
        scope: &str,
    ) -> Result<Begun, RegistryError> {
        let endpoint = self.own_endpoint()?;
        let mut url = self.url(&endpoint, "blobs/uploads/");
        if let Some(from) = from.filter(|from| *from != self.repository) {
            url.query_pairs_mut()
                .append_pair("mount", &digest.to_string())
                .append_pair("from", from);
        }
        let make = |client: &Client, url: Url| {
            client
                .request(Method::POST, url)
                .header(CONTENT_LENGTH, "0")
        };
        let response = self.send(&endpoint, url, scope, make).await?;
        let response = self.expect_success(response, &self.repository).await?;
        if response.status() == StatusCode::CREATED {
            return Ok(Begun::Mounted);
        }
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok());
        let location = location.and_then(|location| response.url().join(location).ok());
        location
            .map(Begun::At)
            .ok_or_else(|| RegistryError::Protocol {
                url: shown(response.url()),
                problem: "does not say where to send a blob".to_owned(),
            })
    }

    /// One PUT with the whole blob. A silent registry is given up on only when
    /// it also stopped taking bytes.
    async fn upload(
        &self,
        mut location: Url,
        descriptor: &Descriptor,
        path: &Path,
        scope: &str,
        sent: &dyn Fn(u64),
    ) -> Result<(), Error> {
        let endpoint = self.own_endpoint()?;
        location
            .query_pairs_mut()
            .append_pair("digest", &descriptor.digest.to_string());
        let blob = File::open(path).map_err(crate::error::file("open", path))?;
        let counter = Arc::new(AtomicU64::new(0));
        let mut request = self
            .client_for(&location)?
            .request(Method::PUT, location.clone())
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, descriptor.size)
            .body(
                body(blob, descriptor.size, Arc::clone(&counter))
                    .map_err(crate::error::file("read", path))?,
            );
        if endpoint.owns(&location)
            && let Some(value) = self.authorization(&location, scope)
        {
            request = request.header(AUTHORIZATION, value);
        }
        let response = self
            .watched(&location, request.send(), &counter, sent)
            .await?;
        self.expect_success(response, &descriptor.digest.to_string())
            .await?;
        Ok(())
    }

    /// Waits for the answer while bytes go out.
    async fn watched(
        &self,
        url: &Url,
        answer: impl Future<Output = reqwest::Result<Response>>,
        counter: &AtomicU64,
        sent: &dyn Fn(u64),
    ) -> Result<Response, RegistryError> {
        let last = Rc::new(Cell::new((0, Duration::ZERO)));
        let step = Duration::from_millis(100).min(self.stall);
        tokio::pin!(answer);
        loop {
            tokio::select! {
                response = &mut answer => return response.map_err(|error| transport(url, &error)),
                () = sleep(step) => {
                    let now = counter.load(Ordering::Relaxed);
                    let (before, silent) = last.get();
                    sent(now);
                    last.set(if now > before { (now, Duration::ZERO) } else { (before, silent + step) });
                    if last.get().1 > self.stall {
                        return Err(RegistryError::Stalled { url: shown(url), wait: self.stall });
                    }
                }
            }
        }
    }

    /// Puts a manifest or index under `name`, a tag or its digest.
    pub(crate) async fn push_manifest(
        &self,
        name: &str,
        media_type: &str,
        bytes: &[u8],
        from: Option<&str>,
    ) -> Result<(), RegistryError> {
        let bytes = Bytes::copy_from_slice(bytes);
        let scope = self.push_scope(from);
        let put = |endpoint: Endpoint| {
            let (bytes, scope) = (bytes.clone(), scope.clone());
            async move {
                let url = self.url(&endpoint, &format!("manifests/{name}"));
                let make = |client: &Client, url: Url| {
                    let request = client
                        .request(Method::PUT, url)
                        .header(CONTENT_TYPE, media_type);
                    request.body(bytes.clone())
                };
                let response = self.send(&endpoint, url, &scope, make).await?;
                self.expect_success(response, &self.repository).await
            }
        };
        self.retry(|| async { put(self.own_endpoint()?).await })
            .await
            .map(drop)
    }
}

/// The file as a stream that counts what is taken from it.
fn body(mut blob: File, size: u64, counter: Arc<AtomicU64>) -> io::Result<Body> {
    blob.rewind()?;
    let pieces = stream::unfold(
        (blob, size, counter),
        |(mut blob, left, counter)| async move {
            if left == 0 {
                return None;
            }
            let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
            let read = blob.read_exact(&mut piece);
            counter.fetch_add(piece.len() as u64, Ordering::Relaxed);
            let left = left - piece.len() as u64;
            Some((read.map(|()| Bytes::from(piece)), (blob, left, counter)))
        },
    );
    Ok(Body::wrap_stream(pieces))
}
