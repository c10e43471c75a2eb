//! Requests to one repository: authorised, redirected, retried, bounded.
//!
//! Everything runs on one thread; [`Session`] is shared by the futures on it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, LOCATION, RETRY_AFTER};
use http::{Method, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};
use serde::Deserialize;
use tokio::time::{sleep, timeout};
use url::Url;

use super::endpoint::{Endpoint, endpoints};
use super::resolve::Resolver;
use super::{Options, RegistryError, tls};
use crate::Reference;
use crate::json::parse;

const CONNECT: Duration = Duration::from_secs(10);
const STALL: Duration = Duration::from_secs(30);
const REDIRECTS: usize = 5;
const ERROR_LIMIT: u64 = 64 << 10;
/// Small requests: about 1.4 seconds in all.
const TRIES: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// What a server may make us wait.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// One repository at one registry.
pub(crate) struct Session {
    pub(super) registry: String,
    pub(super) repository: String,
    pub(super) options: Options,
    pub(super) stall: Duration,
    pub(super) endpoints: RefCell<Vec<Endpoint>>,
    /// Values of `Authorization`, by origin and scope.
    authorizations: RefCell<HashMap<(String, String), String>>,
    /// By registry name: each has its own certificates; the empty name is any other host.
    clients: RefCell<HashMap<String, Client>>,
    resolver: Resolver,
}

impl Session {
    /// Nothing is sent yet.
    pub(crate) fn new(reference: &Reference, options: &Options) -> Result<Self, RegistryError> {
        let session = Self::of_registry(reference.registry(), options)?;
        Ok(Self {
            repository: reference.repository().to_owned(),
            ..session
        })
    }

    /// For requests that are about no repository.
    pub(super) fn of_registry(registry: &str, options: &Options) -> Result<Self, RegistryError> {
        Ok(Self {
            registry: registry.to_owned(),
            repository: String::new(),
            options: options.clone(),
            stall: options.stall.unwrap_or(STALL),
            endpoints: RefCell::new(endpoints(registry, options)?),
            authorizations: RefCell::default(),
            clients: RefCell::default(),
            resolver: Resolver::from_files(),
        })
    }

    /// `GET /v2/` with credentials (distribution-spec, "Determining Support").
    pub(super) async fn log_in(&self) -> Result<(), RegistryError> {
        self.each_endpoint(|endpoint| async move {
            let mut url = endpoint.base.clone();
            url.set_path("/v2/");
            let response = self
                .send(&endpoint, url, "", plain(Method::GET, ""))
                .await?;
            match response.status().as_u16() {
                401 | 403 => Err(RegistryError::LoginRefused {
                    registry: self.registry.clone(),
                }),
                _ => self
                    .expect_success(response, "the registry")
                    .await
                    .map(drop),
            }
        })
        .await
    }

    /// `repository:NAME:pull`
    pub(super) fn pull_scope(&self) -> String {
        format!("repository:{}:pull", self.repository)
    }

    /// A URL below `/v2/` of this repository.
    pub(super) fn url(&self, endpoint: &Endpoint, path: &str) -> Url {
        let mut url = endpoint.base.clone();
        url.set_path(&format!("/v2/{}/{path}", self.repository));
        url
    }

    /// Tries every endpoint in turn; the failure of the last one counts.
    pub(super) async fn each_endpoint<T, F: Future<Output = Result<T, RegistryError>>>(
        &self,
        attempt: impl Fn(Endpoint) -> F,
    ) -> Result<T, RegistryError> {
        let endpoints = self.endpoints.borrow().clone();
        let last = endpoints.len().saturating_sub(1);
        for endpoint in &endpoints[..last] {
            if let Ok(found) = self.retry(|| attempt(endpoint.clone())).await {
                return Ok(found);
            }
        }
        self.retry(|| attempt(endpoints[last].clone())).await
    }

    pub(super) async fn retry<T, F: Future<Output = Result<T, RegistryError>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<T, RegistryError> {
        let mut tries = 0;
        loop {
            match attempt().await {
                Err(error) if error.is_temporary() && tries + 1 < TRIES => {
                    sleep(self.wait_before(tries, &error)).await;
                    tries += error.weight();
                }
                other => return other,
            }
        }
    }

    /// Sends what `make` builds to `url` of `endpoint`: answers challenges with
    /// credentials, follows redirects without them.
    pub(super) async fn send(
        &self,
        endpoint: &Endpoint,
        url: Url,
        scope: &str,
        make: impl Fn(&Client, Url) -> RequestBuilder,
    ) -> Result<Response, RegistryError> {
        match self.send_once(endpoint, url.clone(), scope, &make).await {
            Err(Refusal::SpeaksTls) => {
                let upgraded = endpoint.upgraded();
                for known in self.endpoints.borrow_mut().iter_mut() {
                    if known == endpoint {
                        *known = upgraded.clone();
                    }
                }
                let mut target = upgraded.base.clone();
                target.set_path(url.path());
                target.set_query(url.query());
                self.send_once(&upgraded, target, scope, &make)
                    .await
                    .map_err(Refusal::into_error)
            }
            other => other.map_err(Refusal::into_error),
        }
    }

