//! `ps`, `inspect`, `top`, `stats`, `port`, `diff`, `prune`: what they say against what the kernel and the disk say.

use support::{Host, Output};

use crate::{BUSYBOX, busybox};

#[track_caller]
fn run(host: &Host, options: &[&str], words: &[&str]) -> String {
    let mut command = host.lighter_command(["run", "-d", "--network", "none"]);
    command.args(options).arg(BUSYBOX).args(words);
    Output::of(command).success().text().to_owned()
}

fn names(host: &Host, options: &[&str]) -> String {
    let words = [&["ps", "--format", "{{.Names}}"], options].concat();
    host.lighter(words).success().lines().join(" ")
}

#[test]
fn ps_filters_and_formats() {
    let Some(host) = busybox() else { return };
    run(
        &host,
        &["--name", "up", "-l", "a=b", "-l", "c", "-v", "data:/data"],
        &["sleep", "1000"],
    );
    run(&host, &["--name", "done"], &["sh", "-c", "exit 4"]);
    host.lighter(["wait", "done"]).success();
    host.lighter(["create", "--name", "new", "-l", "a=c", BUSYBOX, "true"])
        .success();
    assert_eq!(names(&host, &[]), "up");
    assert_eq!(names(&host, &["-a"]), "new done up");
    assert_eq!(names(&host, &["-n", "2"]), "new done");
    assert_eq!(names(&host, &["-l"]), "new");
    for (filter, expected) in [
        ("label=a", "new up"),
        ("label=a=b", "up"),
        ("label=nosuch", ""),
        ("status=created", "new"),
        ("status=exited", "done"),
        ("exited=4", "done"),
        ("exited=0", ""),
        ("name=^u", "up"),
        ("name=e", "new done"),
        ("volume=data", "up"),
        ("volume=/data", "up"),
        ("ancestor=localhost:5000/busybox", "new done up"),
        ("ancestor=localhost:5000/busybox:latest", "new done up"),
        ("ancestor=nosuch", ""),
        ("before=new", "done up"),
        ("since=up", "new done"),
        ("network=none", "done up"),
        ("health=none", "new done up"),
    ] {
        assert_eq!(names(&host, &["-a", "-f", filter]), expected, "{filter}");
    }
    for filter in ["bogus=1", "status=bogus", "exited=x", "restart=no"] {
        host.lighter(["ps", "-f", filter]).exits(1);
    }
    let row = host.lighter(["ps", "--format", "json"]).success().json();
    assert_eq!(
        (row["Names"].as_str(), row["Labels"].as_str()),
        (Some("up"), Some("a=b,c="))
    );
    assert_eq!(row["Mounts"], "data");
    assert_eq!(row["Image"], BUSYBOX);
    let table = host
        .lighter(["ps", "--format", "table {{.Names}}\t{{.State}}"])
        .success();
    assert_eq!(table.stdout, "NAMES     STATE\nup        running\n");
    let head = host.lighter(["ps"]).success();
    let head = head.lines()[0]
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    assert_eq!(
        head,
        "CONTAINER ID IMAGE COMMAND CREATED STATUS PORTS NAMES"
    );
}

#[test]
fn sizes_are_what_lies_on_disk() {
    let Some(host) = busybox() else { return };
    run(
        &host,
        &["--name", "box"],
        &[
            "sh",
            "-c",
            "dd if=/dev/zero of=/big bs=1000 count=1000; sync",
        ],
    );
    host.lighter(["wait", "box"]).success();
    let row = host
        .lighter(["ps", "-a", "-s", "--format", "{{.Size}}"])
        .success();
    assert!(row.text().starts_with("1MB (virtual "), "{row:?}");
    assert!(host.lighter(["ps", "-as"]).success().lines()[0].ends_with("SIZE"));
    let inspected = host
        .lighter(["inspect", "-s", "-f", "{{.SizeRw}} {{.SizeRootFs}}", "box"])
        .success();
    let (own, all) = inspected.text().split_once(' ').expect("two numbers");
    let (own, all): (u64, u64) = (
        own.parse().expect("a number"),
        all.parse().expect("a number"),
    );
    assert_eq!(own, 1_000_000);
    let image = host
        .lighter(["image", "inspect", "-f", "{{.Size}}", BUSYBOX])
        .success();
    assert_eq!(all - own, image.text().parse::<u64>().expect("a number"));
    host.lighter(["inspect", "-f", "{{.SizeRw}}", "box"])
        .exits(1);
}

