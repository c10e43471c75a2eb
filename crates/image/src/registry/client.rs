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

use super::endpoint::{Endpoint, endpoints, is_loopback};
use super::resolve::Resolver;
use super::{Options, RegistryError, tls};
use crate::json::parse;
use crate::{Error, Reference};

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
    /// As the registry itself is called, for messages.
    pub(super) registry: String,
    pub(super) repository: String,
    pub(super) options: Options,
    pub(super) stall: Duration,
    /// Asked before the registry itself, until they fail.
    mirrors: RefCell<Vec<Endpoint>>,
    origin: RefCell<Endpoint>,
    alias: Option<String>,
    /// Values of `Authorization`, by origin and scope.
    authorizations: RefCell<HashMap<(String, String), String>>,
    clients: RefCell<HashMap<Trust, Client>>,
    /// The last refresh token a token server gave.
    pub(super) refresh: RefCell<Option<String>>,
    resolver: Resolver,
}

/// What tells one HTTP client from another: whom it trusts, and with what it shows itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Trust {
    /// Without TLS, on this machine, so without proxies as well.
    Loopback,
    /// Without TLS elsewhere.
    Plain,
    Tls {
        /// Whose `certs.d` counts.
        registry: String,
        verify: bool,
        /// Whether the client certificate is shown.
        identity: bool,
        loopback: bool,
    },
}

impl Session {
    /// Nothing is sent yet.
    pub(crate) fn new(reference: &Reference, options: &Options) -> Result<Self, RegistryError> {
        let by_digest = reference.digest().is_some();
        Self::at(
            reference.registry(),
            reference.repository(),
            by_digest,
            options,
        )
    }

    /// For requests that are about no repository.
    pub(super) fn of_registry(registry: &str, options: &Options) -> Result<Self, RegistryError> {
        Self::at(registry, "", false, options)
    }

    fn at(
        registry: &str,
        repository: &str,
        by_digest: bool,
        options: &Options,
    ) -> Result<Self, RegistryError> {
        let found = endpoints(registry, repository, by_digest, options)?;
        Ok(Self {
            registry: found.origin.registry.clone(),
            repository: found.origin.repository.clone(),
            options: options.clone(),
            stall: options.stall.unwrap_or(STALL),
            mirrors: RefCell::new(found.mirrors),
            origin: RefCell::new(found.origin),
            alias: found.alias,
            authorizations: RefCell::default(),
            clients: RefCell::default(),
            refresh: RefCell::default(),
            resolver: Resolver::from_files(),
        })
    }

    /// The full name, when the short one is an alias of the configuration.
    pub(crate) fn alias(&self) -> Option<&str> {
        self.alias.as_deref()
    }

    /// The registry itself: pushes go there, never to a mirror.
    pub(super) fn origin(&self) -> Endpoint {
        self.origin.borrow().clone()
    }

    /// The mirrors that did not fail yet.
    pub(super) fn mirrors(&self) -> Vec<Endpoint> {
        self.mirrors.borrow().clone()
    }

    /// Does not ask a mirror again.
    pub(super) fn forget(&self, mirror: &Endpoint) {
        self.mirrors
            .borrow_mut()
            .retain(|known| !known.is_same_place(mirror));
    }

    /// After wrong bytes from whichever mirror; whether there was one.
    pub(crate) fn distrust_mirrors(&self) -> bool {
        !std::mem::take(&mut *self.mirrors.borrow_mut()).is_empty()
    }

    /// `GET /v2/` with credentials (distribution-spec, "Determining Support").
    /// Yields the refresh token, when the token server gave one.
    pub(super) async fn log_in(&self) -> Result<Option<String>, Error> {
        self.retry(|| async {
            let endpoint = self.origin();
            let mut url = endpoint.base.clone();
            url.set_path("/v2/");
            let response = self
                .send(&endpoint, url, "", plain(Method::GET, ""))
                .await?;
            match response.status().as_u16() {
                401 | 403 => Err(self.login_refused().into()),
                _ => Ok(self.expect_success(response, "the registry").await?),
            }
        })
        .await?;
        Ok(self.refresh_token())
    }

    pub(super) fn login_refused(&self) -> RegistryError {
        RegistryError::LoginRefused {
            registry: self.registry.clone(),
        }
    }

