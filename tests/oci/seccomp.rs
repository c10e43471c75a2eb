//! config-linux.md, Seccomp: what a system call of the profile is answered.

use std::io::Read;
use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use crate::runtime::{Kind, Runtime};

fn profile(default: &str, calls: Value) -> Value {
    json!({"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"], "syscalls": calls})
}

#[test]
fn a_denied_call_fails_with_the_given_errno() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let run = |errno: Option<u32>| {
        let mut rule = json!({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"});
        if let Some(errno) = errno {
            rule["errnoRet"] = json!(errno);
        }
        let output = runtime.run("mkdir /work/x 2>&1; touch /work/y && echo touched", |c| {
            c["linux"]["seccomp"] = profile("SCMP_ACT_ALLOW", json!([rule]));
        });
        output.success().stdout
    };
    assert_eq!(
        run(None),
        "mkdir: can't create directory '/work/x': Operation not permitted\ntouched\n"
    );
    assert_eq!(
        run(Some(28)),
        "mkdir: can't create directory '/work/x': No space left on device\ntouched\n"
    );
}

#[test]
fn the_filter_is_in_force() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    for no_new_privileges in [true, false] {
        let output = runtime.run("grep Seccomp: /proc/self/status", |c| {
            c["process"]["noNewPrivileges"] = json!(no_new_privileges);
            c["linux"]["seccomp"] = profile(
                "SCMP_ACT_ALLOW",
                json!([{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]),
            );
        });
        assert_eq!(
            output.success().text(),
            "Seccomp:\t2",
            "{no_new_privileges}"
        );
    }
}

#[test]
fn a_deadly_call_kills() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    for action in [
        "SCMP_ACT_KILL",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_TRAP",
    ] {
        let output = runtime.run("mkdir /work/x; echo $?", |c| {
            c["linux"]["seccomp"] = profile(
                "SCMP_ACT_ALLOW",
                json!([{"names": ["mkdir", "mkdirat"], "action": action}]),
            );
        });
        // The shell shows its child's death by SIGSYS.
        assert_eq!(output.success().text(), "159", "{action}");
    }
}

#[test]
fn arguments_are_compared() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    // kill(pid, 0) is asked for by `kill -0`; every other signal stays possible.
    let output = runtime.run("kill -0 $$ 2>&1; kill -CONT $$ && echo sent", |c| {
        c["linux"]["seccomp"] = profile(
            "SCMP_ACT_ALLOW",
            json!([{
                "names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5,
                "args": [{"index": 1, "value": 0, "op": "SCMP_CMP_EQ"}],
            }]),
        );
    });
    let text = output.success().stdout;
    assert!(
        text.contains("Input/output error") && text.ends_with("sent\n"),
        "{text}"
    );
}

#[test]
fn unknown_names_are_passed_over() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("echo on", |c| {
        let names = json!(["no_such_call", "neither_this"]);
        c["linux"]["seccomp"] = profile(
            "SCMP_ACT_ALLOW",
            json!([{"names": names, "action": "SCMP_ACT_ERRNO"}]),
        );
    });
    assert_eq!(output.success().text(), "on");
}

#[test]
fn an_errno_for_an_action_without_one_is_refused() {
    let Some(runtime) = Runtime::unless(&[Kind::Runc], "of Debian 12 takes it") else {
        return;
    };
    let output = runtime.run("true", |c| {
        let rule = json!({"names": ["mkdir"], "action": "SCMP_ACT_KILL", "errnoRet": 5});
        c["linux"]["seccomp"] = profile("SCMP_ACT_ALLOW", json!([rule]));
    });
    assert_ne!(output.code, 0);
}

#[test]
fn an_agent_gets_the_descriptor_and_the_state() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let socket = runtime.dir().join("agent");
    let agent = UnixListener::bind(&socket).unwrap();
    let id = runtime.sleeper(|c| {
        let mut profile = profile(
            "SCMP_ACT_ALLOW",
            json!([{"names": ["acct"], "action": "SCMP_ACT_NOTIFY"}]),
        );
        profile["listenerPath"] = json!(socket);
        profile["listenerMetadata"] = json!("for-the-agent");
        c["linux"]["seccomp"] = profile;
    });
    let mut text = String::new();
    agent.accept().unwrap().0.read_to_string(&mut text).unwrap();
    let state: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(state["metadata"], "for-the-agent");
    assert_eq!(state["fds"], json!(["seccompFd"]));
    assert_eq!(state["state"]["id"], json!(id));
    assert_eq!(state["pid"], json!(runtime.pid(&id)));
}
