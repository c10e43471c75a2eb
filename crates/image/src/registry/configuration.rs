//! `registries.conf` and `policy.toml`: what the owner of this machine says about registries.
//!
//! In: the configuration directory (`$LIGHTER_CONFIG`, else /etc/lighter). Out:
//! [`Places`], where to ask for one repository, and [`Demand`], what its images
//! must show. `certs.d` in the same directory is read by `tls.rs`.
//!
//! ```toml
//! # registries.conf
//! [aliases]
//! web = "registry.example/team/web"        # `lighter pull web`
//!
//! [[registry]]
//! prefix = "docker.io"                     # or host/path, "*.example.com", "*"
//! location = "registry.example/hub"        # where it really is; optional
//! blocked = false
//! insecure = false
//! [[registry.mirror]]                      # asked first, in this order
//! location = "cache.example:5000/hub"
//! pull-from-mirror = "all"                 # or "digest-only", "tag-only"
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Options, RegistryError};
use crate::DEFAULT_REGISTRY;

const DEFAULT_DIRECTORY: &str = "/etc/lighter";
const FILE_LIMIT: u64 = 1 << 20;

/// The directory of configuration: given, or `$LIGHTER_CONFIG`, or /etc/lighter.
pub(super) fn directory(options: &Options) -> PathBuf {
    let named = || std::env::var_os("LIGHTER_CONFIG").filter(|dir| !dir.is_empty());
    match &options.configuration {
        Some(given) => given.clone(),
        None => named().map_or_else(|| DEFAULT_DIRECTORY.into(), PathBuf::from),
    }
}

/// One place that serves a repository, as the file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Host and port.
    pub(super) registry: String,
    /// Its name there; empty for the registry as a whole.
    pub(super) repository: String,
    pub(super) insecure: bool,
    /// The registry it stands for, told to a mirror of all registries (`?ns=`).
    pub(super) stands_for: Option<String>,
}

