//! config-linux.md, Default devices, Devices, and allowed device list.

use serde_json::json;

use crate::runtime::{Runtime, push};

#[test]
fn the_default_devices_are_there_and_work() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let script = "for d in null zero full random urandom tty; do stat -c '%n %F %t:%T %a' /dev/$d; done
        for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done
        echo gone > /dev/null; head -c 1 /dev/zero; head -c 1 /dev/urandom > /dev/null; (echo x > /dev/full) 2>&1";
    let text = runtime.run(script, |_| {}).stdout;
    let expected = "/dev/null character special file 1:3 666
/dev/zero character special file 1:5 666
/dev/full character special file 1:7 666
/dev/random character special file 1:8 666
/dev/urandom character special file 1:9 666
/dev/tty character special file 5:0 666
/proc/self/fd
/proc/self/fd/0
/proc/self/fd/1
/proc/self/fd/2
pts/ptmx
";
    let text = text.replace("/dev/pts/ptmx\n", "pts/ptmx\n");
    assert!(text.starts_with(expected), "{text}");
    assert!(
        text.contains('\0') && text.contains("No space left on device"),
        "{text}"
    );
}

#[test]
fn listed_devices_are_made_with_mode_and_owner() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("stat -c '%F %t:%T %a %u:%g' /dev/mine /dev/deep/disk /dev/pipe", |c| {
        c["linux"]["devices"] = json!([
            {"path": "/dev/mine", "type": "c", "major": 10, "minor": 229, "fileMode": 0o620, "uid": 3, "gid": 4},
            {"path": "/dev/deep/disk", "type": "b", "major": 7, "minor": 250, "fileMode": 0o600},
            {"path": "/dev/pipe", "type": "p", "fileMode": 0o644},
        ]);
    });
    let expected = [
        "character special file a:e5 620 3:4",
        "block special file 7:fa 600 0:0",
        "fifo 0:0 644 0:0",
    ];
    assert_eq!(output.success().lines(), expected);
}

#[test]
fn a_device_that_is_not_allowed_cannot_be_opened() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let script = "mknod /dev/zero2 c 1 5; mknod /dev/mem2 c 1 1; mknod /dev/fuse2 c 10 229
        head -c 1 /dev/zero2 > /dev/null && echo zero; head -c 1 /dev/mem2; echo x > /dev/fuse2";
    let output = runtime.run(&format!("({script}) 2>&1"), |c| {
        c["linux"]["resources"] = json!({"devices": [{"allow": false, "access": "rwm"}]});
    });
    let lines = output.lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[0], "zero");
    assert!(
        lines[1..]
            .iter()
            .all(|line| line.contains("Operation not permitted")),
        "{lines:?}"
    );
}

#[test]
fn a_device_is_allowed_for_exactly_the_listed_access() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    // 1:11 is /dev/kmsg: reading and writing it are told apart, and both work on any machine.
    let script =
        "mknod /dev/log c 1 11; (exec 3</dev/log) && echo read; (exec 3>/dev/log) && echo write";
    let with = |access: &str| {
        let output = runtime.run(&format!("({script}) 2>/dev/null; true"), |c| {
            // Reading it is also a matter of this capability.
            push(
                &mut c["process"]["capabilities"]["bounding"],
                json!("CAP_SYSLOG"),
            );
            push(
                &mut c["process"]["capabilities"]["effective"],
                json!("CAP_SYSLOG"),
            );
            push(
                &mut c["process"]["capabilities"]["permitted"],
                json!("CAP_SYSLOG"),
            );
            c["linux"]["resources"] = json!({"devices": [
                {"allow": false, "access": "rwm"},
                {"allow": true, "type": "c", "major": 1, "minor": 11, "access": access},
            ]});
        });
        output.success().stdout.replace('\n', " ")
    };
    assert_eq!(
        [with("r"), with("w"), with("rw"), with("m")],
        ["read ", "write ", "read write ", ""]
    );
}

#[test]
fn later_rules_override_earlier_ones() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run(
        "mknod /dev/log c 1 11; (exec 3</dev/log) 2>&1 || true",
        |c| {
            c["linux"]["resources"] = json!({"devices": [
                {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "rwm"},
                {"allow": false, "type": "c", "major": 1, "minor": 11, "access": "r"},
            ]});
        },
    );
    let text = output.success().stdout;
    assert!(text.contains("Operation not permitted"), "{text}");
}
