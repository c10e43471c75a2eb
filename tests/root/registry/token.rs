//! Token authentication: Debian's registry believes only tokens that the test's own token server signed.

use std::process::Stdio;

use support::http::Server;
use support::token_server::{PASSWORD, TokenServer, USER};
use support::{Host, Output};

use super::{configuration, image, lighter};
use crate::host;

/// A registry at localhost:5000 and its token server.
fn guarded(host: &Host) -> Server {
    let authority = host.authority("tokens");
    let tokens = TokenServer::new(&authority);
    let server = Server::start_in(host.network(), "127.0.0.1:5001", move |request| {
        tokens.reply(request)
    });
    host.registry(
        5000,
        &TokenServer::section(&authority, "http://localhost:5001/token"),
    );
    server
}

#[track_caller]
fn log_in(host: &Host, password: &str) -> Output {
    let typed = host.write("password", password);
    let mut command =
        host.lighter_command(["login", "-u", USER, "--password-stdin", "localhost:5000"]);
    command
        .env("LIGHTER_CONFIG", configuration(host))
        .stdin(Stdio::from(std::fs::File::open(typed).unwrap()));
    Output::with_input_set(command)
}

#[test]
fn strangers_pull_and_users_push() {
    let Some(host) = host() else { return };
    let server = guarded(&host);
    let name = "localhost:5000/team/app";
    image(&host, &[name]);
    let refused = lighter(&host, &["push", name]).exits(1);
    assert!(
        refused.stderr.contains("push access denied for team/app"),
        "{}",
        refused.stderr
    );
    let creds = format!("{USER}:{PASSWORD}");
    lighter(&host, &["push", "--creds", &creds, name]).success();
    let wrong = lighter(&host, &["push", "--creds", "alice:wrong", name]).exits(1);
    assert!(
        wrong.stderr.contains("refused the credentials"),
        "{}",
        wrong.stderr
    );
    let pulled = lighter(&host, &["pull", name]).success();
    assert!(
        pulled.stderr.contains("Image is up to date"),
        "{}",
        pulled.stderr
    );
    let last = server.requests().pop().unwrap();
    assert!(last.header("authorization").is_none());
    assert!(
        last.path.contains("scope=repository%3Ateam%2Fapp%3Apull"),
        "{}",
        last.path
    );
}

#[test]
fn login_keeps_a_refresh_token_and_no_password() {
    let Some(host) = host() else { return };
    let server = guarded(&host);
    let wrong = log_in(&host, "wrong").exits(1);
    assert!(
        wrong.stderr.contains("incorrect username or password"),
        "{}",
        wrong.stderr
    );
    log_in(&host, PASSWORD).success();
    let file = std::fs::read_to_string(host.directory().join("home/.docker/config.json")).unwrap();
    assert!(
        file.contains("identitytoken") && !file.contains("\"auth\""),
        "{file}"
    );
    let name = "localhost:5000/team/app";
    image(&host, &[name]);
    lighter(&host, &["push", name]).success();
    let refreshed = server
        .requests()
        .into_iter()
        .filter(|request| request.method == "POST")
        .count();
    assert!(refreshed > 0, "OAuth2's form was used");
    lighter(&host, &["logout", "localhost:5000"]).success();
    lighter(&host, &["push", name]).exits(1);
}

#[test]
fn a_blob_is_mounted_from_another_repository() {
    let Some(host) = host() else { return };
    guarded(&host);
    log_in(&host, PASSWORD).success();
    let (one, other) = ("localhost:5000/team/app", "localhost:5000/other/app");
    image(&host, &[one]);
    lighter(&host, &["push", one]).success();
    // The registry is the image's source only after a pull.
    lighter(&host, &["rmi", one]).success();
    lighter(&host, &["pull", one]).success();
    lighter(&host, &["tag", one, other]).success();
    let pushed = lighter(&host, &["push", other]).success();
    assert!(
        pushed.stderr.contains("Mounted from another repository"),
        "{}",
        pushed.stderr
    );
    lighter(&host, &["rmi", one, other]).success();
    lighter(&host, &["pull", other]).success();
}
