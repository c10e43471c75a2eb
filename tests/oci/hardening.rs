//! What past failures of runtimes taught: each test fails on a runtime that has the hole.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::runtime::{Kind, Runtime, mount};

#[test]
fn a_working_directory_behind_a_descriptor_leads_nowhere() {
    // CVE-2024-21626: /proc/self/fd/N of the runtime as working directory was a way to the host.
    let Some(runtime) = Runtime::unless(
        &[Kind::Crun, Kind::Runc],
        "of Debian 12 may be older than the fix",
    ) else {
        return;
    };
    for number in 3..24 {
        let output = runtime.run("ls -d ../../../../etc/hostname ../../../../usr/sbin", |c| {
            c["process"]["cwd"] = json!(format!("/proc/self/fd/{number}"));
        });
        assert_ne!(output.code, 0, "{number}: {}", output.stdout);
        assert!(
            !output.stdout.contains("sbin"),
            "{number}: {}",
            output.stdout
        );
    }
}

#[test]
fn a_working_directory_of_exec_behind_a_descriptor_leads_nowhere() {
    let Some(runtime) = Runtime::unless(
        &[Kind::Crun, Kind::Runc],
        "of Debian 12 may be older than the fix",
    ) else {
        return;
    };
    let id = runtime.sleeper(|_| {});
    for number in 3..24 {
        let cwd = format!("/proc/self/fd/{number}");
        let output = runtime.call([
            "exec",
            "--cwd",
            &cwd,
            &id,
            "ls",
            "-d",
            "../../../../usr/sbin",
        ]);
        assert!(
            output.code != 0 && !output.stdout.contains("sbin"),
            "{number}: {}",
            output.stdout
        );
    }
}

#[test]
fn the_runtimes_own_binary_cannot_be_written_from_inside() {
    // CVE-2019-5736: the container's program was the runtime itself through /proc/self/exe.
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let script = "exe=$(readlink /proc/self/exe); (echo spoiled > /proc/1/exe) 2>&1; echo $exe";
    let output = runtime.run(script, |c| {
        c["process"]["args"] = json!(["/proc/self/exe", "sh", "-c", script])
    });
    let program = std::env::var_os("LIGHTER_OCI_RUNTIME")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_lighter").into());
    let start = fs::read(&program).unwrap();
    assert!(start.starts_with(b"\x7fELF"), "{}", output.stdout);
}

#[test]
fn devices_are_not_made_through_a_link_of_the_image() {
    // CVE-2026-41579 and its kin: the image's /dev is a link to a directory of the host.
    let Some(runtime) = Runtime::unless(&[Kind::Crun, Kind::Runc], "of Debian 12 has this hole")
    else {
        return;
    };
    let outside = runtime.dir().join("canary");
    fs::create_dir(&outside).unwrap();
    let bundle = runtime.bundle("true", |c| {
        c["mounts"]
            .as_array_mut()
            .unwrap()
            .retain(|m| m["destination"] == "/proc");
        c["linux"]["devices"] =
            json!([{"path": "/dev/planted", "type": "c", "major": 1, "minor": 3}]);
    });
    fs::remove_dir(bundle.rootfs().join("dev")).unwrap();
    symlink(&outside, bundle.rootfs().join("dev")).unwrap();
    runtime.silent(["run", "--bundle", bundle.path(), &runtime.id()]);
    let found: Vec<_> = fs::read_dir(&outside)
        .unwrap()
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_proc_that_is_a_link_is_not_written_through() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let outside = runtime.dir().join("fake-proc");
    fs::create_dir_all(outside.join("sys/kernel")).unwrap();
    let bundle = runtime.bundle("cat /proc/sys/kernel/domainname", |c| {
        c["linux"]["sysctl"] = json!({"kernel.domainname": "inside"});
    });
    fs::remove_dir(bundle.rootfs().join("proc")).unwrap();
    symlink(&outside, bundle.rootfs().join("proc")).unwrap();
    runtime.silent(["run", "--bundle", bundle.path(), &runtime.id()]);
    assert_eq!(fs::read_dir(outside.join("sys/kernel")).unwrap().count(), 0);
}

#[test]
fn files_for_mounts_are_not_made_outside() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let outside = runtime.dir().join("outside");
    fs::create_dir(&outside).unwrap();
    let file = runtime.dir().join("file");
    fs::write(&file, "x").unwrap();
    for target in ["../../outside", "/../../outside", "/proc/1/root/outside"] {
        let bundle = runtime.bundle("true", |c| {
            mount(c, "/etc/way/new", "bind", file.to_str().unwrap(), &["bind"])
        });
        symlink(target, bundle.rootfs().join("etc/way")).unwrap();
        runtime.silent(["run", "--bundle", bundle.path(), &runtime.id()]);
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn the_state_is_for_root_alone() {
    let Some(runtime) = Runtime::unless(&[Kind::Runc, Kind::Crun], "has its own modes") else {
        return;
    };
    use std::os::unix::fs::PermissionsExt;
    let id = runtime.sleeper(|_| {});
    let dir = runtime.dir().join("states").join(&id);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&dir) & 0o077, 0);
    for entry in fs::read_dir(&dir).unwrap().flatten() {
        assert_eq!(mode(&entry.path()) & 0o077, 0, "{}", entry.path().display());
    }
}

#[test]
fn the_cgroups_cannot_be_changed_from_inside() {
    // CVE-2023-25809
    let Some(runtime) = Runtime::unless(
        &[Kind::Runc, Kind::Crun],
        "of Debian 12 leaves a part writable",
    ) else {
        return;
    };
    let output = runtime.run("find() { for d in $1/* $1; do mkdir $d/new && echo made; done; }; find /sys/fs/cgroup 2>/dev/null", |c| {
        mount(c, "/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]);
        mount(c, "/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]);
    });
    assert!(!output.stdout.contains("made"), "{}", output.stdout);
}

#[test]
fn the_programs_of_the_host_are_out_of_sight() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("ls /proc | grep -c '^[0-9]'", |_| {});
    let count: u32 = output.success().text().parse().unwrap();
    assert!(count <= 3, "{count} processes");
}

#[test]
fn a_further_process_never_shows_more_capabilities_than_it_gets() {
    let why = "gives them up when the container can see the process already (CVE-2016-9962)";
    let Some(runtime) = Runtime::unless(&[Kind::Runc, Kind::Crun], why) else {
        return;
    };
    let watch = "while :; do cat /proc/[0-9]*/status; done 2>/dev/null | grep -v '^[^C]' | grep CapPrm >>/work/seen";
    let bundle = runtime.bundle(watch, |c| c["process"]["noNewPrivileges"] = json!(true));
    let id = runtime.id();
    runtime.quietly(["run", "--detach", "--bundle", bundle.path(), &id]);
    let pid = runtime.pid(&id);
    let own = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let permitted = own.lines().find(|line| line.starts_with("CapPrm")).unwrap();
    for _ in 0..60 {
        runtime.call(["exec", &id, "/bin/true"]).success();
    }
    let seen = fs::read_to_string(bundle.rootfs().join("work/seen")).unwrap();
    // The last line may still be on its way.
    let (seen, _) = seen.rsplit_once('\n').unwrap();
    let more: Vec<_> = seen.lines().filter(|line| *line != permitted).collect();
    assert_eq!(more, Vec::<&str>::new());
}
