//! `logs`: what a container wrote is on disk, bounded, and comes back as it was written.

use std::io::Read;
use std::process::Stdio;

use support::{Background, Host, Output};

use crate::{BUSYBOX, busybox, detached};

/// Runs `script` to its end as the container `box`.
#[track_caller]
fn ran(host: &Host, options: &[&str], script: &str) {
    detached(host, &[options, &[BUSYBOX, "sh", "-c", script]].concat());
    host.lighter(["wait", "box"]).success();
}

/// What `logs` writes, byte for byte.
#[track_caller]
fn bytes(host: &Host, arguments: &[&str]) -> (Vec<u8>, Vec<u8>) {
    let mut command = host.lighter_command(["logs"]);
    let output = command.args(arguments).arg("box").output();
    let output = output.expect("lighter can be started");
    assert!(output.status.success(), "{output:?}");
    (output.stdout, output.stderr)
}

#[test]
fn a_log_is_rotated_by_size_and_keeps_so_many_files() {
    let Some(host) = busybox() else { return };
    let limits = ["--log-opt", "max-size=2k", "--log-opt", "max-file=3"];
    ran(&host, &limits, "for i in $(seq 500); do echo line $i; done");
    let path = host
        .lighter(["inspect", "-f", "{{.LogPath}}", "box"])
        .success();
    let path = std::path::Path::new(path.text());
    let directory = path.parent().expect("a log lies in a directory");
    let sizes: Vec<u64> = std::fs::read_dir(directory)
        .expect("the container's directory")
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("log.json"))
        .map(|entry| entry.metadata().expect("a file").len())
        .collect();
    assert_eq!(sizes.len(), 3, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 2048), "{sizes:?}");
    let kept = host.lighter(["logs", "box"]).success().stdout;
    let first: usize = kept
        .split_whitespace()
        .nth(1)
        .expect("a line")
        .parse()
        .expect("a number");
    let expected: String = (first..=500).map(|n| format!("line {n}\n")).collect();
    assert_eq!(
        kept, expected,
        "the kept files are one whole end of the log"
    );
    assert_eq!(
        host.lighter(["logs", "-n", "3", "box"]).stdout,
        "line 498\nline 499\nline 500\n"
    );
}

#[test]
fn a_follower_goes_over_rotations_to_the_end() {
    let Some(host) = busybox() else { return };
    let limits = ["--log-opt", "max-size=1k", "--log-opt", "max-file=200"];
    let mut create = host.lighter_command(["create", "--network", "none", "--name", "box"]);
    let script =
        "for i in $(seq 1000); do echo $i; [ $((i % 100)) = 0 ] && sleep 0.05; done; printf end";
    create.args(limits).args([BUSYBOX, "sh", "-c", script]);
    Output::of(create).success();
    host.lighter(["start", "box"]).success();
    let followed = host.lighter(["logs", "--follow", "box"]).success().stdout;
    let expected: String = (1..=1000).map(|n| format!("{n}\n")).collect();
    assert_eq!(followed, expected + "end");
}

#[test]
fn since_and_until_cut_where_the_timestamps_say() {
    let Some(host) = busybox() else { return };
    ran(&host, &[], "echo a; sleep 0.01; echo b; sleep 0.01; echo c");
    let stamped = host.lighter(["logs", "-t", "box"]).success();
    let lines: Vec<(&str, &str)> = stamped
        .lines()
        .iter()
        .map(|line| line.split_once(' ').expect("a timestamp and a line"))
        .collect();
    let texts: Vec<&str> = lines.iter().map(|(_, text)| *text).collect();
    assert_eq!(texts, ["a", "b", "c"]);
    assert_eq!(lines[1].0.len(), "2026-01-02T03:04:05.123456789Z".len());
    assert_eq!(
        host.lighter(["logs", "--since", lines[1].0, "box"]).stdout,
        "b\nc\n"
    );
    assert_eq!(
        host.lighter(["logs", "--until", lines[1].0, "box"]).stdout,
        "a\nb\n"
    );
    assert_eq!(
        host.lighter(["logs", "--since", "10m", "--tail", "1", "box"])
            .stdout,
        "c\n"
    );
    assert_eq!(host.lighter(["logs", "--until", "10m", "box"]).stdout, "");
    assert_eq!(host.lighter(["logs", "--tail", "0", "box"]).stdout, "");
}

#[test]
fn both_streams_come_back_on_their_own_side_and_byte_for_byte() {
    let Some(host) = busybox() else { return };
    ran(
        &host,
        &[],
        r"printf '\377\000\303\251\r\nx'; printf 'to err\376' >&2",
    );
    let (out, err) = bytes(&host, &[]);
    assert_eq!(out, b"\xff\x00\xc3\xa9\r\nx");
    assert_eq!(err, b"to err\xfe");
}

#[test]
fn a_long_line_is_whole_and_stamped_once() {
    let Some(host) = busybox() else { return };
    // A two-byte letter stands across every border of 16 KiB.
    ran(
        &host,
        &[],
        r#"printf x; for i in $(seq 20000); do printf "\303\251"; done; echo"#,
    );
    let (out, _) = bytes(&host, &[]);
    assert_eq!(
        String::from_utf8(out).expect("whole letters"),
        format!("x{}\n", "é".repeat(20_000))
    );
    let (out, _) = bytes(&host, &["-t"]);
    assert_eq!(out.iter().filter(|byte| **byte == b'Z').count(), 1);
}

#[test]
fn details_are_the_labels_and_variables_that_were_named() {
    let Some(host) = busybox() else { return };
    let options = [
        "--log-opt",
        "labels=a,c",
        "--log-opt",
        "env=X",
        "-l",
        "a=b",
        "-l",
        "c=d e",
        "-l",
        "n=o",
        "-e",
        "X=1",
        "-e",
        "Y=2",
    ];
    ran(&host, &options, "echo one");
    assert_eq!(
        host.lighter(["logs", "--details", "box"]).stdout,
        "X=1,a=b,c=d+e one\n"
    );
    assert_eq!(host.lighter(["logs", "box"]).stdout, "one\n");
}

#[test]
fn a_log_of_driver_none_is_no_file() {
    let Some(host) = busybox() else { return };
    ran(&host, &["--log-driver", "none"], "echo lost");
    assert_eq!(host.lighter(["logs", "box"]).success().stdout, "");
    let path = host.lighter(["inspect", "-f", "{{.LogPath}}", "box"]);
    assert!(!std::path::Path::new(path.text()).exists());
}

#[test]
fn a_follower_of_a_running_container_sees_each_line_as_it_comes() {
    let Some(host) = busybox() else { return };
    let script = "echo first; read line; echo second $line; sleep 1000";
    let run = [
        "run",
        "-di",
        "--network",
        "none",
        "--name",
        "box",
        BUSYBOX,
        "sh",
        "-c",
        script,
    ];
    host.lighter(run).success();
    let mut command = host.lighter_command(["logs", "-f", "box"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut follower = Background::start(command);
    let mut output = follower.child().stdout.take().expect("stdout was piped");
    let mut expect = |text: &str| {
        let mut read = vec![0; text.len()];
        output.read_exact(&mut read).expect("the line comes");
        assert_eq!(String::from_utf8_lossy(&read), text);
    };
    expect("first\n");
    host.shell(&format!(
        "echo typed | timeout 5 {} --root {} --state {} attach --sig-proxy=false box || true",
        host.program().display(),
        host.root().display(),
        host.state().display()
    ));
    expect("second typed\n");
}
