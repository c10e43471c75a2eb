//! Limits on pure cgroup v2: what the kernel does to a container that meets its limit.

use std::path::PathBuf;

use support::{Output, vm};

/// A bundle with busybox below /bundle, and functions around a container called `probe`.
const SETUP: &str = r#"
mkdir -p /bundle/rootfs/bin /bundle/rootfs/proc /bundle/rootfs/sys /bundle/rootfs/dev
cp /bin/busybox /bundle/rootfs/bin/
for name in sh tail sleep cat true; do ln -s busybox /bundle/rootfs/bin/$name; done
cp /vm/config.json /bundle/
cgroup=/sys/fs/cgroup/probe
start() { lighter oci create --bundle /bundle probe >/vm/container-output 2>&1 && lighter oci start probe; }
stopped() {
    for try in $(seq 200); do
        lighter oci state probe | grep -q '"status": "stopped"' && return
        sleep 0.05
    done
    echo "does not stop"; return 1
}
"#;

/// Runs `script` in the machine beside a bundle with these resources, whose program is `sh -c PROGRAM`.
#[track_caller]
fn run(resources: &str, program: &str, script: &str) -> Output {
    let namespaces =
        ["pid", "mount", "ipc", "uts", "cgroup"].map(|kind| serde_json::json!({"type": kind}));
    let config = serde_json::json!({
        "ociVersion": "1.2.0",
        "process": {
            "cwd": "/",
            "args": ["/bin/sh", "-c", program],
            "env": ["PATH=/bin"],
            "user": {"uid": 0, "gid": 0},
        },
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {
            "cgroupsPath": "/probe",
            "namespaces": namespaces,
            "resources": serde_json::from_str::<serde_json::Value>(resources).expect("the test's JSON is right"),
        },
    });
    let directory = directory();
    let path = directory.join("config.json");
    std::fs::write(&path, config.to_string()).expect("the temporary directory can be written");
    let script = format!("{SETUP}\n{script}");
    let output = vm::run(env!("CARGO_BIN_EXE_lighter"), &script, &[&path]);
    std::fs::remove_dir_all(directory).ok();
    output
}

fn directory() -> PathBuf {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("test").replace("::", "-");
    let path = std::env::temp_dir().join(format!("lighter-vm-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&path).expect("the temporary directory can be written");
    path
}

/// The number after `key` at the start of a line of the output.
#[track_caller]
fn number(output: &Output, key: &str) -> u64 {
    let line = output.stdout.lines().find_map(|line| {
        let (name, value) = line.trim().split_once(' ')?;
        (name == key).then(|| value.trim().parse().ok())?
    });
    line.unwrap_or_else(|| panic!("no number {key} in {output:?}"))
}

#[test]
fn memory_beyond_the_limit_is_an_oom_kill() {
    if vm::skipped() {
        return;
    }
    let output = run(
        r#"{"memory": {"limit": 33554432}}"#,
        "tail /dev/zero",
        "start || cat /vm/container-output
         stopped
         echo limit $(cat $cgroup/memory.max)
         cat $cgroup/memory.events
         lighter oci delete probe
         [ ! -d $cgroup ] && echo gone",
    )
    .success();
    assert_eq!(number(&output, "limit"), 33_554_432);
    assert!(number(&output, "oom_kill") >= 1, "{output:?}");
    assert!(output.stdout.contains("gone"), "{output:?}");
}

#[test]
fn no_process_beyond_the_limit_of_pids() {
    if vm::skipped() {
        return;
    }
    let output = run(
        r#"{"pids": {"limit": 5}}"#,
        "for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done; wait",
        "start || cat /vm/container-output
         sleep 1
         echo limit $(cat $cgroup/pids.max)
         echo peak $(cat $cgroup/pids.current)
         sed 's/^max/refused/' $cgroup/pids.events
         lighter oci delete --force probe
         [ ! -d $cgroup ] && echo gone",
    )
    .success();
    assert_eq!(number(&output, "limit"), 5);
    assert!(number(&output, "peak") <= 5, "{output:?}");
    assert!(number(&output, "refused") >= 1, "{output:?}");
    assert!(output.stdout.contains("gone"), "{output:?}");
}

#[test]
fn processor_time_is_the_share_that_the_quota_says() {
    if vm::skipped() {
        return;
    }
    let output = run(
        r#"{"cpu": {"quota": 20000, "period": 100000}}"#,
        "while :; do :; done",
        "start || cat /vm/container-output
         usage() { sed -n 's/^usage_usec //p' $cgroup/cpu.stat; }
         up() { sed 's/ .*//; s/\\.//' /proc/uptime; }
         used=$(usage) began=$(up)
         sleep 4
         used=$(($(usage) - used)) took=$(($(up) - began))
         echo percent $((used / 100 / took))
         sed -n 's/^nr_throttled/throttled/p' $cgroup/cpu.stat
         lighter oci delete --force probe",
    )
    .success();
    let percent = number(&output, "percent");
    assert!(
        (10..=30).contains(&percent),
        "{percent} % of one processor, 20 allowed"
    );
    assert!(number(&output, "throttled") > 0, "{output:?}");
}
