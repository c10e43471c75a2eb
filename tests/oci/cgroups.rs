//! config-linux.md, Control groups: on v2, v1 and both, wherever each controller is.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::Output;

use crate::runtime::{Kind, Runtime, push, refused};

/// The directories of a process's cgroups: by controller for v1, under "" for v2.
fn directories(pid: i64) -> Vec<(String, PathBuf)> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let mut found = Vec::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (controllers, path) = (fields.nth(1).unwrap(), fields.next().unwrap());
        let is_mount = |line: &&str| match controllers {
            "" => line.contains(" - cgroup2 "),
            some => line.contains(" - cgroup ") && line.ends_with(&format!(",{some}")),
        };
        let Some(mount) = mountinfo
            .lines()
            .find(is_mount)
            .and_then(|line| line.split(' ').nth(4))
        else {
            continue;
        };
        let directory = Path::new(mount).join(path.trim_start_matches('/'));
        found.extend(
            controllers
                .split(',')
                .map(|c| (c.to_owned(), directory.clone())),
        );
    }
    found
}

/// A file of the process's group: `v1` where the controller is a v1 hierarchy, else `v2`.
fn read(pid: i64, controller: &str, v1: &str, v2: &str) -> Option<String> {
    let directories = directories(pid);
    let of = |name: &str| {
        directories
            .iter()
            .find(|(c, _)| c == name)
            .map(|(_, d)| d.clone())
    };
    let file = of(controller)
        .map(|d| d.join(v1))
        .or_else(|| of("").map(|d| d.join(v2)))?;
    Some(fs::read_to_string(file).ok()?.trim().to_owned())
}

/// Is the controller usable at all on this machine?
fn has(controller: &str) -> bool {
    let root = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    directories(1).iter().any(|(c, _)| c == controller)
        || root.split_whitespace().any(|c| c == controller)
}

fn path(runtime: &Runtime) -> String {
    format!("/{}", runtime.id())
}

fn limits(runtime: &Runtime, resources: Value) -> i64 {
    let group = path(runtime);
    let id = runtime.sleeper(|c| {
        c["linux"]["cgroupsPath"] = json!(group);
        c["linux"]["resources"] = resources;
    });
    runtime.pid(&id)
}

#[test]
fn the_container_is_in_the_group_it_asks_for() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let group = path(&runtime);
    let id = runtime.sleeper(|c| {
        c["linux"]["cgroupsPath"] = json!(group);
        c["linux"]["resources"] = json!({"pids": {"limit": 50}, "memory": {"limit": 100_000_000}});
    });
    let pid = runtime.pid(&id);
    for controller in ["pids", "memory"] {
        let directories = directories(pid);
        let own = directories
            .iter()
            .find(|(c, _)| c == controller)
            .or(directories.iter().find(|(c, _)| c.is_empty()));
        let (_, directory) = own.expect("some hierarchy");
        assert!(
            directory.ends_with(&group[1..]),
            "{controller}: {}",
            directory.display()
        );
    }
}

#[test]
fn memory_is_limited() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let pid = limits(
        &runtime,
        json!({"memory": {"limit": 104_857_600, "reservation": 52_428_800}}),
    );
    let limit = read(pid, "memory", "memory.limit_in_bytes", "memory.max");
    assert_eq!(limit.as_deref(), Some("104857600"));
    let reservation = read(pid, "memory", "memory.soft_limit_in_bytes", "memory.low");
    assert_eq!(reservation.as_deref(), Some("52428800"));
}

#[test]
fn processes_are_limited() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let pid = limits(&runtime, json!({"pids": {"limit": 17}}));
    assert_eq!(
        read(pid, "pids", "pids.max", "pids.max").as_deref(),
        Some("17")
    );
    let output = runtime.run("for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait", |c| {
        c["linux"]["resources"] = json!({"pids": {"limit": 4}});
    });
    assert!(
        output.stderr.contains("Resource temporarily unavailable"),
        "{}",
        output.stderr
    );
}

