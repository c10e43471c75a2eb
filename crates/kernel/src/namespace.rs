//! Namespaces: their kinds, entering, leaving, and the id maps of user namespaces.
//!
//! In go paths like `/proc/PID/ns/net`; out comes a process that sees other
//! things. namespaces(7). Read `process.rs` for clone3, which makes most of them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Result;
use rustix::process::Signal;
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType, UnshareFlags};
use serde::{Deserialize, Serialize};

use crate::file;
use crate::op::IdMapping;
use crate::process::{self, Cloned};

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

    /// Open the one that a process is in.
    ///
    /// # Errors
    /// `ENOENT` when there is no such process.
    pub fn of(self, pid: i32) -> Result<OwnedFd> {
        let path = format!("/proc/{pid}/ns/{}", self.file());
        rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
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

/// Enter the namespace that an open file of `/proc/PID/ns` names. setns(2).
pub fn enter(file: BorrowedFd<'_>, namespace: Namespace) -> Result<()> {
    rustix::thread::move_into_link_name_space(file, Some(namespace.into()))
}

/// Enter several namespaces of the process that a pidfd names, all or none. setns(2), Linux 5.8.
pub fn enter_of(process: BorrowedFd<'_>, namespaces: &[Namespace]) -> Result<()> {
    let flags = namespaces
        .iter()
        .fold(0, |flags, namespace| flags | namespace.flag());
    let flags = ThreadNameSpaceType::from_bits_retain(flags as u32);
    rustix::thread::move_into_thread_name_spaces(process, flags)
}

/// Leave namespaces for new ones. unshare(2).
pub fn leave(namespaces: &[Namespace]) -> Result<()> {
    let flags = namespaces
        .iter()
        .fold(0, |flags, namespace| flags | namespace.flag());
    // SAFETY: descriptors and the filesystem context stay shared with nobody: there is one thread.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::from_bits_retain(flags as u32)) }
}

/// A user namespace with these mappings, held only by its descriptor: what an id-mapped mount wants.
///
/// A user namespace exists only with a process in it, so one is made that waits to be killed.
pub fn with_mappings(
    proc: BorrowedFd<'_>,
    uids: &[IdMapping],
    gids: &[IdMapping],
) -> Result<OwnedFd> {
    let (pid, pidfd) = match process::clone(Namespace::User.flag(), None, false)? {
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
        Cloned::Child => loop {
            // When its parent is killed, nobody else would end it.
            let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
            rustix::event::pause();
        },
    };
    let map = || {
        file::write_proc(proc, &format!("{pid}/uid_map"), id_map(uids).as_bytes())?;
        file::write_proc(proc, &format!("{pid}/gid_map"), id_map(gids).as_bytes())?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::openat(proc, format!("{pid}/ns/user"), flags, Mode::empty())
    };
    let namespace = map();
    process::kill(pidfd.as_fd());
    namespace
}

/// Lines of an id map file, as user_namespaces(7) has them.
pub fn id_map(mappings: &[IdMapping]) -> String {
    mappings
        .iter()
        .map(|m| format!("{} {} {}\n", m.inside, m.outside, m.count))
        .collect()
}

impl From<Namespace> for LinkNameSpaceType {
    fn from(namespace: Namespace) -> LinkNameSpaceType {
        match namespace {
            Namespace::User => LinkNameSpaceType::User,
            Namespace::Mount => LinkNameSpaceType::Mount,
            Namespace::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
            Namespace::Ipc => LinkNameSpaceType::InterProcessCommunication,
            Namespace::Network => LinkNameSpaceType::Network,
            Namespace::Pid => LinkNameSpaceType::ProcessID,
            Namespace::Cgroup => LinkNameSpaceType::ControlGroup,
            Namespace::Time => LinkNameSpaceType::Time,
        }
    }
}
