//! `list`: all containers below `--root`.

use std::fmt::Write;
use std::fs;
use std::io;
use std::process::ExitCode;

use anyhow::{Context, bail};
use runtime::Container;

use super::options::{End, Given, switch, value};
use super::state::Shown;
use super::{Call, Verb, print};

pub(super) const VERB: Verb = Verb {
    name: "list",
    usage: "",
    about: "List the containers",
    flags: &[
        value("format", "FORMAT", "table or json").or("f"),
        switch("quiet", "Only the ids").or("q"),
    ],
    end: End::Never,
    run,
    failure: 1,
};

fn run(call: &Call, given: &Given) -> anyhow::Result<ExitCode> {
    let containers = containers(call)?;
    if given.switch("quiet")? {
        return print(
            &containers
                .iter()
                .map(|c| format!("{}\n", c.id))
                .collect::<String>(),
        );
    }
    match given.text("format")?.as_deref() {
        None | Some("table" | "") => print(&table(&containers)),
        Some("json") => print(&format!("{}\n", serde_json::to_string(&containers)?)),
        Some(other) => bail!("invalid format option {other:?}"),
    }
}

fn containers(call: &Call) -> anyhow::Result<Vec<Shown>> {
    let entries = match fs::read_dir(&call.states) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("read {}", call.states.display())),
    };
    let mut containers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        // One that is being created or deleted at this moment is not there yet, or no longer.
        let container = name
            .to_str()
            .and_then(|id| Container::load(&call.states, id).ok());
        containers.extend(container.and_then(|container| Shown::of(&container).ok()));
    }
    containers.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(containers)
}

fn table(containers: &[Shown]) -> String {
    let mut rows = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned)];
    rows.extend(containers.iter().map(|c| {
        let pid = c.pid.to_string();
        [&c.id, &pid, &c.status, &c.bundle, &c.created, &c.owner].map(String::clone)
    }));
    let width = |column: usize| {
        let widest = rows.iter().map(|row| row[column].chars().count()).max();
        widest.unwrap_or_default().max(9) + 3
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let line = row
            .iter()
            .zip(widths)
            .fold(String::new(), |mut line, (cell, width)| {
                let _ = write!(line, "{cell:<width$}");
                line
            });
        text += line.trim_end();
        text.push('\n');
    }
    text
}
