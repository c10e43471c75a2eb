//! config.md, Process: what the program is given.

use serde_json::json;

use crate::runtime::{Kind, Runtime};

#[test]
fn arguments_environment_and_working_directory_are_exactly_those_given() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("", |c| {
        c["process"]["args"] = json!([
            "/bin/sh",
            "-c",
            "echo \"$0|$1|$2\"; cat /proc/self/environ; readlink /proc/self/cwd",
            "a b",
            "",
            "c"
        ]);
        c["process"]["env"] = json!(["PATH=/bin", "EMPTY=", "WITH=a=b c"]);
        c["process"]["cwd"] = json!("/work");
    });
    let text = output.success().stdout;
    assert!(text.starts_with("a b||c\n"), "{text}");
    assert!(text.contains("PATH=/bin\0EMPTY=\0WITH=a=b c\0"), "{text:?}");
    assert!(text.ends_with("/work\n"), "{text:?}");
}

#[test]
fn of_two_variables_with_one_name_the_last_counts() {
    let Some(runtime) = Runtime::unless(&[Kind::Crun, Kind::Runc], "gives the program both") else {
        return;
    };
    let edit = |c: &mut serde_json::Value| {
        c["process"]["env"] = json!(["PATH=/bin", "A=1", "B=2", "HOME=/", "A=3"]);
        c["process"]["args"] = json!(["/bin/env"]);
    };
    assert_eq!(
        runtime.run("", edit).success().lines(),
        ["PATH=/bin", "B=2", "HOME=/", "A=3"]
    );
    let id = runtime.sleeper(|c| c["process"]["env"] = json!(["PATH=/bin", "HOME=/", "A=1"]));
    let output = runtime.call(["exec", "--env", "A=2", &id, "/bin/env"]);
    assert_eq!(output.success().lines(), ["PATH=/bin", "HOME=/", "A=2"]);
}

#[test]
fn the_home_is_the_users_in_the_images_passwd() {
    let Some(runtime) = Runtime::unless(
        &[Kind::Crun],
        "of Debian 12 fails for a user whom the image does not know",
    ) else {
        return;
    };
    let home = |user: u32, passwd: &dyn Fn(&std::path::Path)| {
        let bundle = runtime.bundle("echo $HOME", |c| {
            c["process"]["env"] = json!(["PATH=/bin"]);
            c["process"]["user"] = json!({"uid": user, "gid": 0});
        });
        passwd(&bundle.rootfs().join("etc/passwd"));
        let output = runtime.call(["run", "--bundle", bundle.path(), &runtime.id()]);
        output.success().text().to_owned()
    };
    let known = |path: &std::path::Path| {
        std::fs::write(path, "root:x:0:0::/root:\nweb:x:7:7::/srv/web:/bin/sh\n").unwrap();
    };
    assert_eq!(home(7, &known), "/srv/web");
    assert_eq!(home(8, &known), "/");
    assert_eq!(home(7, &|_| {}), "/");
}

#[test]
fn a_passwd_that_is_no_file_does_not_hold_the_start() {
    let Some(runtime) =
        Runtime::unless(&[Kind::Runc, Kind::Crun], "waits for a writer of the FIFO")
    else {
        return;
    };
    let bundle = runtime.bundle("echo $HOME", |c| c["process"]["env"] = json!(["PATH=/bin"]));
    let passwd = bundle.rootfs().join("etc/passwd");
    let made = std::process::Command::new("mkfifo").arg(passwd).status();
    assert!(made.is_ok_and(|status| status.success()));
    let output = runtime.call(["run", "--bundle", bundle.path(), &runtime.id()]);
    assert_eq!(output.success().text(), "/");
}

