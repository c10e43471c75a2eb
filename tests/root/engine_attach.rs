//! `attach` and foreground `run`: streams both ways, signals passed on, detaching without ending.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use support::{Host, Terminal, eventually};

use crate::{BUSYBOX, busybox, detached};

/// Runs a program that answers each line it reads.
#[track_caller]
fn answering(host: &Host, options: &[&str]) {
    let script = "while read line; do echo got $line; done; echo end of input";
    detached(host, &[options, &[BUSYBOX, "sh", "-c", script]].concat());
}

fn piped(mut command: Command) -> std::process::Child {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().expect("lighter can be started")
}

#[test]
fn attach_carries_both_ways_and_closes_the_input_at_its_end() {
    let Some(host) = busybox() else { return };
    answering(&host, &["-i"]);
    let mut child = piped(host.lighter_command(["attach", "box"]));
    let mut input = child.stdin.take().expect("stdin was piped");
    input.write_all(b"one\ntwo\n").expect("somebody reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "got one\ngot two\nend of input\n"
    );
    assert!(output.status.success());
    assert_eq!(host.lighter(["wait", "box"]).text(), "0");
}

#[test]
fn several_who_attach_see_the_same() {
    let Some(host) = busybox() else { return };
    answering(&host, &["-i"]);
    let mut children: Vec<_> = (0..3)
        .map(|_| piped(host.lighter_command(["attach", "--no-stdin", "box"])))
        .collect();
    // An attached command says nothing when it is attached: it is when the monitor has its connection.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let mut writer = piped(host.lighter_command(["attach", "box"]));
    writer
        .stdin
        .take()
        .expect("stdin was piped")
        .write_all(b"hello\n")
        .expect("somebody reads");
    for child in &mut children {
        let mut text = String::new();
        child
            .stdout
            .take()
            .expect("piped")
            .read_to_string(&mut text)
            .expect("text");
        assert_eq!(text, "got hello\nend of input\n");
        child.wait().expect("it ends");
    }
    writer.wait().expect("it ends");
}

#[test]
fn signals_go_through_unless_told_not_to() {
    let Some(host) = busybox() else { return };
    let script = "trap 'echo caught; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    for (option, code) in [("--sig-proxy=true", Some(7)), ("--sig-proxy=false", None)] {
        detached(&host, &[BUSYBOX, "sh", "-c", script]);
        eventually("the program has its handler", 10, || {
            host.lighter(["logs", "box"])
                .stdout
                .contains("ready")
                .then_some(())
        });
        let mut child = piped(host.lighter_command(["attach", option, "box"]));
        std::thread::sleep(std::time::Duration::from_millis(300));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        let status = child.wait().expect("it ends");
        match code {
            Some(code) => assert_eq!(status.code(), Some(code)),
            None => {
                let running = host.lighter(["inspect", "-f", "{{.State.Running}}", "box"]);
                assert_eq!(
                    running.text(),
                    "true",
                    "the signal was not for the container"
                );
            }
        }
        host.lighter(["rm", "-f", "box"]).success();
    }
}

#[test]
fn detach_keys_leave_the_container_running() {
    let Some(host) = busybox() else { return };
    for (options, keys) in [
        (&[][..], "\u{10}\u{11}"),
        (&["--detach-keys", "ctrl-x,q"], "\u{18}q"),
    ] {
        answering(&host, &["-it"]);
        let attach = [&["attach"], options, &["box"]].concat();
        let mut terminal = Terminal::start(&host.lighter_command(attach));
        terminal.type_in("hello\r");
        terminal.until("got hello");
        terminal.type_in(keys);
        let (code, _) = terminal.end();
        assert_eq!(code, 0);
        assert_eq!(
            host.lighter(["inspect", "-f", "{{.State.Running}}", "box"])
                .text(),
            "true"
        );
        // And it can be attached to again.
        let mut terminal = Terminal::start(&host.lighter_command(["attach", "box"]));
        terminal.type_in("again\r");
        terminal.until("got again");
        terminal.type_in("\u{4}");
        terminal.until("end of input");
        assert_eq!(terminal.end().0, 0);
        host.lighter(["rm", "-f", "box"]).success();
    }
}

#[test]
fn what_does_not_run_cannot_be_attached_to() {
    let Some(host) = busybox() else { return };
    host.lighter(["create", "--name", "box", BUSYBOX, "true"])
        .success();
    let refused = host.lighter(["attach", "box"]).exits(1);
    assert!(refused.stderr.contains("start it first"), "{refused:?}");
    let script = "exit 9";
    host.lighter(["run", "-d", "--name", "other", BUSYBOX, "sh", "-c", script])
        .success();
    host.lighter(["wait", "other"]).success();
    host.lighter(["attach", "other"]).exits(1);
}

#[test]
fn a_foreground_run_passes_its_input_and_streams() {
    let Some(host) = busybox() else { return };
    let script = "cat; echo err >&2; exit 3";
    let words = [
        "run",
        "--rm",
        "-i",
        "--network",
        "none",
        BUSYBOX,
        "sh",
        "-c",
        script,
    ];
    let mut child = piped(host.lighter_command(words));
    let mut input = child.stdin.take().expect("stdin was piped");
    let writer = std::thread::spawn(move || input.write_all(&vec![b'x'; 1 << 20]));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("all was read");
    assert_eq!(
        (output.stdout.len(), output.stderr.as_slice()),
        (1 << 20, &b"err\n"[..])
    );
    assert_eq!(output.status.code(), Some(3));
}