/// Where a repository is, and where copies of it are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// Asked first, in this order.
    pub(super) mirrors: Vec<Place>,
    /// The registry itself.
    pub(super) origin: Place,
    /// The short name's full name, when the origin is that of an alias.
    pub(super) alias: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    registry: Vec<Rule>,
    aliases: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rule {
    prefix: Option<String>,
    location: Option<String>,
    insecure: bool,
    blocked: bool,
    mirror: Vec<Mirror>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Mirror {
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    pull_from_mirror: PullFrom,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PullFrom {
    #[default]
    All,
    DigestOnly,
    TagOnly,
}

impl PullFrom {
    fn allows(self, by_digest: bool) -> bool {
        match self {
            Self::All => true,
            Self::DigestOnly => by_digest,
            Self::TagOnly => !by_digest,
        }
    }
}

/// Where to ask for `repository` (empty: nothing but the registry) of `registry`.
pub(super) fn places(
    registry: &str,
    repository: &str,
    by_digest: bool,
    options: &Options,
) -> Result<Places, RegistryError> {
    let path = directory(options).join("registries.conf");
    read::<File>(&path)?.places(registry, repository, by_digest, &path)
}

impl File {
    fn places(
        &self,
        registry: &str,
        repository: &str,
        by_digest: bool,
        path: &Path,
    ) -> Result<Places, RegistryError> {
        let unusable = |reason: String| problem(path, reason);
        let alias = self.alias(registry, repository);
        let name = match alias {
            Some(full) => full.to_owned(),
            None if repository.is_empty() => registry.to_owned(),
            None => format!("{registry}/{repository}"),
        };
        let rule = self.rule(&name);
        if let Some(rule) = rule.filter(|rule| rule.blocked) {
            return Err(RegistryError::Blocked {
                name,
                prefix: rule.prefix().unwrap_or_default().to_owned(),
                place: path.display().to_string(),
            });
        }
        // Who logs in means the registry named, wherever its repositories are.
        let moved = rule.filter(|_| !repository.is_empty());
        let origin = match moved.and_then(|rule| Some((rule, rule.location.as_ref()?))) {
            Some((rule, location)) => rule.moved(&name, location, rule.insecure),
            None => place(&name, rule.is_some_and(|rule| rule.insecure)),
        };
        let origin = origin.map_err(unusable)?;
        let wanted = rule.into_iter().flat_map(|rule| {
            let fitting = rule
                .mirror
                .iter()
                .filter(|m| m.pull_from_mirror.allows(by_digest));
            fitting.map(move |mirror| (rule, mirror))
        });
        let mirrors =
            wanted.map(|(rule, mirror)| rule.moved(&name, &mirror.location, mirror.insecure));
        Ok(Places {
            mirrors: mirrors.collect::<Result<_, _>>().map_err(unusable)?,
            origin,
            alias: alias.map(str::to_owned),
        })
    }

    /// Short names have no registry of their own: they were read as Docker Hub's.
    fn alias(&self, registry: &str, repository: &str) -> Option<&str> {
        let short = repository.strip_prefix("library/").unwrap_or(repository);
        let found = self
            .aliases
            .get(short)
            .filter(|_| registry == DEFAULT_REGISTRY);
        found.map(String::as_str)
    }

    /// The rule with the longest prefix of `name`.
    fn rule(&self, name: &str) -> Option<&Rule> {
        let fitting = self.registry.iter().filter_map(|rule| {
            let length = matched(rule.prefix()?, name)?;
            Some((length, rule))
        });
        fitting
            .max_by_key(|(length, _)| *length)
            .map(|(_, rule)| rule)
    }
}

impl Rule {
    fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref().or(self.location.as_deref())
    }

    /// `name` with the prefix of this rule replaced by `location`.
    fn moved(&self, name: &str, location: &str, insecure: bool) -> Result<Place, String> {
        let prefix = self.prefix().unwrap_or_default();
        if !prefix.starts_with('*') {
            let rest = name.get(prefix.len()..).unwrap_or_default();
            return place(&format!("{location}{rest}"), insecure);
        }
        let (registry, repository) = name.split_once('/').unwrap_or((name, ""));
        let place = place(&format!("{location}/{repository}"), insecure)?;
        Ok(Place {
            stands_for: Some(registry.to_owned()),
            ..place
        })
    }
}

/// How many bytes of `name` a prefix covers, `None` when it is another name.
pub(super) fn matched(prefix: &str, name: &str) -> Option<usize> {
    let host = name.split('/').next().unwrap_or(name);
    if prefix == "*" {
        return Some(0);
    }
    if let Some(domain) = prefix.strip_prefix('*') {
        let host = host.split(':').next().unwrap_or(host);
        return (domain.starts_with('.') && host.ends_with(domain)).then_some(domain.len());
    }
    let rest = name.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(prefix.len())
}

/// `host[:port][/path]`
fn place(location: &str, insecure: bool) -> Result<Place, String> {
    let location = location.trim_end_matches('/');
    let (registry, repository) = location.split_once('/').unwrap_or((location, ""));
    let plain = |text: &str| !text.contains(['?', '#', '@', ' ', '\\']) && !text.contains("//");
    if registry.is_empty() || !plain(location) {
        return Err(format!("{location:?} is no host[:port][/path]"));
    }
    Ok(Place {
        registry: registry.to_owned(),
        repository: repository.to_owned(),
        insecure,
        stands_for: None,
    })
}

/// What images of some repositories must show before they are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Nothing.
    Accept,
    /// They may not be used at all.
    Reject {
        /// The file that says so.
        place: String,
    },
    /// A signature by one of these public keys.
    Signed {
        /// Files in PEM.
        keys: Vec<PathBuf>,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PolicyFile {
    policy: Vec<Policy>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    prefix: String,
    require: Require,
    #[serde(default)]
    keys: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Require {
    Accept,
    Reject,
    Signed,
}

/// What `policy.toml` demands of images called `name` (registry/repository).
pub(crate) fn demand(name: &str, options: &Options) -> Result<Demand, RegistryError> {
    let directory = directory(options);
    let path = directory.join("policy.toml");
    let file: PolicyFile = read(&path)?;
    let fitting = file.policy.iter().filter_map(|policy| {
        let length = matched(&policy.prefix, name)?;
        Some((length, policy))
    });
    let Some((_, policy)) = fitting.max_by_key(|(length, _)| *length) else {
        return Ok(Demand::Accept);
    };
    match policy.require {
        Require::Accept => Ok(Demand::Accept),
        Require::Reject => Ok(Demand::Reject {
            place: path.display().to_string(),
        }),
        Require::Signed if policy.keys.is_empty() => Err(problem(
            &path,
            format!("{:?} requires signatures but names no keys", policy.prefix),
        )),
        Require::Signed => Ok(Demand::Signed {
            keys: policy.keys.iter().map(|key| directory.join(key)).collect(),
        }),
    }
}

/// The file, or nothing said when there is none.
fn read<T: DeserializeOwned + Default>(path: &Path) -> Result<T, RegistryError> {
    let text = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(T::default()),
        Err(error) => return Err(problem(path, error.to_string())),
        Ok(found) if found.len() > FILE_LIMIT => {
            return Err(problem(
                path,
                format!("it has more than {FILE_LIMIT} bytes"),
            ));
        }
        Ok(_) => fs::read_to_string(path).map_err(|error| problem(path, error.to_string()))?,
    };
    toml::from_str(&text).map_err(|error| {
        let line = error
            .span()
            .map(|span| text[..span.start.min(text.len())].lines().count().max(1));
        let line = line.map_or(String::new(), |line| format!("line {line}: "));
        problem(path, format!("{line}{}", error.message()))
    })
}

fn problem(path: &Path, reason: String) -> RegistryError {
    RegistryError::Configuration {
        place: path.display().to_string(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(text: &str, name: &str, by_digest: bool) -> Result<Places, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let (registry, repository) = name.split_once('/').unwrap_or((name, ""));
        file.places(registry, repository, by_digest, Path::new("f"))
            .map_err(|error| error.to_string())
    }

    fn shown(place: &Place) -> String {
        format!("{}/{}", place.registry, place.repository)
    }

    const FILE: &str = r#"
        [aliases]
        web = "registry.test/team/web"
        [[registry]]
        prefix = "docker.io"
        [[registry.mirror]]
        location = "cache:5000/hub"
        [[registry.mirror]]
        location = "other:5000"
        pull-from-mirror = "digest-only"
        [[registry]]
        prefix = "docker.io/library/old"
        location = "registry.test/new"
        [[registry]]
        prefix = "*.evil.test"
        blocked = true
        [[registry]]
        prefix = "*"
        [[registry.mirror]]
        location = "all:5000"
    "#;

    #[test]
    fn the_longest_prefix_says_where_to_ask() {
        let found = ask(FILE, "docker.io/library/nginx", false).unwrap();
        assert_eq!(shown(&found.origin), "docker.io/library/nginx");
        assert_eq!(shown(&found.mirrors[0]), "cache:5000/hub/library/nginx");
        assert_eq!(found.mirrors.len(), 1, "the other is for digests");
        assert_eq!(
            ask(FILE, "docker.io/library/nginx", true)
                .unwrap()
                .mirrors
                .len(),
            2
        );
        let moved = ask(FILE, "docker.io/library/old", false).unwrap();
        assert_eq!(
            (shown(&moved.origin).as_str(), moved.mirrors.len()),
            ("registry.test/new", 0)
        );
        let all = ask(FILE, "quay.test/a/b", false).unwrap();
        assert_eq!(shown(&all.mirrors[0]), "all:5000/a/b");
        assert_eq!(all.mirrors[0].stands_for.as_deref(), Some("quay.test"));
        assert!(
            ask(FILE, "x.evil.test/a", false)
                .unwrap_err()
                .contains("blocked")
        );
    }

    #[test]
    fn a_login_is_to_the_registry_itself() {
        let text = "[[registry]]\nprefix = \"a.test\"\nlocation = \"b.test/x\"\n";
        assert_eq!(
            shown(&ask(text, "a.test/r", false).unwrap().origin),
            "b.test/x/r"
        );
        assert_eq!(
            shown(&ask(text, "a.test", false).unwrap().origin),
            "a.test/"
        );
    }

    #[test]
    fn a_short_name_stands_for_a_long_one() {
        let found = ask(FILE, "docker.io/library/web", false).unwrap();
        assert_eq!(shown(&found.origin), "registry.test/team/web");
        assert_eq!(found.alias.as_deref(), Some("registry.test/team/web"));
        assert_eq!(
            ask(FILE, "quay.test/library/web", false).unwrap().alias,
            None
        );
    }

    #[test]
    fn a_prefix_ends_at_a_slash() {
        assert_eq!(matched("docker.io/lib", "docker.io/library/x"), None);
        assert_eq!(matched("*.a.test", "x.a.test:5000/y"), Some(7));
        assert_eq!(matched("*.a.test", "a.test/y"), None);
        assert!(ask("registry = 1", "x/y", false).is_err());
        assert!(ask("[[registry]]\nprefx = \"x\"", "x/y", false).is_err());
    }
}