#[test]
fn a_service_managers_sockets_reach_the_program() {
    let Some(runtime) = Runtime::unless(
        &[Kind::Runc, Kind::Crun],
        "of Debian 12 wants LISTEN_PID, or leaves more open",
    ) else {
        return;
    };
    let script = "echo $LISTEN_FDS $LISTEN_PID; read line <&3; echo $line; test -e /proc/self/fd/4 || echo no more";
    let bundle = runtime.bundle(script, |_| {});
    let file = runtime.dir().join("socket");
    std::fs::write(&file, "through the descriptor\n").unwrap();
    let mut command = std::process::Command::new("sh");
    let arguments = runtime.command(["run", "--bundle", bundle.path(), &runtime.id()]);
    let line = format!("exec \"$@\" 3<'{0}' 4<'{0}'", file.display());
    command
        .args(["-c", &line, "sh"])
        .arg(arguments.get_program());
    command.args(arguments.get_args()).env("LISTEN_FDS", "1");
    let output = support::Output::of(command);
    assert_eq!(
        output.success().lines(),
        ["1 1", "through the descriptor", "no more"]
    );
}

#[test]
fn a_service_manager_is_told_that_the_program_is_ready() {
    let Some(runtime) = Runtime::unless(
        &[Kind::Runc, Kind::Crun],
        "passes the message on by a process of its own",
    ) else {
        return;
    };
    let path = runtime.dir().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let script = "stat -c %F $NOTIFY_SOCKET; echo $NOTIFY_SOCKET";
    let bundle = runtime.bundle(script, |_| {});
    let mut command = runtime.command(["run", "--bundle", bundle.path(), &runtime.id()]);
    command.env("NOTIFY_SOCKET", &path);
    let output = support::Output::of(command).success();
    let shown = output.lines();
    assert_eq!(shown[0], "socket");
    // What is mounted there is the manager's socket: who has the container's path reaches it.
    let id = runtime.id();
    let bundle = runtime.bundle("sleep 1000", |_| {});
    let mut command = runtime.command(["run", "--detach", "--bundle", bundle.path(), &id]);
    let quiet = std::process::Stdio::null;
    command.stdin(quiet()).stdout(quiet()).stderr(quiet());
    assert!(
        command
            .env("NOTIFY_SOCKET", &path)
            .status()
            .unwrap()
            .success()
    );
    let inside = format!("/proc/{}/root{}", runtime.pid(&id), shown[1]);
    let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
    sender.send_to(b"READY=1", inside).unwrap();
    let mut message = [0; 16];
    assert_eq!(socket.recv(&mut message).unwrap(), 7);
    assert_eq!(&message[..7], b"READY=1");
}

#[test]
fn a_missing_working_directory_is_made() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("readlink /proc/self/cwd", |c| {
        c["process"]["cwd"] = json!("/made/for/it")
    });
    assert_eq!(output.success().text(), "/made/for/it");
}

#[test]
fn the_user_has_exactly_its_groups() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("grep -E '^(Uid|Gid|Groups)' /proc/self/status", |c| {
        c["process"]["user"] = json!({"uid": 1000, "gid": 1001, "additionalGids": [5, 77]});
    });
    let text = output.success().stdout.replace('\t', " ");
    assert!(text.contains("Uid: 1000 1000 1000 1000"), "{text}");
    assert!(text.contains("Gid: 1001 1001 1001 1001"), "{text}");
    assert!(text.contains("Groups: 5 77 \n"), "{text}");
}

#[test]
fn the_umask_is_the_given_one_and_022_by_default() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    assert_eq!(runtime.run("umask", |_| {}).success().text(), "0022");
    let output = runtime.run("umask", |c| c["process"]["user"]["umask"] = json!(0o077));
    assert_eq!(output.success().text(), "0077");
}

#[test]
fn resource_limits_are_those_given() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("grep -E 'Max (open files|core)' /proc/self/limits", |c| {
        c["process"]["rlimits"] = json!([
            {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
        ]);
    });
    let text = output
        .success()
        .stdout
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    assert!(text.contains("Max open files 100 200 files"), "{text}");
    assert!(text.contains("Max core file size 0 0 bytes"), "{text}");
}

