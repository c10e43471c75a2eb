//! What a host consists of at one moment, to be compared with a later one: the leak check.
//!
//! In: a [`Host`]. Out: named lines (mounts, links, nftables, processes, files); [`Snapshot::added`] is what a later
//! snapshot has more. `scripts/test` does the same once more for the whole machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::host::Host;
use crate::process;

/// Everything of a host that a command could leave behind, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    lines: BTreeSet<String>,
}

impl Snapshot {
    /// Looks at `host` now.
    pub fn of(host: &Host) -> Self {
        let mut lines = BTreeSet::new();
        lines.extend(mounts(host.name()));
        lines.extend(links(host));
        lines.extend(rules(host));
        lines.extend(
            process::of_host(host.name(), &host.network().path(), host.network().pid())
                .into_iter()
                .map(|found| format!("process {} {}", found.pid, found.command)),
        );
        files(&host.state(), &mut lines);
        Self { lines }
    }

    /// What `later` has that this one has not.
    pub fn added(&self, later: &Self) -> Vec<String> {
        later.lines.difference(&self.lines).cloned().collect()
    }

    /// Waits up to five seconds until `host` has nothing that this snapshot has not.
    ///
    /// # Panics
    /// With the list of what was left behind.
    #[track_caller]
    pub fn assert_nothing_added(&self, host: &Host) {
        let mut left = Vec::new();
        for _ in 0..100 {
            left = self.added(&Self::of(host));
            if left.is_empty() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("left behind:\n{}", left.join("\n"));
    }
}

fn mounts(name: &str) -> Vec<String> {
    fs::read_to_string("/proc/self/mountinfo")
        .unwrap_or_default()
        .lines()
        .filter(|line| line.contains(name))
        .map(|line| format!("mount {}", line.split(' ').nth(4).unwrap_or(line)))
        .collect()
}

fn links(host: &Host) -> Vec<String> {
    let links = host.ip(["link"]);
    links
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|link| Some(format!("link {}", link["ifname"].as_str()?)))
        .collect()
}

fn rules(host: &Host) -> Vec<String> {
    let mut listing = host.command("nft");
    listing.args(["list", "ruleset"]);
    let text = listing.output().map(|output| output.stdout);
    String::from_utf8_lossy(&text.unwrap_or_default())
        .lines()
        .map(|line| format!("nft {}", line.trim()))
        .filter(|line| line.len() > "nft }".len())
        .collect()
}

fn files(directory: &Path, lines: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        lines.insert(format!("file {}", path.display()));
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files(&path, lines);
        }
    }
}
