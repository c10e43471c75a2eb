//! Options of `run` and `create` whose truth the container shows from inside.

use support::{Host, Output};

use crate::{BUSYBOX, busybox, detached};

fn run(host: &Host, options: &[&str], words: &[&str]) -> Output {
    let mut command = host.lighter_command(["run", "--rm", "--network", "none"]);
    command.args(options).arg(BUSYBOX).args(words);
    Output::of(command)
}

/// What `script` prints in a fresh container with these options.
#[track_caller]
fn inside(host: &Host, options: &[&str], script: &str) -> String {
    run(host, options, &["sh", "-c", script])
        .success()
        .stdout
        .trim()
        .to_owned()
}

#[test]
fn the_program_is_entrypoint_and_command() {
    let Some(host) = busybox() else { return };
    assert_eq!(
        run(&host, &["--entrypoint", "echo"], &["a", "b"]).text(),
        "a b"
    );
    assert_eq!(
        run(&host, &["--entrypoint", ""], &["echo", "x"]).text(),
        "x"
    );
    assert_eq!(inside(&host, &["-w", "/made/here"], "pwd"), "/made/here");
    assert_eq!(
        inside(&host, &["-h", "other"], "hostname; cat /etc/hostname"),
        "other\nother"
    );
}

#[test]
fn users_are_the_images() {
    let Some(host) = busybox() else { return };
    for (user, shown) in [
        (
            "nobody",
            "uid=65534(nobody) gid=65534(nogroup) groups=65534(nogroup) /home",
        ),
        (
            "nobody:root",
            "uid=65534(nobody) gid=0(root) groups=0(root) /home",
        ),
        ("1234", "uid=1234 gid=0(root) groups=0(root) /"),
        ("1234:99", "uid=1234 gid=99 groups=99 /"),
        ("root", "uid=0(root) gid=0(root) groups=0(root) /root"),
    ] {
        assert_eq!(inside(&host, &["-u", user], "echo $(id) $HOME"), shown);
    }
    let more = ["--group-add", "77", "--group-add", "nogroup"];
    assert_eq!(
        inside(&host, &more, "id"),
        "uid=0(root) gid=0(root) groups=0(root),77,65534(nogroup)"
    );
}

#[test]
fn the_environment_is_the_images_the_files_and_the_options_in_this_order() {
    let Some(host) = busybox() else { return };
    let file = host.write("variables", "A=file\nB=x y\n# no\n\nC=\"q\"\nHERE\nUNSET\n");
    let file = file.to_str().expect("the path is UTF-8");
    let mut command =
        host.lighter_command(["run", "--rm", "--network", "none", "--env-file", file]);
    command.args([
        "-e", "A=option", "-e", "HERE", "-e", "UNSET", BUSYBOX, "env",
    ]);
    let output = Output::of({
        command.env("HERE", "from us").env_remove("UNSET");
        command
    })
    .success();
    let mut lines = output.lines();
    lines.retain(|line| {
        ["A=", "B=", "C=", "HERE", "UNSET"]
            .iter()
            .any(|name| line.starts_with(name))
    });
    lines.sort_unstable();
    assert_eq!(lines, ["A=option", "B=x y", "C=\"q\"", "HERE=from us"]);
    let broken = host.write("broken", "=1\n");
    let broken = broken.to_str().expect("the path is UTF-8");
    assert!(
        run(&host, &["--env-file", broken], &["true"])
            .exits(125)
            .stderr
            .contains("no variable name")
    );
}

#[test]
fn a_read_only_root_is_read_only_and_memory_in_it_is_not() {
    let Some(host) = busybox() else { return };
    let script = "touch /x 2>&1; touch /run/y && echo written; awk '$5 == \"/\" { print substr($6, 1, 2) }' /proc/self/mountinfo";
    let shown = inside(&host, &["--read-only", "--tmpfs", "/run"], script);
    assert_eq!(shown, "touch: /x: Read-only file system\nwritten\nro");
}

#[test]
fn init_is_the_first_process_and_reaps() {
    let Some(host) = busybox() else { return };
    let script = "echo $$ $PPID; (sleep 0 & exec true); sleep 0.3; grep -l 'State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l";
    let lines = inside(&host, &["--init"], script);
    let (pids, zombies) = lines.split_once('\n').expect("two lines");
    assert!(pids.ends_with(" 1") && !pids.starts_with("1 "), "{pids}");
    assert_eq!(zombies, "0");
}

