//! Answering `401`: basic auth, and bearer tokens (distribution's token and
//! OAuth2 specifications).
//!
//! Credentials belong to one registry. They go to it, and to the realm it
//! names, but to that only over TLS, or where the registry itself is plain and
//! the realm is the same host or loopback.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, Method};
use reqwest::{Client, RequestBuilder};
use serde::Deserialize;
use url::Url;

use super::client::{Session, read_limited, shown};
use super::endpoint::{Endpoint, is_loopback};
use super::{Credentials, RegistryError, credentials};
use crate::json::parse;

const TOKEN_LIMIT: u64 = 1 << 20;
const CLIENT: &str = "lighter";

/// What a server wants, from one `WWW-Authenticate` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
    refresh_token: Option<String>,
}

impl Session {
    /// The value of `Authorization` that answers a challenge of `endpoint`.
    pub(super) async fn answer(
        &self,
        endpoint: &Endpoint,
        headers: &HeaderMap,
        scope: &str,
    ) -> Result<Option<String>, RegistryError> {
        let known = self.credentials(endpoint)?;
        match challenges(headers)
            .into_iter()
            .max_by_key(|c| matches!(c, Challenge::Bearer { .. }))
        {
            None => Ok(None),
            Some(Challenge::Basic) => Ok(known.as_ref().and_then(basic)),
            Some(Challenge::Bearer {
                realm,
                service,
                scope: asked,
            }) => {
                // Some registries ask for less than what the request needs.
                let scope = if scope.is_empty() {
                    asked.unwrap_or_default()
                } else {
                    scope.to_owned()
                };
                let token = self
                    .token(endpoint, &realm, service.as_deref(), &scope, known)
                    .await?;
                Ok(Some(format!("Bearer {token}")))
            }
        }
    }

    fn credentials(&self, endpoint: &Endpoint) -> Result<Option<Credentials>, RegistryError> {
        match &self.options.credentials {
            Some(given) if endpoint.is_same_place(&self.origin()) => Ok(Some(given.clone())),
            _ => credentials::find(&endpoint.registry, self.options.auth_file.as_deref()),
        }
    }

    async fn token(
        &self,
        endpoint: &Endpoint,
        realm: &str,
        service: Option<&str>,
        scope: &str,
        known: Option<Credentials>,
    ) -> Result<String, RegistryError> {
        let realm = checked_realm(endpoint, realm)?;
        let client = self.client_for(endpoint, &realm)?;
        let service = service.unwrap_or_default();
        let request = match &known {
            Some(Credentials::Identity { token }) => {
                refresh(&client, &realm, token, service, scope)
            }
            _ => self.ask_for_token(&client, &realm, service, scope, known.as_ref()),
        };
        let response = self.transmit(&realm, request, &|| 0).await?;
        let status = response.status();
        if matches!(status.as_u16(), 401 | 403) {
            return Err(self.refused_by_token_server(endpoint, scope));
        }
        if !status.is_success() {
            // A body could repeat what was sent: only the number is told.
            return Err(RegistryError::Status {
                url: shown(&realm),
                status: status.as_u16(),
                after: None,
                reason: String::new(),
            });
        }
        let bytes = read_limited(response, TOKEN_LIMIT, self.stall).await?;
        let unreadable = |source| RegistryError::Answer {
            url: shown(&realm),
            source,
        };
        let answer: Token = parse(&bytes).map_err(unreadable)?;
        let refresh = answer.refresh_token.filter(|token| is_token(token));
        self.refresh.replace(refresh);
        let token = answer
            .token
            .or(answer.access_token)
            .filter(|token| is_token(token));
        token.ok_or_else(|| RegistryError::Protocol {
            url: shown(&realm),
            problem: "answered without a token".to_owned(),
        })
    }

    /// The GET form: distribution's token specification.
    fn ask_for_token(
        &self,
        client: &Client,
        realm: &Url,
        service: &str,
        scope: &str,
        known: Option<&Credentials>,
    ) -> RequestBuilder {
        let mut url = realm.clone();
        url.query_pairs_mut().append_pair("service", service);
        for part in scope.split(' ').filter(|part| !part.is_empty()) {
            url.query_pairs_mut().append_pair("scope", part);
        }
        if let Some(Credentials::Password { user, .. }) = known {
            url.query_pairs_mut().append_pair("account", user);
            if self.is_login() {
                // A refresh token, if there are any, is kept instead of the password.
                url.query_pairs_mut()
                    .append_pair("offline_token", "true")
                    .append_pair("client_id", CLIENT);
            }
        }
        let request = client.request(Method::GET, url);
        match known.and_then(basic) {
            Some(value) => request.header(http::header::AUTHORIZATION, value),
            None => request,
        }
    }

    fn is_login(&self) -> bool {
        self.repository.is_empty()
    }

    fn refused_by_token_server(&self, endpoint: &Endpoint, scope: &str) -> RegistryError {
        if self.is_login() {
            return self.login_refused();
        }
        RegistryError::Denied {
            action: if scope.contains("push") {
                "push"
            } else {
                "pull"
            },
            what: self.repository.clone(),
            registry: endpoint.registry.clone(),
            reason: "its token server refused the credentials".to_owned(),
        }
    }

