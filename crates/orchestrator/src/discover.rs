//! Which files make up a project when the user names none, which variables it sees, and what it is called.
//!
//! Flags win over the environment, that over `.env`, that over the directory. Compose specification, 03-compose-file,
//! and the environment variables of docker compose.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::environment::{self, Environment};
use crate::interpolate::substitute;
use crate::load::Request;
use crate::yaml::Node;

const NAMES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];
const OVERRIDES: [&str; 4] = [
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// What the user said on the command line.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// `-f`.
    pub files: Vec<PathBuf>,
    /// `-p`.
    pub name: Option<String>,
    /// `--project-directory`.
    pub directory: Option<PathBuf>,
    /// `--env-file`.
    pub env_files: Vec<PathBuf>,
    /// `--profile`.
    pub profiles: Vec<String>,
}

/// Why no project was found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No file in the directory or above.
    #[error("there is no {} in {directory} or above", NAMES[0])]
    NoFile {
        /// Where the search began.
        directory: PathBuf,
    },
    /// What has the name of a Compose file is none.
    #[error("{0} is a directory, not a Compose file")]
    Directory(PathBuf),
    /// An environment file cannot be used.
    #[error("cannot read the environment file {path}: {reason}")]
    EnvironmentFile {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A `-p` that is no name.
    #[error(
        "{0:?} is not a project name; it takes a-z, 0-9, - and _ and begins with a letter or digit"
    )]
    Name(String),
}

/// Turns a wish into a request, looking at the directory `here` and the process's environment.
///
/// # Errors
/// See [`Error`].
pub fn discover(wish: &Wish, here: &Path, process: Environment) -> Result<Request, Error> {
    if let Some(name) = wish
        .name
        .as_deref()
        .filter(|name| normal_name(name) != *name || name.is_empty())
    {
        return Err(Error::Name(name.to_owned()));
    }
    let mut environment = process;
    // A project's files may be named in the .env of the directory we stand in, so that is read first.
    let start = wish
        .directory
        .as_ref()
        .map_or_else(|| here.to_owned(), |directory| here.join(directory));
    let explicit = env_files(wish, &environment, here);
    for path in &explicit {
        fill(&mut environment, path)?;
    }
    let read_default = explicit.is_empty() && !is_true(environment.get("COMPOSE_DISABLE_ENV_FILE"));
    if read_default && start.join(".env").is_file() {
        fill(&mut environment, &start.join(".env"))?;
    }
    let files = named_files(wish, &environment, here);
    let files = if files.is_empty() {
        default_files(&start)?
    } else {
        files
    };
    let directory = match &wish.directory {
        Some(_) => start.clone(),
        None if files[0] == Path::new("-") => here.to_owned(),
        None => files[0].parent().unwrap_or(Path::new("/")).to_owned(),
    };
    let directory = PathBuf::from(crate::short::clean_path(&directory.to_string_lossy()));
    if read_default && directory != start && directory.join(".env").is_file() {
        fill(&mut environment, &directory.join(".env"))?;
    }
    let from_environment = environment
        .get("COMPOSE_PROFILES")
        .unwrap_or_default()
        .split(',')
        .map(str::to_owned);
    let profiles = wish
        .profiles
        .iter()
        .cloned()
        .chain(from_environment)
        .filter(|profile| !profile.is_empty())
        .collect();
    Ok(Request {
        files,
        directory,
        here: here.to_owned(),
        name: wish.name.clone(),
        environment,
        profiles,
        ..Request::default()
    })
}

fn is_true(value: Option<&str>) -> bool {
    matches!(value, Some("1" | "true" | "TRUE" | "True"))
}

fn env_files(wish: &Wish, environment: &Environment, here: &Path) -> Vec<PathBuf> {
    let from_environment = environment.get("COMPOSE_ENV_FILES").unwrap_or_default();
    let named: Vec<PathBuf> = if wish.env_files.is_empty() {
        from_environment
            .split(',')
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
            .collect()
    } else {
        wish.env_files.clone()
    };
    // The last file wins; `fill` keeps what is there, so it comes first.
    named
        .into_iter()
        .rev()
        .map(|path| here.join(path))
        .collect()
}

