//! A [`Script`] as a shell script: the same container, made by the tools a person would type.
//!
//! In go the steps that `play.rs` plays and those that undo them; out comes text for bash with
//! coreutils, util-linux, iproute2 and nftables. Where no tool can do a step, a comment says so and
//! what the container then lacks. `line.rs` has the line for each [`Op`]; here is how two
//! processes take turns, which `play.rs` does with a socket and this does with two pipes.
//!
//! Three things are not as in `play.rs`, because a shell has to run programs for everything:
//!
//! - What runs another program to change itself (`unshare`, `nsenter`) ends a stage: the shell
//!   replaces itself by that tool, which starts it again at the next stage.
//! - After `pivot_root` the host's tools are out of reach by name. The shell stays in the host's old
//!   root directory, from which they can still be run, through the host's loader and libraries.
//! - Paths of the image are resolved by a function and opened by name later, so an image that
//!   changes meanwhile could redirect them. Lighter itself holds what it resolved.

mod line;
mod network;

use std::fmt::Write as _;

use crate::op::{Clone3, Op};
use crate::script::{Script, Side, Step};

pub use line::quote;

/// The text of a bash script that does what `script` says, waits for the program, then plays `undo`.
pub fn script(title: &str, script: &Script, undo: &[Step]) -> String {
    let mut writer = Writer::default();
    for (index, step) in script.steps.iter().enumerate() {
        writer.step(index + 1, step);
    }
    writer.finish(title, undo)
}

/// The lines of one step, as they would stand in a script of their own.
pub fn lines(op: &Op, side: Side) -> Vec<String> {
    let context = line::Context {
        side,
        pivoted: false,
        trees: Vec::new(),
    };
    let mut written = line::lines(op, &context);
    written
        .lines
        .extend(written.restarts_by.map(|tool| format!("exec {tool} bash")));
    written.lines
}

/// Collects both sides.
#[derive(Default)]
struct Writer {
    host: String,
    stages: Vec<String>,
    pivoted: bool,
    trees: Vec<crate::op::Tree>,
    last: Option<Side>,
    born: bool,
    /// What takes the network away when nobody else is on it.
    network: Vec<String>,
    bridge: String,
}

impl Writer {
    fn step(&mut self, number: usize, step: &Step) {
        self.turn(step.side);
        let heading = format!(
            "\n  # {number}. {}. {}",
            step.why,
            step.op.manual().join(", ")
        );
        let context = line::Context {
            side: step.side,
            pivoted: self.pivoted,
            trees: self.trees.clone(),
        };
        match &step.op {
            Op::Clone(how) => {
                let _ = writeln!(self.host, "{heading}\n{}", birth(how));
                self.born = true;
                self.stages.push(String::new());
                return;
            }
            Op::PivotRoot | Op::MoveRoot { .. } | Op::EnterRoot { .. } => self.pivoted = true,
            Op::OpenTree(tree) => self.trees.push(tree.clone()),
            Op::BridgeAdd(bridge) => {
                self.network
                    .push(format!("leave_bridge {}", quote(&bridge.name)));
                self.bridge.clone_from(&bridge.name);
            }
            Op::FirewallAdd { table, elements } if step.side == Side::Host => {
                self.network
                    .extend(network::leave_firewall(&self.bridge, table, elements));
            }
            _ => {}
        }
        let written = line::lines(&step.op, &context);
        let text = self.side(step.side);
        let _ = writeln!(text, "{heading}");
        for line in written.lines {
            let _ = writeln!(text, "  {line}");
        }
        if let Some(tool) = written.restarts_by {
            self.next_stage(&tool);
        }
    }

    fn side(&mut self, side: Side) -> &mut String {
        match side {
            Side::Host => &mut self.host,
            Side::Container => {
                if self.stages.is_empty() {
                    self.stages.push(String::new());
                }
                let last = self.stages.len() - 1;
                &mut self.stages[last]
            }
        }
    }

