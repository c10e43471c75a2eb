//! `exec`: one more program in a running container, as whom, where and with what.

use std::io::Write;
use std::process::Stdio;

use support::{Host, Output, eventually};

use crate::{BUSYBOX, busybox, detached};

fn running() -> Option<Host> {
    let host = busybox()?;
    detached(&host, &["-e", "A=1", BUSYBOX, "sleep", "1000"]);
    Some(host)
}

fn exec(host: &Host, words: &[&str]) -> Output {
    host.lighter([&["exec"], words].concat())
}

#[test]
fn it_is_in_the_containers_namespaces_and_cgroup() {
    let Some(host) = running() else { return };
    let init = host
        .lighter(["inspect", "-f", "{{.State.Pid}}", "box"])
        .success();
    let init: u32 = init.text().parse().expect("a pid");
    exec(&host, &["-d", "box", "sleep", "123456"]).success();
    let other = eventually("the program runs", 10, || {
        support::process::every_pid().find(|pid| support::process::command(*pid) == "sleep 123456")
    });
    for kind in ["mnt", "pid", "net", "uts", "ipc", "cgroup"] {
        let of =
            |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).expect("a namespace");
        assert_eq!(of(other), of(init), "{kind}");
    }
    assert_eq!(
        support::process::cgroups(other),
        support::process::cgroups(init)
    );
}

#[test]
fn user_directory_and_environment_are_as_asked() {
    let Some(host) = running() else { return };
    let show = "echo $A $B; id; pwd; echo $HOME";
    let plain = exec(&host, &["box", "sh", "-c", show]).success();
    assert_eq!(
        plain.stdout,
        "1\nuid=0(root) gid=0(root) groups=0(root)\n/\n/root\n"
    );
    let words = [
        "-u", "nobody:7", "-w", "/tmp", "-e", "B=2", "box", "sh", "-c", show,
    ];
    assert_eq!(
        exec(&host, &words).success().stdout,
        "1 2\nuid=65534(nobody) gid=7 groups=7\n/tmp\n/home\n"
    );
    assert_eq!(
        exec(&host, &["-u", "12:34", "box", "id"]).text(),
        "uid=12 gid=34 groups=34"
    );
    assert_eq!(
        exec(&host, &["-u", ":34", "box", "id"]).text(),
        "uid=0(root) gid=34 groups=34"
    );
    let file = host.write("variables", "C=three\n# no\nD\n");
    let file = file.to_str().expect("the path is UTF-8");
    assert_eq!(
        exec(&host, &["--env-file", file, "box", "sh", "-c", "echo $C"]).text(),
        "three"
    );
}

#[test]
fn privileges_are_the_containers_unless_asked_for() {
    let Some(host) = running() else { return };
    let mine = |options: &[&str]| {
        let words = ["box", "grep", "CapBnd", "/proc/self/status"];
        exec(&host, &[options, &words].concat())
            .success()
            .text()
            .to_owned()
    };
    let container = host.lighter(["exec", "box", "grep", "CapBnd", "/proc/1/status"]);
    assert_eq!(mine(&[]), container.text());
    assert_ne!(mine(&["--privileged"]), container.text());
}

#[test]
fn exit_codes_are_the_programs_or_say_why_there_was_none() {
    let Some(host) = running() else { return };
    exec(&host, &["box", "sh", "-c", "exit 9"]).exits(9);
    exec(&host, &["box", "sh", "-c", "kill -KILL $$"]).exits(137);
    exec(&host, &["box", "nosuch"]).exits(127);
    exec(&host, &["box", "/etc"]).exits(126);
    exec(&host, &["-u", "nosuch", "box", "true"]).exits(126);
    exec(&host, &["-w", "/nosuch", "box", "true"]).exits(126);
    exec(&host, &["--env-file", "/nosuch", "box", "true"]).exits(1);
    exec(&host, &["nosuch", "true"]).exits(1);
    exec(&host, &["--nosuch", "box", "true"]).exits(125);
    host.lighter(["stop", "-t", "0", "box"]).success();
    assert!(
        exec(&host, &["box", "true"])
            .exits(1)
            .stderr
            .contains("not running")
    );
}

#[test]
fn streams_stay_apart_and_input_comes_only_when_asked_for() {
    let Some(host) = running() else { return };
    let output = exec(&host, &["box", "sh", "-c", "echo out; echo err >&2"]).success();
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("out\n", "err\n")
    );
    let typed = |interactive: &[&str]| {
        let mut command = host.lighter_command(["exec"]);
        command.args(interactive).args(["box", "cat"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut input = child.stdin.take().expect("stdin was piped");
        // Beside, or both sides would wait for the other to read. Without -i nobody does.
        let writer = std::thread::spawn(move || input.write_all(&[b'x'; 300_000]));
        let output = child.wait_with_output().expect("it ends");
        writer.join().expect("no panic").ok();
        output.stdout.len()
    };
    assert_eq!(typed(&["-i"]), 300_000);
    assert_eq!(typed(&[]), 0);
    let refused = exec(&host, &["-it", "box", "true"]).exits(1);
    assert!(refused.stderr.contains("not a TTY"), "{refused:?}");
}

#[test]
fn what_was_detached_outlives_the_command_and_is_reaped() {
    let Some(host) = running() else { return };
    exec(
        &host,
        &["-d", "box", "sh", "-c", "sleep 0.2; echo done > /done"],
    )
    .success();
    eventually("the program has done its work", 10, || {
        (exec(&host, &["box", "cat", "/done"]).stdout == "done\n").then_some(())
    });
    eventually("no zombie is left", 10, || {
        let listed = exec(&host, &["box", "ps", "-o", "stat,args"]).success();
        (!listed.stdout.contains('Z')).then_some(())
    });
}

#[test]
fn a_killed_exec_command_leaves_the_container_alone() {
    let Some(host) = running() else { return };
    let mut command = host.lighter_command(["exec", "-i", "box", "cat"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let command = support::Background::start(command);
    eventually("cat runs", 10, || {
        exec(&host, &["box", "ps"])
            .stdout
            .contains("cat")
            .then_some(())
    });
    drop(command);
    eventually("cat has found its input closed", 10, || {
        (!exec(&host, &["box", "ps"]).stdout.contains("cat")).then_some(())
    });
    assert_eq!(
        host.lighter(["inspect", "-f", "{{.State.Running}}", "box"])
            .text(),
        "true"
    );
}
