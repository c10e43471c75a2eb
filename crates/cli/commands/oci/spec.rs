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
            "With a user namespace in which the caller is root",
        ),
    ],
    end: End::Never,
    run,
    failure: 1,
};

fn run(_: &Call, given: &Given) -> anyhow::Result<ExitCode> {
    let file = given
        .path("bundle")
        .unwrap_or_else(|| ".".into())
        .join("config.json");
    let mut specification = specification();
    if given.switch("rootless")? {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        make_rootless(&mut specification, uid.as_raw(), gid.as_raw());
    }
    let text = format!("{}\n", serde_json::to_string_pretty(&specification)?);
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

/// As runc's `spec --rootless`: the caller is root of a user namespace, and what belongs to the
/// host's root (limits, the network, a sysfs of its own) is left to the host.
fn make_rootless(specification: &mut Value, uid: u32, gid: u32) {
    let linux = &mut specification["linux"];
    let map = |id: u32| json!([{"containerID": 0, "hostID": id, "size": 1}]);
    (linux["uidMappings"], linux["gidMappings"]) = (map(uid), map(gid));
    linux["namespaces"] = ["pid", "ipc", "uts", "mount", "cgroup", "user"]
        .map(|kind| json!({"type": kind}))
        .as_slice()
        .into();
    if let Some(fields) = linux.as_object_mut() {
        fields.remove("resources");
    }
    let Some(mounts) = specification["mounts"].as_array_mut() else {
        return;
    };
    for mount in mounts {
        if mount["destination"] == "/sys" {
            let options = ["rbind", "nosuid", "noexec", "nodev", "ro"];
            *mount = json!({"destination": "/sys", "type": "none", "source": "/sys", "options": options});
        }
        if let Some(options) = mount["options"].as_array_mut() {
            options.retain(|option| option != "gid=5");
        }
    }
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

    #[test]
    fn the_rootless_template_has_a_user_namespace_and_no_limits() {
        let mut json = super::specification();
        super::make_rootless(&mut json, 1000, 1001);
        assert_eq!(json["linux"]["gidMappings"][0]["hostID"], 1001);
        let spec: oci_spec::runtime::Spec = serde_json::from_value(json).unwrap();
        let linux = spec.linux().clone().unwrap();
        assert!(linux.resources().is_none());
        assert_eq!(linux.namespaces().as_ref().map(Vec::len), Some(6));
    }
}
