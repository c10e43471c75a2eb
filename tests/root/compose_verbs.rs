//! Every verb of `compose` on a running application: what it prints and what it does to the containers.

use support::eventually;

use crate::compose::App;

const TEXT: &str = "
services:
  db:
    image: localhost:5000/busybox
    command: sh -c 'trap \"exit 0\" TERM; echo db up; while :; do sleep 0.05; done'
    healthcheck: {test: 'true', interval: 100ms}
    ports: ['6001:80']
  web:
    image: localhost:5000/busybox
    command: sh -c 'trap \"exit 0\" TERM; echo web up; while :; do sleep 0.05; done'
    depends_on: {db: {condition: service_healthy}}
    deploy: {replicas: 2}
    volumes: ['data:/data']
  task:
    image: localhost:5000/busybox
    command: sh -c 'exit 3'
    profiles: [tasks]
volumes: {data: }
";

/// Service and state of every container, sorted.
#[track_caller]
fn states(app: &App) -> String {
    let words = ["ps", "-a", "--format", "{{.Name}} {{.State}}"];
    let output = app.compose(&words).success();
    output.lines().join(", ")
}

#[test]
fn create_start_stop_kill_rm_and_down() {
    let Some(app) = App::new(TEXT) else { return };
    app.compose(&["create"]).success();
    assert_eq!(
        states(&app),
        "app-db-1 created, app-web-1 created, app-web-2 created"
    );
    let started = app.compose(&["start"]).success();
    let (healthy, web) = (
        started.stderr.find("app-db-1  Healthy"),
        started.stderr.find("app-web-1  Starting"),
    );
    assert!(
        healthy.is_some() && healthy < web,
        "web is started once db is healthy: {started:?}"
    );
    assert_eq!(
        states(&app),
        "app-db-1 running, app-web-1 running, app-web-2 running"
    );
    app.compose(&["pause", "web"]).success();
    assert_eq!(
        states(&app),
        "app-db-1 running, app-web-1 paused, app-web-2 paused"
    );
    app.compose(&["unpause", "web"]).success();
    let pid = |name: &str| {
        app.host
            .lighter(["inspect", "-f", "{{.State.Pid}}", name])
            .text()
            .to_owned()
    };
    let (db, web) = (pid("app-db-1"), pid("app-web-1"));
    app.compose(&["restart", "web"]).success();
    assert_eq!(pid("app-db-1"), db);
    assert_ne!(pid("app-web-1"), web);
    app.compose(&["kill", "-s", "KILL", "web"]).success();
    eventually("web is down", 10, || {
        (states(&app) == "app-db-1 running, app-web-1 exited, app-web-2 exited").then_some(())
    });
    app.compose(&["rm", "-f"]).success();
    assert_eq!(states(&app), "app-db-1 running");
    app.compose(&["stop", "db"]).success();
    assert_eq!(states(&app), "app-db-1 exited");
    app.compose(&["rm", "-f", "-s", "-v"]).success();
    assert_eq!(states(&app), "");
    app.compose(&["up", "-d"]).success();
    app.compose(&["down", "-v", "--rmi", "all"]).success();
    let images = app.host.lighter(["images", "-q"]).success();
    assert_eq!(images.stdout, "", "--rmi all takes the images");
    assert_eq!(app.host.lighter(["volume", "ls", "-q"]).stdout, "");
    assert!(
        !app.host
            .lighter(["network", "ls"])
            .stdout
            .contains("app_default")
    );
}

#[test]
fn what_runs_is_shown() {
    let Some(app) = App::new(TEXT) else { return };
    app.compose(&["up", "-d"]).success();
    assert_eq!(
        app.compose(&["port", "db", "80"]).success().text(),
        "0.0.0.0:6001"
    );
    app.compose(&["port", "web", "80"]).exits(1);
    let images = app.compose(&["images"]).success();
    assert_eq!(images.lines().len(), 4, "{images:?}");
    let top = app.compose(&["top"]).success();
    assert!(
        top.stdout.contains("db") && top.stdout.contains("sleep 0.05"),
        "{top:?}"
    );
    let stats = app
        .compose(&["stats", "--no-stream", "--format", "{{.Name}}"])
        .success();
    let mut names = stats.lines();
    names.sort_unstable();
    assert_eq!(names, ["app-db-1", "app-web-1", "app-web-2"]);
    let projects = app.compose(&["ls", "--format", "json"]).success().json();
    assert_eq!(projects[0]["Status"], "running(3)");
    assert_eq!(app.compose(&["volumes", "-q"]).success().text(), "app_data");
    let events = app
        .compose(&["events", "--since", "10m", "--until", "0s"])
        .success();
    assert!(
        events.stdout.contains("container start") && events.stdout.contains("app-web-2"),
        "{events:?}"
    );
    for service in ["--services", "--volumes", "--profiles", "--images"] {
        app.compose(&["config", service]).success();
    }
    assert_eq!(app.compose(&["config", "--services"]).stdout, "db\nweb\n");
    let refused = app.compose(&["watch"]).exits(1);
    assert!(
        refused.stderr.contains("watching is not available"),
        "{refused:?}"
    );
    app.down();
}

#[test]
fn files_go_to_every_replica_and_come_from_the_first() {
    let Some(app) = App::new(TEXT) else { return };
    app.compose(&["up", "-d"]).success();
    app.write("file", "content");
    app.compose(&["cp", "file", "web:/tmp/all"]).success();
    app.compose(&["cp", "--index", "2", "file", "web:/tmp/one"])
        .success();
    let has = |index: &str, path: &str| {
        app.compose(&["exec", "-T", "--index", index, "web", "cat", path])
            .code
            == 0
    };
    assert!(has("1", "/tmp/all") && has("2", "/tmp/all"));
    assert!(!has("1", "/tmp/one") && has("2", "/tmp/one"));
    app.compose(&["cp", "web:/tmp/all", "back"]).success();
    let back = app.host.directory().join("app/back");
    assert_eq!(std::fs::read_to_string(back).expect("a file"), "content");
    app.compose(&["cp", "nosuch:/x", "back"]).exits(1);
    app.down();
}

#[test]
fn run_brings_up_what_it_needs_and_goes() {
    let Some(app) = App::new(TEXT) else { return };
    let output = app
        .compose(&["run", "--rm", "-T", "web", "echo", "hi"])
        .success();
    assert_eq!(output.stdout, "hi\n");
    assert_eq!(
        states(&app),
        "app-db-1 running",
        "the dependency stays, the run is gone"
    );
    app.compose(&["run", "--rm", "-T", "task"]).exits(3);
    app.compose(&[
        "run",
        "--rm",
        "-T",
        "--no-deps",
        "-e",
        "X=1",
        "web",
        "sh",
        "-c",
        "exit $X",
    ])
    .exits(1);
    app.compose(&["stop", "db"]).success();
    let words = ["run", "-d", "--name", "ports", "--service-ports", "db"];
    app.compose(&words).success();
    assert_eq!(
        app.host.lighter(["port", "ports", "80"]).lines()[0],
        "0.0.0.0:6001"
    );
    app.host.lighter(["rm", "-f", "ports"]).success();
    app.down();
}

#[test]
fn wait_gives_the_first_exit_code() {
    let Some(app) = App::new(
        "services: {a: {image: localhost:5000/busybox, command: sh -c 'sleep 0.3; exit 4'}}\n",
    ) else {
        return;
    };
    app.compose(&["up", "-d"]).success();
    app.compose(&["wait", "a"]).exits(4);
    app.down();
}
