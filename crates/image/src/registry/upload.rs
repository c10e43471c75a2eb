//! Sending to a registry: blobs, in one piece or in chunks, then manifests
//! (distribution-spec, "Push").

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, LOCATION, RANGE};
use http::{Method, StatusCode};
use reqwest::{Body, Client, Response};
use tokio::time::sleep;
use url::Url;

use super::RegistryError;
use super::client::{Session, plain, shown};
use super::endpoint::Endpoint;
use crate::{Descriptor, Error};

const PIECE: usize = 256 << 10;
const TRIES: u32 = 5;
/// When a registry takes a blob only in chunks.
const CHUNK: u64 = 16 << 20;
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const LEAST_CHUNK: HeaderName = HeaderName::from_static("oci-chunk-min-length");

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
    At { location: Url, least_chunk: u64 },
}

/// Where the bytes of a blob are.
#[derive(Clone, Copy)]
pub(crate) enum Content<'a> {
    File(&'a Path),
    Bytes(&'a [u8]),
}

/// One blob on its way.
pub(crate) struct Upload<'a> {
    pub(crate) descriptor: &'a Descriptor,
    pub(crate) content: Content<'a>,
    /// A repository of the same registry that may have it.
    pub(crate) from: Option<&'a str>,
    /// Bytes at once; `None` for all.
    pub(crate) chunk: Option<u64>,
    /// Told how many bytes went out.
    pub(crate) sent: &'a dyn Fn(u64),
}

impl Session {
    /// Sends a blob, unless the registry has it or can take it from another repository.
    pub(crate) async fn push_blob(&self, upload: &Upload<'_>) -> Result<Sent, Error> {
        let mut tries = 0;
        loop {
            match self.try_push_blob(upload).await {
                Err(error) if error.is_temporary() && tries + 1 < TRIES => {
                    sleep(self.wait_before(tries, &error)).await;
                    tries += error.weight();
                }
                other => return other.map_err(|error| error.while_pushing().into()),
            }
        }
    }

    /// Whether the registry has a blob in this repository, now that it was asked
    /// to take it over from the repository `from`.
    pub(crate) async fn mount_blob(
        &self,
        descriptor: &Descriptor,
        from: &str,
    ) -> Result<bool, Error> {
        let upload = Upload {
            descriptor,
            content: Content::Bytes(&[]),
            from: Some(from),
            chunk: None,
            sent: &|_| {},
        };
        let here = self
            .retry(|| async { Ok(self.has_blob(&upload).await?) })
            .await?;
        if here {
            return Ok(true);
        }
        let begun = self.retry(|| async { Ok(self.begin_upload(&upload).await?) });
        Ok(matches!(begun.await?, Begun::Mounted))
    }

    async fn try_push_blob(&self, upload: &Upload<'_>) -> Result<Sent, RegistryError> {
        if self.has_blob(upload).await? {
            return Ok(Sent::Exists);
        }
        let (location, least_chunk) = match self.begin_upload(upload).await? {
            Begun::Mounted => return Ok(Sent::Mounted),
            Begun::At {
                location,
                least_chunk,
            } => (location, least_chunk),
        };
        let whole = match upload.chunk {
            Some(chunk) => {
                return self
                    .in_chunks(upload, location, chunk.max(least_chunk))
                    .await;
            }
            None => self.in_one_piece(upload, location).await,
        };
        match whole {
            // Something on the way takes no body of this size.
            Err(RegistryError::Status { status: 413, .. }) => {
                match self.begin_upload(upload).await? {
                    Begun::Mounted => Ok(Sent::Mounted),
                    Begun::At {
                        location,
                        least_chunk,
                    } => {
                        self.in_chunks(upload, location, CHUNK.max(least_chunk))
                            .await
                    }
                }
            }
            other => other.map(|()| Sent::Uploaded),
        }
    }

