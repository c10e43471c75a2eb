//! `include`: whole Compose applications, each with its own directory and `.env`, laid under this one.
//!
//! An included file sees the variables of the file that includes it, and of its own `.env` what is not set yet. Where
//! both define a resource the outer file wins, key by key. Compose specification, 14-include.

use std::path::{Path, PathBuf};

use crate::canonical;
use crate::diagnostic::Diagnostic;
use crate::environment::{self, Environment};
use crate::load::Loader;
use crate::merge;
use crate::paths::absolute_path;
use crate::yaml::{Node, Span};

/// Deepest chain of includes.
const MAX_DEPTH: usize = 16;

/// Loads what `document` includes and lays the document over it.
pub(crate) fn apply(document: &mut Node, loader: &mut Loader<'_>) {
    let Some(include) = document.remove("include") else {
        return;
    };
    let span = include.span;
    let mut wrapper = Node::mapping(span);
    wrapper.set("include", include);
    let wrapper = canonical::canonical(wrapper, &mut loader.diagnostics);
    for entry in wrapper.get("include").map(Node::items).unwrap_or_default() {
        if let Some(model) = load_entry(entry, loader) {
            import(document, model, loader);
        }
    }
}

fn load_entry(entry: &Node, loader: &mut Loader<'_>) -> Option<Node> {
    let here = loader.directory.clone();
    let home = loader.home();
    let texts = |key: &str| -> Vec<(String, Span)> {
        let items = entry.get(key).map(Node::items).unwrap_or_default();
        items
            .iter()
            .filter_map(|node| Some((node.as_text()?.to_owned(), node.span)))
            .collect()
    };
    let mut files = Vec::new();
    for (path, span) in texts("path") {
        if path.contains("://") || path.starts_with("git@") {
            let title = format!("{path} is not on this machine; lighter includes local files only");
            loader.diagnostics.push(Diagnostic::error(title, span));
            return None;
        }
        files.push((
            PathBuf::from(absolute_path(&path, &here, home.as_deref())),
            span,
        ));
    }
    let Some((main, span)) = files.first().cloned() else {
        loader.diagnostics.push(Diagnostic::error(
            "an include lacks the key path",
            entry.span,
        ));
        return None;
    };
    if loader.chain.len() >= MAX_DEPTH || files.iter().any(|(path, _)| loader.chain.contains(path))
    {
        let names: Vec<_> = loader
            .chain
            .iter()
            .chain([&main])
            .map(|path| loader.sources.shown(path))
            .collect();
        let title = format!(
            "files include each other in a circle: {}",
            names.join(" -> ")
        );
        loader.diagnostics.push(Diagnostic::error(title, span));
        return None;
    }
    let directory = match entry.text_at("project_directory") {
        Some(text) => PathBuf::from(absolute_path(text, &here, home.as_deref())),
        None => main.parent().unwrap_or(Path::new("/")).to_owned(),
    };
    let environment = environment_for(&directory, &texts("env_file"), loader);
    loader.nested(directory, environment, files)
}

fn environment_for(
    directory: &Path,
    files: &[(String, Span)],
    loader: &mut Loader<'_>,
) -> Environment {
    let mut environment = loader.environment.clone();
    let here = loader.directory.clone();
    if files.is_empty() {
        let path = directory.join(".env");
        if path.is_file() {
            read_into(&mut environment, &path, None, loader);
        }
    }
    let mut values = Vec::new();
    for (file, span) in files.iter().filter(|(file, _)| file != "/dev/null") {
        values.push((PathBuf::from(absolute_path(file, &here, None)), *span));
    }
    // Later files win over earlier ones, and none over what is set already: so fill from the last to the first.
    for (path, span) in values.iter().rev() {
        read_into(&mut environment, path, Some(*span), loader);
    }
    environment
}

fn read_into(
    environment: &mut Environment,
    path: &Path,
    span: Option<Span>,
    loader: &mut Loader<'_>,
) {
    let result = std::fs::read_to_string(path)
        .map_err(|error| error.to_string())
        .and_then(|text| {
            environment::parse(&text, &|name| environment.get(name).map(str::to_owned))
                .map_err(|error| error.to_string())
        });
    match (result, span) {
        (Ok(values), _) => environment.fill_from(values),
        (Err(reason), Some(span)) => {
            loader.diagnostics.push(Diagnostic::error(
                format!("cannot read {}: {reason}", loader.sources.shown(path)),
                span,
            ));
        }
        (Err(reason), None) => {
            let title = format!("cannot read {}: {reason}", loader.sources.shown(path));
            loader
                .diagnostics
                .push(Diagnostic::error_without_place(title));
        }
    }
}

/// Lays the resources of `document` over those of the included `model`.
fn import(document: &mut Node, mut model: Node, loader: &mut Loader<'_>) {
    for section in [
        "services", "volumes", "networks", "secrets", "configs", "models",
    ] {
        let Some(included) = model.remove(section) else {
            continue;
        };
        if document.get(section).is_none() {
            document.set(section, Node::mapping(included.span));
        }
        let (Some(own), Some(included)) = (
            document.get_mut(section).and_then(Node::as_mapping_mut),
            included.as_mapping(),
        ) else {
            continue;
        };
        for (name, entry) in included {
            match own.get_mut(name) {
                None => drop(own.insert(name.clone(), entry.clone())),
                Some(mine) => {
                    let over = mine.value.clone();
                    mine.value = merge::merge_resource(
                        section,
                        entry.value.clone(),
                        over,
                        &mut loader.diagnostics,
                    );
                }
            }
        }
    }
}