#[test]
fn no_limit_is_written_for_zero_and_below() {
    let Some(runtime) = Runtime::unless(
        &[Kind::Runc, Kind::Crun],
        "of Debian 12 takes 0 as a limit or refuses it",
    ) else {
        return;
    };
    for limit in [0, -1] {
        let pid = limits(
            &runtime,
            json!({"pids": {"limit": limit}, "cpu": {"shares": 0, "quota": 0, "period": 0}}),
        );
        assert_eq!(
            read(pid, "pids", "pids.max", "pids.max").as_deref(),
            Some("max"),
            "{limit}"
        );
    }
}

#[test]
fn processor_time_is_limited() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let pid = limits(
        &runtime,
        json!({"cpu": {"shares": 512, "quota": 20_000, "period": 50_000}}),
    );
    match read(pid, "cpu", "cpu.cfs_quota_us", "").as_deref() {
        Some(quota) => {
            assert_eq!(quota, "20000");
            assert_eq!(
                read(pid, "cpu", "cpu.cfs_period_us", "").as_deref(),
                Some("50000")
            );
            assert_eq!(read(pid, "cpu", "cpu.shares", "").as_deref(), Some("512"));
        }
        None => assert_eq!(
            read(pid, "cpu", "", "cpu.max").as_deref(),
            Some("20000 50000")
        ),
    }
}

#[test]
fn processors_and_memory_nodes_are_limited() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let pid = limits(&runtime, json!({"cpu": {"cpus": "0", "mems": "0"}}));
    assert_eq!(
        read(pid, "cpuset", "cpuset.cpus", "cpuset.cpus").as_deref(),
        Some("0")
    );
    let allowed = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(allowed.contains("Cpus_allowed_list:\t0\n"), "{allowed}");
}

#[test]
fn a_limit_without_a_controller_is_an_error() {
    let Some(runtime) = Runtime::unless(&[Kind::Runc, Kind::Crun], "is silent about it") else {
        return;
    };
    if has("rdma") {
        return;
    }
    let output = runtime.run("true", |c| {
        c["linux"]["resources"] = json!({"rdma": {"mlx5_0": {"hcaHandles": 1}}})
    });
    assert_ne!(output.code, 0);
    assert!(output.stderr.contains("rdma"), "{}", output.stderr);
}

#[test]
fn the_group_goes_with_the_container() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let id = runtime.sleeper(|c| c["linux"]["resources"] = json!({"pids": {"limit": 50}}));
    let pid = runtime.pid(&id);
    let directories = directories(pid);
    let own: Vec<_> = directories
        .iter()
        .filter(|(_, d)| d.to_string_lossy().contains(&id))
        .collect();
    assert!(!own.is_empty(), "{directories:?}");
    // A group below, as systemd in a container makes it, must not keep its parent alive.
    fs::create_dir(own[0].1.join("below")).unwrap();
    runtime.call(["delete", "--force", &id]).success();
    let left: Vec<_> = own
        .iter()
        .filter(|(_, directory)| directory.exists())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn limits_change_while_the_container_runs() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let id = runtime.sleeper(|c| {
        c["linux"]["resources"] =
            json!({"memory": {"limit": 100_000_000 / 4096 * 4096}, "pids": {"limit": 30}});
    });
    let pid = runtime.pid(&id);
    runtime
        .call([
            "update",
            "--memory",
            "209715200",
            "--pids-limit",
            "20",
            "--cpu-share",
            "600",
            &id,
        ])
        .success();
    assert_eq!(
        read(pid, "memory", "memory.limit_in_bytes", "memory.max").as_deref(),
        Some("209715200")
    );
    assert_eq!(
        read(pid, "pids", "pids.max", "pids.max").as_deref(),
        Some("20")
    );
    let file = runtime.dir().join("limits.json");
    fs::write(&file, json!({"pids": {"limit": 25}}).to_string()).unwrap();
    runtime
        .call(["update", "--resources", file.to_str().unwrap(), &id])
        .success();
    assert_eq!(
        read(pid, "pids", "pids.max", "pids.max").as_deref(),
        Some("25")
    );
    assert_eq!(
        read(pid, "memory", "memory.limit_in_bytes", "memory.max").as_deref(),
        Some("209715200")
    );
}

#[test]
fn an_update_joins_the_hierarchies_it_needs() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let id = runtime.sleeper(|_| {});
    let pid = runtime.pid(&id);
    runtime
        .call(["update", "--cpuset-cpus", "0", &id])
        .success();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
}