    async fn has_blob(&self, upload: &Upload<'_>) -> Result<bool, RegistryError> {
        let origin = self.origin();
        let url = origin.url(&format!("blobs/{}", upload.descriptor.digest));
        let scope = origin.push_scope(upload.from);
        let response = self
            .send(&origin, url, &scope, plain(Method::HEAD, ""))
            .await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => Ok(true),
            _ => self
                .expect_success(response, &self.repository)
                .await
                .map(|_| true),
        }
    }

    async fn begin_upload(&self, upload: &Upload<'_>) -> Result<Begun, RegistryError> {
        let origin = self.origin();
        let mut url = origin.url("blobs/uploads/");
        if let Some(from) = upload.from.filter(|from| *from != origin.repository) {
            url.query_pairs_mut()
                .append_pair("mount", &upload.descriptor.digest.to_string())
                .append_pair("from", from);
        }
        let make = |client: &Client, url: Url| {
            client
                .request(Method::POST, url)
                .header(CONTENT_LENGTH, "0")
        };
        let scope = origin.push_scope(upload.from);
        let response = self.send(&origin, url, &scope, make).await?;
        let response = self.expect_success(response, &self.repository).await?;
        if response.status() == StatusCode::CREATED {
            return Ok(Begun::Mounted);
        }
        let least = response.headers().get(LEAST_CHUNK);
        let least = least.and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Begun::At {
            location: location(&response)?,
            least_chunk: least.unwrap_or(0),
        })
    }

    /// One PUT with the whole blob.
    async fn in_one_piece(&self, upload: &Upload<'_>, location: Url) -> Result<(), RegistryError> {
        let url = finishing(location, upload);
        self.send_part(upload, Method::PUT, url, 0, upload.descriptor.size)
            .await
            .map(drop)
    }

    /// PATCH after PATCH, then an empty PUT. A chunk that failed goes on from the
    /// last byte the registry kept.
    async fn in_chunks(
        &self,
        upload: &Upload<'_>,
        mut location: Url,
        chunk: u64,
    ) -> Result<Sent, RegistryError> {
        let (size, mut offset, mut tries) = (upload.descriptor.size, 0, 0);
        while offset < size {
            let end = size.min(offset.saturating_add(chunk.max(1)));
            match self
                .send_part(upload, Method::PATCH, location.clone(), offset, end)
                .await
            {
                Ok(response) => {
                    (offset, tries) = (end, 0);
                    location = self::location(&response)?;
                }
                Err(error) if error.is_temporary() && tries + 1 < TRIES => {
                    sleep(self.wait_before(tries, &error)).await;
                    tries += error.weight();
                    (offset, location) = self.kept(upload, location).await?;
                }
                Err(error) => return Err(error),
            }
        }
        self.send_part(upload, Method::PUT, finishing(location, upload), size, size)
            .await?;
        Ok(Sent::Uploaded)
    }

    /// How many bytes of an upload the registry has, and where it goes on.
    async fn kept(&self, upload: &Upload<'_>, location: Url) -> Result<(u64, Url), RegistryError> {
        let origin = self.origin();
        let scope = origin.push_scope(upload.from);
        let response = self
            .send(&origin, location, &scope, plain(Method::GET, ""))
            .await?;
        let response = self.expect_success(response, &self.repository).await?;
        let range = response
            .headers()
            .get(RANGE)
            .and_then(|value| value.to_str().ok());
        let last = range.and_then(|range| range.rsplit('-').next()?.parse::<u64>().ok());
        // Of nothing at all distribution says `0-0`, as of a single byte.
        let have = last.filter(|last| *last > 0).map_or(0, |last| last + 1);
        if have > upload.descriptor.size {
            return Err(RegistryError::Protocol {
                url: shown(response.url()),
                problem: format!("says it has {have} bytes of {}", upload.descriptor.size),
            });
        }
        Ok((have, self::location(&response)?))
    }

    /// Sends the bytes from `start` to `end`.
    async fn send_part(
        &self,
        upload: &Upload<'_>,
        method: Method,
        url: Url,
        start: u64,
        end: u64,
    ) -> Result<Response, RegistryError> {
        let origin = self.origin();
        let counter = Arc::new(AtomicU64::new(0));
        let make = |client: &Client, url: Url| {
            let request = client
                .request(method.clone(), url)
                .header(CONTENT_TYPE, "application/octet-stream")
                .header(CONTENT_LENGTH, end - start);
            let request = if method == Method::PATCH {
                request.header(CONTENT_RANGE, format!("{start}-{}", end - 1))
            } else {
                request
            };
            request.body(upload.content.part(start, end, &counter))
        };
        let moved = || {
            let now = counter.load(Ordering::Relaxed);
            (upload.sent)(start + now);
            now
        };
        let scope = origin.push_scope(upload.from);
        let response = self
            .send_watched(&origin, url, &scope, make, &moved)
            .await?;
        self.expect_success(response, &upload.descriptor.digest.to_string())
            .await
    }

    /// Puts a manifest or index under `name`, a tag or its digest; whether the
    /// registry itself keeps the list of what refers to its subject.
    pub(crate) async fn push_manifest(
        &self,
        name: &str,
        media_type: &str,
        bytes: &[u8],
        from: Option<&str>,
    ) -> Result<bool, Error> {
        let bytes = Bytes::copy_from_slice(bytes);
        let put = |origin: Endpoint| {
            let bytes = bytes.clone();
            async move {
                let url = origin.url(&format!("manifests/{name}"));
                let make = |client: &Client, url: Url| {
                    let request = client
                        .request(Method::PUT, url)
                        .header(CONTENT_TYPE, media_type);
                    request.body(bytes.clone())
                };
                let scope = origin.push_scope(from);
                let response = self.send(&origin, url, &scope, make).await?;
                let accepted = self.expect_success(response, &self.repository).await;
                accepted.map_err(|error| Error::from(error.while_pushing()))
            }
        };
        let accepted = self.retry(|| put(self.origin())).await?;
        Ok(accepted.headers().contains_key(SUBJECT))
    }
}

