//! `ps`: the processes of a container, as the host sees them.
//!
//! In: a container. Out: their ids as JSON, or the lines about them that the host's ps(1) prints.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

use super::options::{End, Given, value};
use super::{Call, Verb, print};

pub(super) const VERB: Verb = Verb {
    name: "ps",
    usage: "ID [PS-OPTIONS]",
    about: "Print the processes of a container",
    flags: &[value("format", "FORMAT", "table or json").or("f")],
    end: End::SecondWord,
    run,
    failure: 1,
};

fn run(call: &Call, given: &Given) -> anyhow::Result<ExitCode> {
    let (id, rest) = given.id(usize::MAX)?;
    let pids = call.container(id)?.state.cgroup.pids()?;
    match given.text("format")?.as_deref() {
        Some("json") => print(&format!("{}\n", serde_json::to_string(&pids)?)),
        None | Some("table" | "") => print(&chosen(&all(rest)?, &pids)?),
        Some(other) => bail!("invalid format option {other:?}"),
    }
}

fn all(options: &[OsString]) -> anyhow::Result<String> {
    let usual = [OsString::from("-ef")];
    let options = if options.is_empty() { &usual } else { options };
    let output = Command::new("ps")
        .args(options)
        .output()
        .context("run ps")?;
    if !output.status.success() {
        bail!(
            "ps failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The heading and the lines whose PID is one of `pids`.
fn chosen(table: &str, pids: &[i32]) -> anyhow::Result<String> {
    let mut lines = table.lines();
    let heading = lines.next().unwrap_or_default();
    let column = heading.split_whitespace().position(|word| word == "PID");
    let column = column.context("ps printed no column PID; ask it for one")?;
    let is_chosen = |line: &&str| {
        let pid = line
            .split_whitespace()
            .nth(column)
            .and_then(|word| word.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    let lines = std::iter::once(heading).chain(lines.filter(is_chosen));
    Ok(lines.map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn lines_are_chosen_by_the_pid_column() {
        let table = "UID   PID  PPID CMD\nroot  12   1    a 13\nroot  13   12   b\n";
        assert_eq!(
            chosen(table, &[13]).unwrap(),
            "UID   PID  PPID CMD\nroot  13   12   b\n"
        );
        assert!(chosen("UID CMD\n", &[1]).is_err());
    }
}
