//! runtime.md, Lifecycle, State and Operations.

use std::fs;

use serde_json::json;

use crate::runtime::{Kind, Runtime, refused};

#[test]
fn a_container_is_created_started_stopped_and_deleted() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let bundle = runtime.bundle("echo ran > /work/ran; sleep 1000", |c| {
        c["annotations"] = json!({"org.example.key": "value"})
    });
    let id = runtime.id();
    runtime.quietly(["create", "--bundle", bundle.path(), &id]);
    let state = runtime.state(&id);
    assert_eq!(state["status"], "created");
    assert_eq!(state["id"], json!(id));
    assert_eq!(state["bundle"], json!(bundle.path()));
    assert_eq!(state["annotations"]["org.example.key"], "value");
    assert!(state["ociVersion"].is_string());
    assert!(
        !bundle.rootfs().join("work/ran").exists(),
        "the program must not run before start"
    );
    let pid = runtime.pid(&id);
    assert!(fs::exists(format!("/proc/{pid}")).unwrap());
    runtime.call(["start", &id]).success();
    support::eventually("the program ran", 10, || {
        bundle.rootfs().join("work/ran").exists().then_some(())
    });
    assert_eq!(runtime.state(&id)["status"], "running");
    assert_eq!(runtime.pid(&id), pid);
    runtime.call(["kill", &id, "KILL"]).success();
    runtime.await_status(&id, "stopped");
    runtime.call(["delete", &id]).success();
    assert_ne!(runtime.call(["state", &id]).code, 0);
}

#[test]
fn a_changed_configuration_has_no_effect_after_create() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let bundle = runtime.bundle("echo before > /work/out", |_| {});
    let id = runtime.id();
    runtime.quietly(["create", "--bundle", bundle.path(), &id]);
    bundle.write(&json!({"ociVersion": "1.0.2", "process": {"args": ["/bin/sh", "-c", "echo after > /work/out"], "cwd": "/"}}));
    runtime.call(["start", &id]).success();
    runtime.await_status(&id, "stopped");
    assert_eq!(
        fs::read_to_string(bundle.rootfs().join("work/out")).unwrap(),
        "before\n"
    );
}

#[test]
fn without_a_process_a_container_is_created_and_cannot_be_started() {
    let why = "wants a process at create, as the specification does at start";
    let Some(runtime) = Runtime::unless(&[Kind::Runc, Kind::Crun], why) else {
        return;
    };
    let bundle = runtime.bundle("true", |c| {
        c.as_object_mut().unwrap().remove("process");
    });
    let id = runtime.id();
    runtime.quietly(["create", "--bundle", bundle.path(), &id]);
    assert_eq!(runtime.status(&id).as_deref(), Some("created"));
    refused(&runtime.call(["start", &id]), "process.args");
    runtime.await_status(&id, "stopped");
    runtime.call(["delete", &id]).success();
}

#[test]
fn an_id_is_used_once() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let id = runtime.sleeper(|_| {});
    let bundle = runtime.bundle("true", |_| {});
    assert_ne!(
        runtime.silent(["create", "--bundle", bundle.path(), &id]),
        0
    );
    assert_eq!(
        runtime.status(&id).as_deref(),
        Some("running"),
        "the first one is untouched"
    );
}

#[test]
fn ids_that_are_paths_are_refused() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let bundle = runtime.bundle("true", |_| {});
    let odd = if runtime.kind == Kind::Crun {
        &[][..]
    } else {
        &["a b", "a\nb"]
    };
    for id in ["../up", "a/b", "", ".", ".."].iter().chain(odd) {
        assert_ne!(
            runtime.silent(["run", "--bundle", bundle.path(), id]),
            0,
            "{id:?}"
        );
    }
}

#[test]
fn what_the_status_forbids_is_refused() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let id = runtime.sleeper(|_| {});
    assert_ne!(runtime.call(["start", &id]).code, 0, "started twice");
    assert_ne!(
        runtime.call(["delete", &id]).code,
        0,
        "deleted while it runs"
    );
    if runtime.kind != Kind::Crun {
        assert_ne!(
            runtime.call(["resume", &id]).code,
            0,
            "resumed while it runs"
        );
    }
    assert_eq!(runtime.status(&id).as_deref(), Some("running"));
    runtime.call(["kill", &id, "9"]).success();
    runtime.await_status(&id, "stopped");
    assert_ne!(
        runtime.call(["start", &id]).code,
        0,
        "started after it stopped"
    );
    assert_ne!(
        runtime.call(["kill", &id, "15"]).code,
        0,
        "killed after it stopped"
    );
    assert_ne!(
        runtime.call(["exec", &id, "/bin/true"]).code,
        0,
        "exec after it stopped"
    );
}

