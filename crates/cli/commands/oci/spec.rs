//! `spec`: a config.json to start from, as runc writes it.
//!
//! Out: a file in the bundle's directory that runs `sh` in a terminal, with a root filesystem at
//! `rootfs` that cannot be written.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::features::OCI_VERSION;
use super::options::{End, Given, switch, value};
use super::{Call, Verb};

pub(super) const VERB: Verb = Verb {
    name: "spec",
    usage: "",
    about: "Write a config.json to start from",
    flags: &[
        value(
            "bundle",
            "DIR",
            "Directory of the bundle (default: the working directory)",
        )
        .or("b"),
        switch(
            "rootless",
            "For a user who is not root: not possible with this runtime",
        ),
    ],
    end: End::Never,
    run,
    failure: 1,
};

fn run(_: &Call, given: &Given) -> anyhow::Result<ExitCode> {
    if given.switch("rootless")? {
        bail!("--rootless: this runtime needs root");
    }
    let file = given
        .path("bundle")
        .unwrap_or_else(|| ".".into())
        .join("config.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&specification())?);
    let opened = OpenOptions::new().write(true).create_new(true).open(&file);
    let mut opened = match opened {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("file {} exists; remove it first", file.display())
        }
        opened => opened.with_context(|| format!("create {}", file.display()))?,
    };
    opened
        .write_all(text.as_bytes())
        .with_context(|| format!("write {}", file.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn specification() -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup"];
    let namespaces = namespaces.map(|kind| json!({"type": kind}));
    json!({
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": true,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "lighter",
        "mounts": mounts(),
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": namespaces,
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
                "/proc/scsi",
            ],
            "readonlyPaths": [
                "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
            ],
        },
    })
}

fn mounts() -> Value {
    let mount = |destination: &str, kind: &str, source: &str, options: &str| {
        let options: Vec<&str> = options.split(',').collect();
        json!({"destination": destination, "type": kind, "source": source, "options": options})
    };
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        mount("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
        mount("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
        mount("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
        mount("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
    ])
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_template_is_a_specification() {
        let spec: oci_spec::runtime::Spec = serde_json::from_value(super::specification()).unwrap();
        assert_eq!(spec.mounts().as_ref().map(Vec::len), Some(7));
    }
}
