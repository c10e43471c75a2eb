//! `events`: everything that happens, as it happens and afterwards.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use support::{Background, Host};

use crate::{BUSYBOX, busybox};

fn actions(host: &Host, options: &[&str]) -> Vec<String> {
    let words = [
        "events",
        "--since",
        "10m",
        "--until",
        "0s",
        "--format",
        "{{.Type}} {{.Action}}",
    ];
    let output = host.lighter([&words[..], options].concat()).success();
    output.lines().into_iter().map(str::to_owned).collect()
}

#[test]
fn a_life_is_told_in_order() {
    let Some(host) = busybox() else { return };
    let words = [
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "box",
        "-v",
        "data:/data",
        BUSYBOX,
        "sleep",
        "1000",
    ];
    host.lighter(words).success();
    for verb in ["pause", "unpause"] {
        host.lighter([verb, "box"]).success();
    }
    host.lighter(["rename", "box", "crate"]).success();
    host.lighter(["kill", "crate"]).success();
    host.lighter(["wait", "crate"]).success();
    host.lighter(["rm", "crate"]).success();
    let told = actions(&host, &["--filter", "type=container"]);
    let expected = [
        "create", "start", "pause", "unpause", "rename", "kill", "die", "destroy",
    ];
    let expected: Vec<String> = expected
        .iter()
        .map(|action| format!("container {action}"))
        .collect();
    assert_eq!(told, expected);
    assert_eq!(
        actions(&host, &["--filter", "type=volume"])[0],
        "volume create"
    );
    assert_eq!(
        actions(&host, &["--filter", "event=die"]),
        ["container die"]
    );
    assert_eq!(
        actions(&host, &["--filter", "container=nosuch"]),
        Vec::<String>::new()
    );
    let words = [
        "events",
        "--since",
        "10m",
        "--until",
        "0s",
        "--filter",
        "event=die",
        "--format",
        "json",
    ];
    let die = host.lighter(words).success().json();
    assert_eq!(die["Actor"]["Attributes"]["exitCode"], "137");
    assert_eq!(die["Actor"]["Attributes"]["name"], "crate");
}

#[test]
fn who_listens_hears_it_at_once() {
    let Some(host) = busybox() else { return };
    let mut command = host.lighter_command([
        "events",
        "--filter",
        "event=die",
        "--format",
        "{{.Action}} {{.Actor.Attributes.exitCode}}",
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut listener = Background::start(command);
    let output = listener.child().stdout.take().expect("stdout was piped");
    let mut lines = BufReader::new(output).lines();
    // It says nothing when it has begun to listen.
    std::thread::sleep(std::time::Duration::from_millis(500));
    for code in [3, 4] {
        let script = format!("exit {code}");
        host.lighter([
            "run",
            "--rm",
            "--network",
            "none",
            BUSYBOX,
            "sh",
            "-c",
            &script,
        ])
        .exits(code);
        let line = lines.next().expect("a line").expect("text");
        assert_eq!(line, format!("die {code}"));
    }
}
