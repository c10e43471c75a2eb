//! The processes that live because of one host, found by what the kernel shows of them.
//!
//! A process belongs to a host when it is in the host's network namespace (monitors, registries), names the host's
//! directory in its command line, or has a mount from that directory (containers: their root is an overlay of it).

use std::fs;
use std::path::Path;

/// A process, as found in /proc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its pid on the machine.
    pub pid: u32,
    /// Its command line, or its name when that is empty.
    pub command: String,
}

/// Every process of the host whose directory is called `name` and whose network namespace is at `network`.
///
/// The process `holder`, which only keeps the namespace, is left out.
pub fn of_host(name: &str, network: &Path, holder: u32) -> Vec<Process> {
    let network = fs::read_link(network).ok();
    let own_mounts = fs::read_link("/proc/self/ns/mnt").ok();
    every_pid()
        .filter(|pid| *pid != holder && *pid != std::process::id())
        .filter(|pid| {
            let directory = format!("/proc/{pid}");
            let link = |entry: &str| fs::read_link(format!("{directory}/{entry}")).ok();
            let in_network = network.is_some() && link("ns/net") == network;
            let has_mount = || {
                link("ns/mnt") != own_mounts
                    && fs::read_to_string(format!("{directory}/mountinfo"))
                        .is_ok_and(|text| text.contains(name))
            };
            in_network || command(*pid).contains(name) || has_mount()
        })
        .map(|pid| Process {
            pid,
            command: command(pid),
        })
        .collect()
}

/// Every pid in /proc.
pub fn every_pid() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Command line of a process with spaces between the words, empty when it is gone.
pub fn command(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    if line.trim().is_empty() {
        return fs::read_to_string(format!("/proc/{pid}/comm"))
            .unwrap_or_default()
            .trim()
            .to_owned();
    }
    line.trim().to_owned()
}

/// The cgroup directories of a process, one per hierarchy, where this machine mounts them.
pub fn cgroups(pid: u32) -> Vec<std::path::PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
            (!path.is_empty()).then(|| mount_of(controllers).join(path))
        })
        .filter(|path| path.is_dir())
        .collect()
}

/// Where the hierarchy of `controllers` (as /proc/PID/cgroup names them) is mounted.
fn mount_of(controllers: &str) -> std::path::PathBuf {
    let top = Path::new("/sys/fs/cgroup");
    match controllers {
        "" if top.join("unified").is_dir() => top.join("unified"),
        "" => top.to_owned(),
        named => top.join(named.trim_start_matches("name=")),
    }
}

/// Sends SIGKILL to `pid`.
pub fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
    }
}
