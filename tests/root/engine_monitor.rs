//! The monitor: small, alone responsible, and when it is killed every verb works with what is left.

use support::{Host, eventually};

use crate::{BUSYBOX, busybox, detached};

#[track_caller]
fn run(host: &Host, options: &[&str]) {
    detached(host, &[options, &[BUSYBOX, "sleep", "1000"]].concat());
}

/// The pid of the monitor of `box`, from the container's first process.
#[track_caller]
fn monitor(host: &Host) -> u32 {
    let pid = host
        .lighter(["inspect", "-f", "{{.State.Pid}}", "box"])
        .success();
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.text())).expect("it runs");
    let parent = status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:"))
        .expect("a parent");
    parent.trim().parse().expect("a pid")
}

#[track_caller]
fn kill_monitor(host: &Host) {
    let monitor = monitor(host);
    assert!(support::process::command(monitor).contains("monitor"));
    support::process::kill(monitor);
    eventually("the monitor is gone", 10, || {
        (!std::path::Path::new(&format!("/proc/{monitor}")).exists()).then_some(())
    });
}

#[test]
fn every_verb_notices_that_the_monitor_was_killed() {
    let Some(host) = busybox() else { return };
    let verbs: &[(&[&str], i32)] = &[
        (&["ps", "-a"], 0),
        (&["exec", "box", "true"], 1),
        (&["logs", "box"], 0),
        (&["inspect", "box"], 0),
        (&["stop", "box"], 0),
        (&["kill", "box"], 1),
        (&["pause", "box"], 1),
        (&["unpause", "box"], 1),
        (&["top", "box"], 1),
        (&["wait", "box"], 0),
        (&["attach", "box"], 1),
        (&["rename", "box", "crate"], 0),
        (&["update", "--restart", "no", "box"], 0),
        (&["start", "box"], 0),
        (&["restart", "box"], 0),
        (&["cp", "box:/etc/passwd", "-"], 0),
        (&["diff", "box"], 0),
        (&["port", "box"], 0),
        (&["stats", "--no-stream", "box"], 0),
        (&["rm", "box"], 0),
    ];
    for (words, code) in verbs {
        run(&host, &[]);
        let pid = host
            .lighter(["inspect", "-f", "{{.State.Pid}}", "box"])
            .success()
            .text()
            .to_owned();
        kill_monitor(&host);
        let output = host.lighter(*words);
        assert_eq!(output.code, *code, "{output:?}");
        assert!(output.stderr.contains("its monitor"), "{output:?}");
        assert!(
            !std::path::Path::new(&format!("/proc/{pid}")).exists(),
            "the container lives on after {words:?}"
        );
        for name in ["box", "crate"] {
            host.lighter(["rm", "-f", name]).success();
        }
    }
}

#[test]
fn a_container_whose_monitor_was_killed_says_so_and_starts_again() {
    let Some(host) = busybox() else { return };
    run(&host, &["--restart", "always"]);
    host.lighter(["exec", "box", "sh", "-c", "echo kept > /file"])
        .success();
    kill_monitor(&host);
    let state = host.lighter([
        "inspect",
        "-f",
        "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}",
        "box",
    ]);
    assert!(
        state.text().starts_with("exited 137 its monitor (process"),
        "{state:?}"
    );
    host.lighter(["start", "box"]).success();
    assert_eq!(host.lighter(["exec", "box", "cat", "/file"]).text(), "kept");
}

#[test]
fn one_that_was_to_be_removed_is_removed_with_its_volumes() {
    let Some(host) = busybox() else { return };
    run(&host, &["--rm", "-v", "/anonymous", "--ipc", "shareable"]);
    kill_monitor(&host);
    assert_eq!(host.lighter(["ps", "-aq"]).success().stdout, "");
    assert_eq!(host.lighter(["volume", "ls", "-q"]).stdout, "");
    run(&host, &[]);
}

#[test]
fn who_waits_or_is_attached_when_the_monitor_is_killed_is_told() {
    let Some(host) = busybox() else { return };
    run(&host, &[]);
    let mut waiting = support::Background::start_silent(host.lighter_command(["wait", "box"]));
    let mut attached = support::Background::start_silent(host.lighter_command(["attach", "box"]));
    let mut running =
        support::Background::start_silent(host.lighter_command(["exec", "box", "sleep", "1000"]));
    std::thread::sleep(std::time::Duration::from_millis(500));
    kill_monitor(&host);
    for command in [&mut waiting, &mut attached, &mut running] {
        eventually("it ends", 10, || {
            command.child().try_wait().expect("our child")
        });
    }
}

#[test]
fn it_keeps_less_than_a_mebibyte_of_its_own_and_no_descriptor_of_ours() {
    let Some(host) = busybox() else { return };
    run(
        &host,
        &["--health-cmd", "true", "--health-interval", "100ms"],
    );
    for _ in 0..5 {
        host.lighter(["exec", "box", "true"]).success();
    }
    host.lighter(["logs", "box"]).success();
    let monitor = monitor(&host);
    let rollup = std::fs::read_to_string(format!("/proc/{monitor}/smaps_rollup")).expect("smaps");
    // Not the program's own pages: those of a debug build are many, and shared by all monitors.
    let own = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Anonymous:"));
    let own = own.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    assert!(own.expect("a number of KiB") < 1024, "{rollup}");
    let directory = std::fs::read_dir(format!("/proc/{monitor}/fd")).expect("its descriptors");
    for entry in directory.flatten() {
        let leads = std::fs::read_link(entry.path()).unwrap_or_default();
        let leads = leads.to_string_lossy();
        let own = leads.contains(host.name()) || !leads.starts_with('/') || leads == "/dev/null";
        assert!(own, "{} is not the monitor's affair", leads);
    }
}
