//! What Compose implies: defaults of long forms, the default network, names from keys, dependencies from links.
//!
//! [`defaults`] completes and checks single values and needs no context; [`normalise`] looks across the project. After
//! both, every later reader finds each fact at one place only. Compose specification, 05 to 09.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::environment::Environment;
use crate::short::{clean_path, dependency};
use crate::yaml::{Entry, Kind, Mapping, Node, Value};

fn services(tree: &mut Node) -> impl Iterator<Item = (&str, &mut Node)> {
    let mapping = tree.get_mut("services").and_then(Node::as_mapping_mut);
    mapping
        .into_iter()
        .flatten()
        .map(|(name, entry)| (name.as_str(), &mut entry.value))
}

fn items_mut<'a>(node: &'a mut Node, key: &str) -> &'a mut [Node] {
    match node.get_mut(key).map(|node| &mut node.value) {
        Some(Value::Sequence(items)) => items,
        _ => &mut [],
    }
}

/// Completes long forms and checks what the key table cannot say.
pub(crate) fn defaults(tree: &mut Node, diagnostics: &mut Diagnostics) {
    for (name, service) in services(tree) {
        service_defaults(name, service, diagnostics);
    }
    for section in ["networks", "volumes", "secrets", "configs"] {
        let mapping = tree.get_mut(section).and_then(Node::as_mapping_mut);
        for (name, entry) in mapping.into_iter().flatten() {
            external(section, name, &mut entry.value, diagnostics);
        }
    }
    content(tree, "secrets", &["file", "environment"], diagnostics);
    content(
        tree,
        "configs",
        &["file", "environment", "content"],
        diagnostics,
    );
}

fn service_defaults(name: &str, service: &mut Node, diagnostics: &mut Diagnostics) {
    // Said even when unset: null is the image's own, an empty list clears it.
    set_missing(service, "command", |span| Node::new(Value::Null, span));
    set_missing(service, "entrypoint", |span| Node::new(Value::Null, span));
    if let Some(build) = service.get_mut("build") {
        set_missing(build, "context", |span| Node::text(".", span));
    }
    // A variable that is empty stands for no server at all.
    if let Some(Value::Sequence(servers)) = service.get_mut("dns").map(|node| &mut node.value) {
        servers.retain(|server| server.as_text() != Some(""));
        if servers.is_empty() {
            service.remove("dns");
        }
    }
    for secret in items_mut(service, "secrets") {
        let target = format!(
            "/run/secrets/{}",
            secret.text_at("source").unwrap_or_default()
        );
        set_missing(secret, "target", |span| Node::text(target, span));
    }
    for port in items_mut(service, "ports") {
        set_missing(port, "protocol", |span| Node::text("tcp", span));
        set_missing(port, "mode", |span| Node::text("ingress", span));
        require(
            port,
            "target",
            &format!("services.{name}.ports"),
            diagnostics,
        );
    }
    for file in items_mut(service, "env_file") {
        set_missing(file, "required", |span| Node::flag(true, span));
    }
    for device in items_mut(service, "devices") {
        let source = device.text_at("source").unwrap_or_default().to_owned();
        set_missing(device, "target", |span| Node::text(source, span));
        set_missing(device, "permissions", |span| Node::text("rwm", span));
    }
    for request in items_mut(service, "gpus") {
        device_request(request, diagnostics);
    }
    let reservations = service
        .get_mut("deploy")
        .and_then(|node| node.get_mut("resources"));
    if let Some(reservations) = reservations.and_then(|node| node.get_mut("reservations")) {
        items_mut(reservations, "devices")
            .iter_mut()
            .for_each(|request| device_request(request, diagnostics));
    }
    if let Some(Value::Mapping(dependencies)) =
        service.get_mut("depends_on").map(|node| &mut node.value)
    {
        for entry in dependencies.values_mut() {
            set_missing(&mut entry.value, "required", |span| Node::flag(true, span));
        }
    }
    for mount in items_mut(service, "volumes") {
        mount_defaults(name, mount, diagnostics);
    }
}

