//! Verbs whose truth only a kernel knows, called as docker's users call them.

use support::Host;

use crate::host;

/// A host with a container named `box` that ran `script`, and the image's name.
fn ran(host: &Host, script: &str) -> String {
    let image = format!("{}/busybox", host.fixtures());
    host.lighter([
        "run",
        "-q",
        "--network",
        "none",
        "--name",
        "box",
        &image,
        "sh",
        "-c",
        script,
    ])
    .success();
    image
}

#[test]
fn diff_lists_what_was_added_changed_and_deleted() {
    let Some(host) = host() else { return };
    ran(
        &host,
        "mkdir /new; echo x >/new/file; echo x >>/etc/group; rm /bin/ls",
    );
    let listing = host.lighter(["diff", "box"]).success().stdout;
    assert_eq!(
        listing,
        "C /bin\nD /bin/ls\nC /etc\nC /etc/group\nA /new\nA /new/file\n"
    );
}

#[test]
fn diff_of_a_container_that_changed_nothing_is_empty() {
    let Some(host) = host() else { return };
    ran(&host, "true");
    assert_eq!(host.lighter(["diff", "box"]).success().stdout, "");
}

#[test]
fn exit_codes_are_dockers() {
    let Some(host) = host() else { return };
    let image = ran(&host, "true");
    let run = |words: &[&str]| {
        let all: Vec<&str> = ["run", "--rm", "--network", "none"]
            .iter()
            .chain(words)
            .copied()
            .collect();
        host.lighter(all).code
    };
    assert_eq!(run(&[&image, "sh", "-c", "exit 42"]), 42);
    assert_eq!(run(&[&image, "nosuch"]), 127);
    assert_eq!(run(&[&image, "/etc/group"]), 126);
    assert_eq!(run(&[&image, "/etc"]), 126);
    assert_eq!(run(&["-u", "nosuch", &image, "true"]), 125);
    assert_eq!(run(&["--init", &image, "sh", "-c", "kill -KILL $$"]), 137);
    assert_eq!(
        host.lighter(["exec", "box", "true"]).code,
        1,
        "it does not run"
    );
}

#[test]
fn standard_streams_stay_apart() {
    let Some(host) = host() else { return };
    let image = ran(&host, "true");
    let output = host.lighter([
        "run",
        "--rm",
        "--network",
        "none",
        &image,
        "sh",
        "-c",
        "echo out; echo err >&2",
    ]);
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("out\n", "err\n")
    );
}

#[test]
fn the_id_file_holds_the_id_and_is_not_overwritten() {
    let Some(host) = host() else { return };
    let image = ran(&host, "true");
    let file = host.directory().join("id");
    let words = [
        "create",
        "--network",
        "none",
        "--cidfile",
        file.to_str().unwrap(),
        &image,
    ];
    let id = host.lighter(words).success().stdout;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), id.trim());
    let refused = host.lighter(words).exits(125);
    assert!(
        refused.stderr.contains("container ID file found"),
        "{}",
        refused.stderr
    );
}

/// The kernel drops a signal that a first process has no handler for yet.
#[test]
fn a_program_stopped_before_it_handles_the_signal_gets_it_again() {
    let Some(host) = host() else { return };
    let image = format!("{}/busybox", host.fixtures());
    let script = "sleep 1; trap 'exit 7' TERM; while :; do sleep 0.05; done";
    host.lighter([
        "run",
        "-q",
        "-d",
        "--network",
        "none",
        "--name",
        "late",
        &image,
        "sh",
        "-c",
        script,
    ])
    .success();
    host.lighter(["stop", "-t", "30", "late"]).success();
    let code = host.lighter(["inspect", "-f", "{{.State.ExitCode}}", "late"]);
    assert_eq!(code.success().text(), "7");
}