    /// The refresh token that came with the last token.
    pub(super) fn refresh_token(&self) -> Option<String> {
        self.refresh.borrow().clone()
    }
}

/// The POST form: OAuth2 with a refresh token.
fn refresh(
    client: &Client,
    realm: &Url,
    token: &str,
    service: &str,
    scope: &str,
) -> RequestBuilder {
    let form = form(&[
        ("grant_type", "refresh_token"),
        ("refresh_token", token),
        ("service", service),
        ("client_id", CLIENT),
        ("scope", scope),
    ]);
    client
        .request(Method::POST, realm.clone())
        .header(
            http::header::CONTENT_TYPE,
            "application/x-www-form-urlencoded",
        )
        .body(form)
}

fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

fn basic(credentials: &Credentials) -> Option<String> {
    match credentials {
        Credentials::Password { user, password } => Some(format!(
            "Basic {}",
            STANDARD.encode(format!("{user}:{password}"))
        )),
        Credentials::Identity { .. } => None,
    }
}

fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// The realm, unless sending credentials there would give them away.
fn checked_realm(endpoint: &Endpoint, realm: &str) -> Result<Url, RegistryError> {
    let refused = |shown: String, rule| RegistryError::Realm {
        registry: endpoint.registry.clone(),
        realm: shown,
        rule,
    };
    let url =
        Url::parse(realm).map_err(|_| refused("nowhere".to_owned(), "which is no address"))?;
    let same_host = url.host() == endpoint.base.host();
    let clear_is_fine = endpoint.base.scheme() == "http" && (same_host || is_loopback(&url));
    match url.scheme() {
        "https" => Ok(url),
        "http" if clear_is_fine || (endpoint.insecure && same_host) => Ok(url),
        "http" => Err(refused(shown(&url), "which anybody on the way could read")),
        _ => Err(refused(shown(&url), "which is not a web address")),
    }
}

/// All challenges of an answer; unknown schemes are left out.
fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let values = headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values.flat_map(parse_header).collect()
}

/// `Scheme key="value", key=value, Scheme2 ...` (RFC 9110, section 11.6.1)
fn parse_header(text: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut scheme: Option<String> = None;
    let mut parameters = HashMap::new();
    for word in split_outside_quotes(text) {
        let word = word.trim();
        let (start, parameter) = match word.split_once(' ') {
            Some((start, rest)) if !start.contains('=') => (Some(start), rest.trim()),
            _ if !word.contains('=') => (Some(word), ""),
            _ => (None, word),
        };
        if let Some(start) = start.filter(|start| !start.is_empty()) {
            found.extend(challenge(scheme.take(), &mut parameters));
            scheme = Some(start.to_ascii_lowercase());
        }
        if let Some((key, value)) = parameter.split_once('=') {
            let value = value.trim().trim_matches('"').replace("\\\"", "\"");
            parameters.insert(key.trim().to_ascii_lowercase(), value);
        }
    }
    found.extend(challenge(scheme, &mut parameters));
    found
}

fn challenge(
    scheme: Option<String>,
    parameters: &mut HashMap<String, String>,
) -> Option<Challenge> {
    let mut parameters = std::mem::take(parameters);
    match scheme?.as_str() {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: parameters.remove("realm")?,
            service: parameters.remove("service"),
            scope: parameters.remove("scope"),
        }),
        _ => None,
    }
}

fn split_outside_quotes(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(|c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Options, endpoint::endpoints};
    use super::*;

    #[test]
    fn headers_of_real_registries() {
        let bearer = parse_header(
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
        );
        let Challenge::Bearer {
            realm,
            service,
            scope,
        } = &bearer[0]
        else {
            panic!("{bearer:?}")
        };
        assert_eq!(realm, "https://auth.docker.io/token");
        assert_eq!(service.as_deref(), Some("registry.docker.io"));
        assert_eq!(scope.as_deref(), Some("repository:a/b:pull,push"));
        assert_eq!(parse_header("Basic realm=\"x, y\""), [Challenge::Basic]);
        assert_eq!(
            parse_header(r#"Negotiate, Basic realm="x", Bearer realm="https://y""#).len(),
            2
        );
        assert!(parse_header("").is_empty() && parse_header("\"\",,=").is_empty());
    }

    #[test]
    fn credentials_are_not_sent_in_clear_elsewhere() {
        let at = |registry: &str| {
            let found = endpoints(registry, "", false, &Options::default());
            found.unwrap().origin
        };
        assert!(checked_realm(&at("r.test"), "https://auth.other.test/t").is_ok());
        assert!(checked_realm(&at("r.test"), "http://r.test/t").is_err());
        assert!(checked_realm(&at("r.test"), "http://localhost/t").is_err());
        assert!(checked_realm(&at("localhost:5000"), "http://localhost:5001/t").is_ok());
        assert!(checked_realm(&at("localhost:5000"), "http://other.test/t").is_err());
        assert!(checked_realm(&at("r.test"), "file:///etc/passwd").is_err());
    }
}
