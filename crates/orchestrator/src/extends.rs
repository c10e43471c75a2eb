//! `extends`: a service that begins as a copy of another one, here or in another file.
//!
//! Comes in: the services of one document, after interpolation and include. Goes out: the same services with their bases
//! merged underneath. Only what the service itself says is copied; networks, volumes and secrets that it names must exist
//! in the project. Compose specification, 05-services, extends.

use std::path::PathBuf;

use crate::diagnostic::{Diagnostic, Diagnostics, nearest};
use crate::load::Loader;
use crate::merge;
use crate::yaml::{Mapping, Node, Span, Value};

/// Longest chain of bases.
const MAX_DEPTH: usize = 16;

/// Where a service was looked up, to notice circles.
type Link = (PathBuf, String);

/// Resolves `extends` of every service in `document`.
pub(crate) fn apply(document: &mut Node, loader: &mut Loader<'_>) {
    let Some(Value::Mapping(services)) = document.get("services").map(|node| node.value.clone())
    else {
        return;
    };
    for name in services.keys() {
        let Some(service) = resolve(&services, name, loader, &mut Vec::new()) else {
            continue;
        };
        if let Some(slot) = document
            .get_mut("services")
            .and_then(|services| services.get_mut(name))
        {
            *slot = service;
        }
    }
}

fn resolve(
    services: &Mapping,
    name: &str,
    loader: &mut Loader<'_>,
    chain: &mut Vec<Link>,
) -> Option<Node> {
    let mut service = services.get(name)?.value.clone();
    let Some(extends) = service.remove("extends") else {
        return Some(service);
    };
    let Some(wish) = read_wish(&extends, name, &mut loader.diagnostics) else {
        return Some(service);
    };
    let base = base_of(&wish, services, loader, chain);
    Some(match base {
        Some(mut base) if base.as_mapping().is_some() => {
            merge::settle(&mut base);
            merge::merge_service(base, service, &mut loader.diagnostics)
        }
        _ => service,
    })
}

struct Wish {
    service: String,
    file: Option<String>,
    span: Span,
}

fn read_wish(extends: &Node, name: &str, diagnostics: &mut Diagnostics) -> Option<Wish> {
    if let (Some(service), Value::Scalar(_)) = (extends.as_text(), &extends.value) {
        return Some(Wish {
            service: service.to_owned(),
            file: None,
            span: extends.span,
        });
    }
    for (key, entry) in extends.as_mapping().into_iter().flatten() {
        if !["service", "file"].contains(&key.as_str()) {
            let finding = Diagnostic::error(
                format!("services.{name}.extends has no key {key:?}"),
                entry.key,
            );
            diagnostics.push(
                finding
                    .label("unknown key")
                    .help("it takes service and file"),
            );
        }
    }
    let Some(service) = extends.get("service").and_then(Node::as_text) else {
        let title = format!("services.{name}.extends lacks the key service");
        diagnostics.push(Diagnostic::error(title, extends.span).label("service is required here"));
        return None;
    };
    let file = extends.text_at("file").map(str::to_owned);
    Some(Wish {
        service: service.to_owned(),
        file,
        span: extends
            .get("service")
            .map_or(extends.span, |node| node.span),
    })
}

fn base_of(
    wish: &Wish,
    services: &Mapping,
    loader: &mut Loader<'_>,
    chain: &mut Vec<Link>,
) -> Option<Node> {
    let (path, services) = match &wish.file {
        None => (loader.path_of(wish.span), services.clone()),
        Some(file) => loader.extended_services(file, wish.span)?,
    };
    let link = (path.clone(), wish.service.clone());
    if chain.contains(&link) || chain.len() >= MAX_DEPTH {
        let names: Vec<_> = chain
            .iter()
            .chain([&link])
            .map(|(_, name)| name.as_str())
            .collect();
        let title = format!(
            "services extend each other in a circle: {}",
            names.join(" -> ")
        );
        loader.diagnostics.push(Diagnostic::error(title, wish.span));
        return None;
    }
    if !services.contains_key(&wish.service) {
        let title = format!(
            "there is no service {:?} in {} to extend",
            wish.service,
            loader.sources.shown(&path)
        );
        let mut finding = Diagnostic::error(title, wish.span);
        if let Some(name) = nearest(&wish.service, services.keys().map(String::as_str)) {
            finding = finding.help(format!("did you mean {name}?"));
        }
        loader.diagnostics.push(finding);
        return None;
    }
    chain.push(link);
    let base = resolve(&services, &wish.service, loader, chain);
    chain.pop();
    base
}
