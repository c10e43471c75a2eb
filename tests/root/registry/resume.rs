//! After `kill -9` the next process takes only the rest: counted in bytes at the registry.

use std::process::Command;
use std::time::Duration;

use support::Background;
use support::http::{Reply, Request, Server, answer};

use super::{lighter, lighter_with};
use crate::host;

const LAYER: usize = 20 << 20;
const BEFORE: usize = 12 << 20;

/// What the registry at port 5000 answers to `request`: status, headers, body. `curl` asks from the host's network.
fn relayed(request: &Request) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let url = format!("http://127.0.0.1:5000{}", request.path);
    let mut command = Command::new("curl");
    command.args(["-sS", "-D", "/dev/stderr", "-o", "-", &url]);
    for name in ["accept", "range"] {
        if let Some(value) = request.header(name) {
            command.arg("-H").arg(format!("{name}: {value}"));
        }
    }
    if request.method == "HEAD" {
        command.arg("--head").args(["-o", "/dev/null"]);
    }
    let output = command.output().expect("curl runs");
    let head = String::from_utf8_lossy(&output.stderr).into_owned();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(502);
    let kept = ["content-type", "docker-content-digest", "content-range"];
    let headers = head.lines().filter_map(|line| line.trim().split_once(": "));
    let headers = headers.filter(|(name, _)| kept.contains(&name.to_ascii_lowercase().as_str()));
    let headers = headers
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    (status, headers, output.stdout)
}

#[test]
fn a_killed_pull_goes_on_where_it_stopped() {
    let Some(host) = host() else { return };
    let registry = host.registry(5000, "");
    host.shell(&format!(
        "mkdir -p tree && head -c {LAYER} /dev/urandom >tree/noise && tar -C tree -cf tree.tar ."
    ))
    .success();
    let name = format!("{registry}/app");
    lighter(&host, &["import", "tree.tar", &name]).success();
    lighter(&host, &["push", &name]).success();
    lighter(&host, &["rmi", &name]).success();

    let front = Server::start_in(host.network(), "127.0.0.1:5001", |request| {
        let (status, headers, body) = relayed(request);
        if body.len() > BEFORE && request.earlier == 0 {
            return Reply::Hang {
                length: body.len(),
                body: body[..BEFORE].to_vec(),
                time: Duration::from_secs(60),
            };
        }
        if status == 502 {
            answer(502, "")
        } else {
            Reply::Answer(status, headers, body)
        }
    });
    let name = "localhost:5001/app";
    let pull = Background::start_silent(host.lighter_command(["pull", name]));
    let partial = host.root().join("images/partial");
    support::eventually("the first part is kept", 30, || {
        let files = std::fs::read_dir(&partial).ok()?.flatten();
        files
            .filter_map(|file| file.metadata().ok())
            .any(|file| file.len() == BEFORE as u64)
            .then_some(())
    });
    drop(pull);
    lighter_with(&host, &["pull", name], &[]).success();
    let asked = front.requests();
    let ranges: Vec<usize> = asked.iter().filter_map(Request::range_start).collect();
    assert_eq!(ranges, [BEFORE], "only the rest is asked for");
    let check = lighter(&host, &["system", "check"]).success();
    assert!(!check.stdout.contains("damaged"), "{}", check.stdout);
}

#[test]
fn an_endless_manifest_needs_little_memory() {
    let Some(host) = host() else { return };
    Server::start_in(host.network(), "127.0.0.1:5001", |_| Reply::Endless {
        kind: "application/vnd.oci.image.manifest.v1+json",
        piece: vec![b' '; 64 << 10],
    });
    let mut limited = host.command("prlimit");
    limited
        .arg(format!("--as={}", 256 << 20))
        .arg(host.program());
    limited
        .arg("--root")
        .arg(host.root())
        .arg("--state")
        .arg(host.state());
    limited.args(["pull", "localhost:5001/app"]);
    let refused = support::Output::of(limited).exits(1);
    assert!(
        refused.stderr.contains("sent more than 4194304 bytes"),
        "{}",
        refused.stderr
    );
}
