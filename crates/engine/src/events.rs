//! `events`: what happened to containers, volumes and networks, one JSON line each in the state directory.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Engine, Result};

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
        let _ = (query, sink);
        todo!()
    }

    /// Writes one event down.
    pub fn record_event(&self, event: &Event) -> Result<()> {
        let _ = event;
        todo!()
    }
}
