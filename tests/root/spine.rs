//! The main job: a real Compose application comes from a real registry, runs, stops, starts again and goes.
//!
//! The application is `vendor-fixtures/apps/shop`: nginx and HAProxy before two replicas of a web application that
//! reads its row from MariaDB.

use std::path::PathBuf;

use support::{Host, Output, Snapshot};

use crate::host;

const ROW: &str = "a lighter container";

#[test]
fn the_shop_comes_from_the_registry_runs_restarts_and_goes() {
    let Some(host) = host() else { return };
    host.fixtures();
    // The first container makes what stays for all later ones: the default network, locks, the list of events.
    let busybox = "localhost:5000/busybox";
    host.lighter(["run", "--rm", busybox, "true"]).success();
    let before = Snapshot::of(&host);

    compose(&host, &["up", "-d", "--wait"]).success();
    answers_through_nginx_and_gateway(&host);
    both_replicas_serve(&host);
    is_listed(&host);
    tells_what_it_does(&host);
    the_database_is_reached_by_exec(&host);

    compose(&host, &["stop"]).success();
    assert!(!reachable(&host), "stopped, and still answers");
    compose(&host, &["start", "--wait"]).success();
    answers_through_nginx_and_gateway(&host);

    compose(&host, &["down"]).success();
    assert_eq!(volumes(&host), 1, "down keeps the volume");
    compose(&host, &["up", "-d", "--wait"]).success();
    answers_through_nginx_and_gateway(&host);
    compose(&host, &["down", "-v"]).success();
    assert_eq!(volumes(&host), 0, "down -v removes the volume");
    before.assert_nothing_added(&host);
}

#[test]
fn up_again_changes_nothing() {
    let Some(host) = host() else { return };
    host.fixtures();
    compose(&host, &["up", "-d"]).success();
    let ids = host.lighter(["ps", "-q", "--no-trunc"]).success().stdout;
    compose(&host, &["up", "-d"]).success();
    assert_eq!(
        host.lighter(["ps", "-q", "--no-trunc"]).success().stdout,
        ids
    );
    compose(&host, &["down", "-v"]).success();
}

fn compose(host: &Host, arguments: &[&str]) -> Output {
    let file: PathBuf = support::need::repository().join("vendor-fixtures/apps/shop/compose.yaml");
    let mut command = host.lighter_command(["compose", "-f"]);
    command.arg(file).args(arguments);
    Output::of(command)
}

#[track_caller]
fn answers_through_nginx_and_gateway(host: &Host) {
    for port in [80, 8000] {
        // Asked once: `--wait` waits until both entrances have had an answer from the application themselves.
        let url = format!("http://127.0.0.1:{port}/");
        let mut command = host.command("curl");
        command.args(["-sS", "--fail", "--max-time", "5", &url]);
        let answer = Output::of(command).success().stdout;
        assert!(answer.contains(ROW), "on port {port}: {answer}");
    }
}

/// The name `web` is two addresses, and requests go to both.
#[track_caller]
fn both_replicas_serve(host: &Host) {
    let mut servers = std::collections::BTreeSet::new();
    support::eventually("both replicas of web serve", 20, || {
        let answer = host.get("http://127.0.0.1:8000/");
        let answer: serde_json::Value = serde_json::from_str(&answer).ok()?;
        servers.insert(answer["served_by"].as_str()?.to_owned());
        (servers.len() == 2).then_some(())
    });
}

#[track_caller]
fn is_listed(host: &Host) {
    let listing = compose(host, &["ps"]).success().stdout;
    for name in [
        "shop-db-1",
        "shop-web-1",
        "shop-web-2",
        "shop-nginx-1",
        "shop-gateway-1",
        "(healthy)",
        "0.0.0.0:80->80/tcp",
    ] {
        assert!(listing.contains(name), "{name} is missing in:\n{listing}");
    }
}

#[track_caller]
fn tells_what_it_does(host: &Host) {
    let all = compose(host, &["logs", "--no-color"]).success().stdout;
    assert!(all.contains("web listens on 8000"), "{all}");
    let nginx = compose(host, &["logs", "--no-color", "nginx"])
        .success()
        .stdout;
    assert!(nginx.contains("\"GET / HTTP/1.1\" 200"), "{nginx}");
    assert!(!nginx.contains("web listens"), "{nginx}");
}

#[track_caller]
fn the_database_is_reached_by_exec(host: &Host) {
    let select = [
        "exec",
        "-T",
        "db",
        "mysql",
        "-ptopsecret",
        "-N",
        "shop",
        "-e",
        "SELECT name FROM products",
    ];
    assert_eq!(compose(host, &select).success().text(), ROW);
}

fn reachable(host: &Host) -> bool {
    let mut command = host.command("curl");
    command.args([
        "-s",
        "-o",
        "/dev/null",
        "--max-time",
        "3",
        "http://127.0.0.1:80/",
    ]);
    Output::of(command).code == 0
}

#[track_caller]
fn volumes(host: &Host) -> usize {
    host.lighter(["volume", "ls", "-q"]).success().lines().len()
}