    /// Tries every mirror once, then the registry itself with patience; the
    /// failure of the registry counts. A mirror that cannot be reached is not
    /// asked again.
    pub(super) async fn each_endpoint<T, F: Future<Output = Result<T, Error>>>(
        &self,
        attempt: impl Fn(Endpoint) -> F,
    ) -> Result<T, Error> {
        for mirror in self.mirrors() {
            match attempt(mirror.clone()).await {
                Ok(found) => return Ok(found),
                Err(error) if error.is_temporary() => self.forget(&mirror),
                Err(_) => {}
            }
        }
        self.retry(|| attempt(self.origin())).await
    }

    pub(super) async fn retry<T, F: Future<Output = Result<T, Error>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<T, Error> {
        let mut tries = 0;
        loop {
            match attempt().await {
                Err(Error::Registry(error)) if error.is_temporary() && tries + 1 < TRIES => {
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
        self.send_watched(endpoint, url, scope, make, &|| 0).await
    }

    /// The same for a long body: nothing is late as long as `moved`, the bytes
    /// that went out, grows.
    pub(super) async fn send_watched(
        &self,
        endpoint: &Endpoint,
        url: Url,
        scope: &str,
        make: impl Fn(&Client, Url) -> RequestBuilder,
        moved: &dyn Fn() -> u64,
    ) -> Result<Response, RegistryError> {
        let asked = Asked {
            scope,
            make: &make,
            moved,
        };
        match self.send_once(endpoint, url.clone(), &asked).await {
            Err(Refusal::SpeaksTls) => self.send_again(&endpoint.over("https"), url, &asked).await,
            // Asked for with --tls-verify=false, as docker has it for insecure registries.
            Err(Refusal::Error(RegistryError::Transport { .. })) if endpoint.may_be_plain() => {
                self.send_again(&endpoint.over("http"), url, &asked).await
            }
            other => other.map_err(Refusal::into_error),
        }
    }

    /// The same request at the same place with another scheme, which is kept when it works.
    async fn send_again(
        &self,
        endpoint: &Endpoint,
        mut url: Url,
        asked: &Asked<'_>,
    ) -> Result<Response, RegistryError> {
        let _ = url.set_scheme(endpoint.base.scheme());
        let _ = url.set_port(endpoint.base.port());
        let response = self.send_once(endpoint, url, asked).await;
        let response = response.map_err(Refusal::into_error)?;
        let mut mirrors = self.mirrors.borrow_mut();
        let mut origin = self.origin.borrow_mut();
        for known in mirrors.iter_mut().chain([&mut *origin]) {
            if known.is_same_place(endpoint) {
                known.clone_from(endpoint);
            }
        }
        Ok(response)
    }

    async fn send_once(
        &self,
        endpoint: &Endpoint,
        first: Url,
        asked: &Asked<'_>,
    ) -> Result<Response, Refusal> {
        let mut url = first.clone();
        let (mut redirects, mut challenged) = (0, false);
        loop {
            let own = endpoint.owns(&url);
            let mut request = (asked.make)(&self.client_for(endpoint, &url)?, url.clone());
            if own && let Some(value) = self.authorization(&url, asked.scope) {
                request = request.header(AUTHORIZATION, value);
            }
            let response = self.transmit(&url, request, asked.moved).await?;
            match response.status() {
                StatusCode::UNAUTHORIZED if own && !challenged => {
                    challenged = true;
                    let Some(value) = self
                        .answer(endpoint, response.headers(), asked.scope)
                        .await?
                    else {
                        return Ok(response);
                    };
                    self.remember(&url, asked.scope, value);
                }
                StatusCode::BAD_REQUEST if own && endpoint.upgrade => {
                    return Err(self.maybe_tls(&url, response).await?);
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
    async fn maybe_tls(&self, url: &Url, response: Response) -> Result<Refusal, RegistryError> {
        let mut body = read_limited(response, ERROR_LIMIT, self.stall).await?;
        let reason = words(&body);
        if body.is_empty() {
            // The answer to HEAD has no words.
            let mut any = url.clone();
            any.set_path("/v2/");
            any.set_query(None);
            let request = self.client_for(&self.origin(), &any)?.get(any.clone());
            let response = self.transmit(&any, request, &|| 0).await?;
            body = read_limited(response, ERROR_LIMIT, self.stall).await?;
        }
        if String::from_utf8_lossy(&body).contains("HTTP request to an HTTPS server") {
            return Ok(Refusal::SpeaksTls);
        }
        Ok(Refusal::Error(RegistryError::Status {
            url: shown(url),
            status: 400,
            after: None,
            reason,
        }))
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

    /// Sends one request; no answer for too long is an error, unless `moved` grows.
    pub(super) async fn transmit(
        &self,
        url: &Url,
        request: RequestBuilder,
        moved: &dyn Fn() -> u64,
    ) -> Result<Response, RegistryError> {
        let patience = self.stall + self.connect();
        let step = Duration::from_millis(100).min(self.stall);
        let (mut before, mut silent) = (0, Duration::ZERO);
        let answer = request.send();
        tokio::pin!(answer);
        while silent < patience {
            if let Ok(answered) = timeout(step, &mut answer).await {
                return answered.map_err(|error| transport(url, &error));
            }
            let now = moved();
            silent = if now > before {
                Duration::ZERO
            } else {
                silent + step
            };
            before = now;
        }
        Err(RegistryError::Stalled {
            url: shown(url),
            wait: self.stall,
        })
    }

    /// The client for a request to `url` on behalf of `endpoint`: its own
    /// authorities count for where it sends us too, its client certificate does not.
    pub(super) fn client_for(
        &self,
        endpoint: &Endpoint,
        url: &Url,
    ) -> Result<Client, RegistryError> {
        let loopback = is_loopback(url);
        let trust = match url.scheme() {
            "http" if loopback => Trust::Loopback,
            "http" => Trust::Plain,
            _ => Trust::Tls {
                registry: endpoint.registry.clone(),
                verify: !(endpoint.insecure && endpoint.base.host() == url.host()),
                identity: endpoint.owns(url),
                loopback,
            },
        };
        if let Some(client) = self.clients.borrow().get(&trust) {
            return Ok(client.clone());
        }
        let client = self.build_client(url, &trust)?;
        self.clients.borrow_mut().insert(trust, client.clone());
        Ok(client)
    }

    fn build_client(&self, url: &Url, trust: &Trust) -> Result<Client, RegistryError> {
        // Reading the system's authorities takes a few milliseconds: not for plain HTTP.
        let tls = match trust {
            Trust::Loopback | Trust::Plain => tls::none()?,
            Trust::Tls {
                registry,
                verify,
                identity,
                ..
            } => {
                let directory = tls::certificates_of(registry, &self.options);
                tls::configuration(directory.as_deref(), *verify, *identity)?
            }
        };
        let builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .connect_timeout(self.connect())
            .http2_initial_stream_window_size(4 << 20)
            .http2_initial_connection_window_size(16 << 20)
            .user_agent(concat!("lighter/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(std::sync::Arc::new(self.resolver.clone()));
        // A proxy cannot reach this machine's loopback; Go's clients leave it out too.
        let builder = match trust {
            Trust::Loopback | Trust::Tls { loopback: true, .. } => builder.no_proxy(),
            _ => builder,
        };
        builder.build().map_err(|error| transport(url, &error))
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
                action: "pull",
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

/// One request, as often as it has to be sent.
struct Asked<'a> {
    scope: &'a str,
    make: &'a dyn Fn(&Client, Url) -> RequestBuilder,
    moved: &'a dyn Fn() -> u64,
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
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    parse_wait(text.trim(), jiff::Timestamp::now())
}

fn parse_wait(text: &str, now: jiff::Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    let left = date.timestamp().duration_since(now);
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
pub(crate) fn run<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| RegistryError::Transport {
        url: "the network".to_owned(),
        reason: error.to_string(),
    })?;
    runtime.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_seconds_or_a_date() {
        let now = "2015-10-21T07:27:30Z".parse().unwrap();
        let wait = |text| parse_wait(text, now).map(|wait| wait.as_secs());
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait("Wed, 21 Oct 2015 07:28:00 GMT"), Some(30));
        assert_eq!(wait("Wed, 21 Oct 2015 07:27:00 GMT"), Some(0));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("-1"), None);
    }

    #[test]
    fn a_registrys_words_are_safe_to_print() {
        let body = br#"{"errors":[{"code":"X","message":"a\u001b[31mb\nc"},{"code":"Y"}]}"#;
        assert_eq!(words(body), "a[31mbc; Y");
        assert_eq!(words(b"<html>"), "");
    }
}
