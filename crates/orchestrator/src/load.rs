//! From files to one canonical tree: the phases of a load, by name, on one page.
//!
//! Per file: read, parse, interpolate, include, extends, merge. Then once: canonical form, repetitions, paths,
//! environment files, normalise (implied defaults), profiles, consistency. Every phase is a function of its own file;
//! every problem of every phase that can still be told is told.
//!
//! Comes in: [`Request`] (which files, which variables). Goes out: [`Project`] or the findings.
//! Read next: `canonical.rs`, `normalise.rs`, `model.rs`.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::environment::Environment;
use crate::model::Project;
use crate::yaml::{self, MAX_BYTES, Mapping, Node, Sources, Span, Value};
use crate::{
    canonical, consistency, discover, extends, files, include, interpolate, merge, model,
    normalise, paths, profiles, unique,
};

/// What to load.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The Compose files, the later laid over the earlier; `-` is standard input. Absolute.
    pub files: Vec<PathBuf>,
    /// Where relative paths in these files start. Absolute.
    pub directory: PathBuf,
    /// Where the user stands: paths in messages are relative to it.
    pub here: PathBuf,
    /// The name given with `-p`.
    pub name: Option<String>,
    /// Variables: the process's, then those of the `.env` files.
    pub environment: Environment,
    /// Active profiles.
    pub profiles: BTreeSet<String>,
    /// Services named by the user; they activate their own profiles.
    pub services: Vec<String>,
    /// What may be left out.
    pub skip: Skip,
}

/// Phases to leave out, for `config --no-...`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
pub struct Skip {
    /// Keep `${...}` as it is.
    pub interpolation: bool,
    /// Keep relative paths.
    pub paths: bool,
    /// Do not add what is implied.
    pub normalisation: bool,
    /// Do not check references between parts.
    pub consistency: bool,
    /// Do not read environment files.
    pub environment: bool,
}

/// A load that failed: what is wrong, and the files to show it in.
#[derive(Debug)]
pub struct Failure {
    /// What is wrong.
    pub diagnostics: Diagnostics,
    /// The files.
    pub sources: Sources,
}

impl std::error::Error for Failure {}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.diagnostics.render(&self.sources, false).trim_end())
    }
}

/// Loads a project.
///
/// # Errors
/// Everything that is wrong with the files, at once.
pub fn load(request: &Request) -> Result<Project, Box<Failure>> {
    let mut loader = Loader::new(request);
    let project = loader.project(request);
    match project {
        Some(mut project) if !loader.diagnostics.failed() => {
            project.warnings = loader.diagnostics;
            project.sources = loader.sources;
            Ok(project)
        }
        _ => Err(Box::new(Failure {
            diagnostics: loader.diagnostics,
            sources: loader.sources,
        })),
    }
}

/// State of a load that goes through all phases.
pub(crate) struct Loader<'a> {
    request: &'a Request,
    pub(crate) sources: Sources,
    pub(crate) diagnostics: Diagnostics,
    pub(crate) environment: Environment,
    pub(crate) directory: PathBuf,
    /// Files being included, outermost first.
    pub(crate) chain: Vec<PathBuf>,
    /// Services of files that `extends` named, by path and directory.
    extended: HashMap<PathBuf, Mapping>,
}

impl<'a> Loader<'a> {
    fn new(request: &'a Request) -> Self {
        Self {
            request,
            sources: Sources::seen_from(&request.here),
            diagnostics: Diagnostics::default(),
            environment: request.environment.clone(),
            directory: request.directory.clone(),
            chain: Vec::new(),
            extended: HashMap::new(),
        }
    }

    /// The phases.
    fn project(&mut self, request: &Request) -> Option<Project> {
        let documents = self.read_all(
            &request
                .files
                .iter()
                .map(|path| (path.clone(), None))
                .collect::<Vec<_>>(),
        );
        self.stop_if_failed()?;
        let name = discover::project_name(request, &documents, &mut self.diagnostics)?;
        self.environment.set("COMPOSE_PROJECT_NAME", &name);
        let tree = self.layers(documents)?;
        let mut tree = self.canonical(tree);
        self.stop_if_failed()?;
        unique::unique(&mut tree);
        normalise::defaults(&mut tree, &mut self.diagnostics);
        if !request.skip.paths {
            paths::absolute(&mut tree, &self.sources, self.home().as_deref());
        }
        if !request.skip.normalisation {
            normalise::normalise(&mut tree, &name, &self.environment);
        }
        if !request.skip.environment {
            files::resolve(
                &mut tree,
                &self.environment,
                &self.sources,
                &mut self.diagnostics,
            );
        }
        let disabled = profiles::select(&mut tree, &request.profiles, &request.services);
        if !request.skip.consistency {
            consistency::check(&tree, &disabled, &mut self.diagnostics);
        }
        self.stop_if_failed()?;
        let environment = self.environment.clone();
        Some(model::project(
            name,
            tree,
            disabled,
            request,
            &environment,
            &mut self.diagnostics,
        ))
    }

    fn stop_if_failed(&self) -> Option<()> {
        (!self.diagnostics.failed()).then_some(())
    }

    fn canonical(&mut self, mut tree: Node) -> Node {
        if let Some(entry) = tree
            .as_mapping_mut()
            .and_then(|mapping| mapping.shift_remove("version"))
        {
            let finding =
                Diagnostic::warning("the key version is obsolete; remove the line", entry.key);
            self.diagnostics.push(finding.brief());
        }
        canonical::canonical(tree, &mut self.diagnostics)
    }