fn mount_defaults(service: &str, mount: &mut Node, diagnostics: &mut Diagnostics) {
    let place = format!("services.{service}.volumes");
    require(mount, "target", &place, diagnostics);
    if mount.text_at("type") == Some("bind") {
        require(mount, "source", &place, diagnostics);
    }
    if let Some(target) = mount.get_mut("target") {
        *target = Node::text(
            clean_path(target.as_text().unwrap_or_default()),
            target.span,
        );
    }
    let size = mount.get("tmpfs").and_then(|tmpfs| tmpfs.get("size"));
    if let Some(size) = size.filter(|size| size.as_text().is_some_and(|text| text.starts_with('-')))
    {
        diagnostics.push(Diagnostic::error(
            format!("{place}: a tmpfs cannot be smaller than nothing"),
            size.span,
        ));
    }
    // `true` is the default and says nothing.
    if let Some(bind) = mount.get_mut("bind")
        && bind.text_at("create_host_path") == Some("true")
    {
        bind.remove("create_host_path");
    }
}

fn set_missing(node: &mut Node, key: &str, value: impl FnOnce(crate::yaml::Span) -> Node) {
    if node.as_mapping().is_some() && node.get(key).is_none() {
        node.set(key, value(node.span));
    }
}

fn require(node: &Node, key: &str, place: &str, diagnostics: &mut Diagnostics) {
    if node.get(key).is_none() {
        let finding =
            Diagnostic::error(format!("{place}: an entry lacks the key {key}"), node.span);
        diagnostics.push(finding.label(format!("{key} is required here")));
    }
}

fn device_request(request: &mut Node, diagnostics: &mut Diagnostics) {
    if request.get("count").is_some() && request.get("device_ids").is_some() {
        let title = "a device request has either count or device_ids, not both";
        diagnostics.push(Diagnostic::error(title, request.span));
    } else if request.get("device_ids").is_none() {
        set_missing(request, "count", |span| {
            Node::scalar("-1", Kind::Integer, span)
        });
    }
}

/// `external: {name: x}`, the old form, to `external: true` and `name: x`; and nothing else beside `external`.
fn external(section: &str, name: &str, resource: &mut Node, diagnostics: &mut Diagnostics) {
    let Some(external) = resource.get("external").cloned() else {
        return;
    };
    if external.as_mapping().is_some() {
        resource.set("external", Node::flag(true, external.span));
        match (external.get("name"), resource.get("name")) {
            (Some(old), Some(new)) if old.as_text() != new.as_text() => {
                let title =
                    format!("{section}.{name} is named twice, by name and by external.name");
                diagnostics.push(Diagnostic::error(title, new.span).also(old.span, "the old form"));
            }
            (Some(old), None) => resource.set("name", old.clone()),
            _ => {}
        }
    }
    if section != "volumes" || resource.text_at("external") != Some("true") {
        return;
    }
    let extra = resource.as_mapping().into_iter().flatten();
    let extra = extra
        .filter(|(key, _)| !["name", "external"].contains(&key.as_str()) && !key.starts_with("x-"));
    for (key, entry) in extra {
        let title = format!("{section}.{name} is external, so {key} has no effect");
        diagnostics
            .push(Diagnostic::error(title, entry.key).help("an external resource takes only name"));
    }
}

/// A secret or config has exactly one source.
fn content(tree: &Node, section: &str, keys: &[&str], diagnostics: &mut Diagnostics) {
    for (name, entry) in tree
        .get(section)
        .and_then(Node::as_mapping)
        .into_iter()
        .flatten()
    {
        let resource = &entry.value;
        let given: Vec<&str> = keys
            .iter()
            .copied()
            .filter(|key| resource.get(key).is_some())
            .collect();
        let elsewhere = resource.get("driver").is_some() || resource.get("external").is_some();
        if given.len() > 1 {
            let title = format!(
                "{section}.{name} has {}; only one can be",
                given.join(" and ")
            );
            diagnostics.push(Diagnostic::error(title, resource.span));
        } else if given.is_empty() && !elsewhere {
            let title = format!("{section}.{name} says nowhere where its content comes from");
            diagnostics.push(
                Diagnostic::error(title, entry.key)
                    .help(format!("give it one of {}", keys.join(", "))),
            );
        }
    }
}

/// Adds what follows from other parts of the project.
pub(crate) fn normalise(tree: &mut Node, name: &str, environment: &Environment) {
    default_network(tree);
    for (_, service) in services(tree) {
        service_facts(service, environment);
    }
    for section in ["networks", "volumes", "configs", "secrets"] {
        name_resources(tree, section, name);
    }
}

