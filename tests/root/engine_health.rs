//! Health checks: the monitor runs them in the container, and `inspect`, `ps` and `events` show what they said.

use support::{Host, Output, eventually};

use crate::{BUSYBOX, busybox, detached};

#[track_caller]
fn run(host: &Host, options: &[&str]) {
    let words = [
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "box",
        "--health-interval",
        "50ms",
    ];
    let mut command = host.lighter_command(words);
    command.args(options).args([BUSYBOX, "sleep", "1000"]);
    Output::of(command).success();
}

fn health(host: &Host) -> serde_json::Value {
    host.lighter(["inspect", "-f", "{{json .State.Health}}", "box"])
        .success()
        .json()
}

#[track_caller]
fn await_health(host: &Host, status: &str) {
    eventually(&format!("it is {status}"), 30, || {
        (health(host)["Status"] == status).then_some(())
    });
    let listed = host.lighter(["ps", "--format", "{{.Status}}"]).success();
    let shown = if status == "starting" {
        "(health: starting)"
    } else {
        &format!("({status})")
    };
    assert!(listed.text().contains(shown), "{listed:?}");
}

#[test]
fn it_follows_the_check_from_unhealthy_to_healthy_and_back() {
    let Some(host) = busybox() else { return };
    run(
        &host,
        &[
            "--health-cmd",
            "cat /ok || { echo not yet; exit 1; }",
            "--health-retries",
            "2",
        ],
    );
    await_health(&host, "unhealthy");
    let now = health(&host);
    assert!(now["FailingStreak"].as_u64() >= Some(2), "{now}");
    let last = now["Log"]
        .as_array()
        .expect("a list")
        .last()
        .expect("a result")
        .clone();
    assert_eq!(last["ExitCode"], 1);
    assert!(
        last["Output"]
            .as_str()
            .expect("text")
            .ends_with("not yet\n"),
        "{last}"
    );
    host.lighter(["exec", "box", "sh", "-c", "echo fine > /ok"])
        .success();
    await_health(&host, "healthy");
    let now = health(&host);
    assert_eq!(now["FailingStreak"], 0);
    assert!(now["Log"].as_array().expect("a list").len() <= 5, "{now}");
    host.lighter(["exec", "box", "rm", "/ok"]).success();
    await_health(&host, "unhealthy");
    let events = host.lighter([
        "events",
        "--since",
        "10m",
        "--until",
        "0s",
        "--format",
        "{{.Action}}",
    ]);
    let changes: Vec<&str> = events
        .lines()
        .into_iter()
        .filter(|line| line.contains("health_status"))
        .collect();
    let expected = [
        "health_status: unhealthy",
        "health_status: healthy",
        "health_status: unhealthy",
    ];
    assert_eq!(changes, expected);
    for (status, count) in [("unhealthy", 1), ("healthy", 0)] {
        let filter = format!("health={status}");
        assert_eq!(
            host.lighter(["ps", "-q", "-f", &filter]).lines().len(),
            count
        );
    }
}

#[test]
fn in_the_start_period_failures_do_not_count() {
    let Some(host) = busybox() else { return };
    let check = "echo >> /tries; test -e /ok";
    let period = [
        "--health-start-period",
        "1h",
        "--health-start-interval",
        "50ms",
        "--health-retries",
        "1",
    ];
    run(&host, &[&["--health-cmd", check][..], &period].concat());
    eventually("some checks have failed", 30, || {
        let tries = host.lighter(["exec", "box", "wc", "-l", "/tries"]);
        (tries.text().split(' ').next()?.parse::<u32>().ok()? > 3).then_some(())
    });
    assert_eq!(health(&host)["Status"], "starting");
    assert_eq!(health(&host)["FailingStreak"], 0);
    host.lighter(["exec", "box", "touch", "/ok"]).success();
    await_health(&host, "healthy");
}

#[test]
fn a_check_that_takes_too_long_is_killed_and_failed() {
    let Some(host) = busybox() else { return };
    let check = [
        "--health-cmd",
        "sleep 654321",
        "--health-timeout",
        "100ms",
        "--health-retries",
        "1",
    ];
    run(&host, &check);
    await_health(&host, "unhealthy");
    let last = health(&host)["Log"][0].clone();
    assert_eq!(last["ExitCode"], -1);
    assert!(
        last["Output"]
            .as_str()
            .expect("text")
            .contains("exceeded timeout"),
        "{last}"
    );
    eventually("no check is left running for long", 10, || {
        // At most the one that runs now.
        let left = host.lighter([
            "exec",
            "box",
            "sh",
            "-c",
            "ps | grep -c 'sleep [6]54321' || true",
        ]);
        (left.text().parse::<u32>().ok()? <= 2).then_some(())
    });
}

#[test]
fn a_check_that_cannot_be_run_is_unhealthy_and_says_why() {
    let Some(host) = busybox() else { return };
    let file = host.write(
        "app/compose.yaml",
        format!(
            "services: {{a: {{image: {BUSYBOX}, container_name: box, network_mode: none, command: sleep 1000, \
             healthcheck: {{test: [CMD, /nosuch], interval: 50ms, retries: 1}}}}}}"
        ),
    );
    let file = file.to_str().expect("the path is UTF-8");
    host.lighter(["compose", "-f", file, "up", "-d"]).success();
    await_health(&host, "unhealthy");
    let last = health(&host)["Log"][0].clone();
    assert_ne!(last["ExitCode"], 0);
    assert!(
        last["Output"].as_str().expect("text").contains("/nosuch"),
        "{last}"
    );
    host.lighter(["compose", "-f", file, "down", "-t", "0"])
        .success();
}

#[test]
fn a_frozen_container_is_not_called_ill() {
    let Some(host) = busybox() else { return };
    run(
        &host,
        &[
            "--health-cmd",
            "true",
            "--health-retries",
            "1",
            "--health-timeout",
            "200ms",
        ],
    );
    await_health(&host, "healthy");
    host.lighter(["pause", "box"]).success();
    std::thread::sleep(std::time::Duration::from_millis(600));
    host.lighter(["unpause", "box"]).success();
    let log = health(&host)["Log"].clone();
    let failed = log
        .as_array()
        .expect("a list")
        .iter()
        .filter(|result| result["ExitCode"] != 0)
        .count();
    assert_eq!(failed, 0, "{log}");
}

#[test]
fn no_check_no_health() {
    let Some(host) = busybox() else { return };
    detached(&host, &["--no-healthcheck", BUSYBOX, "sleep", "1000"]);
    assert_eq!(
        host.lighter(["inspect", "-f", "{{.State.Health}}", "box"])
            .text(),
        "<nil>"
    );
    host.lighter(["inspect", "-f", "{{.State.Health.Status}}", "box"])
        .exits(1);
    assert_eq!(
        host.lighter(["ps", "-q", "-f", "health=none"])
            .lines()
            .len(),
        1
    );
}
