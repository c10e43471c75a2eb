//! `stop`, `kill`, `pause`, `restart`: which signal comes, when it is SIGKILL, and what frozen means to the kernel.

use std::time::Instant;

use support::{Host, Output, eventually};

use crate::{BUSYBOX, busybox, detached};

#[track_caller]
fn run(host: &Host, words: &[&str]) {
    detached(host, words);
}

fn show(host: &Host, template: &str) -> String {
    host.lighter(["inspect", "-f", template, "box"])
        .success()
        .text()
        .to_owned()
}

/// A program that says by its exit code which signal came. It is ready once it has said so.
const TRAPS: &str = "for s in 1 2 3 10 12 15 28; do trap \"exit $s\" $s; done; echo ready; while :; do sleep 0.05; done";

#[track_caller]
fn await_ready(host: &Host) {
    eventually("the program has its handlers", 20, || {
        (host.lighter(["logs", "-n", "1", "box"]).stdout == "ready\n").then_some(())
    });
}

#[test]
fn stop_sends_the_signal_that_was_asked_for() {
    let Some(host) = busybox() else { return };
    for (create, stop, code) in [
        (&[][..], &[][..], "15"),
        (&["--stop-signal", "QUIT"], &[], "3"),
        (&["--stop-signal", "SIGUSR1"], &[], "10"),
        (&["--stop-signal", "QUIT"], &["--signal", "HUP"], "1"),
        (&[], &["-s", "12"], "12"),
    ] {
        run(&host, &[create, &[BUSYBOX, "sh", "-c", TRAPS]].concat());
        await_ready(&host);
        let stopped = host.lighter([&["stop"], stop, &["box"]].concat()).success();
        assert_eq!(
            (stopped.stdout.as_str(), stopped.stderr.as_str()),
            ("box\n", "")
        );
        assert_eq!(
            show(&host, "{{.State.Status}} {{.State.ExitCode}}"),
            format!("exited {code}")
        );
        host.lighter(["rm", "box"]).success();
    }
    let mut refused = host.lighter_command(["create", "--stop-signal", "BOGUS", BUSYBOX]);
    refused.arg("true");
    assert!(Output::of(refused).exits(125).stderr.contains("BOGUS"));
}

#[test]
fn who_does_not_listen_is_killed_when_the_time_is_over_and_told_why() {
    let Some(host) = busybox() else { return };
    run(&host, &[BUSYBOX, "sleep", "1000"]);
    let stopped = host.lighter(["stop", "-t", "1", "box"]).success();
    assert!(
        stopped.stderr.contains("no handler for SIGTERM"),
        "{stopped:?}"
    );
    assert_eq!(
        show(&host, "{{.State.ExitCode}} {{.State.OOMKilled}}"),
        "137 false"
    );
    host.lighter(["start", "box"]).success();
    host.lighter(["stop", "--timeout", "0", "box"]).success();
    assert_eq!(show(&host, "{{.State.Status}}"), "exited");
    // Stopping what does not run is no error.
    host.lighter(["stop", "box"]).success();
    let missing = host.lighter(["stop", "nosuch"]).exits(1);
    assert!(missing.stderr.contains("no such container"), "{missing:?}");
}

#[test]
fn the_containers_own_time_to_stop_counts() {
    let Some(host) = busybox() else { return };
    run(&host, &["--stop-timeout", "0", BUSYBOX, "sleep", "1000"]);
    let began = Instant::now();
    host.lighter(["stop", "box"]).success();
    // The default would be ten seconds.
    assert!(began.elapsed().as_secs() < 8);
}

#[test]
fn kill_sends_any_signal_and_refuses_what_is_none() {
    let Some(host) = busybox() else { return };
    run(&host, &[BUSYBOX, "sh", "-c", TRAPS]);
    await_ready(&host);
    host.lighter(["kill", "-s", "USR2", "box"]).success();
    assert_eq!(host.lighter(["wait", "box"]).text(), "12");
    let refused = host.lighter(["kill", "box"]).exits(1);
    assert!(refused.stderr.contains("not running"), "{refused:?}");
    host.lighter(["start", "box"]).success();
    for signal in ["BOGUS", "0", "65"] {
        assert!(
            host.lighter(["kill", "-s", signal, "box"])
                .exits(1)
                .stderr
                .contains(signal)
        );
    }
    host.lighter(["kill", "box"]).success();
    assert_eq!(host.lighter(["wait", "box"]).text(), "137");
}

