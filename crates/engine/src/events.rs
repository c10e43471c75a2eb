//! `events`: what happened to containers, volumes and networks, one JSON line each in the state directory.
//!
//! Whoever does something appends one line with one write(2), so that lines of several processes never mix. The file lies on
//! a tmpfs and is begun anew when it is large: it tells what happens, it is no archive.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::record::Record;
use crate::{Engine, Error, Result};

const LARGEST: u64 = 4 << 20;
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// One event, docker's shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// `container`, `volume`, `network` or `image`.
    pub kind: String,
    /// `create`, `start`, `die`, `destroy`, `health_status: healthy`, ...
    pub action: String,
    /// Id of what it is about.
    pub id: String,
    /// `name`, `image`, `exitCode`, ...
    pub attributes: BTreeMap<String, String>,
}

/// Which events.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// Not before; none begins now.
    pub since: Option<Timestamp>,
    /// Ends there; none goes on for ever.
    pub until: Option<Timestamp>,
    /// docker's filters: container event image label type volume network.
    pub filters: Vec<(String, String)>,
}

impl Engine {
    /// Gives events to `sink` until it breaks off or `until` is reached.
    pub fn events(
        &self,
        query: &EventQuery,
        sink: &mut dyn FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<()> {
        check_filters(&query.filters)?;
        let path = self.paths.events();
        let fail = |e| Error::path("read", &path)(e);
        let mut file = BufReader::new(open(&path)?);
        if query.since.is_none() {
            file.seek(SeekFrom::End(0)).map_err(fail)?;
        }
        let mut line = Vec::new();
        loop {
            while file.read_until(b'\n', &mut line).map_err(fail)? > 0 {
                if line.last() != Some(&b'\n') {
                    break;
                }
                let event = serde_json::from_slice::<Event>(&line).ok();
                line.clear();
                let wanted =
                    event.filter(|event| within(event, query) && passes(event, &query.filters));
                if wanted.is_some_and(|event| sink(&event).is_break()) {
                    return Ok(());
                }
            }
            if query.until.is_some_and(|until| Timestamp::now() >= until) {
                return Ok(());
            }
            if begun_anew(&path, file.get_ref()) {
                file = BufReader::new(open(&path)?);
                line.clear();
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Writes one event down.
    pub fn record_event(&self, event: &Event) -> Result<()> {
        let path = self.paths.events();
        let fail = |e| Error::path("write", &path)(e);
        let mut text = serde_json::to_vec(event).map_err(|e| Error::Damaged {
            path: path.clone(),
            why: e.to_string(),
        })?;
        text.push(b'\n');
        let mut file = open(&path)?;
        file.write_all(&text).map_err(fail)?;
        if file.metadata().map_err(fail)?.len() > LARGEST {
            std::fs::rename(&path, path.with_extension("old")).map_err(fail)?;
        }
        Ok(())
    }

    /// Writes down what happened to a container.
    pub(crate) fn note(
        &self,
        record: &Record,
        action: &str,
        more: &[(&str, String)],
    ) -> Result<()> {
        let mut attributes: BTreeMap<String, String> = record.config.labels.clone();
        attributes.insert("name".to_owned(), record.name.clone());
        attributes.insert("image".to_owned(), record.config.image.reference.clone());
        attributes.extend(
            more.iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone())),
        );
        self.record_event(&Event {
            time: Timestamp::now(),
            kind: "container".to_owned(),
            action: action.to_owned(),
            id: record.id.clone(),
            attributes,
        })
    }
}

fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    options.open(path).map_err(Error::path("open", path))
}

fn begun_anew(path: &Path, file: &File) -> bool {
    let (Ok(there), Ok(here)) = (std::fs::metadata(path), file.metadata()) else {
        return false;
    };
    there.ino() != here.ino()
}

fn within(event: &Event, query: &EventQuery) -> bool {
    query.since.is_none_or(|since| event.time >= since)
        && query.until.is_none_or(|until| event.time <= until)
}

fn check_filters(filters: &[(String, String)]) -> Result<()> {
    let known = [
        "container",
        "event",
        "image",
        "label",
        "type",
        "volume",
        "network",
    ];
    match filters
        .iter()
        .find(|(key, _)| !known.contains(&key.as_str()))
    {
        Some((key, _)) => Err(Error::invalid(
            "filter",
            key.as_str(),
            format!("give one of {}", known.join(", ")),
        )),
        None => Ok(()),
    }
}

/// Values of one key are alternatives, keys are all required.
fn passes(event: &Event, filters: &[(String, String)]) -> bool {
    filters.iter().all(|(key, _)| {
        filters
            .iter()
            .filter(|(other, _)| other == key)
            .any(|(key, value)| fits(event, key, value))
    })
}

fn fits(event: &Event, key: &str, value: &str) -> bool {
    let of = |kind: &str| {
        event.kind == kind
            && (event.id.starts_with(value)
                || event.attributes.get("name").is_some_and(|n| n == value))
    };
    match key {
        "container" => {
            of("container")
                || event
                    .attributes
                    .get("container")
                    .is_some_and(|c| c.starts_with(value))
        }
        "volume" => of("volume"),
        "network" => of("network"),
        "event" => event.action == value || event.action.split(':').next() == Some(value),
        "type" => event.kind == value,
        "image" => event
            .attributes
            .get("image")
            .is_some_and(|image| image == value || image.ends_with(&format!("/{value}"))),
        _ => crate::volume::has_label(&event.attributes, value),
    }
}
