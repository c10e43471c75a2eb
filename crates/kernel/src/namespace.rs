//! Namespaces: their kinds, entering, leaving, and the id maps of user namespaces.
//!
//! In go paths like `/proc/PID/ns/net`; out comes a process that sees other
//! things. namespaces(7). Read `process.rs` for clone3, which makes most of them.

use serde::{Deserialize, Serialize};

/// A kind of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Namespace {
    /// User and group ids, capabilities. user_namespaces(7).
    User,
    /// Mounts. mount_namespaces(7).
    Mount,
    /// Host name. uts_namespaces(7).
    Uts,
    /// System V IPC and message queues. ipc_namespaces(7).
    Ipc,
    /// Network devices, addresses, sockets. network_namespaces(7).
    Network,
    /// Process ids. pid_namespaces(7).
    Pid,
    /// The root of the cgroup hierarchy. cgroup_namespaces(7).
    Cgroup,
    /// Offsets of the monotonic clocks. time_namespaces(7).
    Time,
}

impl Namespace {
    /// Its `CLONE_NEW*` flag.
    pub fn flag(self) -> u64 {
        let flag = match self {
            Namespace::User => libc::CLONE_NEWUSER,
            Namespace::Mount => libc::CLONE_NEWNS,
            Namespace::Uts => libc::CLONE_NEWUTS,
            Namespace::Ipc => libc::CLONE_NEWIPC,
            Namespace::Network => libc::CLONE_NEWNET,
            Namespace::Pid => libc::CLONE_NEWPID,
            Namespace::Cgroup => libc::CLONE_NEWCGROUP,
            Namespace::Time => 0x80,
        };
        flag as u64
    }

    /// The name of its file in `/proc/PID/ns`.
    pub fn file(self) -> &'static str {
        match self {
            Namespace::User => "user",
            Namespace::Mount => "mnt",
            Namespace::Uts => "uts",
            Namespace::Ipc => "ipc",
            Namespace::Network => "net",
            Namespace::Pid => "pid",
            Namespace::Cgroup => "cgroup",
            Namespace::Time => "time",
        }
    }
}
