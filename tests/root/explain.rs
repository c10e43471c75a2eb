//! `explain`: the plan tells the truth. The shell script it prints makes the same container as `run`.
//!
//! A probe inside both containers prints what the kernel shows: mounts, namespaces, capabilities, host name, addresses,
//! limits. What must differ (ids of mounts and devices, the container's own id in paths) is taken out; the rest is equal.

use std::collections::BTreeMap;

use support::{Host, Output};

use crate::host;

/// Prints sections, each with a heading.
const PROBE: &str = r#"
echo '## mounts'; cat /proc/self/mountinfo
echo '## namespaces'; for kind in cgroup ipc mnt net pid user uts time; do readlink /proc/self/ns/$kind; done
echo '## status'; grep -E '^(Cap|NoNewPrivs|Uid|Gid|Groups)' /proc/self/status
echo '## name'; hostname
echo '## addresses'; ip -o addr show | grep -v ' inet6 fe80' ; ip route
echo '## limits'; cat /proc/self/limits
echo '## umask'; umask
echo '## directory'; pwd
echo '## user'; id
echo '## environment'; env | sort
echo '## devices'; for file in /dev/*; do stat -c '%n %A %u %g %t:%T' $file; readlink $file; done
echo '## files'; cat /etc/hostname /etc/hosts /etc/resolv.conf
echo '## cgroups'; cat /proc/self/cgroup; cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null
echo '## processes'; set -- /proc/[0-9]*; echo $#
echo '## score'; cat /proc/self/oom_score_adj
echo '## writable'; for file in /x /proc/sys/kernel/x /sys/x /dev/x; do touch $file 2>/dev/null && echo $file; done
echo '## descriptors'; ls /proc/1/fd
exit 7
"#;

/// The sections of a probe, without what must differ between two containers.
fn sections(output: &Output) -> BTreeMap<String, Vec<String>> {
    let mut sections: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in output.stdout.lines() {
        match line.strip_prefix("## ") {
            Some(heading) => current = heading.to_owned(),
            None => sections
                .entry(current.clone())
                .or_default()
                .push(comparable(&current, line)),
        }
    }
    sections
}

fn comparable(section: &str, line: &str) -> String {
    let line = without_ids(line);
    match section {
        "mounts" => mount(&line),
        // Which namespace it is says nothing; that it is not the host's is asked on its own.
        "namespaces" => line.split(':').next().unwrap_or_default().to_owned(),
        // Numbers of interfaces count up on the host; a hardware address belongs to a lease.
        "addresses" => line
            .split_once(": ")
            .map_or(line.clone(), |(_, rest)| rest.to_owned()),
        _ => line,
    }
}

/// Ids of containers: 64 or 12 hexadecimal digits.
fn without_ids(line: &str) -> String {
    let mut text = String::new();
    let mut word = String::new();
    for letter in line.chars().chain(['\n']) {
        if letter.is_ascii_hexdigit() && !letter.is_ascii_uppercase() {
            word.push(letter);
            continue;
        }
        text.push_str(if matches!(word.len(), 64 | 12) {
            "ID"
        } else {
            &word
        });
        word.clear();
        text.push(letter);
    }
    text.trim_end().to_owned()
}

/// A line of mountinfo without the numbers of mounts and devices: root, target, options, propagation, type, source,
/// options of the filesystem. See proc_pid_mountinfo(5).
fn mount(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let rest = words[3..].join(" ");
    // fsconfig(2) adds layers one by one, mount(8) all at once; the kernel shows how it was told.
    rest.replace("lowerdir+=", "lowerdir=")
}

/// The name of the image, with a registry that serves it.
fn busybox(host: &Host) -> String {
    format!("{}/busybox", host.fixtures())
}

fn run(host: &Host, image: &str, options: &[&str]) -> Output {
    let mut words = vec!["run", "-q", "--rm"];
    words.extend(options);
    words.extend([image, "sh", "-c", PROBE]);
    host.lighter(words)
}

fn scripted(host: &Host, image: &str, options: &[&str]) -> Output {
    let mut words = vec!["explain", "--shell", "run"];
    words.extend(options);
    words.extend([image, "sh", "-c", PROBE]);
    let script = host.write("container.sh", host.lighter(words).success().stdout);
    let mut command = host.command("bash");
    command.arg(script);
    Output::of(command)
}

#[track_caller]
fn assert_same(options: &[&str]) {
    let Some(host) = host() else { return };
    let image = busybox(&host);
    host.lighter(["pull", "-q", &image]).success();
    host.lighter(["network", "create", "--subnet", "10.123.0.0/24", "lab"])
        .success();
    let played = run(&host, &image, options).exits(7);
    // A network outlives its last container by a moment, and would go while the script builds on it.
    support::eventually("the first container's network is taken down", 10, || {
        let links = host.ip(["link"]).to_string();
        (!links.contains("\"lv") && !links.contains("\"lt-")).then_some(())
    });
    let before = support::Snapshot::of(&host);
    let typed = scripted(&host, &image, options).exits(7);
    assert_eq!(typed.stderr, "", "the script complains");
    let (played, typed) = (sections(&played), sections(&typed));
    assert_eq!(
        played.keys().collect::<Vec<_>>(),
        typed.keys().collect::<Vec<_>>()
    );
    for (section, lines) in &played {
        assert_eq!(
            lines.join("\n"),
            typed[section].join("\n"),
            "the section {section} differs (left: run, right: script)"
        );
    }
    before.assert_nothing_added(&host);
}

#[test]
fn the_script_makes_the_same_container_without_a_network() {
    assert_same(&["--network", "none", "-h", "probe"]);
}

#[test]
fn the_script_makes_the_same_container_with_a_network() {
    assert_same(&[
        "-h",
        "probe",
        "--network",
        "lab",
        "--ip",
        "10.123.0.77",
        "-p",
        "8080:80",
    ]);
}

#[test]
fn the_script_makes_the_same_container_with_options() {
    assert_same(&[
        "--network",
        "none",
        "-h",
        "probe",
        "--read-only",
        "--tmpfs",
        "/tmp:size=1m,noexec",
        "-u",
        "1000:1000",
        "-w",
        "/tmp",
        "-e",
        "A=it's \"quoted\" $HOME",
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
        "--ulimit",
        "nofile=100:200",
        "-v",
        "/usr/share:/data:ro",
        "--sysctl",
        "net.ipv4.ip_forward=1",
        "--oom-score-adj",
        "100",
        "--pids-limit",
        "50",
    ]);
}

/// Prints what each namespace of the shell is.
const SHOW: &str = "for kind in cgroup ipc mnt net pid uts; do readlink /proc/self/ns/$kind; done";

#[test]
fn every_namespace_of_the_script_is_its_own() {
    let Some(host) = host() else { return };
    let ours = host.shell(SHOW).success().stdout;
    let image = busybox(&host);
    let words = [
        "explain",
        "run",
        "--shell",
        "--network",
        "none",
        &image,
        "sh",
        "-c",
        SHOW,
    ];
    let script = host.write("container.sh", host.lighter(words).success().stdout);
    let theirs = host
        .shell(&format!("bash {}", script.display()))
        .success()
        .stdout;
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "uts"] {
        let of = |text: &str| {
            text.lines()
                .find(|line| line.starts_with(&format!("{kind}:")))
                .map(str::to_owned)
        };
        assert!(
            of(&theirs).is_some() && of(&theirs) != of(&ours),
            "{kind} is shared with the host"
        );
    }
}

#[test]
fn the_list_and_the_json_name_the_same_steps() {
    let Some(host) = host() else { return };
    let image = busybox(&host);
    let json = host
        .lighter([
            "explain",
            "run",
            "--json",
            "--network",
            "none",
            &image,
            "true",
        ])
        .success()
        .stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let steps = json["steps"].as_array().unwrap();
    let list = host
        .lighter(["explain", "run", "--network", "none", &image, "true"])
        .success()
        .stdout;
    let last = format!("{:>3}  container", steps.len());
    assert!(list.lines().any(|line| line.starts_with(&last)), "{list}");
    assert_eq!(steps.last().unwrap()["op"]["op"], "exec");
    for step in steps {
        assert!(!step["why"].as_str().unwrap().is_empty(), "{step}");
        assert!(!step["manual"].as_array().unwrap().is_empty(), "{step}");
    }
}

#[test]
fn explaining_changes_nothing() {
    let Some(host) = host() else { return };
    let image = busybox(&host);
    host.lighter(["pull", "-q", &image]).success();
    // The first call makes the directories that every call needs.
    host.lighter(["explain", "run", &image, "true"]).success();
    let before = support::Snapshot::of(&host);
    host.lighter(["explain", "run", &image, "true"]).success();
    before.assert_nothing_added(&host);
    assert_eq!(host.lighter(["ps", "-aq"]).success().stdout, "");
}