#[test]
fn what_is_used_is_counted() {
    let Some(runtime) = Runtime::unless(&[Kind::Crun], "has no events") else {
        return;
    };
    let id = runtime.sleeper(|c| {
        c["linux"]["resources"] = json!({"memory": {"limit": 104_857_600}, "pids": {"limit": 9}})
    });
    let event = runtime.call(["events", "--stats", &id]).success().json();
    assert_eq!(
        (event["type"].as_str(), event["id"].as_str()),
        (Some("stats"), Some(id.as_str()))
    );
    let data = &event["data"];
    assert_eq!(data["pids"]["current"], 2);
    assert_eq!(data["pids"]["limit"], 9);
    assert_eq!(data["memory"]["usage"]["limit"], 104_857_600);
    assert!(
        data["memory"]["usage"]["usage"].as_u64() > Some(0),
        "{data}"
    );
    assert!(data["cpu"]["usage"]["total"].as_u64() > Some(0), "{data}");
}

#[test]
fn a_paused_container_does_nothing_until_it_is_resumed() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let bundle = runtime.bundle(
        "while :; do echo x >> /work/ticks; sleep 0.01; done",
        |_| {},
    );
    let id = runtime.id();
    runtime.quietly(["run", "--detach", "--bundle", bundle.path(), &id]);
    let ticks = || fs::metadata(bundle.rootfs().join("work/ticks")).map_or(0, |m| m.len());
    support::eventually("the container writes", 10, || (ticks() > 0).then_some(()));
    runtime.call(["pause", &id]).success();
    assert_eq!(runtime.status(&id).as_deref(), Some("paused"));
    let before = ticks();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(ticks(), before);
    runtime.call(["resume", &id]).success();
    assert_eq!(runtime.status(&id).as_deref(), Some("running"));
    support::eventually("the container goes on", 10, || {
        (ticks() > before).then_some(())
    });
    // Frozen processes have to die too.
    runtime.call(["pause", &id]).success();
    runtime.call(["delete", "--force", &id]).success();
    assert_eq!(runtime.status(&id), None);
}

#[test]
fn a_further_process_of_a_paused_container_waits_until_it_is_resumed() {
    let Some(runtime) = Runtime::unless(
        &[Kind::Crun, Kind::Runc],
        "of Debian 12 has no option for it",
    ) else {
        return;
    };
    let bundle = runtime.bundle("sleep 1000 & wait", |_| {});
    let id = runtime.id();
    runtime.quietly(["run", "--detach", "--bundle", bundle.path(), &id]);
    runtime.call(["pause", &id]).success();
    refused(&runtime.call(["exec", &id, "/bin/true"]), "paused");
    let mut command = runtime.command(["exec", "--ignore-paused", &id, "/bin/touch", "/work/done"]);
    let mut waiting = command.spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(!bundle.rootfs().join("work/done").exists());
    assert_eq!(waiting.try_wait().unwrap(), None);
    runtime.call(["resume", &id]).success();
    assert!(waiting.wait().unwrap().success());
    assert!(bundle.rootfs().join("work/done").exists());
}

#[test]
fn every_process_of_the_container_is_listed_and_killed() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let id = runtime.sleeper(|_| {});
    let pids: Vec<i64> = serde_json::from_str(
        &runtime
            .call(["ps", "--format", "json", &id])
            .success()
            .stdout,
    )
    .unwrap();
    assert_eq!(pids.len(), 2);
    assert!(pids.contains(&runtime.pid(&id)));
    let table: Output = runtime.call(["ps", &id]).success();
    assert_eq!(table.lines().len(), 3, "{}", table.stdout);
    runtime.call(["kill", "--all", &id, "KILL"]).success();
    runtime.await_status(&id, "stopped");
    assert!(pids.iter().all(|pid| !is_alive(*pid)), "{pids:?}");
}

fn is_alive(pid: i64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ")
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

#[test]
fn a_process_killed_for_want_of_memory_is_counted() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("dd if=/dev/zero of=/work/fill bs=1M count=64", |c| {
        c["linux"]["resources"] = json!({"memory": {"limit": 8 << 20, "swap": 8 << 20}});
        push(
            &mut c["mounts"],
            json!({"destination": "/work", "type": "tmpfs", "source": "tmpfs"}),
        );
    });
    assert_ne!(output.code, 0, "{}", output.stderr);
}
