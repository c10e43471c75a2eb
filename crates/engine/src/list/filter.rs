//! docker's `--filter` for containers: values of one key are alternatives, different keys are all required, labels too.

use jiff::Timestamp;

use super::{Filters, Status, Summary};
use crate::volume::has_label;
use crate::{Engine, Error, Result};

const KEYS: &str = "id, name, label, exited, status, ancestor, before, since, volume, network, publish, expose, health \
                    or is-task";

/// Filters, checked, with the times of the containers they name looked up.
pub(super) struct Filter<'a> {
    which: &'a Filters,
    before: Vec<Timestamp>,
    since: Vec<Timestamp>,
}

impl<'a> Filter<'a> {
    pub(super) fn new(engine: &Engine, which: &'a Filters) -> Result<Self> {
        let mut filter = Self {
            which,
            before: Vec::new(),
            since: Vec::new(),
        };
        for (key, value) in &which.filters {
            match key.as_str() {
                "before" => filter.before.push(engine.find(value)?.created),
                "since" => filter.since.push(engine.find(value)?.created),
                "status" => check_status(value)?,
                "exited" => check_number(value)?,
                "id" | "name" | "label" | "ancestor" | "volume" | "network" | "publish"
                | "expose" | "health" | "is-task" => {}
                _ => {
                    return Err(Error::invalid(
                        "filter",
                        key.as_str(),
                        format!("give {KEYS}"),
                    ));
                }
            }
        }
        Ok(filter)
    }

    pub(super) fn passes(&self, one: &Summary) -> bool {
        // docker shows stopped ones too when the filter is about them.
        let about_stopped = |key: &str| matches!(key, "status" | "exited" | "before" | "since");
        let all = self.which.all || self.which.filters.iter().any(|(key, _)| about_stopped(key));
        if !all && !one.status.is_up() && one.status != Status::Restarting {
            return false;
        }
        let labels = self.which.filters.iter().filter(|(key, _)| key == "label");
        labels
            .into_iter()
            .all(|(_, label)| has_label(&one.labels, label))
            && self.before.iter().all(|time| one.created < *time)
            && self.since.iter().all(|time| one.created > *time)
            && self.others_pass(one)
    }

    fn others_pass(&self, one: &Summary) -> bool {
        let filters = &self.which.filters;
        filters
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "label" | "before" | "since"))
            .all(|(key, _)| {
                filters
                    .iter()
                    .filter(|(other, _)| other == key)
                    .any(|(key, value)| fits(one, key, value))
            })
    }
}

fn fits(one: &Summary, key: &str, value: &str) -> bool {
    match key {
        "id" => one.id.starts_with(value),
        "name" => {
            one.name.contains(value.trim_matches(['^', '$', '/'])) && anchored(&one.name, value)
        }
        "exited" => {
            one.status == Status::Exited
                && one.exit_code.map(|c| c.to_string()).as_deref() == Some(value)
        }
        "status" => one.status.word() == value,
        "health" => one.health.map_or("none", |health| health.word()) == value,
        "ancestor" => ancestor(one, value),
        "volume" => one
            .mounts
            .iter()
            .any(|m| m.name.as_deref() == Some(value) || m.target == value || m.source == value),
        "network" => one.networks.iter().any(|network| network.name == value),
        "publish" => one.ports.iter().any(|port| {
            port_fits(value, port.container_port, port.protocol.word())
                || port
                    .host_port
                    .is_some_and(|host| port_fits(value, host, port.protocol.word()))
        }),
        "expose" => one
            .exposed
            .iter()
            .any(|port| port_fits(value, port.port, port.protocol.word())),
        "is-task" => value == "false",
        _ => true,
    }
}

fn anchored(name: &str, pattern: &str) -> bool {
    let bare = pattern
        .trim_start_matches('^')
        .trim_start_matches('/')
        .trim_end_matches('$');
    (!pattern.starts_with('^') || name.starts_with(bare))
        && (!pattern.ends_with('$') || name.ends_with(bare))
}

fn ancestor(one: &Summary, value: &str) -> bool {
    let bare = one
        .image_id
        .strip_prefix("sha256:")
        .unwrap_or(&one.image_id);
    let wanted = value.strip_prefix("sha256:").unwrap_or(value);
    let by_id = wanted.len() >= 4 && bare.starts_with(wanted);
    let familiar = one
        .image
        .strip_prefix("docker.io/library/")
        .or_else(|| one.image.strip_prefix("docker.io/"));
    let names = [Some(one.image.as_str()), familiar];
    by_id
        || names
            .into_iter()
            .flatten()
            .any(|name| untagged(name) == untagged(value))
}

/// Without the tag that is meant when there is none.
fn untagged(name: &str) -> &str {
    name.strip_suffix(":latest").unwrap_or(name)
}

/// `80`, `80/tcp` or `80-90/tcp`.
fn port_fits(value: &str, port: u16, protocol: &str) -> bool {
    let (numbers, wanted) = value.split_once('/').unwrap_or((value, "tcp"));
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let within = |first: u16, last: u16| (first..=last).contains(&port);
    wanted == protocol
        && first
            .parse()
            .ok()
            .zip(last.parse().ok())
            .is_some_and(|(f, l)| within(f, l))
}

fn check_status(value: &str) -> Result<()> {
    let known = [
        "created",
        "restarting",
        "running",
        "removing",
        "paused",
        "exited",
        "dead",
    ];
    if known.contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(
        "filter",
        format!("status={value}"),
        format!("give one of {}", known.join(", ")),
    ))
}

fn check_number(value: &str) -> Result<()> {
    match value.parse::<i32>() {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::invalid(
            "filter",
            format!("exited={value}"),
            "give an exit code",
        )),
    }
}