    /// Reads and parses files; each document is one element.
    fn read_all(&mut self, files: &[(PathBuf, Option<Span>)]) -> Vec<Node> {
        files
            .iter()
            .flat_map(|(path, span)| self.read(path, &self.directory.clone(), *span))
            .collect()
    }

    fn read(&mut self, path: &Path, directory: &Path, span: Option<Span>) -> Vec<Node> {
        let text = match read_text(path) {
            Ok(text) => text,
            Err(reason) => {
                let title = format!("cannot read {}: {reason}", self.sources.shown(path));
                let finding = Diagnostic {
                    span,
                    ..Diagnostic::error_without_place(title)
                };
                self.diagnostics.push(finding);
                return Vec::new();
            }
        };
        let file = self.sources.add(path, directory, text);
        match yaml::parse(&self.sources, file) {
            Ok(documents) => documents
                .into_iter()
                .filter(|document| self.is_mapping(document))
                .collect(),
            Err(finding) => {
                self.diagnostics.push(*finding);
                Vec::new()
            }
        }
    }

    fn is_mapping(&mut self, document: &Node) -> bool {
        if document.as_mapping().is_none() && !document.is_null() {
            let title = format!(
                "a Compose file is a mapping with services at the top, not {}",
                document.kind_name()
            );
            self.diagnostics
                .push(Diagnostic::error(title, document.span));
        }
        document.as_mapping().is_some()
    }

    /// Lays the documents over each other, the first at the bottom.
    fn layers(&mut self, documents: Vec<Node>) -> Option<Node> {
        let mut tree: Option<Node> = None;
        for mut document in documents {
            let path = self.path_of(document.span);
            self.chain.push(path);
            if !self.request.skip.interpolation {
                interpolate::interpolate(&mut document, &self.environment, &mut self.diagnostics);
            }
            include::apply(&mut document, self);
            extends::apply(&mut document, self);
            let mut merged = match tree {
                Some(base) => merge::merge(base, document, &mut self.diagnostics),
                None => document,
            };
            merge::settle(&mut merged);
            tree = Some(merged);
            self.chain.pop();
        }
        if tree.is_none() {
            let names: Vec<_> = self
                .request
                .files
                .iter()
                .map(|path| self.sources.shown(path))
                .collect();
            let title = format!("nothing is written in {}", names.join(", "));
            self.diagnostics
                .push(Diagnostic::error_without_place(title));
        }
        tree
    }

    /// A load within this one, with its own directory and variables: what `include` needs.
    pub(crate) fn nested(
        &mut self,
        directory: PathBuf,
        environment: Environment,
        files: Vec<(PathBuf, Span)>,
    ) -> Option<Node> {
        let outer_directory = std::mem::replace(&mut self.directory, directory);
        let outer_environment = std::mem::replace(&mut self.environment, environment);
        let outer_extended = std::mem::take(&mut self.extended);
        let files: Vec<_> = files
            .into_iter()
            .map(|(path, span)| (path, Some(span)))
            .collect();
        let documents = self.read_all(&files);
        let tree = if documents.is_empty() {
            None
        } else {
            self.layers(documents)
        };
        self.directory = outer_directory;
        self.environment = outer_environment;
        self.extended = outer_extended;
        tree
    }

    /// The services of another file, interpolated; relative paths in it start at its own folder.
    pub(crate) fn extended_services(
        &mut self,
        file: &str,
        span: Span,
    ) -> Option<(PathBuf, Mapping)> {
        let from = self.sources.get(span.file)?.directory.clone();
        let path = PathBuf::from(paths::absolute_path(file, &from, self.home().as_deref()));
        if let Some(services) = self.extended.get(&path) {
            return Some((path, services.clone()));
        }
        let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
        let mut tree: Option<Node> = None;
        for mut document in self.read(&path, &directory, Some(span)) {
            interpolate::interpolate(&mut document, &self.environment, &mut self.diagnostics);
            tree = Some(match tree {
                Some(base) => merge::merge(base, document, &mut self.diagnostics),
                None => document,
            });
        }
        let services = match tree
            .and_then(|mut tree| tree.remove("services"))
            .map(|services| services.value)
        {
            Some(Value::Mapping(services)) => services,
            _ => {
                let title = format!("{} has no services to extend", self.sources.shown(&path));
                self.diagnostics.push(Diagnostic::error(title, span));
                return None;
            }
        };
        self.extended.insert(path.clone(), services.clone());
        Some((path, services))
    }

    /// Path of the file that a span lies in.
    pub(crate) fn path_of(&self, span: Span) -> PathBuf {
        self.sources
            .get(span.file)
            .map(|source| source.path.clone())
            .unwrap_or_default()
    }

    /// The home directory, for `~`.
    pub(crate) fn home(&self) -> Option<String> {
        self.environment.get("HOME").map(str::to_owned)
    }
}

/// The text of a file, or of standard input for `-`.
pub(crate) fn read_text(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let mut read = |from: &mut dyn Read| {
        from.take(MAX_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(|e| reason(&e))
    };
    if path == Path::new("-") {
        read(&mut std::io::stdin().lock())?;
    } else {
        read(&mut std::fs::File::open(path).map_err(|e| reason(&e))?)?;
    }
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("it is larger than {} MiB", MAX_BYTES >> 20));
    }
    Ok(text)
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".into(),
        std::io::ErrorKind::InvalidData => "it is not UTF-8 text".into(),
        _ => error.to_string(),
    }
}
