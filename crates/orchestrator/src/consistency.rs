//! Whether the parts of a project fit together: what is named exists, what excludes each other is not both there, and
//! services do not wait for each other in a circle.

use std::collections::BTreeMap;

use crate::diagnostic::{Diagnostic, Diagnostics, nearest};
use crate::yaml::{Entry, Mapping, Node, Span};

/// Checks a normalised tree; `disabled` are the services whose profiles are not active.
pub(crate) fn check(tree: &Node, disabled: &Mapping, diagnostics: &mut Diagnostics) {
    let mut check = Check {
        tree,
        disabled,
        diagnostics,
    };
    for (name, entry) in section(tree, "services") {
        check.service(name, entry);
    }
    check.secrets();
    check.container_names();
    check.circles();
}

fn section<'a>(
    tree: &'a Node,
    key: &str,
) -> impl Iterator<Item = (&'a String, &'a Entry)> + use<'a> {
    tree.get(key)
        .and_then(Node::as_mapping)
        .into_iter()
        .flatten()
}

fn items<'a>(node: &'a Node, key: &str) -> &'a [Node] {
    node.get(key).map(Node::items).unwrap_or_default()
}

struct Check<'a> {
    tree: &'a Node,
    disabled: &'a Mapping,
    diagnostics: &'a mut Diagnostics,
}

