//! `login` and `logout` with basic authentication: where credentials are kept, and who else reads them.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use support::{Host, Output};

use super::{basic_auth, configuration, image, lighter, lighter_with};
use crate::host;

const PASSWORD: &str = "pass:word";

#[track_caller]
fn log_in(host: &Host, registry: &str, password: &str) -> Output {
    log_in_with(host, registry, password, &[])
}

#[track_caller]
fn log_in_with(
    host: &Host,
    registry: &str,
    password: &str,
    environment: &[(&str, &str)],
) -> Output {
    let typed = host.write("password", format!("{password}\n"));
    let mut command = host.lighter_command(["login", "-u", "me", "--password-stdin", registry]);
    command
        .env("LIGHTER_CONFIG", configuration(host))
        .envs(environment.iter().copied())
        .stdin(Stdio::from(std::fs::File::open(typed).unwrap()));
    Output::with_input_set(command)
}

#[test]
fn who_logged_in_may_pull_and_push_until_logout() {
    let Some(host) = host() else { return };
    let section = basic_auth(&host, "me", PASSWORD);
    let registry = host.registry(5000, &section);
    let name = format!("{registry}/app");
    image(&host, &[&name]);

    let refused = lighter(&host, &["push", &name]).exits(1);
    assert!(
        refused.stderr.contains("push access denied"),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("lighter login localhost:5000"),
        "{}",
        refused.stderr
    );
    let wrong = log_in(&host, &registry, "wrong").exits(1);
    assert!(
        wrong.stderr.contains("incorrect username or password"),
        "{}",
        wrong.stderr
    );

    let right = log_in(&host, &registry, PASSWORD).success();
    assert!(right.stdout.contains("Login Succeeded"), "{}", right.stdout);
    let file = host.directory().join("home/.docker/config.json");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    lighter(&host, &["push", &name]).success();
    lighter(&host, &["pull", &name]).success();

    lighter(&host, &["logout", &registry]).success();
    lighter(&host, &["pull", &name]).exits(1);
    let creds = format!("me:{PASSWORD}");
    lighter(&host, &["pull", "--creds", &creds, &name]).success();
}

#[test]
fn the_file_is_the_same_for_skopeo() {
    let Some(host) = host() else { return };
    let section = basic_auth(&host, "me", PASSWORD);
    let registry = host.registry(5000, &section);
    let name = format!("{registry}/app");
    image(&host, &[&name]);
    log_in(&host, &registry, PASSWORD).success();
    lighter(&host, &["push", &name]).success();
    let file = host.directory().join("home/.docker/config.json");
    let inspect = |file: &str| {
        host.shell(&format!(
            "skopeo inspect --tls-verify=false --authfile {file} docker://{name}"
        ))
    };
    inspect(file.to_str().unwrap()).success();

    let login = format!(
        "echo '{PASSWORD}' | skopeo login --tls-verify=false --authfile theirs.json -u me --password-stdin {registry}"
    );
    host.shell(&login).success();
    lighter(&host, &["logout", &registry]).success();
    lighter(&host, &["pull", "--authfile", "theirs.json", &name]).success();
    lighter_with(
        &host,
        &["pull", &name],
        &[("REGISTRY_AUTH_FILE", "theirs.json")],
    )
    .success();
}

#[test]
fn a_credential_helper_keeps_them_instead_of_the_file() {
    let Some(host) = host() else { return };
    let section = basic_auth(&host, "me", PASSWORD);
    let registry = host.registry(5000, &section);
    let name = format!("{registry}/app");
    image(&host, &[&name]);
    let helper = host.write(
        "bin/docker-credential-fake",
        "#!/bin/sh\nset -e\ncase $1 in\nstore) cat >secret.json ;;\nget) cat >/dev/null; [ -e secret.json ] && cat secret.json || { echo credentials not found in native keychain; exit 1; } ;;\nerase) cat >/dev/null; rm -f secret.json ;;\nesac\n",
    );
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let file = host.write(
        "docker/config.json",
        r#"{"credHelpers":{"localhost:5000":"fake"},"psFormat":"kept"}"#,
    );
    let path = format!(
        "{}:{}",
        helper.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    let docker = host.directory().join("docker");
    let environment = [
        ("PATH", path.as_str()),
        ("DOCKER_CONFIG", docker.to_str().unwrap()),
    ];

    lighter_with(&host, &["push", &name], &environment).exits(1);
    log_in_with(&host, &registry, PASSWORD, &environment).success();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("kept") && !text.contains("auth\""), "{text}");
    let secret = std::fs::read_to_string(host.directory().join("secret.json")).unwrap();
    assert!(
        secret.contains(PASSWORD) && secret.contains("localhost:5000"),
        "{secret}"
    );
    lighter_with(&host, &["push", &name], &environment).success();
    lighter_with(&host, &["logout", &registry], &environment).success();
    assert!(!host.directory().join("secret.json").exists());

    // A helper that is missing is an error, never a request without credentials.
    let without = [("DOCKER_CONFIG", docker.to_str().unwrap())];
    let refused = lighter_with(&host, &["pull", &name], &without).exits(1);
    assert!(
        refused.stderr.contains("docker-credential-fake"),
        "{}",
        refused.stderr
    );
}