#[test]
fn the_id_is_written_where_it_was_asked_for() {
    let Some(host) = busybox() else { return };
    let file = host.directory().join("id");
    let option = file.to_str().expect("the path is UTF-8");
    let create = ["create", "--cidfile", option, "--name", "box", BUSYBOX];
    let id = host.lighter(create).success().text().to_owned();
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), id);
    assert_eq!(host.lighter(["inspect", "-f", "{{.Id}}", "box"]).text(), id);
    assert!(
        host.lighter(create)
            .exits(125)
            .stderr
            .contains("container ID file found")
    );
}

#[test]
fn limits_of_the_process_are_the_kernels() {
    let Some(host) = busybox() else { return };
    assert_eq!(
        inside(
            &host,
            &["--ulimit", "nofile=100:200"],
            "ulimit -n; ulimit -Hn"
        ),
        "100\n200"
    );
    assert_eq!(inside(&host, &["--ulimit", "core=0"], "ulimit -c"), "0");
    assert_eq!(
        inside(
            &host,
            &["--oom-score-adj", "500"],
            "cat /proc/self/oom_score_adj"
        ),
        "500"
    );
    assert_eq!(inside(&host, &["--umask", "077"], "umask"), "0077");
    assert_eq!(
        inside(
            &host,
            &["--sysctl", "kernel.msgmax=9000"],
            "cat /proc/sys/kernel/msgmax"
        ),
        "9000"
    );
    let path = "/proc/sys/net/ipv4/ip_forward";
    assert_eq!(
        inside(
            &host,
            &["--sysctl", "net.ipv4.ip_forward=1"],
            &format!("cat {path}")
        ),
        "1"
    );
    for options in [
        ["--sysctl", "kernel.panic=1"],
        ["--oom-score-adj", "5000"],
        ["--cpus", "1000"],
    ] {
        run(&host, &options, &["true"]).exits(125);
    }
}

#[test]
fn namespaces_of_the_host_and_of_others() {
    let Some(host) = busybox() else { return };
    let link =
        |kind: &str| std::fs::read_link(format!("/proc/self/ns/{kind}")).expect("a namespace");
    for (option, kind) in [
        ("--pid", "pid"),
        ("--uts", "uts"),
        ("--ipc", "ipc"),
        ("--cgroupns", "cgroup"),
    ] {
        let script = format!("readlink /proc/self/ns/{kind}");
        let shown = inside(&host, &[option, "host"], &script);
        assert_eq!(shown, link(kind).to_string_lossy(), "{option}");
        assert_ne!(inside(&host, &[], &script), shown, "{option}");
    }
    detached(&host, &[BUSYBOX, "sleep", "424242"]);
    assert!(inside(&host, &["--pid", "container:box"], "ps").contains("sleep 424242"));
    let mut command = host.lighter_command(["run", "--rm", "--network", "container:box", BUSYBOX]);
    command.args(["readlink", "/proc/self/ns/net"]);
    let own = host.lighter(["exec", "box", "readlink", "/proc/self/ns/net"]);
    assert_eq!(Output::of(command).text(), own.text());
    let refused = run(&host, &["--pid", "container:nosuch"], &["true"]);
    assert!(
        refused.code != 0 && refused.stderr.contains("nosuch"),
        "{refused:?}"
    );
}

#[test]
fn replace_takes_the_place_of_the_container_with_the_name() {
    let Some(host) = busybox() else { return };
    let words = [
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "box",
        BUSYBOX,
        "sleep",
        "1000",
    ];
    let first = host.lighter(words).success();
    host.lighter(words).exits(125);
    let again = [
        "run",
        "-d",
        "--network",
        "none",
        "--replace",
        "--name",
        "box",
        BUSYBOX,
        "sleep",
        "1000",
    ];
    let second = host.lighter(again).success();
    assert_ne!(first.text(), second.text());
    assert_eq!(
        host.lighter(["ps", "-aq", "--no-trunc"]).stdout,
        second.stdout
    );
}
