//! config-linux.md, Namespaces: new ones, those of others, and the host's.

use std::fs;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::runtime::{Kind, Runtime, namespace, push, refused};

/// Namespaces by the specification's name and by their file below /proc/PID/ns.
const KINDS: [(&str, &str); 6] = [
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("mount", "mnt"),
    ("cgroup", "cgroup"),
];

fn own(file: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{file}"))
        .unwrap()
        .display()
        .to_string()
}

#[test]
fn listed_namespaces_are_new() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run(
        "for n in pid net ipc uts mnt cgroup; do readlink /proc/self/ns/$n; done",
        |c| {
            c["linux"]["namespaces"] = json!([]);
            KINDS.iter().for_each(|(kind, _)| namespace(c, kind));
        },
    );
    let output = output.success();
    for ((kind, file), link) in KINDS.iter().zip(output.lines()) {
        assert_ne!(link, own(file), "{kind}");
        assert!(link.starts_with(&format!("{file}:[")), "{kind}: {link}");
    }
}

#[test]
fn namespaces_that_are_not_listed_are_the_callers() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run(
        "for n in net ipc uts cgroup; do readlink /proc/self/ns/$n; done",
        |c| {
            c["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "pid"}]);
        },
    );
    assert_eq!(
        output.success().lines(),
        ["net", "ipc", "uts", "cgroup"].map(own)
    );
}

/// What is mounted in this mount namespace.
fn mounts() -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut points: Vec<_> = table
        .lines()
        .filter_map(|line| Some(line.split(' ').nth(4)?.to_owned()))
        .collect();
    points.sort();
    points
}

#[test]
fn a_container_among_the_hosts_mounts_sees_its_root_and_leaves_none() {
    let why = "mount over the root filesystem itself, and leave that mounted";
    let Some(runtime) = Runtime::unless(&[Kind::Runc, Kind::Crun], why) else {
        return;
    };
    let bundle = runtime.bundle("sleep 1000 & wait", |c| {
        c["linux"]["namespaces"] = json!([{"type": "pid"}]);
        c["linux"]["maskedPaths"] = json!(["/proc/uptime"]);
        c["root"]["readonly"] = json!(true);
    });
    let id = runtime.id();
    runtime.quietly(["run", "--detach", "--bundle", bundle.path(), &id]);
    let pid = runtime.pid(&id);
    let theirs = fs::read_link(format!("/proc/{pid}/ns/mnt")).unwrap();
    assert_eq!(theirs.display().to_string(), own("mnt"));
    // Both see the bundle's root and nothing above it.
    let seen = fs::read_dir(format!("/proc/{pid}/root/")).unwrap();
    assert!(seen.flatten().any(|entry| entry.file_name() == "work"));
    let script = "ls -d /work; test -e /root || echo none; touch /work/x || echo read-only; cat /proc/uptime";
    let output = runtime.call(["exec", &id, "/bin/sh", "-c", script]);
    assert_eq!(output.success().lines(), ["/work", "none", "read-only"]);
    runtime.call(["delete", "--force", &id]).success();
    let left: Vec<_> = mounts()
        .into_iter()
        .filter(|point| point.contains(&id) || point.starts_with(bundle.path()))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    assert!(bundle.rootfs().join("bin/busybox").exists());
}

#[test]
fn a_container_that_fails_among_the_hosts_mounts_leaves_none() {
    let why = "mount over the root filesystem itself, and leave that mounted";
    let Some(runtime) = Runtime::unless(&[Kind::Runc, Kind::Crun], why) else {
        return;
    };
    let output = runtime.run("true", |c| {
        c["linux"]["namespaces"] = json!([{"type": "pid"}]);
        c["process"]["args"] = json!(["/nowhere"]);
    });
    refused(&output, "/nowhere");
    let dir = runtime.dir().display().to_string();
    assert!(!mounts().iter().any(|point| point.contains(&dir)));
}

/// A process in namespaces of its own, for others to join.
struct Holder(Child);

impl Holder {
    fn new(options: &[&str]) -> Holder {
        let mut command = Command::new("unshare");
        let child = command
            .args(options)
            .args(["sh", "-c", "echo ready; exec cat"]);
        let mut child = child
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(
            &mut std::io::BufReader::new(child.stdout.take().unwrap()),
            &mut line,
        )
        .unwrap();
        Holder(child)
    }

    fn path(&self, file: &str) -> String {
        format!("/proc/{}/ns/{file}", self.0.id())
    }

    fn link(&self, file: &str) -> String {
        fs::read_link(self.path(file))
            .unwrap()
            .display()
            .to_string()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn namespaces_given_by_path_are_joined() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let holder = Holder::new(&["--net", "--ipc", "--uts"]);
    let output = runtime.run("for n in net ipc uts; do readlink /proc/self/ns/$n; done", |c| {
        let join = |kind: &str, file: &str| json!({"type": kind, "path": holder.path(file)});
        c["linux"]["namespaces"] = json!([
            {"type": "mount"}, {"type": "pid"}, join("network", "net"), join("ipc", "ipc"), join("uts", "uts"),
        ]);
    });
    assert_eq!(
        output.success().lines(),
        ["net", "ipc", "uts"].map(|file| holder.link(file))
    );
}

#[test]
fn an_existing_pid_namespace_is_joined() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let other = runtime.sleeper(|_| {});
    let pid = runtime.pid(&other);
    let output = runtime.run("readlink /proc/self/ns/pid", |c| {
        c["linux"]["namespaces"] =
            json!([{"type": "mount"}, {"type": "pid", "path": format!("/proc/{pid}/ns/pid")}]);
    });
    let link = fs::read_link(format!("/proc/{pid}/ns/pid")).unwrap();
    assert_eq!(output.success().text(), link.display().to_string());
}