#[test]
fn a_limit_named_twice_or_unknown_is_refused() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let limit = |kind: &str| json!({"type": kind, "soft": 1, "hard": 1});
    for limits in [
        json!([limit("RLIMIT_CORE"), limit("RLIMIT_CORE")]),
        json!([limit("RLIMIT_NOTHING")]),
    ] {
        if runtime.kind != Kind::Lighter && limits.as_array().map(Vec::len) == Some(2) {
            continue; // Neither runc nor crun of Debian sees it.
        }
        let output = runtime.run("true", |c| c["process"]["rlimits"] = limits.clone());
        assert_ne!(output.code, 0, "{limits}");
    }
}

/// The hexadecimal capability sets of a process, by the names of proc_pid_status(5).
fn capability_sets(status: &str) -> Vec<(String, u64)> {
    let set = |line: &str| {
        let (name, value) = line.strip_prefix("Cap")?.split_once(":\t")?;
        Some((name.to_owned(), u64::from_str_radix(value, 16).ok()?))
    };
    status.lines().filter_map(set).collect()
}

#[test]
fn each_capability_set_is_the_given_one() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("cat /proc/self/status", |c| {
        c["process"]["capabilities"] = json!({
            "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"], "permitted": ["CAP_CHOWN", "CAP_KILL"],
            "effective": ["CAP_CHOWN", "CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"],
        });
        c["process"]["user"] = json!({"uid": 7, "gid": 7});
    });
    let (chown, kill, bind) = (1, 1 << 5, 1 << 10);
    let sets = capability_sets(&output.success().stdout);
    // Not root: an exec keeps ambient capabilities only.
    let expected = [
        ("Inh", kill),
        ("Prm", kill),
        ("Eff", kill),
        ("Bnd", chown | kill | bind),
        ("Amb", kill),
    ];
    assert_eq!(sets, expected.map(|(name, bits)| (name.to_owned(), bits)));
}

#[test]
fn root_has_what_is_in_its_sets_and_nothing_inheritable() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("cat /proc/self/status", |c| {
        let some = json!(["CAP_CHOWN"]);
        c["process"]["capabilities"] =
            json!({"bounding": some, "permitted": some, "effective": some});
    });
    let sets = capability_sets(&output.success().stdout);
    let expected = [("Inh", 0), ("Prm", 1), ("Eff", 1), ("Bnd", 1), ("Amb", 0)];
    assert_eq!(sets, expected.map(|(name, bits)| (name.to_owned(), bits)));
}

#[test]
fn a_capability_that_cannot_be_granted_is_left_out_with_a_warning() {
    let Some(runtime) = Runtime::unless(&[Kind::Runc, Kind::Crun], "of Debian 12 fails") else {
        return;
    };
    let bundle = runtime.bundle("grep -E 'Cap(Prm|Bnd)' /proc/self/status", |c| {
        let all = json!(["CAP_CHOWN", "CAP_SYS_RESOURCE"]);
        c["process"]["capabilities"] = json!({"bounding": all, "effective": all, "permitted": all});
    });
    // A caller without the capability, wherever this runs.
    let command = runtime.command(["run", "--bundle", bundle.path(), &runtime.id()]);
    let mut limited = std::process::Command::new("setpriv");
    limited.args([
        "--bounding-set",
        "-sys_resource",
        "--inh-caps",
        "-sys_resource",
    ]);
    limited.arg(command.get_program()).args(command.get_args());
    let output = support::Output::of(limited).success();
    let chown = "0000000000000001";
    assert_eq!(
        output.lines(),
        [format!("CapPrm:\t{chown}"), format!("CapBnd:\t{chown}")]
    );
    assert!(
        output.stderr.contains("CAP_SYS_RESOURCE"),
        "{}",
        output.stderr
    );
}

