//! Credentials as docker keeps them: `config.json`, credential stores and helpers.
//!
//! A configured helper that fails is an error, never "no credentials": a
//! request must not go out as somebody else (CVE-2021-41092).

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Credentials, RegistryError};
use crate::DEFAULT_REGISTRY;

/// What docker calls its own registry in the file.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// The user a helper names when the secret is an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Default, Serialize, Deserialize)]
struct ConfigFile {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(
        default,
        rename = "credsStore",
        skip_serializing_if = "Option::is_none"
    )]
    store: Option<String>,
    #[serde(
        default,
        rename = "credHelpers",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    helpers: BTreeMap<String, String>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

#[derive(Default, Serialize, Deserialize)]
struct Auth {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth: Option<String>,
    #[serde(
        default,
        rename = "identitytoken",
        skip_serializing_if = "Option::is_none"
    )]
    identity: Option<String>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// The file: given, or `$DOCKER_CONFIG/config.json`, or `~/.docker/config.json`.
pub fn file(given: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = given {
        return Some(path.to_owned());
    }
    if let Some(dir) = std::env::var_os("DOCKER_CONFIG").filter(|dir| !dir.is_empty()) {
        return Some(Path::new(&dir).join("config.json"));
    }
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
    Some(Path::new(&home).join(".docker/config.json"))
}

/// The credentials kept for `registry`, if any.
pub fn find(registry: &str, given: Option<&Path>) -> Result<Option<Credentials>, RegistryError> {
    let Some(path) = file(given) else {
        return Ok(None);
    };
    let config = read(&path, registry)?;
    if let Some(helper) = config.helper_for(registry) {
        return ask_helper(&helper, registry);
    }
    let entry = keys(registry).into_iter().find_map(|key| {
        config
            .auths
            .iter()
            .find(|(known, _)| host_of(known) == host_of(&key))
            .map(|(_, auth)| auth)
    });
    match entry {
        Some(auth) => auth
            .read()
            .map_err(|reason| problem(registry, &path, reason)),
        None => Ok(None),
    }
}

/// Keeps credentials for `registry`; the place they went to.
pub fn store(
    registry: &str,
    credentials: &Credentials,
    given: Option<&Path>,
) -> Result<PathBuf, RegistryError> {
    let path =
        file(given).ok_or_else(|| problem(registry, Path::new("~"), "HOME is not set".into()))?;
    let mut config = read(&path, registry)?;
    let key = key(registry);
    if let Some(helper) = config.helper_for(registry) {
        let (user, secret) = match credentials {
            Credentials::Password { user, password } => (user.as_str(), password),
            Credentials::Identity { token } => (TOKEN_USER, token),
        };
        let request = serde_json::json!({"ServerURL": key, "Username": user, "Secret": secret});
        run_helper(&helper, "store", &request.to_string(), registry)?;
        config.auths.entry(key).or_default();
    } else {
        config.auths.insert(key, Auth::of(credentials));
    }
    write(&path, &config, registry)?;
    Ok(path)
}

/// Forgets the credentials for `registry`; whether there were any.
pub fn erase(registry: &str, given: Option<&Path>) -> Result<bool, RegistryError> {
    let Some(path) = file(given) else {
        return Ok(false);
    };
    let mut config = read(&path, registry)?;
    if let Some(helper) = config.helper_for(registry) {
        run_helper(&helper, "erase", &key(registry), registry)?;
    }
    let before = config.auths.len();
    config
        .auths
        .retain(|known, _| host_of(known) != host_of(&key(registry)));
    let found = config.auths.len() != before;
    if found {
        write(&path, &config, registry)?;
    }
    Ok(found)
}

impl ConfigFile {
    fn helper_for(&self, registry: &str) -> Option<String> {
        let own = keys(registry)
            .into_iter()
            .find_map(|key| self.helpers.get(&key));
        own.or(self.store.as_ref())
            .filter(|name| !name.is_empty())
            .cloned()
    }
}

impl Auth {
    fn of(credentials: &Credentials) -> Self {
        match credentials {
            Credentials::Password { user, password } => Self {
                auth: Some(STANDARD.encode(format!("{user}:{password}"))),
                ..Self::default()
            },
            Credentials::Identity { token } => Self {
                identity: Some(token.clone()),
                ..Self::default()
            },
        }
    }

    fn read(&self) -> Result<Option<Credentials>, String> {
        if let Some(token) = self.identity.as_ref().filter(|token| !token.is_empty()) {
            return Ok(Some(Credentials::Identity {
                token: token.clone(),
            }));
        }
        let Some(auth) = self.auth.as_ref().filter(|auth| !auth.is_empty()) else {
            return Ok(None);
        };
        let bytes = STANDARD
            .decode(auth)
            .map_err(|_| "its auth is not base64".to_owned())?;
        let text = String::from_utf8(bytes).map_err(|_| "its auth is not text".to_owned())?;
        let (user, password) = text.split_once(':').ok_or("its auth has no colon")?;
        let password = password.trim_end_matches('\0').to_owned();
        Ok(Some(Credentials::Password {
            user: user.to_owned(),
            password,
        }))
    }
}

fn key(registry: &str) -> String {
    if registry == DEFAULT_REGISTRY {
        DOCKER_HUB.to_owned()
    } else {
        registry.to_owned()
    }
}

