//! `state`: what a container is and does, as JSON (runtime.md, State).

use std::process::ExitCode;

use runtime::Container;
use serde::Serialize;

use super::options::{End, Given};
use super::{Call, Verb, print};

pub(super) const VERB: Verb = Verb {
    name: "state",
    usage: "ID",
    about: "Print the state of a container",
    flags: &[],
    end: End::Never,
    run,
    failure: 1,
};

fn run(call: &Call, given: &Given) -> anyhow::Result<ExitCode> {
    let container = call.container(given.id(0)?.0)?;
    let text = serde_json::to_string_pretty(&Shown::of(&container)?)?;
    print(&format!("{text}\n"))
}

/// The state as runc prints it: the specification's fields and four of its own.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    oci_version: String,
    pub(super) id: String,
    pub(super) pid: i32,
    pub(super) status: String,
    pub(super) bundle: String,
    rootfs: String,
    pub(super) created: String,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    annotations: std::collections::BTreeMap<String, String>,
    pub(super) owner: String,
}

impl Shown {
    pub(super) fn of(container: &Container) -> anyhow::Result<Shown> {
        let state = &container.state;
        let status = container.status()?;
        let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&container.dir)?);
        Ok(Shown {
            oci_version: state.oci_version.clone(),
            id: state.id.clone(),
            // A process that ended has no id any more.
            pid: if status == runtime::Status::Stopped {
                0
            } else {
                state.pid
            },
            status: status.to_string(),
            bundle: state.bundle.display().to_string(),
            rootfs: state.rootfs.display().to_string(),
            created: state.created.clone(),
            annotations: state.annotations.clone(),
            owner: if owner == 0 {
                "root".to_owned()
            } else {
                format!("#{owner}")
            },
        })
    }
}
