//! Pulling and pushing at Debian's docker-registry: TLS, who is let in, proxies, and what other clients see there.
//! Hostile and broken registries are in `crates/image/tests/registry`.

mod artifact;
mod login;
mod manifest;
mod peers;
mod proxy;
mod push;
mod resume;
mod signature;
mod tls;
mod token;

use std::path::PathBuf;

use support::{Host, Output};

/// An address of the host that is not loopback, where no registry may be spoken to in clear.
const ADDRESS: &str = "192.0.2.1";

fn with_address(host: &Host) {
    host.shell(&format!("ip addr add {ADDRESS}/32 dev lo"))
        .success();
}

/// The configuration directory that [`lighter`] is told of.
fn configuration(host: &Host) -> PathBuf {
    host.directory().join("configuration")
}

/// Runs `lighter` with the host's own configuration directory.
#[track_caller]
fn lighter(host: &Host, arguments: &[&str]) -> Output {
    lighter_with(host, arguments, &[])
}

/// The same with more in its environment.
#[track_caller]
fn lighter_with(host: &Host, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = host.lighter_command(arguments);
    command.env("LIGHTER_CONFIG", configuration(host));
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command
            .env_remove(name)
            .env_remove(name.to_ascii_lowercase());
    }
    command.envs(environment.iter().copied());
    Output::of(command)
}

/// Gives a small image of one file these names.
#[track_caller]
fn image(host: &Host, names: &[&str]) {
    host.shell("mkdir -p tree && echo hello >tree/file && tar -C tree -cf tree.tar --mtime=@1 .")
        .success();
    let (first, others) = names.split_first().expect("an image has a name");
    lighter(host, &["import", "tree.tar", first]).success();
    for name in others {
        lighter(host, &["tag", first, name]).success();
    }
}

/// The digest that `skopeo` finds under a name.
#[track_caller]
fn digest_by_skopeo(host: &Host, name: &str, options: &str) -> String {
    let line = format!("skopeo inspect {options} --format '{{{{.Digest}}}}' docker://{name}");
    host.shell(&line).success().text().to_owned()
}

/// The digest that `lighter push` printed.
#[track_caller]
fn pushed_digest(output: &Output) -> String {
    let after = output.stdout.split("digest: ").nth(1).unwrap_or_default();
    after
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// The registry's `auth:` section for one user with basic authentication.
#[track_caller]
fn basic_auth(host: &Host, user: &str, password: &str) -> String {
    let script = format!(
        "perl -e 'print \"{user}:\", crypt(\"{password}\", \"\\$2y\\$05\\$abcdefghijklmnopqrstuu\"), \"\\n\"' >htpasswd"
    );
    host.shell(&script).success();
    let path = host.directory().join("htpasswd");
    format!(
        "auth: {{htpasswd: {{realm: test, path: '{}'}}}}",
        path.display()
    )
}