impl Check<'_> {
    fn error(&mut self, title: String, span: Span) {
        self.diagnostics.push(Diagnostic::error(title, span));
    }

    fn service(&mut self, name: &str, entry: &Entry) {
        let service = &entry.value;
        if ["image", "build", "provider"]
            .iter()
            .all(|key| service.get(key).is_none())
        {
            let finding = Diagnostic::error(
                format!("services.{name} has neither image nor build"),
                entry.key,
            );
            self.diagnostics
                .push(finding.help("name an image, or a directory to build one from"));
        }
        self.build(name, service);
        self.network(name, service);
        self.health(name, service);
        self.dependencies(name, service);
        self.mounts(name, service);
        self.references(name, service);
        self.numbers(name, service);
        self.watch(name, service);
    }

    fn build(&mut self, name: &str, service: &Node) {
        let Some(build) = service.get("build") else {
            return;
        };
        if let (Some(inline), Some(_)) = (build.get("dockerfile_inline"), build.get("dockerfile")) {
            self.error(
                format!("services.{name}.build has both dockerfile and dockerfile_inline"),
                inline.span,
            );
        }
        for (context, entry) in section(build, "additional_contexts") {
            let Some(target) = entry
                .value
                .as_text()
                .and_then(|text| text.strip_prefix("service:"))
            else {
                continue;
            };
            let place = format!("services.{name}.build.additional_contexts.{context}");
            match self
                .tree
                .get("services")
                .and_then(|services| services.get(target))
            {
                None => self.unknown(&place, "service", target, entry.value.span, "services"),
                Some(other) if other.get("build").is_none() => {
                    self.error(
                        format!("{place}: the service {target} is not built"),
                        entry.value.span,
                    );
                }
                Some(_) => {}
            }
        }
        let platforms = items(build, "platforms");
        if let Some(platform) = service.get("platform")
            && !platforms.is_empty()
            && !platforms
                .iter()
                .any(|one| one.as_text() == platform.as_text())
        {
            self.error(
                format!("services.{name}.platform is none of build.platforms"),
                platform.span,
            );
        }
        for secret in items(build, "secrets") {
            self.reference(
                &format!("services.{name}.build.secrets"),
                "secret",
                secret.get("source"),
                "secrets",
            );
        }
    }

    fn network(&mut self, name: &str, service: &Node) {
        let networks = service.get("networks");
        if let (Some(mode), Some(networks)) = (service.get("network_mode"), networks)
            && networks
                .as_mapping()
                .is_some_and(|mapping| !mapping.is_empty())
        {
            self.diagnostics.push(
                Diagnostic::error(
                    format!("services.{name} has both network_mode and networks"),
                    mode.span,
                )
                .also(networks.span, "networks are given here")
                .help("keep one of the two"),
            );
        }
        for (network, entry) in section(service, "networks") {
            if self
                .tree
                .get("networks")
                .and_then(|networks| networks.get(network))
                .is_none()
            {
                self.unknown(
                    &format!("services.{name}.networks"),
                    "network",
                    network,
                    entry.key,
                    "networks",
                );
            }
        }
        let target = service
            .get("network_mode")
            .and_then(|mode| Some((mode.as_text()?.strip_prefix("service:")?, mode.span)));
        if let Some((target, span)) = target
            && self
                .tree
                .get("services")
                .and_then(|services| services.get(target))
                .is_none()
        {
            self.unknown(
                &format!("services.{name}.network_mode"),
                "service",
                target,
                span,
                "services",
            );
        }
    }

    fn health(&mut self, name: &str, service: &Node) {
        let Some(first) = service
            .get("healthcheck")
            .and_then(|check| items(check, "test").first())
        else {
            return;
        };
        if !matches!(first.as_text(), Some("CMD" | "CMD-SHELL" | "NONE")) {
            let title = format!(
                "services.{name}.healthcheck.test begins with none of CMD, CMD-SHELL, NONE"
            );
            let finding = Diagnostic::error(title, first.span);
            self.diagnostics.push(
                finding
                    .help("write CMD first for a program with arguments, or the test as one text"),
            );
        }
    }

    fn dependencies(&mut self, name: &str, service: &Node) {
        for (other, entry) in section(service, "depends_on") {
            let known = self
                .tree
                .get("services")
                .is_some_and(|services| services.get(other).is_some());
            let required = entry.value.text_at("required") != Some("false");
            if known || !required {
                continue;
            }
            if let Some(off) = self.disabled.get(other) {
                let profiles: Vec<_> = crate::profiles::profiles(&off.value).collect();
                self.diagnostics.push(
                    Diagnostic::error(
                        format!("services.{name} depends on {other}, which is off"),
                        entry.key,
                    )
                    .also(
                        off.key,
                        format!("only on with the profile {}", profiles.join(" or ")),
                    )
                    .help(format!(
                        "add --profile {}, or required: false",
                        profiles.first().unwrap_or(&"x")
                    )),
                );
            } else {
                self.unknown(
                    &format!("services.{name}.depends_on"),
                    "service",
                    other,
                    entry.key,
                    "services",
                );
            }
        }
    }

    fn mounts(&mut self, name: &str, service: &Node) {
        let mut seen: BTreeMap<String, Span> = BTreeMap::new();
        let tmpfs = items(service, "tmpfs").iter().filter_map(|node| {
            Some((
                node.as_text()?
                    .split(':')
                    .next()?
                    .trim_end_matches('/')
                    .to_owned(),
                node.span,
            ))
        });
        let volumes = items(service, "volumes")
            .iter()
            .filter_map(|node| Some((node.text_at("target")?.to_owned(), node.span)));
        for (target, span) in tmpfs.chain(volumes) {
            if let Some(first) = seen.insert(target.clone(), span) {
                let finding =
                    Diagnostic::error(format!("services.{name} mounts twice on {target}"), span);
                self.diagnostics
                    .push(finding.also(first, "first mounted here"));
            }
        }
        for volume in items(service, "volumes")
            .iter()
            .filter(|volume| volume.text_at("type") == Some("volume"))
        {
            self.reference(
                &format!("services.{name}.volumes"),
                "volume",
                volume.get("source"),
                "volumes",
            );
        }
    }

    fn references(&mut self, name: &str, service: &Node) {
        for (key, word) in [("secrets", "secret"), ("configs", "config")] {
            for mount in items(service, key) {
                self.reference(
                    &format!("services.{name}.{key}"),
                    word,
                    mount.get("source"),
                    key,
                );
            }
        }
        for (model, entry) in section(service, "models") {
            if self
                .tree
                .get("models")
                .and_then(|models| models.get(model))
                .is_none()
            {
                self.unknown(
                    &format!("services.{name}.models"),
                    "model",
                    model,
                    entry.key,
                    "models",
                );
            }
        }
    }

    fn reference(&mut self, place: &str, word: &str, source: Option<&Node>, key: &str) {
        let Some(source) = source else { return };
        let name = source.as_text().unwrap_or_default();
        if self
            .tree
            .get(key)
            .and_then(|resources| resources.get(name))
            .is_none()
        {
            self.unknown(place, word, name, source.span, key);
        }
    }

    fn unknown(&mut self, place: &str, word: &str, name: &str, span: Span, key: &str) {
        let mut finding = Diagnostic::error(format!("{place}: there is no {word} {name:?}"), span);
        let known = section(self.tree, key).map(|(name, _)| name.as_str());
        finding = match nearest(name, known) {
            Some(close) => finding.help(format!("did you mean {close}?")),
            None => finding.help(format!("declare it at the top level, under {key}")),
        };
        self.diagnostics.push(finding);
    }

    /// Facts that can be said in two places must agree.
    fn numbers(&mut self, name: &str, service: &Node) {
        let resources = service
            .get("deploy")
            .and_then(|deploy| deploy.get("resources"));
        let limits = resources.and_then(|resources| resources.get("limits"));
        let reservations = resources.and_then(|resources| resources.get("reservations"));
        let replicas = service
            .get("deploy")
            .and_then(|deploy| deploy.get("replicas"));
        for (key, place, other) in [
            (
                "cpus",
                "deploy.resources.limits.cpus",
                limits.and_then(|limits| limits.get("cpus")),
            ),
            (
                "mem_limit",
                "deploy.resources.limits.memory",
                limits.and_then(|limits| limits.get("memory")),
            ),
            (
                "pids_limit",
                "deploy.resources.limits.pids",
                limits.and_then(|limits| limits.get("pids")),
            ),
            (
                "mem_reservation",
                "deploy.resources.reservations.memory",
                reservations.and_then(|r| r.get("memory")),
            ),
            ("scale", "deploy.replicas", replicas),
        ] {
            if let (Some(one), Some(other)) = (service.get(key), other)
                && one.as_text() != other.as_text()
            {
                let title = format!("services.{name}: {key} and {place} differ");
                self.diagnostics
                    .push(Diagnostic::error(title, one.span).also(other.span, "the other value"));
            }
        }
        let scale = service.get("scale").or(replicas);
        let count = scale.and_then(|scale| scale.as_text()?.parse::<i64>().ok());
        if let (Some(scale), Some(count)) = (scale, count) {
            if count < 0 {
                self.error(
                    format!("services.{name} cannot run {count} times"),
                    scale.span,
                );
            }
            if let (true, Some(own)) = (count > 1, service.get("container_name")) {
                let title =
                    format!("services.{name} has a container_name, so it cannot run {count} times");
                self.diagnostics.push(
                    Diagnostic::error(title, own.span).also(scale.span, "the number of containers"),
                );
            }
        }
    }

    fn watch(&mut self, name: &str, service: &Node) {
        for watch in service
            .get("develop")
            .map(|develop| items(develop, "watch"))
            .unwrap_or_default()
        {
            let needs_target = !matches!(watch.text_at("action"), Some("rebuild" | "restart"));
            if needs_target && watch.get("target").is_none() {
                self.error(
                    format!("services.{name}.develop.watch: this action needs a target"),
                    watch.span,
                );
            }
        }
    }

    fn secrets(&mut self) {
        for (name, entry) in section(self.tree, "secrets") {
            let secret = &entry.value;
            let content = secret.get("file").or(secret.get("environment"));
            if content.is_none() && secret.text_at("external") != Some("true") {
                self.error(
                    format!("secrets.{name} has neither file nor environment"),
                    entry.key,
                );
            }
        }
    }

    fn container_names(&mut self) {
        let mut seen: BTreeMap<&str, (&str, Span)> = BTreeMap::new();
        let mut repeated = Vec::new();
        for (service, entry) in section(self.tree, "services") {
            let Some(node) = entry.value.get("container_name") else {
                continue;
            };
            let Some(name) = node.as_text() else { continue };
            if let Some((first, span)) = seen.insert(name, (service, node.span)) {
                let title =
                    format!("services.{service} and services.{first} are both to be called {name}");
                repeated.push(Diagnostic::error(title, node.span).also(span, "first named here"));
            }
        }
        repeated
            .into_iter()
            .for_each(|finding| self.diagnostics.push(finding));
    }

    /// Depth-first over `depends_on`; a service met again on its own way down closes a circle.
    fn circles(&mut self) {
        let names: Vec<&str> = section(self.tree, "services")
            .map(|(name, _)| name.as_str())
            .collect();
        let mut finished: Vec<&str> = Vec::new();
        for name in names {
            let mut way = Vec::new();
            if let Some((circle, span)) = find_circle(self.tree, name, &mut way, &mut finished) {
                return self.error(
                    format!(
                        "services depend on each other in a circle: {}",
                        circle.join(" -> ")
                    ),
                    span,
                );
            }
        }
    }
}

fn find_circle<'a>(
    tree: &'a Node,
    name: &'a str,
    way: &mut Vec<&'a str>,
    finished: &mut Vec<&'a str>,
) -> Option<(Vec<&'a str>, Span)> {
    if finished.contains(&name) {
        return None;
    }
    way.push(name);
    let service = tree.get("services").and_then(|services| services.get(name));
    for (other, entry) in service
        .into_iter()
        .flat_map(|service| section(service, "depends_on"))
    {
        if let Some(start) = way.iter().position(|step| step == other) {
            let circle = way[start..]
                .iter()
                .copied()
                .chain([other.as_str()])
                .collect();
            return Some((circle, entry.key));
        }
        if let Some(found) = find_circle(tree, other, way, finished) {
            return Some(found);
        }
    }
    way.pop();
    finished.push(name);
    None
}