/// A service that names no network is in `default`, which exists once somebody is in it.
fn default_network(tree: &mut Node) {
    let mut used = false;
    for (_, service) in services(tree) {
        if service.get("provider").is_some() || service.get("network_mode").is_some() {
            continue;
        }
        let none = service
            .get("networks")
            .and_then(Node::as_mapping)
            .is_none_or(Mapping::is_empty);
        if none {
            let span = service.span;
            let mut networks = Node::mapping(span);
            networks.set("default", Node::new(Value::Null, span));
            service.set("networks", networks);
        }
        used |= service
            .get("networks")
            .is_some_and(|networks| networks.get("default").is_some());
    }
    if !used {
        return;
    }
    let span = tree.span;
    set_missing(tree, "networks", Node::mapping);
    if let Some(networks) = tree.get_mut("networks") {
        set_missing(networks, "default", |_| Node::new(Value::Null, span));
    }
}

fn service_facts(service: &mut Node, environment: &Environment) {
    if service.text_at("pull_policy") == Some("if_not_present") {
        let span = service.span;
        service.set("pull_policy", Node::text("missing", span));
    }
    if let Some(build) = service.get_mut("build") {
        if build.get("dockerfile_inline").is_none() {
            set_missing(build, "dockerfile", |span| Node::text("Dockerfile", span));
        }
        if let Some(args) = build.get_mut("args") {
            inherit(args, environment, false);
        }
        if build
            .get("args")
            .and_then(Node::as_mapping)
            .is_some_and(Mapping::is_empty)
        {
            build.remove("args");
        }
    }
    if let Some(variables) = service.get_mut("environment") {
        inherit(variables, environment, true);
    }
    implied_dependencies(service);
    if let Some(image) = service.get("image").cloned() {
        for hook in items_mut(service, "pre_start") {
            set_missing(hook, "image", |_| image.clone());
        }
    }
}

/// Gives bare names their value from the environment; the others stay bare, or go.
fn inherit(variables: &mut Node, environment: &Environment, keep: bool) {
    let Some(mapping) = variables.as_mapping_mut() else {
        return;
    };
    for (name, entry) in mapping
        .iter_mut()
        .filter(|(_, entry)| entry.value.is_null())
    {
        if let Some(value) = environment.get(name) {
            entry.value = Node::text(value, entry.value.span);
        }
    }
    if !keep {
        mapping.retain(|_, entry| !entry.value.is_null());
    }
}

/// `links`, `network_mode: service:x` and the like, and `volumes_from` need the other service first.
fn implied_dependencies(service: &mut Node) {
    let mut implied: Vec<(Node, bool)> = Vec::new();
    for link in service.get("links").map(Node::items).unwrap_or_default() {
        let name = link
            .as_text()
            .unwrap_or_default()
            .split(':')
            .next()
            .unwrap_or_default();
        implied.push((Node::text(name, link.span), true));
    }
    for key in ["network_mode", "ipc", "pid", "uts", "cgroup"] {
        let Some(node) = service.get(key) else {
            continue;
        };
        if let Some(name) = node
            .as_text()
            .and_then(|text| text.strip_prefix("service:"))
        {
            implied.push((Node::text(name, node.span), true));
        }
    }
    for from in service
        .get("volumes_from")
        .map(Node::items)
        .unwrap_or_default()
    {
        let text = from.as_text().unwrap_or_default();
        if !text.starts_with("container:") {
            implied.push((
                Node::text(text.split(':').next().unwrap_or_default(), from.span),
                false,
            ));
        }
    }
    if implied.is_empty() {
        return;
    }
    set_missing(service, "depends_on", Node::mapping);
    let Some(dependencies) = service.get_mut("depends_on").and_then(Node::as_mapping_mut) else {
        return;
    };
    for (name, restart) in implied {
        let mut wish = dependency(&name);
        if restart {
            wish.set("restart", Node::flag(true, name.span));
        }
        let key = name.as_text().unwrap_or_default().to_owned();
        dependencies.entry(key).or_insert(Entry {
            key: name.span,
            value: wish,
        });
    }
}

/// A resource without a name is called `<project>_<key>`, an external one as its key.
fn name_resources(tree: &mut Node, section: &str, project: &str) {
    let Some(mapping) = tree.get_mut(section).and_then(Node::as_mapping_mut) else {
        return;
    };
    for (key, entry) in mapping.iter_mut() {
        if entry.value.is_null() {
            entry.value = Node::mapping(entry.value.span);
        }
        let external = entry.value.text_at("external") == Some("true");
        let name = if external {
            key.clone()
        } else {
            format!("{project}_{key}")
        };
        set_missing(&mut entry.value, "name", |span| Node::text(name, span));
    }
}
