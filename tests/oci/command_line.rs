//! The command line that engines use: runc's options, outputs and exit codes.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use crate::runtime::{Kind, Runtime};

#[test]
fn the_process_id_is_written_to_the_pid_file() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let bundle = runtime.bundle("sleep 1000", |_| {});
    let (id, file) = (runtime.id(), runtime.dir().join("pid"));
    runtime.quietly([
        "create",
        "--pid-file",
        file.to_str().unwrap(),
        "--bundle",
        bundle.path(),
        &id,
    ]);
    assert_eq!(
        fs::read_to_string(file).unwrap(),
        runtime.pid(&id).to_string()
    );
}

#[test]
fn options_may_stand_behind_the_id() {
    let Some(runtime) = Runtime::unless(
        &[Kind::Runc, Kind::Crun],
        "takes options before the id only",
    ) else {
        return;
    };
    let bundle = runtime.bundle("sleep 1000", |_| {});
    let id = runtime.id();
    runtime.quietly(["run", &id, "--detach", "--bundle", bundle.path()]);
    runtime.call(["delete", &id, "--force"]).success();
}

#[test]
fn the_working_directory_is_the_default_bundle() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let bundle = runtime.bundle("echo on", |_| {});
    let mut command = runtime.command(["run", &runtime.id()]);
    command.current_dir(bundle.path());
    assert_eq!(support::Output::of(command).success().text(), "on");
}

#[test]
fn errors_are_written_to_the_log_as_json() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let log = runtime.dir().join("log");
    let output = runtime.call([
        "--log",
        log.to_str().unwrap(),
        "--log-format",
        "json",
        "start",
        "nobody",
    ]);
    assert_ne!(output.code, 0);
    let text = fs::read_to_string(log).unwrap();
    let line: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(line["level"], "error");
    assert!(
        line["msg"]
            .as_str()
            .is_some_and(|text| text.contains("nobody") || text.contains("does not exist")),
        "{text}"
    );
    assert!(line["time"].is_string());
}

#[test]
fn containers_are_listed() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    assert_eq!(runtime.call(["list", "-q"]).success().stdout, "");
    let id = runtime.sleeper(|_| {});
    assert_eq!(runtime.call(["list", "--quiet"]).success().text(), id);
    let list = runtime.call(["list", "--format", "json"]).success().json();
    assert_eq!(
        (&list[0]["id"], &list[0]["status"]),
        (&json!(id), &json!("running"))
    );
    let table = runtime.call(["list"]).success();
    assert!(
        table.lines()[0].starts_with("ID ") || table.lines()[0].starts_with("NAME "),
        "{}",
        table.stdout
    );
    assert_eq!(table.lines().len(), 2);
}

#[test]
fn a_further_process_is_in_the_container_with_its_own_surroundings() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let id = runtime.sleeper(|_| {});
    let pid = runtime.pid(&id);
    let words = [
        "exec", "--env", "MORE=1", "--cwd", "/work", "--user", "5:6", &id,
    ];
    let script = "echo $MORE $HOME; readlink /proc/self/cwd; id -u; id -g; for n in pid mnt ipc uts; do readlink /proc/self/ns/$n; done";
    let output = runtime
        .call(words.into_iter().chain(["/bin/sh", "-c", script]))
        .success();
    let mut expected = ["1 /", "/work", "5", "6"].map(str::to_owned).to_vec();
    for name in ["pid", "mnt", "ipc", "uts"] {
        expected.push(
            fs::read_link(format!("/proc/{pid}/ns/{name}"))
                .unwrap()
                .display()
                .to_string(),
        );
    }
    assert_eq!(output.lines(), expected);
}