    /// At each change of side one process tells the other to go on.
    fn turn(&mut self, side: Side) {
        if self.last == Some(side) || !self.born {
            self.last = Some(side);
            return;
        }
        match side {
            Side::Container => {
                self.host.push_str("\n  tell_container\n");
                self.side(Side::Container).push_str("\n  wait_for_host\n");
            }
            Side::Host => {
                self.side(Side::Container).push_str("\n  tell_host\n");
                self.host.push_str("\n  wait_for_container\n");
            }
        }
        self.last = Some(side);
    }

    /// The shell replaces itself by a tool that starts it again.
    fn next_stage(&mut self, tool: &str) {
        let next = self.stages.len() + 1;
        let text = self.side(Side::Container);
        let _ = writeln!(
            text,
            "  exec {tool} bash -c \"$(declare -f); container_{next}\""
        );
        self.stages.push(String::new());
    }

    fn finish(&self, title: &str, undo: &[Step]) -> String {
        let mut text = PREAMBLE.replace("@TITLE@", title);
        for (index, stage) in self.stages.iter().enumerate() {
            let number = index + 1;
            let _ = writeln!(text, "\ncontainer_{number}() {{\n  set -euo pipefail");
            text.push_str("  start_stage\n");
            if number == 1 {
                text.push_str("  born_inside\n");
            }
            let _ = writeln!(text, "{stage}}}");
        }
        let _ = writeln!(text, "\nundo() {{\n  set +e\n  trap - EXIT");
        for step in undo {
            let context = line::Context {
                side: Side::Host,
                pivoted: false,
                trees: Vec::new(),
            };
            let _ = writeln!(text, "  # {}", step.why);
            for line in line::lines(&step.op, &context).lines {
                let _ = writeln!(text, "  {line}");
            }
        }
        for line in &self.network {
            let _ = writeln!(text, "  {line}");
        }
        let _ = writeln!(
            text,
            "}}\n\nhost() {{\n  find_loader\n  trap 'code=$?; undo; exit $code' EXIT\n{}",
            self.host
        );
        text.push_str("  wait \"$born\"\n}\n\nhost\n");
        text
    }
}

/// `unshare` makes the namespaces and starts this shell again inside them.
fn birth(how: &Clone3) -> String {
    let mut join = String::new();
    for op in &how.first {
        match op {
            Op::Join { namespace, path } => {
                let _ = write!(
                    join,
                    "--{}={} ",
                    line::word(*namespace),
                    quote(&path.display().to_string())
                );
            }
            Op::JoinHeld { namespaces } => {
                for kind in namespaces {
                    let _ = write!(
                        join,
                        "--{}=\"/proc/$held/ns/{}\" ",
                        line::word(*kind),
                        kind.file()
                    );
                }
            }
            _ => {}
        }
    }
    let nsenter = if join.is_empty() {
        String::new()
    } else {
        format!("nsenter {join}-- ")
    };
    let kinds: String = how
        .new
        .iter()
        .map(|kind| format!("--{} ", line::word(*kind)))
        .collect();
    let keep = if how.new.contains(&crate::namespace::Namespace::User) {
        "--keep-caps "
    } else {
        ""
    };
    let cgroup = match &how.cgroup {
        Some(path) => format!(
            "echo \"$BASHPID\" >{}\n    ",
            quote(&path.join("cgroup.procs").display().to_string())
        ),
        None => String::new(),
    };
    format!(
        "  open_pipes\n  (\n    {cgroup}exec {nsenter}unshare {kinds}{keep}--fork --propagation unchanged \\\n      \
         bash -c \"$(declare -f); container_1\"\n  ) <&0 &\n  born=$!\n  hear pid"
    )
}

/// What every script begins with.
const PREAMBLE: &str = include_str!("shell/preamble.sh");

#[cfg(test)]
mod tests;
