//! A token server for Debian's docker-registry (`auth: token`): the GET form with basic auth, and OAuth2's refresh.
//!
//! It knows one user, `alice` with the password `wonder land:1`, and gives strangers nothing but pulling. Tokens are
//! signed with the key of a test's own authority, which the registry is told to trust.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

use crate::certificate::{Authority, der};
use crate::http::{Reply, Request, answer};

/// The only user.
pub const USER: &str = "alice";
/// Her password, of characters that encodings get wrong.
pub const PASSWORD: &str = "wonder land:1&=%+";
const REFRESH: &str = "alice-refresh-token";
const SERVICE: &str = "test-registry";

/// Signs tokens.
#[derive(Debug)]
pub struct TokenServer {
    key: EcdsaKeyPair,
    certificate: Vec<u8>,
}

impl TokenServer {
    /// One that signs as `authority`.
    ///
    /// # Panics
    /// When the authority's key is not one for P-256.
    pub fn new(authority: &Authority) -> Self {
        let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::from_pkcs8(kind, &der(&authority.key()), &SystemRandom::new());
        Self {
            key: key.expect("openssl made a key for P-256"),
            certificate: der(&authority.certificate()),
        }
    }

    /// The `auth:` section of a registry that sends its clients to `realm`.
    pub fn section(authority: &Authority, realm: &str) -> String {
        format!(
            "auth: {{token: {{realm: '{realm}', service: {SERVICE}, issuer: test-issuer, rootcertbundle: '{}'}}}}",
            authority.certificate().display()
        )
    }

    /// Answers a request for a token.
    pub fn reply(&self, request: &Request) -> Reply {
        let form = String::from_utf8_lossy(&request.body).into_owned();
        let query = request.path.split_once('?').map_or("", |(_, query)| query);
        let refreshed = request.method == "POST";
        let parameters = parameters(if refreshed { &form } else { query });
        let first = |name: &str| {
            parameters
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        let user = match (refreshed, request.header("authorization")) {
            (true, _)
                if first("refresh_token") == Some(REFRESH)
                    && first("grant_type") == Some("refresh_token") =>
            {
                true
            }
            (true, _) => return answer(401, "{}"),
            (false, Some(value)) if value == basic() => true,
            (false, Some(_)) => return answer(401, "{}"),
            (false, None) => false,
        };
        if first("service") != Some(SERVICE) {
            return answer(400, "{}");
        }
        let scopes = parameters.iter().filter(|(key, _)| key == "scope");
        let scopes =
            scopes.flat_map(|(_, scope)| scope.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let access: Vec<Value> = scopes.filter_map(|scope| granted(&scope, user)).collect();
        let mut body = json!({(if refreshed { "access_token" } else { "token" }): self.sign(&access), "expires_in": 300});
        if first("offline_token") == Some("true") && user {
            body["refresh_token"] = REFRESH.into();
        }
        Reply::Answer(
            200,
            vec![("Content-Type".into(), "application/json".into())],
            body.to_string().into(),
        )
    }

    fn sign(&self, access: &[Value]) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("it is after 1970")
            .as_secs();
        let header =
            json!({"typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(&self.certificate)]});
        let claims = json!({
            "iss": "test-issuer", "sub": USER, "aud": SERVICE, "access": access,
            "iat": now - 10, "nbf": now - 10, "exp": now + 300, "jti": format!("{now}"),
        });
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes());
        let signature = signature.expect("signing needs nothing but randomness");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn basic() -> String {
    format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")))
}

/// `repository:NAME:ACTION,ACTION`: strangers may only pull.
fn granted(scope: &str, user: bool) -> Option<Value> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    let actions = actions
        .split(',')
        .filter(|action| user || *action == "pull");
    Some(json!({"type": kind, "name": name, "actions": actions.collect::<Vec<_>>()}))
}

/// `a=b&c=d`, decoded.
fn parameters(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}

fn decode(text: &str) -> String {
    let text = text.replace('+', " ");
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