/// What the kernel says of a container's freezer, in either hierarchy.
fn frozen(host: &Host) -> bool {
    let pid = show(host, "{{.State.Pid}}").parse().expect("a pid");
    support::process::cgroups(pid).iter().any(|directory| {
        let read = |file: &str| std::fs::read_to_string(directory.join(file)).unwrap_or_default();
        read("cgroup.events").contains("frozen 1") || read("freezer.state").trim() == "FROZEN"
    })
}

#[test]
fn a_paused_container_is_frozen_by_the_kernel_and_can_be_stopped() {
    let Some(host) = busybox() else { return };
    run(&host, &[BUSYBOX, "sleep", "1000"]);
    assert!(!frozen(&host));
    assert_eq!(host.lighter(["pause", "box"]).success().stdout, "box\n");
    assert!(frozen(&host));
    assert_eq!(
        show(
            &host,
            "{{.State.Status}} {{.State.Paused}} {{.State.Running}}"
        ),
        "paused true true"
    );
    assert!(
        host.lighter(["ps", "--format", "{{.Status}}"])
            .stdout
            .contains("(Paused)")
    );
    for (verb, words) in [
        ("pause", &["box"][..]),
        ("exec", &["box", "true"]),
        ("start", &["box"]),
    ] {
        let refused = host.lighter([&[verb], words].concat()).exits(1);
        assert!(refused.stderr.contains("paused"), "{refused:?}");
    }
    host.lighter(["unpause", "box"]).success();
    assert!(!frozen(&host));
    assert!(
        host.lighter(["unpause", "box"])
            .exits(1)
            .stderr
            .contains("not paused")
    );
    host.lighter(["pause", "box"]).success();
    host.lighter(["stop", "-t", "0", "box"]).success();
    assert_eq!(
        show(&host, "{{.State.Status}} {{.State.ExitCode}}"),
        "exited 137"
    );
    host.lighter(["start", "box"]).success();
    host.lighter(["pause", "box"]).success();
    host.lighter(["rm", "-f", "box"]).success();
}

#[test]
fn restart_is_another_process_with_the_same_files() {
    let Some(host) = busybox() else { return };
    run(
        &host,
        &[BUSYBOX, "sh", "-c", "echo run >> /runs; sleep 1000"],
    );
    let before = show(&host, "{{.State.Pid}}");
    assert_eq!(
        host.lighter(["restart", "-t", "0", "box"]).success().stdout,
        "box\n"
    );
    assert_ne!(show(&host, "{{.State.Pid}}"), before);
    eventually("the second run has begun", 10, || {
        (host.lighter(["exec", "box", "cat", "/runs"]).stdout == "run\nrun\n").then_some(())
    });
    host.lighter(["stop", "-t", "0", "box"]).success();
    host.lighter(["restart", "box"]).success();
    assert_eq!(show(&host, "{{.State.Status}}"), "running");
}

#[test]
fn a_name_changes_hands() {
    let Some(host) = busybox() else { return };
    run(&host, &[BUSYBOX, "sleep", "1000"]);
    host.lighter(["rename", "box", "crate"]).success();
    assert_eq!(
        host.lighter(["inspect", "-f", "{{.Name}}", "crate"]).text(),
        "/crate"
    );
    host.lighter(["inspect", "box"]).exits(1);
    run(&host, &[BUSYBOX, "sleep", "1000"]);
    let taken = host.lighter(["rename", "box", "crate"]).exits(1);
    assert!(
        taken.stderr.contains("is used by the container"),
        "{taken:?}"
    );
    host.lighter(["rename", "box", "box"]).exits(1);
    host.lighter(["rename", "box", "no/name"]).exits(1);
    host.lighter(["exec", "box", "true"]).success();
    host.lighter(["exec", "crate", "true"]).success();
}
