//! `prune`: removes every stopped container.

use jiff::{SignedDuration, Timestamp};

use crate::list::{Filters, Status, Summary};
use crate::remove::Remove;
use crate::volume::has_label;
use crate::{Engine, Error, Result};

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Ids.
    pub removed: Vec<String>,
    /// Bytes freed.
    pub bytes: u64,
}

impl Engine {
    /// Removes the stopped containers that pass docker's filters (label, label!, until).
    pub fn prune(&self, filters: &[(String, String)]) -> Result<Pruned> {
        let mut pruned = Pruned::default();
        for one in self.list(&Filters {
            all: true,
            filters: Vec::new(),
        })? {
            let stopped = matches!(one.status, Status::Created | Status::Exited | Status::Dead);
            if !stopped || self.is_active(&one.id) || !passes(&one, filters)? {
                continue;
            }
            let size = self.container_size(&one.id);
            match self.remove(&one.id, Remove::default()) {
                Ok(id) => pruned.removed.push(id),
                // Started or removed since we looked: neither is ours to touch.
                Err(Error::Running { .. } | Error::NoSuchContainer(_)) => continue,
                Err(error) => return Err(error),
            }
            pruned.bytes += size;
        }
        Ok(pruned)
    }
}

fn passes(one: &Summary, filters: &[(String, String)]) -> Result<bool> {
    for (key, value) in filters {
        let pass = match key.as_str() {
            "label" => has_label(&one.labels, value),
            "label!" => !has_label(&one.labels, value),
            "until" => one.created < until(value)?,
            _ => {
                return Err(Error::invalid(
                    "filter",
                    key.as_str(),
                    "give label, label! or until",
                ));
            }
        };
        if !pass {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A moment (RFC 3339, or seconds since 1970), or a time back from now (`24h`, `1h30m`).
fn until(text: &str) -> Result<Timestamp> {
    let refuse = || {
        Error::invalid(
            "filter",
            format!("until={text}"),
            "give a time such as 2026-01-31T12:00:00Z, or 24h",
        )
    };
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return Timestamp::from_second(seconds).map_err(|_| refuse());
    }
    let back: SignedDuration = text.parse().map_err(|_| refuse())?;
    Timestamp::now().checked_sub(back).map_err(|_| refuse())
}
