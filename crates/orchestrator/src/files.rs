//! The contents of `env_file` and `label_file`, read into `environment` and `labels`.
//!
//! Files are read top-down and later ones win; what the service says itself wins over all of them. Compose specification,
//! 05-services, env_file.

use std::path::Path;

use indexmap::IndexMap;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::environment::{self, Environment};
use crate::yaml::{Entry, Mapping, Node, Span, Value};

/// Reads the files of every service and removes the keys that named them.
pub(crate) fn resolve(tree: &mut Node, environment: &Environment, diagnostics: &mut Diagnostics) {
    let services = tree.get_mut("services").and_then(Node::as_mapping_mut);
    for entry in services
        .into_iter()
        .flat_map(|services| services.values_mut())
    {
        variables(&mut entry.value, environment, diagnostics);
        labels(&mut entry.value, environment, diagnostics);
    }
}

type Values = IndexMap<String, (String, Span)>;

fn variables(service: &mut Node, environment: &Environment, diagnostics: &mut Diagnostics) {
    let Some(files) = service.remove("env_file") else {
        return;
    };
    let mut values = Values::new();
    for file in files.items() {
        let Some(path) = file.text_at("path") else {
            continue;
        };
        if file.text_at("required") == Some("false") && !Path::new(path).exists() {
            continue;
        }
        let own = service.get("environment");
        let known: IndexMap<String, String> = values
            .iter()
            .map(|(name, (value, _))| (name.clone(), value.clone()))
            .collect();
        let lookup = |name: &str| {
            let own = || own.and_then(|own| own.text_at(name)).map(str::to_owned);
            environment
                .get(name)
                .map(str::to_owned)
                .or_else(own)
                .or_else(|| known.get(name).cloned())
        };
        let raw = file.text_at("format") == Some("raw");
        read(path, raw, file.span, &lookup, &mut values, diagnostics);
    }
    fill(service, "environment", values);
}

fn labels(service: &mut Node, environment: &Environment, diagnostics: &mut Diagnostics) {
    let Some(files) = service.remove("label_file") else {
        return;
    };
    let mut values = Values::new();
    for file in files.items() {
        let lookup = |name: &str| environment.get(name).map(str::to_owned);
        read(
            file.as_text().unwrap_or_default(),
            false,
            file.span,
            &lookup,
            &mut values,
            diagnostics,
        );
    }
    fill(service, "labels", values);
}

fn read(
    path: &str,
    raw: bool,
    span: Span,
    lookup: &dyn Fn(&str) -> Option<String>,
    values: &mut Values,
    diagnostics: &mut Diagnostics,
) {
    let parsed = std::fs::read_to_string(path)
        .map_err(|error| error.to_string())
        .and_then(|text| match raw {
            true => Ok(environment::parse_raw(&text, lookup)),
            false => environment::parse(&text, lookup).map_err(|error| error.to_string()),
        });
    match parsed {
        Ok(read) => values.extend(read.into_iter().map(|(name, value)| (name, (value, span)))),
        Err(reason) => diagnostics.push(
            Diagnostic::error(format!("cannot read {path}: {reason}"), span)
                .help("`required: false` beside the path lets it be missing"),
        ),
    }
}

/// Puts file values under the service's own ones, which come after in the mapping and win.
fn fill(service: &mut Node, key: &str, values: Values) {
    let own = match service.remove(key).map(|node| node.value) {
        Some(Value::Mapping(own)) => own,
        _ => Mapping::new(),
    };
    let mut merged: Mapping = values
        .into_iter()
        .map(|(name, (value, span))| {
            (
                name,
                Entry {
                    key: span,
                    value: Node::text(value, span),
                },
            )
        })
        .collect();
    merged.extend(own);
    if !merged.is_empty() {
        let span = service.span;
        service.set(key, Node::new(Value::Mapping(merged), span));
    }
}