fn fill(environment: &mut Environment, path: &Path) -> Result<(), Error> {
    let wrong = |reason: String| Error::EnvironmentFile {
        path: path.to_owned(),
        reason,
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let values: IndexMap<String, String> =
        environment::parse(&text, &|name| environment.get(name).map(str::to_owned))
            .map_err(|e| wrong(e.to_string()))?;
    environment.fill_from(values);
    Ok(())
}

fn named_files(wish: &Wish, environment: &Environment, here: &Path) -> Vec<PathBuf> {
    let separator = environment
        .get("COMPOSE_PATH_SEPARATOR")
        .filter(|text| !text.is_empty())
        .unwrap_or(":");
    let from_environment = environment.get("COMPOSE_FILE").unwrap_or_default();
    let named: Vec<PathBuf> = if wish.files.is_empty() {
        from_environment
            .split(separator)
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
            .collect()
    } else {
        wish.files.clone()
    };
    let absolute = |path: PathBuf| {
        if path == Path::new("-") {
            path
        } else {
            here.join(path)
        }
    };
    named.into_iter().map(absolute).collect()
}

/// The first of the usual names in this directory or the nearest one above that has any, and its override file.
fn default_files(start: &Path) -> Result<Vec<PathBuf>, Error> {
    let first = |directory: &Path, names: &[&str]| {
        names
            .iter()
            .map(|name| directory.join(name))
            .find(|path| path.is_file())
    };
    for directory in start.ancestors() {
        if let Some(main) = first(directory, &NAMES) {
            return Ok([Some(main), first(directory, &OVERRIDES)]
                .into_iter()
                .flatten()
                .collect());
        }
    }
    let named = NAMES.iter().map(|name| start.join(name));
    match named.into_iter().find(|path| path.is_dir()) {
        Some(path) => Err(Error::Directory(path)),
        None => Err(Error::NoFile {
            directory: start.to_owned(),
        }),
    }
}

/// The project's name: `-p`, `COMPOSE_PROJECT_NAME`, the last `name:` in the files, the directory.
pub(crate) fn project_name(
    request: &Request,
    documents: &[Node],
    diagnostics: &mut Diagnostics,
) -> Option<String> {
    if let Some(name) = &request.name {
        return Some(name.clone());
    }
    let from_environment = request
        .environment
        .get("COMPOSE_PROJECT_NAME")
        .filter(|name| !name.is_empty());
    if let Some(name) = from_environment {
        return Some(normal_name(name)).filter(|name| !name.is_empty());
    }
    let written = documents.iter().rev().find_map(|document| {
        let text = document.get("name")?.as_text()?;
        let lookup = |name: &str| request.environment.get(name).map(str::to_owned);
        // What is wrong with it is reported by interpolation itself.
        substitute(text, &lookup, &mut Vec::new())
            .ok()
            .map(|name| normal_name(&name))
            .filter(|name| !name.is_empty())
    });
    let directory = || {
        request
            .directory
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
    };
    let name = written
        .or_else(directory)
        .map(|name| normal_name(&name))
        .unwrap_or_default();
    if name.is_empty() {
        let title = "the project has no name: its directory's name has no letter or digit";
        diagnostics.push(
            Diagnostic::error_without_place(title)
                .help("give it one with -p, or with name: in the file"),
        );
        return None;
    }
    Some(name)
}

/// Lower case, only `[a-z0-9_-]`, and no `_` or `-` in front.
fn normal_name(text: &str) -> String {
    let lower = text.to_lowercase();
    let kept: String = lower
        .chars()
        .filter(|c| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-'))
        .collect();
    kept.trim_start_matches(['_', '-']).to_owned()
}