#[test]
fn a_path_of_another_kind_of_namespace_is_refused() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let holder = Holder::new(&["--ipc"]);
    let output = runtime.run("true", |c| {
        push(
            &mut c["linux"]["namespaces"],
            json!({"type": "network", "path": holder.path("ipc")}),
        );
    });
    assert_ne!(output.code, 0);
}

#[test]
fn a_namespace_listed_twice_is_refused() {
    let Some(runtime) = Runtime::unless(&[Kind::Crun], "of Debian 12 takes it") else {
        return;
    };
    assert_ne!(runtime.run("true", |c| namespace(c, "ipc")).code, 0);
}

#[test]
fn the_host_name_is_the_containers_own() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let before = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let output = runtime.run("hostname", |c| c["hostname"] = json!("little-box"));
    assert_eq!(output.success().text(), "little-box");
    assert_eq!(
        fs::read_to_string("/proc/sys/kernel/hostname").unwrap(),
        before
    );
}

#[test]
fn the_domain_name_is_the_containers_own() {
    let Some(runtime) = Runtime::unless(&[Kind::Runc], "of Debian 12 has no domainname") else {
        return;
    };
    let output = runtime.run("cat /proc/sys/kernel/domainname", |c| {
        c["domainname"] = json!("example.test")
    });
    assert_eq!(output.success().text(), "example.test");
}

#[test]
fn a_host_name_without_a_namespace_for_it_is_refused() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("true", |c| {
        c["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "pid"}]);
        c["hostname"] = json!("not-mine");
    });
    assert_ne!(output.code, 0);
}

#[test]
fn kernel_parameters_are_set_inside_alone() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let file = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    let before = fs::read_to_string(file).unwrap();
    let output = runtime.run(&format!("cat {file}"), |c| {
        namespace(c, "network");
        c["linux"]["sysctl"] = json!({"net.ipv4.ip_unprivileged_port_start": "81"});
    });
    assert_eq!(output.success().text(), "81");
    assert_eq!(fs::read_to_string(file).unwrap(), before);
}

#[test]
fn a_new_network_has_its_loopback_interface_on() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("cat /proc/net/if_inet6 /proc/net/fib_trie", |c| {
        namespace(c, "network");
    });
    assert!(output.success().stdout.contains("127.0.0.1"));
}

#[test]
fn a_parameter_that_has_a_field_of_its_own_is_refused() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("true", |c| {
        c["linux"]["sysctl"] = json!({"kernel.hostname": "other"});
    });
    refused(&output, "hostname");
}

#[test]
fn kernel_parameters_of_the_host_are_out_of_reach() {
    let Some(runtime) = Runtime::unless(&[Kind::Crun], "of Debian 12 does not look at the name")
    else {
        return;
    };
    for name in [
        "kernel.core_pattern",
        "net.ipv4.ip_forward",
        "vm.swappiness",
    ] {
        // Without a network namespace the second one is the host's as well.
        let output = runtime.run("true", |c| c["linux"]["sysctl"] = json!({name: "1"}));
        assert_ne!(output.code, 0, "{name}");
    }
}

#[test]
fn a_user_namespace_has_the_given_maps() {
    let why = "opens the bundle as the mapped user, whom a private directory above it keeps out";
    let Some(runtime) = Runtime::unless(&[Kind::Runc], why) else {
        return;
    };
    let bundle = runtime.bundle(
        "cat /proc/self/uid_map /proc/self/gid_map; id -u; touch /work/made",
        |c| {
            namespace(c, "user");
            let map = json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]);
            c["linux"]["uidMappings"] = map.clone();
            c["linux"]["gidMappings"] = map;
        },
    );
    Command::new("chown")
        .args(["-R", "100000:100000", bundle.path()])
        .status()
        .unwrap();
    open_to_all(bundle.path());
    let output = runtime
        .call(["run", "--bundle", bundle.path(), &runtime.id()])
        .success();
    let words: Vec<&str> = output.stdout.split_whitespace().collect();
    assert_eq!(words, ["0", "100000", "1000", "0", "100000", "1000", "0"]);
    let made = fs::metadata(bundle.rootfs().join("work/made")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), 100_000);
}

/// The mapped root is nobody to the directories above its bundle.
fn open_to_all(path: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = std::path::Path::new(path);
    for directory in path.ancestors().take_while(|p| p.parent().is_some()) {
        let mode = fs::metadata(directory).unwrap().permissions().mode();
        if mode & 0o5 != 0o5 && directory.to_string_lossy().contains("lighter-oci-") {
            fs::set_permissions(directory, fs::Permissions::from_mode(mode | 0o5)).unwrap();
        }
    }
}

#[test]
fn a_time_namespace_has_the_given_offsets() {
    let Some(runtime) = Runtime::unless(
        &[Kind::Runc, Kind::Crun],
        "of Debian 12 has no time namespaces",
    ) else {
        return;
    };
    let output = runtime.run("cat /proc/self/timens_offsets", |c| {
        c["ociVersion"] = json!("1.1.0");
        namespace(c, "time");
        c["linux"]["timeOffsets"] =
            json!({"monotonic": {"secs": 3600}, "boottime": {"secs": 7200, "nanosecs": 5}});
    });
    let words: Vec<String> = output
        .success()
        .stdout
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    assert_eq!(words, ["monotonic", "3600", "0", "boottime", "7200", "5"]);
}
