//! Exit codes and ends: what the program said, what docker says when there was no program, and what `wait` and `--rm` do.

use support::{Host, Output, eventually};

use crate::{BUSYBOX, busybox};

fn run(host: &Host, words: &[&str]) -> Output {
    let mut command = host.lighter_command(["run", "--network", "none"]);
    command.args(words);
    Output::of(command)
}

#[test]
fn a_program_that_cannot_be_run_is_127_126_or_125_and_leaves_nothing() {
    let Some(host) = busybox() else { return };
    let script =
        "printf '#!/nosuch\\n' > /script; chmod +x /script; printf text > /text; exec /script";
    for (words, code, text) in [
        (&["nosuch"][..], 127, "not found"),
        (&["/bin/nosuch"], 127, "No such file"),
        (&["/etc"], 126, "directory"),
        (&["/etc/passwd"], 126, "Permission denied"),
        (&["sh", "-c", script], 127, "not found"),
    ] {
        let output = run(&host, &[&["--rm", BUSYBOX], words].concat()).exits(code);
        assert!(output.stderr.contains(text), "{output:?}");
    }
    for options in [
        &["-u", "nosuch"][..],
        &["-w", "/etc/passwd"],
        &["--nosuch"],
        &["--cpus", "1000"],
    ] {
        run(&host, &[&["--rm"], options, &[BUSYBOX, "true"]].concat()).exits(125);
    }
    run(&host, &[]).exits(1);
    assert_eq!(host.lighter(["ps", "-aq"]).stdout, "");
}

#[test]
fn a_start_that_failed_without_rm_keeps_the_container_and_its_reason() {
    let Some(host) = busybox() else { return };
    run(&host, &["-d", "--name", "box", BUSYBOX, "nosuch"]).exits(127);
    let state = host.lighter([
        "inspect",
        "-f",
        "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}",
        "box",
    ]);
    assert!(state.text().starts_with("exited 127"), "{state:?}");
    assert!(state.text().contains("nosuch"), "{state:?}");
    host.lighter(["start", "box"]).exits(1);
}

#[test]
fn a_signal_is_128_and_its_number() {
    let Some(host) = busybox() else { return };
    for (signal, code) in [("KILL", 137), ("TERM", 143), ("INT", 130), ("SEGV", 139)] {
        let script = format!("kill -{signal} $$");
        run(&host, &["--rm", "--init", BUSYBOX, "sh", "-c", &script]).exits(code);
    }
    // Without an init, signals without a handler do not reach a first process.
    run(
        &host,
        &["--rm", BUSYBOX, "sh", "-c", "kill -TERM $$; exit 5"],
    )
    .exits(5);
}

#[test]
fn wait_prints_the_codes_of_all_as_they_end() {
    let Some(host) = busybox() else { return };
    for (name, script) in [("one", "exit 3"), ("two", "sleep 0.2; exit 4")] {
        run(&host, &["-d", "--name", name, BUSYBOX, "sh", "-c", script]).success();
    }
    assert_eq!(
        host.lighter(["wait", "one", "two"]).success().stdout,
        "3\n4\n"
    );
    let output = host.lighter(["wait", "nosuch"]).exits(1);
    assert!(
        output.stderr.contains("no such container: nosuch"),
        "{output:?}"
    );
}

#[test]
fn start_attached_shows_the_output_and_has_the_programs_code() {
    let Some(host) = busybox() else { return };
    let create = [
        "create",
        "--network",
        "none",
        "--name",
        "box",
        BUSYBOX,
        "sh",
        "-c",
        "echo hello; exit 6",
    ];
    host.lighter(create).success();
    for _ in 0..2 {
        assert_eq!(
            host.lighter(["start", "-a", "box"]).exits(6).stdout,
            "hello\n"
        );
    }
}

#[test]
fn rm_takes_the_container_its_files_and_its_anonymous_volumes() {
    let Some(host) = busybox() else { return };
    run(
        &host,
        &[
            "--rm",
            "-v",
            "/anonymous",
            "-v",
            "named:/named",
            BUSYBOX,
            "true",
        ],
    )
    .success();
    run(
        &host,
        &[
            "-d",
            "--rm",
            "--name",
            "box",
            "-v",
            "/anonymous",
            BUSYBOX,
            "sleep",
            "1000",
        ],
    )
    .success();
    host.lighter(["stop", "-t", "0", "box"]).success();
    eventually("the container is gone", 10, || {
        host.lighter(["ps", "-aq"]).stdout.is_empty().then_some(())
    });
    let left =
        |directory: std::path::PathBuf| std::fs::read_dir(directory).map_or(0, Iterator::count);
    assert_eq!(left(host.root().join("containers")), 0);
    assert_eq!(left(host.root().join("names")), 0);
    assert_eq!(left(host.state().join("containers")), 0);
    assert_eq!(host.lighter(["volume", "ls", "-q"]).stdout, "named\n");
}

#[test]
fn a_first_process_that_ends_takes_the_others_with_it() {
    let Some(host) = busybox() else { return };
    let script = "sleep 987654 & exit 0";
    run(&host, &["--rm", BUSYBOX, "sh", "-c", script]).success();
    let running = support::process::every_pid()
        .filter(|pid| support::process::command(*pid) == "sleep 987654")
        .count();
    assert_eq!(running, 0);
}
