//! config.md, POSIX-platform hooks: when each kind runs, where, and what its failure means.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::runtime::{Kind, Runtime};

/// A hook that appends its kind and its view of things to a file of the host.
fn recorder(runtime: &Runtime) -> (PathBuf, PathBuf) {
    let (script, record) = (runtime.dir().join("hook"), runtime.dir().join("record"));
    let text = format!(
        "#!/bin/sh\nread -r state\necho \"$1 $(echo \"$state\" | tr -d ' \\n\\t' | grep -o '\"status\":\"[a-z]*\"') $GIVEN\" >> {}\n",
        record.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    (script, record)
}

fn hook(script: &std::path::Path, kind: &str) -> Value {
    json!({"path": script, "args": ["hook", kind], "env": ["GIVEN=yes", "PATH=/usr/bin:/bin"]})
}

#[test]
fn hooks_run_in_the_order_of_the_life_with_the_state_on_stdin() {
    let Some(runtime) = Runtime::unless(&[Kind::Runc], "of Debian 12 runs poststart at create")
    else {
        return;
    };
    let (script, record) = recorder(&runtime);
    let bundle = runtime.bundle("true", |c| {
        c["hooks"] = json!({
            "prestart": [hook(&script, "prestart")], "createRuntime": [hook(&script, "createRuntime")],
            "poststart": [hook(&script, "poststart")], "poststop": [hook(&script, "poststop")],
        });
    });
    let id = runtime.id();
    let lines = || fs::read_to_string(&record).unwrap_or_default();
    runtime.quietly(["create", "--bundle", bundle.path(), &id]);
    let created: Vec<String> = lines()
        .lines()
        .map(|l| l.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(created, ["prestart", "createRuntime"]);
    runtime.call(["start", &id]).success();
    runtime.await_status(&id, "stopped");
    assert!(
        lines().lines().nth(2).unwrap().starts_with("poststart "),
        "{}",
        lines()
    );
    assert!(lines().lines().nth(3).is_none(), "{}", lines());
    runtime.call(["delete", &id]).success();
    let text = lines();
    let last = text.lines().nth(3).unwrap();
    assert_eq!(last, "poststop \"status\":\"stopped\" yes");
}

#[test]
fn hooks_of_the_container_run_inside_it() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("cat /work/started", |c| {
        // createContainer runs in the container's namespaces with the host's root still in reach.
        let inside = |script: &str| json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"]});
        c["hooks"] = json!({
            "createContainer": [inside("readlink /proc/self/ns/mnt > /dev/null")],
            "startContainer": [inside("echo yes > /work/started")],
        });
    });
    assert_eq!(output.success().text(), "yes");
}

#[test]
fn a_failing_hook_before_the_start_stops_the_container() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    for kind in [
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
    ] {
        let id = runtime.id();
        let bundle = runtime.bundle("echo ran > /work/ran", |c| {
            c["hooks"] = json!({kind: [{"path": "/bin/sh", "args": ["sh", "-c", "exit 3"]}]});
        });
        let code = runtime.silent(["run", "--bundle", bundle.path(), &id]);
        assert_ne!(code, 0, "{kind}");
        assert!(!bundle.rootfs().join("work/ran").exists(), "{kind}");
        runtime.silent(["delete", "--force", &id]);
    }
}

#[test]
fn a_failing_hook_right_after_the_start_stops_the_container() {
    let old = "goes on, as old specifications had it";
    let Some(runtime) = Runtime::unless(&[Kind::Crun], old) else {
        return;
    };
    let bundle = runtime.bundle("sleep 1000", |c| {
        c["hooks"] = json!({"poststart": [{"path": "/bin/sh", "args": ["sh", "-c", "exit 3"]}]});
    });
    let id = runtime.id();
    assert_ne!(
        runtime.silent(["run", "--detach", "--bundle", bundle.path(), &id]),
        0
    );
    support::eventually("the container has ended", 10, || {
        matches!(runtime.status(&id).as_deref(), None | Some("stopped")).then_some(())
    });
}

#[test]
fn hooks_behind_one_that_failed_after_the_start_are_not_run() {
    let old = "goes on, as old specifications had it";
    let Some(runtime) = Runtime::unless(&[Kind::Crun], old) else {
        return;
    };
    let mark = runtime.dir().join("mark");
    let second = format!("touch {}", mark.display());
    let bundle = runtime.bundle("sleep 1000", |c| {
        c["hooks"] = json!({"poststart": [
            {"path": "/bin/sh", "args": ["sh", "-c", "exit 3"]},
            {"path": "/bin/sh", "args": ["sh", "-c", second]},
        ]});
    });
    let id = runtime.id();
    assert_ne!(
        runtime.silent(["run", "--detach", "--bundle", bundle.path(), &id]),
        0
    );
    assert!(!mark.exists());
}

#[test]
fn a_hook_of_the_container_without_an_environment_has_the_programs() {
    let old = "has no environment then";
    let Some(runtime) = Runtime::unless(&[Kind::Crun], old) else {
        return;
    };
    let output = runtime.run("cat /tmp/seen", |c| {
        crate::runtime::push(&mut c["process"]["env"], json!("ONE=two"));
        c["hooks"] = json!({"startContainer": [
            {"path": "/bin/sh", "args": ["sh", "-c", "echo $ONE >/tmp/seen"]},
        ]});
    });
    assert_eq!(output.success().text(), "two");
}

#[test]
fn a_hook_of_the_host_without_an_environment_has_the_callers() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let seen = runtime.dir().join("seen");
    let script = format!("echo $CALLER >{}", seen.display());
    let bundle = runtime.bundle("true", |c| {
        c["hooks"] = json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]});
    });
    let mut command = runtime.command(["run", "--bundle", bundle.path(), &runtime.id()]);
    command.env("CALLER", "me");
    support::Output::of(command).success();
    assert_eq!(fs::read_to_string(seen).unwrap(), "me\n");
}

#[test]
fn a_failing_hook_after_the_end_changes_nothing() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("echo ran", |c| {
        c["hooks"] = json!({"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", "exit 3"]}]});
    });
    assert_eq!(output.exits(0).text(), "ran");
}

#[test]
fn a_hook_that_takes_too_long_is_ended() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let start = std::time::Instant::now();
    let output = runtime.run("true", |c| {
        c["hooks"] = json!({"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1}]});
    });
    assert_ne!(output.code, 0);
    assert!(start.elapsed().as_secs() < 20);
}

#[test]
fn a_hook_that_does_not_exist_is_an_error_that_names_it() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("true", |c| {
        c["hooks"] = json!({"createRuntime": [{"path": "/no/such/hook"}]})
    });
    assert_ne!(output.code, 0);
    assert!(output.stderr.contains("/no/such/hook"), "{}", output.stderr);
}
