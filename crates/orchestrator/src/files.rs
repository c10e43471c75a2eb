//! The contents of `env_file` and `label_file`, read into `environment` and `labels`.
//!
//! Files are read top-down and later ones win; what the service says itself wins over all of them. Compose specification,
//! 05-services, env_file.

use std::path::Path;

use indexmap::IndexMap;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::environment::{self, Environment};
use crate::yaml::{Entry, Mapping, Node, Sources, Span, Value};

/// Reads the files of every service and removes the keys that named them.
pub(crate) fn resolve(
    tree: &mut Node,
    environment: &Environment,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) {
    let mut reader = Reader {
        environment,
        sources,
        diagnostics,
    };
    let services = tree.get_mut("services").and_then(Node::as_mapping_mut);
    for entry in services.into_iter().flat_map(Mapping::values_mut) {
        reader.variables(&mut entry.value);
        reader.labels(&mut entry.value);
    }
}

/// Name to value, and where the file was named.
type Values = IndexMap<String, (String, Span)>;
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

struct Reader<'a> {
    environment: &'a Environment,
    sources: &'a Sources,
    diagnostics: &'a mut Diagnostics,
}

impl Reader<'_> {
    fn variables(&mut self, service: &mut Node) {
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
            let (environment, own) = (self.environment, service.get("environment"));
            let earlier = values.clone();
            // A file sees the project's variables, then the service's own, then those of earlier files.
            let lookup = |name: &str| {
                let own = own.and_then(|own| own.text_at(name));
                let earlier = || earlier.get(name).map(|(value, _)| value.as_str());
                environment
                    .get(name)
                    .or(own)
                    .or_else(earlier)
                    .map(str::to_owned)
            };
            let raw = file.text_at("format") == Some("raw");
            self.read(Path::new(path), raw, file.span, &lookup, &mut values);
        }
        fill(service, "environment", values);
    }

    fn labels(&mut self, service: &mut Node) {
        let Some(files) = service.remove("label_file") else {
            return;
        };
        let mut values = Values::new();
        let environment = self.environment;
        let lookup = |name: &str| environment.get(name).map(str::to_owned);
        for file in files.items() {
            let path = Path::new(file.as_text().unwrap_or_default());
            self.read(path, false, file.span, &lookup, &mut values);
        }
        fill(service, "labels", values);
    }

    fn read(
        &mut self,
        path: &Path,
        raw: bool,
        span: Span,
        lookup: Lookup<'_>,
        values: &mut Values,
    ) {
        let parsed = crate::load::read_text(path).and_then(|text| match raw {
            true => Ok(environment::parse_raw(&text, lookup)),
            false => environment::parse(&text, lookup).map_err(|error| error.to_string()),
        });
        match parsed {
            Ok(read) => values.extend(read.into_iter().map(|(name, value)| (name, (value, span)))),
            Err(reason) => {
                let title = format!("cannot read {}: {reason}", self.sources.shown(path));
                let mut finding = Diagnostic::error(title, span);
                if !path.exists() {
                    finding = finding.help("`required: false` beside the path lets it be missing");
                }
                self.diagnostics.push(finding);
            }
        }
    }
}

/// Puts file values under the service's own ones, which come after in the mapping and win.
fn fill(service: &mut Node, key: &str, values: Values) {
    let own = match service.remove(key).map(|node| node.value) {
        Some(Value::Mapping(own)) => own,
        _ => Mapping::new(),
    };
    let entry = |(name, (value, span))| {
        (
            name,
            Entry {
                key: span,
                value: Node::text(value, span),
            },
        )
    };
    let mut merged: Mapping = values.into_iter().map(entry).collect();
    merged.extend(own);
    if !merged.is_empty() {
        let span = service.span;
        service.set(key, Node::new(Value::Mapping(merged), span));
    }
}
