//! `compose up` in the foreground: its output, how it ends, and what Ctrl-C does the first and the second time.

use support::{Terminal, eventually};

use crate::compose::App;

/// Two services; `polite` ends by itself when asked, `deaf` only by SIGKILL.
fn text(deaf: &str) -> String {
    format!(
        "
services:
  polite:
    image: localhost:5000/busybox
    command: sh -c 'trap \"echo bye; exit 0\" TERM; echo polite is up; while :; do sleep 0.05; done'
  deaf:
    image: localhost:5000/busybox
    command: sh -c 'trap \"\" TERM; echo deaf is up; while :; do sleep 0.05; done'
    stop_grace_period: {deaf}
"
    )
}

/// `compose up` on a terminal, once both services have spoken.
#[track_caller]
fn up(app: &App) -> Terminal {
    let mut command = app.host.lighter_command(["compose", "up"]);
    command.current_dir(app.host.directory().join("app"));
    // nsenter enters the directory itself.
    let mut terminal = Terminal::start(&command);
    let mut seen = String::new();
    while !(seen.contains("polite is up") && seen.contains("deaf is up")) {
        seen.push_str(&terminal.until(" is up"));
    }
    terminal
}

#[track_caller]
fn ended(app: &App) -> String {
    let words = [
        "ps",
        "-a",
        "--format",
        "{{.Service}} {{.State}} {{.ExitCode}}",
    ];
    app.compose(&words).success().lines().join(", ")
}

#[test]
fn the_first_ctrl_c_stops_gracefully() {
    let Some(app) = App::new(&text("1s")) else {
        return;
    };
    let mut terminal = up(&app);
    terminal.type_in("\u{3}");
    terminal.until("Gracefully stopping");
    let (code, _) = terminal.end();
    assert_eq!(code, 130);
    assert_eq!(ended(&app), "deaf exited 137, polite exited 0");
    assert!(app.compose(&["logs", "polite"]).stdout.contains("bye"));
    app.down();
}

#[test]
fn the_second_ctrl_c_kills() {
    let Some(app) = App::new(&text("10m")) else {
        return;
    };
    let mut terminal = up(&app);
    terminal.type_in("\u{3}");
    terminal.until("Gracefully stopping");
    eventually("polite has stopped, deaf does not", 20, || {
        (ended(&app) == "deaf running 0, polite exited 0").then_some(())
    });
    terminal.type_in("\u{3}");
    let (code, _) = terminal.end();
    assert_eq!(code, 130);
    assert_eq!(ended(&app), "deaf exited 137, polite exited 0");
    app.down();
}

#[test]
fn a_killed_up_leaves_the_application_running_and_can_be_taken_up_again() {
    let Some(app) = App::new(&text("0s")) else {
        return;
    };
    // Dropped, the terminal kills the command; nobody was asked to stop.
    drop(up(&app));
    assert_eq!(ended(&app), "deaf running 0, polite running 0");
    let before = app.ids();
    app.compose(&["up", "-d"]).success();
    assert_eq!(app.ids(), before);
    app.compose(&["stop", "-t", "0"]).success();
    app.compose(&["up", "-d"]).success();
    assert_eq!(app.ids(), before);
    app.down();
}

#[test]
fn one_that_ends_ends_the_others_when_asked() {
    let Some(app) = App::new(
        "
services:
  test: {image: localhost:5000/busybox, command: 'sh -c \"sleep 0.3; exit 5\"'}
  server: {image: localhost:5000/busybox, command: sleep 1000, stop_grace_period: 0s}
",
    ) else {
        return;
    };
    app.compose(&["up", "--abort-on-container-exit"]).exits(5);
    assert_eq!(ended(&app), "server exited 137, test exited 5");
    app.compose(&["up", "--abort-on-container-failure"])
        .exits(5);
    app.compose(&["up", "--exit-code-from", "server"])
        .exits(137);
    app.down();
}

#[test]
fn hooks_run_before_and_after() {
    let Some(app) = App::new(
        "
services:
  a:
    image: localhost:5000/busybox
    command: sh -c 'trap \"exit 0\" TERM; while :; do sleep 0.05; done'
    volumes: ['data:/data']
    post_start: [{command: 'sh -c \"echo post >> /data/log\"'}]
    pre_stop: [{command: 'sh -c \"echo pre >> /data/log\"', user: root}]
volumes: {data: }
",
    ) else {
        return;
    };
    app.compose(&["up", "-d"]).success();
    assert_eq!(app.inside("a", "cat /data/log"), "post");
    app.compose(&["stop"]).success();
    app.compose(&["start"]).success();
    assert!(app.inside("a", "cat /data/log").starts_with("post\npre"));
    app.down();
}

#[test]
fn logs_follow_every_replica() {
    let Some(app) = App::new(
        "
services:
  a:
    image: localhost:5000/busybox
    command: sh -c 'sleep 0.2; for i in 1 2 3; do echo line $$i; sleep 0.05; done'
    deploy: {replicas: 3}
",
    ) else {
        return;
    };
    app.compose(&["up", "-d"]).success();
    let followed = app.compose(&["logs", "-f", "--no-color"]).success().stdout;
    for replica in 1..=3 {
        for line in 1..=3 {
            let wanted = format!("a-{replica}  | line {line}");
            assert_eq!(followed.matches(&wanted).count(), 1, "{wanted}: {followed}");
        }
    }
    app.down();
}