#[test]
fn without_capabilities_there_are_none() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("cat /proc/self/status", |c| {
        c["process"]["capabilities"] = json!({});
    });
    let sets = capability_sets(&output.success().stdout);
    assert!(sets.iter().all(|(_, bits)| *bits == 0), "{sets:?}");
}

#[test]
fn no_new_privileges_is_set_when_asked() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    for wanted in [true, false] {
        let output = runtime.run("grep NoNewPrivs /proc/self/status", |c| {
            c["process"]["noNewPrivileges"] = json!(wanted)
        });
        assert_eq!(
            output.success().text(),
            format!("NoNewPrivs:\t{}", u8::from(wanted))
        );
    }
}

#[test]
fn the_oom_score_is_adjusted() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("cat /proc/self/oom_score_adj", |c| {
        c["process"]["oomScoreAdj"] = json!(513)
    });
    assert_eq!(output.success().text(), "513");
}

#[test]
fn scheduling_and_io_priority_are_those_given() {
    let old = "of Debian 12 has no process.scheduler";
    let Some(runtime) = Runtime::unless(&[Kind::Runc, Kind::Crun], old) else {
        return;
    };
    // proc_pid_stat(5): the fields behind the name, from number 3 on; 19 is nice, 41 the policy.
    let output = runtime.run("cat /proc/self/stat", |c| {
        c["ociVersion"] = json!("1.2.0");
        c["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 7});
        c["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_IDLE", "priority": 0});
    });
    let text = output.success().stdout;
    let fields: Vec<&str> = text
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    assert_eq!((fields[16], fields[38]), ("7", "3"), "{text}");
}

#[test]
fn the_execution_domain_is_the_given_one() {
    let Some(runtime) = Runtime::unless(&[Kind::Runc], "of Debian 12 has no linux.personality")
    else {
        return;
    };
    let output = runtime.run("busybox uname -m", |c| {
        c["linux"]["personality"] = json!({"domain": "LINUX32"})
    });
    assert_eq!(output.success().text(), "i686");
}

#[test]
fn only_the_standard_streams_are_open() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    // The fourth is the directory that ls reads.
    assert_eq!(
        runtime.run("ls /proc/self/fd", |_| {}).success().text(),
        "0\n1\n2\n3"
    );
}

#[test]
fn preserved_descriptors_reach_the_program_and_no_others() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let bundle = runtime.bundle("ls /proc/self/fd; cat <&3", |_| {});
    let id = runtime.id();
    let line = runtime.command(["run", "--preserve-fds", "1", "--bundle", bundle.path(), &id]);
    let file = runtime.dir().join("kept");
    std::fs::write(&file, "kept\n").unwrap();
    let mut shell = std::process::Command::new("sh");
    shell.args([
        "-c",
        &format!("exec 3<{0} 4<{0}; exec \"$@\"", file.display()),
        "sh",
    ]);
    shell.arg(line.get_program()).args(line.get_args());
    assert_eq!(
        support::Output::of(shell).success().text(),
        "0\n1\n2\n3\n4\nkept"
    );
}

#[test]
fn the_exit_code_is_the_programs() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    runtime.run("exit 0", |_| {}).exits(0);
    runtime.run("exit 41", |_| {}).exits(41);
    runtime
        .run("kill -9 $$; sleep 9", |c| {
            // Pid 1 of a pid namespace is safe from its own signals.
            let namespaces = c["linux"]["namespaces"].as_array_mut().unwrap();
            namespaces.retain(|n| n["type"] != "pid");
        })
        .exits(137);
}

#[test]
fn standard_input_is_the_callers() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let bundle = runtime.bundle("cat", |_| {});
    let file = runtime.dir().join("input");
    std::fs::write(&file, "read me").unwrap();
    let mut command = runtime.command(["run", "--bundle", bundle.path(), &runtime.id()]);
    command.stdin(std::fs::File::open(file).unwrap());
    assert_eq!(
        support::Output::with_input_set(command).success().stdout,
        "read me"
    );
}