#[test]
fn verbs_about_no_container_are_refused() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    for verb in [
        "state", "start", "kill", "delete", "pause", "resume", "ps", "update",
    ] {
        assert_ne!(runtime.call([verb, "nobody"]).code, 0, "{verb}");
    }
    runtime.call(["delete", "--force", "nobody"]).success();
}

#[test]
fn a_signal_reaches_the_program() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let script = "trap 'echo usr1 > /work/got' USR1; trap 'echo term > /work/got; exit 5' TERM; echo on > /work/got; while :; do sleep 0.05; done";
    let bundle = runtime.bundle(script, |_| {});
    let id = runtime.id();
    runtime.quietly(["run", "--detach", "--bundle", bundle.path(), &id]);
    let got = |what: &str| {
        support::eventually(what, 10, || {
            let text = fs::read_to_string(bundle.rootfs().join("work/got")).unwrap_or_default();
            (text.trim() == what).then_some(())
        });
    };
    got("on");
    runtime.call(["kill", &id, "SIGUSR1"]).success();
    got("usr1");
    runtime.call(["kill", &id]).success();
    got("term");
    runtime.await_status(&id, "stopped");
}

#[test]
fn a_created_container_can_be_killed() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let bundle = runtime.bundle("sleep 1000", |_| {});
    let id = runtime.id();
    runtime.quietly(["create", "--bundle", bundle.path(), &id]);
    runtime.call(["kill", &id, "KILL"]).success();
    runtime.await_status(&id, "stopped");
    runtime.call(["delete", &id]).success();
}

#[test]
fn a_created_container_is_deleted_by_force() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let bundle = runtime.bundle("sleep 1000", |_| {});
    let id = runtime.id();
    runtime.quietly(["create", "--bundle", bundle.path(), &id]);
    let pid = runtime.pid(&id);
    runtime.call(["delete", "--force", &id]).success();
    support::eventually("the process is gone", 10, || {
        (!fs::exists(format!("/proc/{pid}")).unwrap()).then_some(())
    });
    runtime.call(["delete", "--force", &id]).success();
}

#[test]
fn every_version_1_is_understood_and_no_other() {
    let Some(runtime) = Runtime::unless(&[Kind::Crun], "of Debian 12 knows 1.0 only") else {
        return;
    };
    for version in ["1.0.0", "1.0.2-dev", "1.1.0", "1.2.1", "1.3.0"] {
        assert_eq!(
            runtime
                .run("echo on", |c| c["ociVersion"] = json!(version))
                .success()
                .text(),
            "on",
            "{version}"
        );
    }
    if runtime.kind == Kind::Lighter {
        assert_ne!(
            runtime
                .run("true", |c| c["ociVersion"] = json!("2.0.0"))
                .code,
            0
        );
    }
}

#[test]
fn fields_nobody_knows_are_passed_over() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("echo on", |c| {
        c["org.example.new"] = json!({"a": 1});
        c["linux"]["futureField"] = json!([1, 2]);
    });
    assert_eq!(output.success().text(), "on");
}

#[test]
fn a_program_that_cannot_start_says_why_before_start() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let reasons = [
        (json!(["nowhere"]), "not found"),
        (json!(["/no/such/file"]), "no such file or directory"),
        (json!(["/etc"]), "directory"),
        (json!(["/work/plain"]), "permission denied"),
    ];
    for (args, reason) in reasons {
        let bundle = runtime.bundle("", |c| c["process"]["args"] = args.clone());
        fs::write(bundle.rootfs().join("work/plain"), "text").unwrap();
        let output = runtime.call(["run", "--bundle", bundle.path(), &runtime.id()]);
        assert_ne!(output.code, 0, "{args}");
        let said = output.stderr.to_lowercase();
        // An engine decides by these words between 126 and 127.
        let denied = said.contains("permission denied") || said.contains("operation not permitted");
        let also = reason == "directory" && denied;
        assert!(said.contains(reason) || also, "{args}: {}", output.stderr);
    }
}