fn keys(registry: &str) -> Vec<String> {
    let mut keys = vec![key(registry)];
    if registry == DEFAULT_REGISTRY {
        keys.extend(["index.docker.io", "docker.io", "registry-1.docker.io"].map(str::to_owned));
    }
    keys
}

/// Old entries are URLs.
fn host_of(key: &str) -> &str {
    let rest = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    rest.split('/').next().unwrap_or(rest)
}

fn read(path: &Path, registry: &str) -> Result<ConfigFile, RegistryError> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| problem(registry, path, error.to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(ConfigFile::default()),
        Err(error) => Err(problem(registry, path, error.to_string())),
    }
}

fn write(path: &Path, config: &ConfigFile, registry: &str) -> Result<(), RegistryError> {
    let failed = |error: &dyn std::fmt::Display| problem(registry, path, error.to_string());
    if let Some(parent) = path.parent() {
        crate::store::make_directory(parent).map_err(|error| failed(&error))?;
    }
    let bytes = serde_json::to_vec_pretty(config).map_err(|error| failed(&error))?;
    crate::store::write_atomic(path, &bytes).map_err(|error| failed(&error))
}

fn problem(registry: &str, place: &Path, reason: String) -> RegistryError {
    RegistryError::Credentials {
        registry: registry.to_owned(),
        place: place.display().to_string(),
        reason,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

fn ask_helper(helper: &str, registry: &str) -> Result<Option<Credentials>, RegistryError> {
    let answer = match run_helper(helper, "get", &key(registry), registry) {
        Err(RegistryError::Credentials { reason, .. })
            if reason.contains("credentials not found") =>
        {
            return Ok(None);
        }
        other => other?,
    };
    let answer: HelperAnswer = serde_json::from_slice(&answer).map_err(|_| {
        problem(
            registry,
            Path::new(helper),
            "its answer is not what a helper answers".into(),
        )
    })?;
    Ok(Some(if answer.username == TOKEN_USER {
        Credentials::Identity {
            token: answer.secret,
        }
    } else {
        Credentials::Password {
            user: answer.username,
            password: answer.secret,
        }
    }))
}

/// Runs `docker-credential-NAME VERB` with `input`; its answer.
fn run_helper(
    helper: &str,
    verb: &str,
    input: &str,
    registry: &str,
) -> Result<Vec<u8>, RegistryError> {
    let program = format!("docker-credential-{helper}");
    let failed = |reason: String| problem(registry, Path::new(&program), reason);
    if helper.contains('/') {
        return Err(failed("a helper is a name, not a path".to_owned()));
    }
    let mut child = Command::new(&program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(input.as_bytes())
            .map_err(|error| failed(error.to_string()))?;
    }
    let output = child
        .wait_with_output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    // On failure stdout holds the helper's message, never a secret.
    let text = String::from_utf8_lossy(&output.stdout);
    Err(failed(text.trim().chars().take(200).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(text: &str, check: impl FnOnce(&Path)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        fs::write(&path, text).unwrap();
        check(&path);
    }

    #[test]
    fn entries_are_found_in_every_form() {
        let auth = STANDARD.encode("me:pa:ss");
        let text = format!(
            r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{auth}"}},"localhost:5000":{{"identitytoken":"t"}},"https://old.test/v2/":{{"auth":"{auth}"}}}}}}"#
        );
        with_file(&text, |path| {
            let password = Credentials::Password {
                user: "me".into(),
                password: "pa:ss".into(),
            };
            assert!(find("docker.io", Some(path)).unwrap().as_ref() == Some(&password));
            assert!(find("old.test", Some(path)).unwrap() == Some(password));
            assert!(
                find("localhost:5000", Some(path)).unwrap()
                    == Some(Credentials::Identity { token: "t".into() })
            );
            assert!(find("localhost:5001", Some(path)).unwrap().is_none());
            assert!(find("evil.test", Some(path)).unwrap().is_none());
        });
    }

    #[test]
    fn a_broken_helper_is_an_error() {
        with_file(r#"{"credsStore":"no-such-helper-here"}"#, |path| {
            let error = find("x.test", Some(path))
                .err()
                .map(|error| error.to_string());
            assert!(
                error.is_some_and(|text| text.contains("docker-credential-no-such-helper-here"))
            );
        });
        with_file("{", |path| assert!(find("x.test", Some(path)).is_err()));
    }

    #[test]
    fn login_and_logout_keep_the_rest_of_the_file() {
        with_file(r#"{"auths":{},"psFormat":"x"}"#, |path| {
            let credentials = Credentials::Password {
                user: "u".into(),
                password: "p".into(),
            };
            store("r.test:5000", &credentials, Some(path)).unwrap();
            assert!(find("r.test:5000", Some(path)).unwrap() == Some(credentials));
            assert!(erase("r.test:5000", Some(path)).unwrap());
            assert!(!erase("r.test:5000", Some(path)).unwrap());
            assert!(fs::read_to_string(path).unwrap().contains("psFormat"));
        });
    }

    #[test]
    fn debug_output_has_no_secret() {
        let credentials = Credentials::Password {
            user: "u".into(),
            password: "hush".into(),
        };
        assert!(!format!("{credentials:?}").contains("hush"));
    }
}
