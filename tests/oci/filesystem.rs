//! config.md, Root and Mounts; config-linux.md, Masked and read-only paths, rootfs propagation.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use serde_json::json;

use crate::runtime::{Kind, Runtime, mount};

/// The line of mountinfo about a mount point, the last when several lie on each other.
fn line_about<'a>(mountinfo: &'a str, point: &str) -> &'a str {
    let is_it = |line: &&str| line.split(' ').nth(4) == Some(point);
    mountinfo.lines().rfind(is_it).unwrap_or_default()
}

/// The options of the mount itself, sorted.
fn options(line: &str) -> Vec<&str> {
    let mut options: Vec<&str> = line
        .split(' ')
        .nth(5)
        .unwrap_or_default()
        .split(',')
        .collect();
    options.sort_unstable();
    options
}

#[test]
fn the_root_is_the_bundles_and_nothing_of_the_host_is_mounted() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let bundle = runtime.bundle("cat /marker; cat /proc/self/mountinfo", |_| {});
    fs::write(bundle.rootfs().join("marker"), "here\n").unwrap();
    let output = runtime
        .call(["run", "--bundle", bundle.path(), &runtime.id()])
        .success();
    let lines = output.lines();
    assert_eq!(lines[0], "here");
    let points: Vec<&str> = lines[1..]
        .iter()
        .filter_map(|line| line.split(' ').nth(4))
        .collect();
    assert!(
        points
            .iter()
            .all(|p| *p == "/" || p.starts_with("/proc") || p.starts_with("/dev")),
        "{points:?}"
    );
}

#[test]
fn a_read_only_root_cannot_be_written() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("touch /new 2>&1; echo x > /dev/null && echo fine", |c| {
        c["root"]["readonly"] = json!(true)
    });
    let text = output.success().stdout;
    assert!(
        text.contains("Read-only file system") && text.contains("fine"),
        "{text}"
    );
}

#[test]
fn mounts_are_made_in_the_listed_order_with_their_options() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("cat /proc/self/mountinfo; stat -c %a /work/inner", |c| {
        mount(
            c,
            "/work",
            "tmpfs",
            "outer",
            &["nosuid", "nodev", "noexec", "size=1m"],
        );
        mount(
            c,
            "/work/inner",
            "tmpfs",
            "inner",
            &["ro", "mode=0710", "nosuid"],
        );
    });
    let text = output.success().stdout;
    let outer = line_about(&text, "/work");
    assert_eq!(
        options(outer),
        ["nodev", "noexec", "nosuid", "relatime", "rw"],
        "{outer}"
    );
    assert!(outer.contains("size=1024k"), "{outer}");
    let inner = line_about(&text, "/work/inner");
    assert!(
        options(inner).contains(&"ro") && options(inner).contains(&"nosuid"),
        "{inner}"
    );
    assert!(text.ends_with("710\n"), "{text}");
}

#[test]
fn directories_and_files_of_the_host_are_shown() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let shared = runtime.dir().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("file"), "text\n").unwrap();
    let (directory, file) = (
        shared.display().to_string(),
        shared.join("file").display().to_string(),
    );
    let output = runtime.run(
        "cat /work/file /etc/one; touch /work/new; touch /ro/new 2>&1",
        |c| {
            mount(c, "/work", "bind", &directory, &["bind", "rw"]);
            mount(c, "/etc/one", "bind", &file, &["bind", "ro"]);
            mount(c, "/ro", "", &directory, &["rbind", "ro"]);
        },
    );
    assert_eq!(
        output.lines(),
        ["text", "text", "touch: /ro/new: Read-only file system"]
    );
    assert!(shared.join("new").exists());
}

#[test]
fn a_read_only_bind_keeps_what_the_host_forbids() {
    let old = "of Debian 12 takes the host's restrictions off";
    let Some(runtime) = Runtime::unless(&[Kind::Runc, Kind::Crun], old) else {
        return;
    };
    let point = runtime.dir().join("strict");
    fs::create_dir(&point).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "nosuid,nodev,noexec", "none"])
        .arg(&point)
        .status();
    assert!(mounted.unwrap().success());
    let source = point.display().to_string();
    let output = runtime.run("cat /proc/self/mountinfo", |c| {
        mount(c, "/work", "bind", &source, &["bind", "ro"])
    });
    Command::new("umount").arg(&point).status().unwrap();
    let text = output.success().stdout;
    let line = line_about(&text, "/work");
    for option in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(options(line).contains(&option), "{option}: {line}");
    }
}

