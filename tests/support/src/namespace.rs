//! A network namespace kept alive by one small process, and commands that run inside it.
//!
//! The holder reads a pipe whose other end the test owns: however the test ends, the pipe closes, the holder ends,
//! and the kernel takes down every link, address and nftables rule of the namespace.
//! `ip netns exec` is not used because it mounts over /sys and so hides the cgroups.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A network namespace, and a mount namespace if asked.
#[derive(Debug)]
pub struct Namespace {
    holder: Child,
    own_mounts: bool,
}

impl Namespace {
    /// Makes a network namespace in which only `lo` is up.
    ///
    /// # Panics
    /// When `unshare` or `ip` fail (no root, not installed).
    #[track_caller]
    pub fn network() -> Self {
        Self::new(false)
    }

    /// Makes a network namespace and a mount namespace from which no mount propagates to the machine.
    ///
    /// # Panics
    /// As [`Namespace::network`].
    #[track_caller]
    pub fn network_and_mounts() -> Self {
        Self::new(true)
    }

    #[track_caller]
    fn new(own_mounts: bool) -> Self {
        let mut command = Command::new("unshare");
        command.arg("--net");
        if own_mounts {
            command.args(["--mount", "--propagation", "private"]);
        }
        let mut holder = command
            .args(["sh", "-c", "ip link set lo up && echo ready && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is part of util-linux");
        let mut line = String::new();
        let stdout = holder.stdout.as_mut().expect("stdout was piped");
        BufReader::new(stdout).read_line(&mut line).ok();
        assert_eq!(
            line.trim(),
            "ready",
            "cannot make a network namespace: root is needed"
        );
        Self { holder, own_mounts }
    }

    /// The process that keeps the namespace alive.
    pub fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// Where the kernel shows the namespace.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.pid()))
    }

    /// A command that will run inside, in `directory`.
    pub fn command(&self, program: impl AsRef<OsStr>, directory: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display()));
        if self.own_mounts {
            command.arg(format!("--mount=/proc/{}/ns/mnt", self.pid()));
            command.arg(format!("--wdns={}", directory.display()));
        }
        command.arg("--").arg(program).current_dir(directory);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.holder.kill().ok();
        self.holder.wait().ok();
    }
}