#[test]
fn a_further_process_is_counted_and_confined_as_the_first() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let id = runtime.sleeper(|c| {
        c["linux"]["resources"] = json!({"pids": {"limit": 30}});
        c["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]});
    });
    let pid = runtime.pid(&id);
    let of = |text: &str| {
        text.lines()
            .filter(|l| l.contains("pids:") || l.starts_with("0::"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let first = of(&fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap());
    let output = runtime
        .call(["exec", &id, "cat", "/proc/self/cgroup"])
        .success();
    assert_eq!(of(&output.stdout), first);
    let status = runtime
        .call(["exec", &id, "cat", "/proc/self/status"])
        .success()
        .stdout;
    let line = |name: &str| {
        status
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(line("Seccomp:"), "Seccomp:\t2");
    assert_eq!(line("CapInh"), "CapInh:\t0000000000000000");
    assert_eq!(line("CapEff").replace("CapEff", "CapBnd"), line("CapBnd"));
    assert_eq!(line("CapAmb"), "CapAmb:\t0000000000000000");
}

#[test]
fn the_exit_code_of_a_further_process_is_its_own() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let id = runtime.sleeper(|_| {});
    runtime.call(["exec", &id, "sh", "-c", "exit 37"]).exits(37);
    runtime
        .call(["exec", &id, "sh", "-c", "kill -9 $$"])
        .exits(137);
    assert_ne!(runtime.call(["exec", &id, "nowhere"]).code, 0);
}

#[test]
fn a_further_process_is_described_by_a_file() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let id = runtime.sleeper(|_| {});
    let (file, pid_file) = (runtime.dir().join("process"), runtime.dir().join("pid"));
    let process = json!({
        "args": ["/bin/sh", "-c", "echo $A > /work/by-file; sleep 1000"], "cwd": "/", "env": ["A=b", "PATH=/bin"],
        "user": {"uid": 0, "gid": 0}, "capabilities": {"bounding": [], "effective": [], "permitted": []},
    });
    fs::write(&file, process.to_string()).unwrap();
    let words = [
        "exec",
        "--process",
        file.to_str().unwrap(),
        "--detach",
        "--pid-file",
        pid_file.to_str().unwrap(),
        &id,
    ];
    runtime.quietly(words);
    let pid = fs::read_to_string(pid_file).unwrap();
    support::eventually("the process wrote", 10, || {
        let output = runtime.call(["exec", &id, "cat", "/work/by-file"]);
        (output.text() == "b").then_some(())
    });
    assert!(fs::exists(format!("/proc/{pid}")).unwrap());
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(
        status.contains("CapEff:\t0000000000000000")
            && status.contains("CapBnd:\t0000000000000000"),
        "{status}"
    );
}

#[test]
fn a_terminal_is_sent_to_the_console_socket() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let socket = runtime.dir().join("console");
    let listener = UnixListener::bind(&socket).unwrap();
    let bundle = runtime.bundle("test -t 0 && test -t 1 && test -t 2 && readlink /proc/self/fd/0; stat -c %t:%T /dev/console; sleep 1000", |c| {
        c["process"]["terminal"] = json!(true);
        c["process"]["consoleSize"] = json!({"height": 31, "width": 97});
    });
    let id = runtime.id();
    runtime.quietly([
        "run",
        "--detach",
        "--console-socket",
        socket.to_str().unwrap(),
        "--bundle",
        bundle.path(),
        &id,
    ]);
    let stream = listener.accept().unwrap().0;
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = rustix::net::RecvAncillaryBuffer::new(&mut space);
    let mut text = [0; 256];
    let mut parts = [std::io::IoSliceMut::new(&mut text)];
    rustix::net::recvmsg(
        &stream,
        &mut parts,
        &mut control,
        rustix::net::RecvFlags::CMSG_CLOEXEC,
    )
    .unwrap();
    let terminal = control.drain().find_map(|message| match message {
        rustix::net::RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    let terminal = terminal.expect("a descriptor comes with the message");
    let size = rustix::termios::tcgetwinsize(&terminal).unwrap();
    assert_eq!((size.ws_row, size.ws_col), (31, 97));
    let mut file = fs::File::from(terminal);
    let mut seen = String::new();
    while !seen.contains("88:0\r\n") {
        let mut bytes = [0; 128];
        let count = file.read(&mut bytes).unwrap();
        seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    assert!(seen.starts_with("/dev/pts/0\r\n"), "{seen:?}");
}

#[test]
fn a_terminal_without_a_socket_is_refused_when_detached() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let bundle = runtime.bundle("true", |c| c["process"]["terminal"] = json!(true));
    assert_ne!(
        runtime.silent(["create", "--bundle", bundle.path(), &runtime.id()]),
        0
    );
    let bundle = runtime.bundle("true", |_| {});
    let words = [
        "create",
        "--console-socket",
        "/no/such/socket",
        "--bundle",
        bundle.path(),
        &runtime.id(),
    ];
    if runtime.kind != Kind::Crun {
        assert_ne!(runtime.silent(words), 0);
    }
}

#[test]
fn a_template_is_written_and_runs() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let bundle = runtime.bundle("", |_| {});
    let config = std::path::Path::new(bundle.path()).join("config.json");
    fs::remove_file(&config).unwrap();
    let mut command = runtime.command(["spec"]);
    command.current_dir(bundle.path());
    support::Output::of(command).success();
    let mut spec: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    assert_eq!(spec["root"]["path"], "rootfs");
    spec["process"]["terminal"] = json!(false);
    spec["process"]["args"] = json!(["hostname"]);
    bundle.write(&spec);
    let output = runtime
        .call(["run", "--bundle", bundle.path(), &runtime.id()])
        .success();
    assert_eq!(output.text(), spec["hostname"].as_str().unwrap());
    // A second one does not overwrite the first.
    let mut command = runtime.command(["spec"]);
    command.current_dir(bundle.path());
    assert_ne!(support::Output::of(command).code, 0);
}

#[test]
fn features_are_told() {
    let Some(runtime) = Runtime::unless(&[Kind::Crun], "of Debian 12 has no features") else {
        return;
    };
    let features = runtime.call(["features"]).success().json();
    assert_eq!(features["ociVersionMin"], "1.0.0");
    let has = |list: &Value, item: &str| {
        list.as_array()
            .is_some_and(|all| all.iter().any(|i| i == item))
    };
    assert!(has(&features["hooks"], "createContainer"));
    assert!(has(&features["mountOptions"], "rbind"));
    assert!(has(&features["linux"]["namespaces"], "cgroup"));
    assert!(has(&features["linux"]["capabilities"], "CAP_CHOWN"));
    assert_eq!(features["linux"]["seccomp"]["enabled"], true);
    assert!(has(
        &features["linux"]["seccomp"]["actions"],
        "SCMP_ACT_ERRNO"
    ));
}

#[test]
fn a_version_and_the_specification_are_named() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let text = runtime.call(["--version"]).success().stdout;
    assert!(
        text.contains(" version ") && text.contains("spec: 1."),
        "{text}"
    );
}

#[test]
fn a_kept_container_stays_after_its_end() {
    let Some(runtime) = Runtime::unless(&[Kind::Runc, Kind::Crun], "of Debian 12 has no --keep")
    else {
        return;
    };
    let bundle = runtime.bundle("true", |_| {});
    let (kept, gone) = (runtime.id(), runtime.id());
    runtime
        .call(["run", "--keep", "--bundle", bundle.path(), &kept])
        .success();
    assert_eq!(runtime.status(&kept).as_deref(), Some("stopped"));
    runtime
        .call(["run", "--bundle", bundle.path(), &gone])
        .success();
    assert_eq!(runtime.status(&gone), None);
}

#[test]
fn a_cgroup_of_systemds_form_is_mapped_to_a_path() {
    let Some(runtime) = Runtime::unless(
        &[Kind::Runc, Kind::Crun],
        "asks systemd, which is not there",
    ) else {
        return;
    };
    let id = runtime.id();
    let bundle = runtime.bundle("sleep 1000", |c| {
        c["linux"]["cgroupsPath"] = json!(format!("lighter-test.slice:oci:{id}"))
    });
    runtime.quietly([
        "--systemd-cgroup",
        "run",
        "--detach",
        "--bundle",
        bundle.path(),
        &id,
    ]);
    let cgroup = fs::read_to_string(format!("/proc/{}/cgroup", runtime.pid(&id))).unwrap();
    assert!(
        cgroup.contains(&format!("/lighter.slice/lighter-test.slice/oci-{id}.scope")),
        "{cgroup}"
    );
}