    async fn send_once(
        &self,
        endpoint: &Endpoint,
        first: Url,
        scope: &str,
        make: &impl Fn(&Client, Url) -> RequestBuilder,
    ) -> Result<Response, Refusal> {
        let mut url = first.clone();
        let (mut redirects, mut challenged) = (0, false);
        loop {
            let own = endpoint.owns(&url);
            let mut request = make(&self.client_for(&url)?, url.clone());
            if own && let Some(value) = self.authorization(&url, scope) {
                request = request.header(AUTHORIZATION, value);
            }
            let response = self.transmit(&url, request).await?;
            match response.status() {
                StatusCode::UNAUTHORIZED if own && !challenged => {
                    challenged = true;
                    let Some(value) = self.answer(endpoint, response.headers(), scope).await?
                    else {
                        return Ok(response);
                    };
                    self.remember(&url, scope, value);
                }
                StatusCode::BAD_REQUEST if own && endpoint.upgrade => {
                    return self.maybe_tls(&url, response).await;
                }
                status if is_redirect(status) => {
                    redirects += 1;
                    if redirects > REDIRECTS {
                        return Err(RegistryError::Redirects {
                            url: shown(&first),
                            limit: REDIRECTS,
                        }
                        .into());
                    }
                    url = self.redirected(endpoint, &url, &response)?;
                }
                _ => return Ok(response),
            }
        }
    }

    /// A Go server that expects TLS says so in clear.
    async fn maybe_tls(&self, url: &Url, response: Response) -> Result<Response, Refusal> {
        let body = read_limited(response, ERROR_LIMIT, self.stall).await?;
        if String::from_utf8_lossy(&body).contains("HTTP request to an HTTPS server") {
            return Err(Refusal::SpeaksTls);
        }
        let reason = words(&body);
        Err(RegistryError::Status {
            url: shown(url),
            status: 400,
            after: None,
            reason,
        }
        .into())
    }

    fn redirected(
        &self,
        endpoint: &Endpoint,
        from: &Url,
        response: &Response,
    ) -> Result<Url, RegistryError> {
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok());
        let target = location.and_then(|location| from.join(location).ok());
        let target = target.ok_or_else(|| RegistryError::Protocol {
            url: shown(from),
            problem: "redirects to nowhere".to_owned(),
        })?;
        let refused = |rule| RegistryError::Redirect {
            url: shown(from),
            target: shown(&target),
            rule,
        };
        match target.scheme() {
            "https" => Ok(target),
            "http" if from.scheme() == "http" || endpoint.insecure => Ok(target),
            "http" => Err(refused("from a private connection to one anybody can read")),
            _ => Err(refused("which is not a web address")),
        }
    }

    /// Sends one request; no answer for too long is an error.
    pub(super) async fn transmit(
        &self,
        url: &Url,
        request: RequestBuilder,
    ) -> Result<Response, RegistryError> {
        match timeout(self.stall + self.connect(), request.send()).await {
            Err(_) => Err(RegistryError::Stalled {
                url: shown(url),
                wait: self.stall,
            }),
            Ok(Err(error)) => Err(transport(url, &error)),
            Ok(Ok(response)) => Ok(response),
        }
    }

    /// The client whose certificates are right for the host of `url`.
    pub(super) fn client_for(&self, url: &Url) -> Result<Client, RegistryError> {
        let endpoints = self.endpoints.borrow();
        let endpoint = endpoints
            .iter()
            .find(|endpoint| endpoint.base.host() == url.host());
        let name = endpoint.map_or("", |endpoint| endpoint.registry.as_str());
        let key = if url.scheme() == "http" {
            "http".to_owned()
        } else {
            format!("https {name}")
        };
        if let Some(client) = self.clients.borrow().get(&key) {
            return Ok(client.clone());
        }
        let verify = !endpoint.is_some_and(|endpoint| endpoint.insecure);
        let client = self.build_client(url, name, verify)?;
        self.clients.borrow_mut().insert(key, client.clone());
        Ok(client)
    }

    fn build_client(&self, url: &Url, name: &str, verify: bool) -> Result<Client, RegistryError> {
        // Reading the system's authorities takes a few milliseconds: not for plain HTTP.
        let tls = if url.scheme() == "https" {
            tls::configuration(name, verify)?
        } else {
            tls::none()?
        };
        Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .connect_timeout(self.connect())
            .http2_initial_stream_window_size(4 << 20)
            .http2_initial_connection_window_size(16 << 20)
            .user_agent(concat!("lighter/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(std::sync::Arc::new(self.resolver.clone()))
            .build()
            .map_err(|error| transport(url, &error))
    }

    pub(super) fn authorization(&self, url: &Url, scope: &str) -> Option<String> {
        let key = (url.origin().ascii_serialization(), scope.to_owned());
        self.authorizations.borrow().get(&key).cloned()
    }

    fn remember(&self, url: &Url, scope: &str, value: String) {
        let key = (url.origin().ascii_serialization(), scope.to_owned());
        self.authorizations.borrow_mut().insert(key, value);
    }

    fn connect(&self) -> Duration {
        CONNECT.min(self.stall)
    }

    /// How long to wait before try number `tries` + 1: never longer than a
    /// silent registry would be waited for.
    pub(super) fn wait_before(&self, tries: u32, error: &RegistryError) -> Duration {
        if let RegistryError::Status {
            after: Some(after), ..
        } = error
        {
            return (*after).min(LONGEST_ASKED).min(self.stall * 2);
        }
        let longest = LONGEST_WAIT.min(self.stall);
        let wait = FIRST_WAIT.saturating_mul(1 << tries.min(10)).min(longest);
        // Between half and all of it, so that many clients do not come back at once.
        let mut random = [0u8; 1];
        let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        wait.mul_f64(0.5 + f64::from(random[0]) / 512.0)
    }

    /// The answer if it is a good one, else the error it means; `what` was asked for.
    pub(super) async fn expect_success(
        &self,
        response: Response,
        what: &str,
    ) -> Result<Response, RegistryError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let url = response.url().clone();
        let after = retry_after(&response);
        let body = read_limited(response, ERROR_LIMIT, self.stall)
            .await
            .unwrap_or_default();
        let (what, registry, reason) = (what.to_owned(), self.registry.clone(), words(&body));
        Err(match status.as_u16() {
            401 | 403 => RegistryError::Denied {
                what,
                registry,
                reason,
            },
            404 => RegistryError::NotFound { what, registry },
            status => RegistryError::Status {
                url: shown(&url),
                status,
                after,
                reason,
            },
        })
    }
}

