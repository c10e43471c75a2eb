//! Compose verbs on one project at the same time: they take turns. And the order in which `start` and `restart` begin.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use support::{Background, eventually};

use crate::compose::App;

const SHOP: &str = "
services:
  db:
    image: localhost:5000/busybox
    command: sh -c 'sleep 0.5; touch /ready; exec sleep 1000'
    stop_grace_period: 0s
    volumes: ['data:/data']
    healthcheck: {test: test -e /ready, interval: 100ms, retries: 100}
  web:
    image: localhost:5000/busybox
    command: sleep 1000
    stop_grace_period: 0s
    depends_on: {db: {condition: service_healthy, restart: true}}
volumes: {data: }
";

fn begin(app: &App, arguments: &[&str]) -> Child {
    let mut command = app.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("lighter")
}

#[track_caller]
fn succeeds(child: Child) -> String {
    let output = child.wait_with_output().expect("an end");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn two_ups_at_once_bring_the_project_up_once() {
    let Some(app) = App::new(SHOP) else { return };
    let ups = [begin(&app, &["up", "-d"]), begin(&app, &["up", "-d"])];
    let said: String = ups.into_iter().map(succeeds).collect();
    assert_eq!(
        said.matches("Container app-db-1  Created").count(),
        1,
        "{said}"
    );
    let listing = app.compose(&["ps", "--format", "{{.Name}} {{.State}}"]);
    assert_eq!(
        listing.success().stdout,
        "app-db-1 running\napp-web-1 running\n"
    );
    app.down();
}

#[test]
fn up_and_down_at_once_both_succeed() {
    let Some(app) = App::new(SHOP) else { return };
    for _ in 0..3 {
        let verbs = [
            begin(&app, &["up", "-d"]),
            begin(&app, &["down", "-v", "-t", "0"]),
            begin(&app, &["up", "-d"]),
            begin(&app, &["restart", "-t", "0", "db"]),
        ];
        let mut verbs = verbs.into_iter();
        verbs.by_ref().take(3).for_each(|verb| drop(succeeds(verb)));
        // Between `down` and `up` there is nothing to restart.
        for verb in verbs {
            let output = verb.wait_with_output().expect("an end");
            let said = String::from_utf8_lossy(&output.stderr);
            let nothing = said.contains("no container to restart");
            assert!(output.status.success() || nothing, "{said}");
        }
    }
    app.down();
    assert_eq!(locks(app.host.state()), 0, "a lock was left");
}

#[test]
fn who_waits_says_for_whom_and_a_kill_leaves_no_lock() {
    let Some(app) = App::new(
        &SHOP
            .replace("touch /ready; ", "")
            .replace("retries: 100", "retries: 100000"),
    ) else {
        return;
    };
    let mut holder = Background::start_silent(app.command(&["up", "-d"]));
    eventually("the wait for health", 20, || {
        let listing = app.compose(&["ps", "-q", "db"]).stdout;
        (!listing.is_empty()).then_some(())
    });
    let [mut waiting, mut given_up] =
        [&["stop", "-t", "0"][..], &["down"]].map(|verb| begin(&app, verb));
    let wanted = format!(
        "another lighter (pid {}) works on the project app",
        holder.pid()
    );
    for child in [&mut waiting, &mut given_up] {
        let mut line = String::new();
        let mut said = BufReader::new(child.stderr.as_mut().expect("stderr"));
        said.read_line(&mut line).expect("a line");
        assert!(line.contains(&wanted), "{line}");
    }
    let pid = rustix::process::Pid::from_raw(given_up.id().cast_signed()).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    let output = given_up.wait_with_output().expect("an end");
    assert!(!output.status.success(), "Ctrl-C did not end the waiting");
    holder.child().kill().expect("killed");
    succeeds(waiting);
    app.down();
}

/// The lines about containers: name and word.
pub fn events(said: &str) -> Vec<(&str, &str)> {
    said.lines()
        .filter_map(|line| line.trim().strip_prefix("Container ")?.split_once("  "))
        .collect()
}

#[track_caller]
fn assert_order(said: &str, wanted: &[(&str, &str)]) {
    let events = events(said);
    let places: Vec<Option<usize>> = wanted
        .iter()
        .map(|event| events.iter().position(|other| other == event))
        .collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{said}"
    );
}

#[test]
fn start_and_restart_wait_for_health() {
    let Some(app) = App::new(SHOP) else { return };
    app.compose(&["up", "-d"]).success();
    app.compose(&["stop", "-t", "0"]).success();
    let said = app.compose(&["start"]).success().stderr;
    assert_order(
        &said,
        &[
            ("app-db-1", "Started"),
            ("app-db-1", "Waiting"),
            ("app-db-1", "Healthy"),
            ("app-web-1", "Starting"),
            ("app-web-1", "Started"),
        ],
    );
    let said = app.compose(&["restart", "db"]).success().stderr;
    assert_order(
        &said,
        &[
            ("app-db-1", "Restarting"),
            ("app-db-1", "Started"),
            ("app-db-1", "Healthy"),
            ("app-web-1", "Restarting"),
            ("app-web-1", "Started"),
        ],
    );
    app.down();
}

fn locks(state: std::path::PathBuf) -> usize {
    let names = std::fs::read_dir(state).unwrap().flatten();
    names
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("compose-"))
        .count()
}