#[test]
fn inspect_says_what_the_kernel_says() {
    let Some(host) = busybox() else { return };
    let id = run(
        &host,
        &["--name", "box", "-e", "A=1", "-v", "data:/data:ro"],
        &["sleep", "1000"],
    );
    let object = host.lighter(["inspect", "box"]).success().json()[0].clone();
    assert_eq!(object["Id"], id.as_str());
    assert_eq!(
        (object["Name"].as_str(), object["Path"].as_str()),
        (Some("/box"), Some("sleep"))
    );
    let pid = object["State"]["Pid"].as_u64().expect("a pid");
    let pid = u32::try_from(pid).expect("a pid");
    assert_eq!(support::process::command(pid), "sleep 1000");
    let mount = &object["Mounts"][0];
    assert_eq!(
        (mount["Destination"].as_str(), mount["RW"].as_bool()),
        (Some("/data"), Some(false))
    );
    assert!(std::path::Path::new(mount["Source"].as_str().expect("a path")).is_dir());
    let nothing = host.lighter(["inspect", "nosuch"]).exits(1);
    assert_eq!(nothing.stdout, "[]\n");
    assert!(
        nothing.stderr.contains("No such object: nosuch"),
        "{nothing:?}"
    );
    let words = [
        "inspect",
        "-f",
        "{{.Config.Entrypoint}}{{.Config.OnBuild}}{{.State.Health}}",
        "box",
    ];
    assert_eq!(host.lighter(words).text(), "[][]<nil>");
    assert_eq!(
        host.lighter(["inspect", "--type", "volume", "-f", "{{.Name}}", "data"])
            .text(),
        "data"
    );
    host.lighter(["inspect", "--type", "volume", "box"])
        .exits(1);
}

#[test]
fn top_and_stats_show_the_containers_processes() {
    let Some(host) = busybox() else { return };
    run(
        &host,
        &["--name", "box", "-u", "12"],
        &["sh", "-c", "sleep 1000 & exec sleep 2000"],
    );
    let table = support::eventually("both processes are there", 10, || {
        let table = host.lighter(["top", "box"]).success();
        (table.lines().len() == 3).then_some(table)
    });
    assert!(
        table.lines()[0].starts_with("UID                 PID                 PPID"),
        "{table:?}"
    );
    for line in &table.lines()[1..] {
        let pid = line
            .split_whitespace()
            .nth(1)
            .expect("a pid")
            .parse()
            .expect("a pid");
        assert!(line.ends_with(&support::process::command(pid)), "{line}");
    }
    let columns = host.lighter(["top", "box", "-o", "pid,args"]).success();
    assert_eq!(
        columns.lines()[0].split_whitespace().collect::<Vec<_>>(),
        ["PID", "COMMAND"]
    );
    host.lighter(["top", "box", "-o", "bogus"]).exits(1);
    let row = host
        .lighter(["stats", "--no-stream", "--format", "json", "box"])
        .success()
        .json();
    assert_eq!(
        (row["Name"].as_str(), row["PIDs"].as_str()),
        (Some("box"), Some("2"))
    );
    assert!(
        row["MemUsage"].as_str().expect("text").contains("iB / "),
        "{row}"
    );
    host.lighter(["stop", "-t", "0", "box"]).success();
    host.lighter(["top", "box"]).exits(1);
}

#[test]
fn port_lists_what_was_published() {
    let Some(host) = busybox() else { return };
    let words = [
        "-p",
        "8080:80",
        "-p",
        "127.0.0.1:5353:53/udp",
        "--name",
        "box",
        BUSYBOX,
        "sleep",
        "1000",
    ];
    host.lighter([&["run", "-d"], &words[..]].concat())
        .success();
    let all = host.lighter(["port", "box"]).success().stdout;
    assert!(all.contains("80/tcp -> 0.0.0.0:8080\n"), "{all}");
    assert!(all.contains("53/udp -> 127.0.0.1:5353\n"), "{all}");
    let one = host.lighter(["port", "box", "80"]).success();
    assert_eq!(one.lines()[0], "0.0.0.0:8080");
    assert!(
        host.lighter(["port", "box", "81"])
            .exits(1)
            .stderr
            .contains("81")
    );
}

#[test]
fn prune_takes_what_does_not_run() {
    let Some(host) = busybox() else { return };
    run(&host, &["--name", "up"], &["sleep", "1000"]);
    for (name, label) in [("one", "keep=1"), ("two", "keep=0")] {
        host.lighter(["create", "--name", name, "-l", label, BUSYBOX, "true"])
            .success();
    }
    let pruned = host
        .lighter(["container", "prune", "-f", "--filter", "label!=keep=1"])
        .success();
    assert!(
        pruned.stdout.contains("Total reclaimed space"),
        "{pruned:?}"
    );
    assert_eq!(names(&host, &["-a"]), "one up");
    host.lighter(["container", "prune", "-f"]).success();
    assert_eq!(names(&host, &["-a"]), "up");
    let refused = host.lighter(["rm", "up"]).exits(1);
    assert!(refused.stderr.contains("stop it first"), "{refused:?}");
    host.lighter(["rm", "-f", "up", "nosuch"]).success();
    host.lighter(["rm", "nosuch"]).exits(1);
}