/// Where an upload goes on.
fn location(response: &Response) -> Result<Url, RegistryError> {
    let value = response.headers().get(LOCATION);
    let target = value.and_then(|value| response.url().join(value.to_str().ok()?).ok());
    target.ok_or_else(|| RegistryError::Protocol {
        url: shown(response.url()),
        problem: "does not say where to send a blob".to_owned(),
    })
}

/// The address that ends an upload.
fn finishing(mut location: Url, upload: &Upload<'_>) -> Url {
    location
        .query_pairs_mut()
        .append_pair("digest", &upload.descriptor.digest.to_string());
    location
}

impl Content<'_> {
    /// A part of it, which counts what is taken from it.
    fn part(self, start: u64, end: u64, counter: &Arc<AtomicU64>) -> Body {
        counter.store(0, Ordering::Relaxed);
        match self {
            Self::File(path) => {
                let pieces = pieces(path.to_owned(), start, end - start, Arc::clone(counter));
                Body::wrap_stream(pieces)
            }
            Self::Bytes(bytes) => {
                let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
                let part = range.and_then(|(start, end)| bytes.get(start..end));
                Body::from(part.unwrap_or_default().to_vec())
            }
        }
    }
}

/// A file that is being sent: opened when the first piece is asked for.
struct Sending {
    file: Option<File>,
    left: u64,
    counter: Arc<AtomicU64>,
}

fn pieces(
    path: PathBuf,
    start: u64,
    length: u64,
    counter: Arc<AtomicU64>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let sending = Sending {
        file: None,
        left: length,
        counter,
    };
    stream::unfold(sending, move |mut sending| {
        let piece = (sending.left > 0).then(|| sending.next(&path, start));
        std::future::ready(piece.map(|piece| (piece, sending)))
    })
}

impl Sending {
    fn next(&mut self, path: &Path, start: u64) -> io::Result<Bytes> {
        let mut piece = vec![0; PIECE.min(usize::try_from(self.left).unwrap_or(PIECE))];
        let mut file = match self.file.take() {
            Some(file) => file,
            None => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(start))?;
                file
            }
        };
        file.read_exact(&mut piece)?;
        self.file = Some(file);
        self.left -= piece.len() as u64;
        self.counter
            .fetch_add(piece.len() as u64, Ordering::Relaxed);
        Ok(piece.into())
    }
}
