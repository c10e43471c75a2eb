//! Relative paths in a canonical tree to absolute ones.
//!
//! A path starts from the directory of the file that it is written in (for the main files: the project directory), which
//! the value's own span tells. `~` is the home directory. Paths inside containers are not touched.

use std::path::Path;

use crate::short::clean_path;
use crate::yaml::{Node, Sources, Value};

/// Makes every host path of the tree absolute.
pub(crate) fn absolute(tree: &mut Node, sources: &Sources, home: Option<&str>) {
    let resolve = Resolve { sources, home };
    for service in values(tree, "services") {
        resolve.service(service);
    }
    for section in ["secrets", "configs"] {
        for resource in values(tree, section) {
            resolve.at(resource, "file");
        }
    }
    for volume in values(tree, "volumes") {
        resolve.volume(volume);
    }
}

/// The values under a key.
fn values<'a>(node: &'a mut Node, key: &str) -> impl Iterator<Item = &'a mut Node> + use<'a> {
    node.get_mut(key)
        .and_then(Node::as_mapping_mut)
        .into_iter()
        .flat_map(|map| map.values_mut())
        .map(|entry| &mut entry.value)
}

/// The items under a key.
fn items<'a>(node: &'a mut Node, key: &str) -> impl Iterator<Item = &'a mut Node> + use<'a> {
    let items = match node.get_mut(key).map(|node| &mut node.value) {
        Some(Value::Sequence(items)) => items.as_mut_slice(),
        _ => &mut [],
    };
    items.iter_mut()
}

struct Resolve<'a> {
    sources: &'a Sources,
    home: Option<&'a str>,
}

impl Resolve<'_> {
    fn service(&self, service: &mut Node) {
        if let Some(build) = service.get_mut("build") {
            self.context_at(build, "context");
            values(build, "additional_contexts").for_each(|context| self.context(context));
            values(build, "ssh").for_each(|key| self.path(key));
        }
        items(service, "env_file").for_each(|file| self.at(file, "path"));
        items(service, "label_file").for_each(|file| self.path(file));
        items(service, "volumes")
            .filter(|volume| volume.text_at("type") == Some("bind"))
            .for_each(|volume| {
                self.at(volume, "source");
            });
        if let Some(develop) = service.get_mut("develop") {
            items(develop, "watch").for_each(|watch| self.watched(watch));
        }
    }

    fn volume(&self, volume: &mut Node) {
        let local = volume.text_at("driver") == Some("local");
        let Some(options) = volume.get_mut("driver_opts") else {
            return;
        };
        if local && options.text_at("o") == Some("bind") {
            match options.get_mut("device") {
                Some(device) if device.as_text() == Some("") => {
                    *device = Node::text(".", device.span)
                }
                _ => {}
            }
            self.at(options, "device");
        }
    }

    fn watched(&self, watch: &mut Node) {
        self.at(watch, "path");
        let Some(path) = watch.get_mut("path") else {
            return;
        };
        if let Some(real) = path
            .as_text()
            .and_then(|path| std::fs::canonicalize(path).ok())
        {
            *path = Node::text(real.to_string_lossy(), path.span);
        }
    }

    fn at(&self, node: &mut Node, key: &str) {
        if let Some(value) = node.get_mut(key) {
            self.path(value);
        }
    }

    fn context_at(&self, node: &mut Node, key: &str) {
        if let Some(value) = node.get_mut(key) {
            self.context(value);
        }
    }

    fn context(&self, node: &mut Node) {
        let remote = ["git@", "github.com/", "service:"];
        let local = node.as_text().is_some_and(|text| {
            !text.contains("://") && !remote.iter().any(|p| text.starts_with(p))
        });
        if local {
            self.path(node);
        }
    }

    fn path(&self, node: &mut Node) {
        let Some(text) = node.as_text().filter(|text| !text.is_empty()) else {
            return;
        };
        let Some(source) = self.sources.get(node.span.file) else {
            return;
        };
        *node = Node::text(absolute_path(text, &source.directory, self.home), node.span);
    }
}

/// `text` as an absolute path, from `directory` if it is relative.
#[must_use]
pub(crate) fn absolute_path(text: &str, directory: &Path, home: Option<&str>) -> String {
    let expanded = match (text.strip_prefix('~'), home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            clean_path(&format!("{home}/{rest}"))
        }
        _ => text.to_owned(),
    };
    if expanded.starts_with('/') || is_foreign(&expanded) {
        expanded
    } else {
        clean_path(&format!("{}/{expanded}", directory.display()))
    }
}

/// `C:\dir`: absolute on another system, and certainly no relative path here.
fn is_foreign(path: &str) -> bool {
    let mut chars = path.chars();
    let drive = chars.next().is_some_and(|c| c.is_ascii_alphabetic()) && chars.next() == Some(':');
    drive && matches!(chars.next(), Some('\\' | '/'))
}
