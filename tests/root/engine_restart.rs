//! Restart policies: what comes back, how often, and what stays down because somebody said so.

use support::{Host, Output, eventually};

use crate::{BUSYBOX, busybox};

#[track_caller]
fn run(host: &Host, policy: &str, script: &str) {
    let words = [
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "box",
        "--restart",
        policy,
    ];
    let mut command = host.lighter_command(words);
    command.args([BUSYBOX, "sh", "-c", script]);
    Output::of(command).success();
}

fn show(host: &Host, template: &str) -> String {
    host.lighter(["inspect", "-f", template, "box"])
        .success()
        .text()
        .to_owned()
}

#[track_caller]
fn await_status(host: &Host, status: &str) {
    eventually(&format!("the status is {status}"), 30, || {
        (show(host, "{{.State.Status}}") == status).then_some(())
    });
}

#[test]
fn a_failing_container_is_tried_so_often_with_growing_pauses() {
    let Some(host) = busybox() else { return };
    run(&host, "on-failure:3", "echo run; exit 3");
    eventually("it gives up", 30, || {
        (show(&host, "{{.State.Status}} {{.RestartCount}}") == "exited 3").then_some(())
    });
    assert_eq!(show(&host, "{{.State.ExitCode}}"), "3");
    let stamps = host.lighter(["logs", "-t", "box"]).success();
    let times: Vec<f64> = stamps
        .lines()
        .iter()
        .map(|line| {
            // Minutes do not matter below; a run over the full minute is taken as one.
            let seconds = line.get(17..29).expect("a timestamp").parse::<f64>();
            seconds.expect("seconds of a timestamp")
        })
        .collect();
    assert_eq!(times.len(), 4, "{stamps:?}");
    let gaps: Vec<f64> = times
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).rem_euclid(60.0))
        .collect();
    // At least 100 ms, 200 ms, 400 ms: a loaded machine makes them longer, never shorter.
    for (gap, least) in gaps.iter().zip([0.1, 0.2, 0.4]) {
        assert!(*gap >= least, "{gaps:?}");
    }
}

#[test]
fn success_is_no_failure() {
    let Some(host) = busybox() else { return };
    run(&host, "on-failure", "echo run");
    await_status(&host, "exited");
    assert_eq!(host.lighter(["logs", "box"]).stdout, "run\n");
    assert_eq!(show(&host, "{{.RestartCount}} {{.State.ExitCode}}"), "0 0");
}

#[test]
fn without_a_policy_it_stays_down() {
    let Some(host) = busybox() else { return };
    run(&host, "no", "exit 4");
    assert_eq!(host.lighter(["wait", "box"]).text(), "4");
    assert_eq!(
        show(&host, "{{.State.Status}} {{.RestartCount}}"),
        "exited 0"
    );
}

#[test]
fn always_comes_back_as_another_process_until_it_is_stopped() {
    let Some(host) = busybox() else { return };
    for (policy, end) in [
        ("always", "stop"),
        ("unless-stopped", "kill"),
        ("always", "stop"),
    ] {
        run(&host, policy, "trap 'exit 0' TERM; sleep 1000 & wait");
        let first = show(&host, "{{.State.Pid}}");
        // From outside: the container's own end, as when the program crashes.
        support::process::kill(first.parse().expect("a pid"));
        let second = eventually("it comes back", 30, || {
            let pid = show(&host, "{{.State.Pid}}");
            (pid != first && pid != "0").then_some(pid)
        });
        assert!(std::path::Path::new(&format!("/proc/{second}")).exists());
        assert_eq!(show(&host, "{{.RestartCount}}"), "1");
        host.lighter([end, "box"]).success();
        host.lighter(["wait", "box"]).success();
        // Longer than the pause before a restart would be.
        std::thread::sleep(std::time::Duration::from_millis(500));
        assert_eq!(
            show(&host, "{{.State.Status}} {{.State.Pid}}"),
            "exited 0",
            "{policy} after {end}"
        );
        host.lighter(["rm", "box"]).success();
    }
}

#[test]
fn a_container_that_waits_for_its_restart_can_be_stopped_and_removed() {
    let Some(host) = busybox() else { return };
    run(&host, "always", "exit 1");
    // The pause doubles: soon it waits most of the time.
    await_status(&host, "restarting");
    let listed = host.lighter(["ps", "--format", "{{.Status}}"]).success();
    assert!(
        listed.text().starts_with("Restarting (1)") || listed.text().starts_with("Up"),
        "{listed:?}"
    );
    host.lighter(["stop", "box"]).success();
    assert_eq!(
        show(&host, "{{.State.Status}} {{.State.ExitCode}}"),
        "exited 1"
    );
    host.lighter(["start", "box"]).success();
    host.lighter(["rm", "-f", "box"]).success();
    assert_eq!(host.lighter(["ps", "-aq"]).stdout, "");
}

#[test]
fn update_changes_the_policy_of_what_runs() {
    let Some(host) = busybox() else { return };
    run(&host, "no", "sleep 1000");
    host.lighter(["update", "--restart", "always", "box"])
        .success();
    let first = show(&host, "{{.State.Pid}}");
    support::process::kill(first.parse().expect("a pid"));
    eventually("it comes back", 30, || {
        let pid = show(&host, "{{.State.Pid}}");
        (pid != first && pid != "0").then_some(())
    });
    host.lighter(["update", "--restart", "no", "box"]).success();
    let second = show(&host, "{{.State.Pid}}");
    support::process::kill(second.parse().expect("a pid"));
    assert_eq!(host.lighter(["wait", "box"]).text(), "137");
    await_status(&host, "exited");
    let refused = host
        .lighter(["update", "--restart", "sometimes", "box"])
        .exits(1);
    assert!(refused.stderr.contains("sometimes"), "{refused:?}");
}

#[test]
fn restart_and_rm_exclude_each_other() {
    let Some(host) = busybox() else { return };
    let refused = host
        .lighter(["run", "--rm", "--restart", "always", BUSYBOX, "true"])
        .exits(125);
    assert!(refused.stderr.contains("--restart and --rm"), "{refused:?}");
    assert_eq!(host.lighter(["ps", "-aq"]).stdout, "");
}