/// What [`Session::send_once`] can end with.
enum Refusal {
    Error(RegistryError),
    /// The server wants TLS where we spoke plainly.
    SpeaksTls,
}

impl Refusal {
    fn into_error(self) -> RegistryError {
        match self {
            Self::Error(error) => error,
            Self::SpeaksTls => RegistryError::Protocol {
                url: "the registry".to_owned(),
                problem: "wants TLS over TLS".to_owned(),
            },
        }
    }
}

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Self {
        Self::Error(error)
    }
}

/// Seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    let left = date.timestamp().duration_since(jiff::Timestamp::now());
    Some(Duration::try_from(left).unwrap_or_default())
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// A URL for people: without query and user, which can be secrets.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

/// All causes of a transport error in one line; the URL in it may be a secret.
pub(super) fn transport(url: &Url, error: &reqwest::Error) -> RegistryError {
    let mut reasons = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let text = inner.to_string();
        if reasons.last() != Some(&text) {
            reasons.push(text);
        }
        cause = inner.source();
    }
    if reasons.is_empty() {
        reasons.push("the connection broke".to_owned());
    }
    RegistryError::Transport {
        url: shown(url),
        reason: reasons.join(": "),
    }
}

/// The body, as far as `limit` allows; an endless one is an error.
pub(super) async fn read_limited(
    mut response: Response,
    limit: u64,
    stall: Duration,
) -> Result<Bytes, RegistryError> {
    let url = response.url().clone();
    let too_large = || RegistryError::TooLarge {
        url: shown(&url),
        limit,
    };
    if response
        .content_length()
        .is_some_and(|length| length > limit)
    {
        return Err(too_large());
    }
    let mut body = Vec::new();
    let reading = async {
        while let Some(piece) = response
            .chunk()
            .await
            .map_err(|error| transport(&url, &error))?
        {
            if body.len() as u64 + piece.len() as u64 > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&piece);
        }
        Ok(())
    };
    // One limit for the whole: a document that drips in is as bad as none.
    match timeout(stall * 2, reading).await {
        Err(_) => Err(RegistryError::Stalled {
            url: shown(&url),
            wait: stall * 2,
        }),
        Ok(result) => result.map(|()| body.into()),
    }
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    code: Option<String>,
    message: Option<String>,
}

/// The registry's own words in an error body, made safe to print.
pub(super) fn words(body: &[u8]) -> String {
    let Ok(Errors { errors }) = parse::<Errors>(body) else {
        return String::new();
    };
    let texts = errors
        .into_iter()
        .filter_map(|entry| entry.message.or(entry.code));
    let text = texts.take(3).collect::<Vec<_>>().join("; ");
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// GET and HEAD without a body.
pub(super) fn plain(
    method: Method,
    accept: &'static str,
) -> impl Fn(&Client, Url) -> RequestBuilder {
    move |client, url| {
        let request = client.request(method.clone(), url);
        if accept.is_empty() {
            request
        } else {
            request.header(http::header::ACCEPT, accept)
        }
    }
}

/// Runs requests to their end on this thread.
pub(super) fn run<T>(
    work: impl Future<Output = Result<T, RegistryError>>,
) -> Result<T, RegistryError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| RegistryError::Transport {
        url: "the network".to_owned(),
        reason: error.to_string(),
    })?;
    runtime.block_on(work)
}