#[test]
fn recursive_attributes_reach_the_mounts_below() {
    let old = "of Debian 12 has no recursive attributes";
    let Some(runtime) = Runtime::unless(&[Kind::Runc], old) else {
        return;
    };
    let tree = runtime.dir().join("tree");
    fs::create_dir_all(tree.join("below")).unwrap();
    let below = tree.join("below");
    assert!(
        Command::new("mount")
            .args(["-t", "tmpfs", "none"])
            .arg(&below)
            .status()
            .unwrap()
            .success()
    );
    let source = tree.display().to_string();
    let output = runtime.run("cat /proc/self/mountinfo", |c| {
        mount(c, "/work", "bind", &source, &["rbind", "rro", "rnosuid"])
    });
    Command::new("umount").arg(&below).status().unwrap();
    let text = output.success().stdout;
    for point in ["/work", "/work/below"] {
        let options = options(line_about(&text, point));
        assert!(
            options.contains(&"ro") && options.contains(&"nosuid"),
            "{point}: {options:?}"
        );
    }
}

#[test]
fn what_the_tmpfs_covers_is_copied_up_when_asked() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let bundle = runtime.bundle(
        "cat /etc/kept/a; readlink /etc/kept/l; stat -c %a /etc/kept/a",
        |c| {
            mount(c, "/etc/kept", "tmpfs", "tmpfs", &["tmpcopyup"]);
        },
    );
    let kept = bundle.rootfs().join("etc/kept");
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("a"), "copied\n").unwrap();
    symlink("a", kept.join("l")).unwrap();
    fs::set_permissions(kept.join("a"), fs::Permissions::from_mode(0o640)).unwrap();
    let output = runtime
        .call(["run", "--bundle", bundle.path(), &runtime.id()])
        .success();
    assert_eq!(output.lines(), ["copied", "a", "640"]);
}

#[test]
fn masked_paths_show_nothing_and_read_only_paths_cannot_be_written() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let script =
        "cat /proc/cpuinfo; ls /proc/bus; echo 1 > /proc/sys/kernel/hostname; cat /missing 2>&1";
    let output = runtime.run(&format!("({script}) 2>&1"), |c| {
        c["linux"]["maskedPaths"] = json!(["/proc/cpuinfo", "/proc/bus", "/missing"]);
        c["linux"]["readonlyPaths"] = json!(["/proc/sys", "/missing/too"]);
    });
    let lines = output.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("Read-only file system"), "{lines:?}");
    assert!(lines[1].contains("No such file or directory"), "{lines:?}");
}

#[test]
fn the_propagation_of_the_root_is_the_given_one() {
    let Some(runtime) = Runtime::unless(&[Kind::Runc], "of Debian 12 leaves it private") else {
        return;
    };
    for (wanted, shown) in [
        ("private", ""),
        ("rprivate", ""),
        ("slave", ""),
        ("shared", "shared:"),
        ("unbindable", "unbindable"),
    ] {
        let output = runtime.run("cat /proc/self/mountinfo", |c| {
            c["linux"]["rootfsPropagation"] = json!(wanted)
        });
        let text = output.success().stdout;
        let line = line_about(&text, "/");
        match shown {
            "" => assert!(
                !line.contains("shared:") && !line.contains("unbindable"),
                "{wanted}: {line}"
            ),
            shown => assert!(line.contains(shown), "{wanted}: {line}"),
        }
    }
}

#[test]
fn a_mount_of_the_container_does_not_reach_the_host() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    runtime
        .run("true", |c| {
            mount(c, "/work", "tmpfs", "never-on-the-host", &[])
        })
        .success();
    let after = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!after.contains("never-on-the-host"), "{after}");
}

#[test]
fn symbolic_links_in_the_root_lead_nowhere_else() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let outside = runtime.dir().join("outside");
    fs::create_dir(&outside).unwrap();
    let bundle = runtime.bundle("touch /etc/link/made; cat /proc/self/mountinfo", |c| {
        mount(c, "/etc/link", "tmpfs", "tmpfs", &[]);
    });
    symlink(&outside, bundle.rootfs().join("etc/link")).unwrap();
    let output = runtime.call(["run", "--bundle", bundle.path(), &runtime.id()]);
    // Either refused, or mounted below the root at the path that the link names there.
    assert!(fs::read_dir(&outside).unwrap().next().is_none());
    if output.code == 0 {
        let inside = outside.display().to_string();
        assert_ne!(line_about(&output.stdout, &inside), "", "{}", output.stdout);
    }
}

#[test]
fn an_unknown_filesystem_or_missing_source_is_an_error_that_names_it() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("true", |c| mount(c, "/work", "nosuchfs", "none", &[]));
    assert_ne!(output.code, 0);
    assert!(
        output.stderr.contains("work") || output.stderr.contains("nosuchfs"),
        "{}",
        output.stderr
    );
    let output = runtime.run("true", |c| {
        mount(c, "/work", "bind", "/no/such/source", &["bind"])
    });
    assert_ne!(output.code, 0);
    assert!(
        output.stderr.contains("/no/such/source"),
        "{}",
        output.stderr
    );
}

#[test]
fn a_missing_root_is_an_error_that_names_it() {
    let Some(runtime) = Runtime::new() else {
        return;
    };
    let output = runtime.run("true", |c| c["root"]["path"] = json!("no-such-root"));
    assert_ne!(output.code, 0);
    assert!(output.stderr.contains("no-such-root"), "{}", output.stderr);
}
