//! The rules that past holes of runc, crun, youki and docker taught. Each test would fail on a
//! runtime with that hole.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::RenameFlags;
use serde_json::json;

use super::{Bundle, LIGHTER, Said, possible};

/// Everything below a directory that a container must not change: path, mode and content.
fn look(directory: &Path) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    let mut left = vec![directory.to_path_buf()];
    while let Some(path) = left.pop() {
        let found = fs::symlink_metadata(&path).unwrap();
        let content = if found.is_file() {
            fs::read_to_string(&path).unwrap()
        } else {
            String::new()
        };
        let mode = format!("{:?} {content}", found.permissions());
        seen.insert(path.display().to_string(), mode);
        if found.is_dir() {
            left.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
    }
    seen
}

/// A directory of the host with a file in it.
fn canary(bundle: &Bundle) -> std::path::PathBuf {
    let canary = bundle.beside("canary");
    fs::write(canary.join("file"), "of the host").unwrap();
    canary
}

/// Run a command with a directory of the host open as descriptor `number`, as a careless engine would.
fn with_leak(mut command: std::process::Command, directory: &Path, number: i32) -> Said {
    let leak = fs::File::open(directory).unwrap();
    let from = leak.as_raw_fd();
    // SAFETY: dup2 is async-signal-safe; the copy lacks close-on-exec, which is the point.
    unsafe {
        command.pre_exec(move || match libc::dup2(from, number) {
            -1 => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
    Said::from(command.output().unwrap())
}

/// CVE-2024-21626: what the caller left open, and what the runtime opens, ends at the program.
#[test]
fn only_the_standard_streams_are_open_inside() {
    if !possible() {
        return;
    }
    // The fourth is the directory that `ls` itself has open.
    let expected = "0\n1\n2\n3\n";
    let mut bundle = Bundle::new("");
    bundle.config["process"]["args"] = json!(["ls", "/proc/self/fd"]);
    let canary = canary(&bundle);
    let said = with_leak(bundle.command(&["run"], &[]), &canary, 20);
    assert_eq!(said.out, expected, "{}", said.err);

    let bundle = Bundle::new("sleep 60");
    bundle.start();
    let exec = bundle.command(&["exec"], &["ls", "/proc/self/fd"]);
    let said = with_leak(exec, &canary, 20);
    assert_eq!(said.out, expected, "{}", said.err);
}

/// CVE-2024-21626: a working directory that names a descriptor does not lead outside.
#[test]
fn a_working_directory_in_procfs_does_not_lead_outside() {
    if !possible() {
        return;
    }
    for number in 0..32 {
        let mut bundle = Bundle::new("pwd -P; ls");
        let canary = canary(&bundle);
        bundle.config["process"]["cwd"] = json!(format!("/proc/self/fd/{number}"));
        let said = with_leak(bundle.command(&["run"], &[]), &canary, 20);
        assert_ne!(said.code, Some(0), "fd {number}: {}", said.out);
        assert_eq!(said.out, "", "fd {number}");
    }
    let bundle = Bundle::new("sleep 60");
    let canary = canary(&bundle);
    bundle.start();
    for number in 0..32 {
        let cwd = format!("/proc/self/fd/{number}");
        let said = with_leak(
            bundle.command(&["exec", "--cwd", &cwd], &["ls"]),
            &canary,
            20,
        );
        assert_ne!(said.code, Some(0), "exec, fd {number}: {}", said.out);
        assert!(
            !said.out.contains("file"),
            "exec, fd {number}: {}",
            said.out
        );
    }
}

/// CVE-2019-5736: the runtime's own program cannot be written, however privileged the container is.
#[test]
fn the_runtimes_program_cannot_be_written() {
    if !possible() {
        return;
    }
    let before = fs::metadata(LIGHTER).unwrap();
    let mut bundle = Bundle::new(
        "while true; do for p in /proc/[0-9]*; do
           case $(readlink $p/exe) in *busybox*) ;; ?*)
             echo seen >>/seen; echo broken 2>/dev/null >>$p/exe && echo written >>/seen;;
           esac; done; done 2>/dev/null",
    );
    bundle.privileged();
    fs::write(bundle.root().join("bin/trap"), "#!/proc/self/exe\n").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(bundle.root().join("bin/trap"), executable).unwrap();
    bundle.start();
    let seen = || fs::read_to_string(bundle.root().join("seen")).unwrap_or_default();
    for round in 0..500 {
        bundle.exec(&["/bin/trap"]);
        // Long enough to have seen the runtime's program, else the test would show nothing.
        if round > 60 && !seen().is_empty() {
            break;
        }
    }
    assert!(seen().contains("seen"));
    assert!(!seen().contains("written"));
    let after = fs::metadata(LIGHTER).unwrap();
    assert_eq!(
        (before.len(), before.modified().unwrap()),
        (after.len(), after.modified().unwrap())
    );
}

/// CVE-2016-9962: a container that may trace its processes finds nothing of the host in one that enters it.
#[test]
fn a_process_that_enters_holds_nothing_of_the_host() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new("");
    let marker = bundle.root().join("bin/busybox").display().to_string();
    let watch = format!(
        "while true; do for p in /proc/[0-9]*; do
           test -e $p/root{marker} && echo root >>/found
           for f in $p/fd/*; do test -e $f/1/root{marker} && echo $f >>/found; done
         done; done 2>/dev/null"
    );
    bundle.config["process"]["args"] = json!(["sh", "-c", watch]);
    bundle.privileged();
    bundle.start();
    let found = || fs::read_to_string(bundle.root().join("found")).unwrap_or_default();
    for _ in 0..60 {
        assert_eq!(bundle.exec(&["true"]).code, Some(0));
    }
    assert_eq!(found(), "");
    // The watcher does see: a process that enters the pid namespace alone is found.
    let pid = bundle.pid().to_string();
    let careless = std::process::Command::new("nsenter")
        .args(["--target", &pid, "--pid", "sleep", "2"])
        .status()
        .unwrap();
    assert!(careless.success());
    assert!(found().contains("root"));
}

/// CVE-2026-41579, CVE-2019-19921 and others: links of the image at the places a runtime uses.
#[test]
fn links_in_the_image_do_not_lead_to_the_host() {
    if !possible() {
        return;
    }
    for place in ["dev", "proc", "sys"] {
        for how in ["absolute", "climbing"] {
            let bundle = Bundle::new("true");
            let canary = canary(&bundle);
            let before = look(&canary);
            let climbing =
                Path::new("../../../../../../../..").join(canary.strip_prefix("/").unwrap());
            bundle.link(
                place,
                if how == "absolute" {
                    canary.clone()
                } else {
                    climbing
                },
            );
            bundle.run();
            assert_eq!(before, look(&canary), "{how} link at {place}");
        }
    }
}

/// CVE-2021-30465, CVE-2024-45310, CVE-2022-23648: a mount's place is looked for inside the root only.
#[test]
fn a_mounts_place_is_inside() {
    if !possible() {
        return;
    }
    for destination in ["/volume/new/directory", "/volume", "/volume/file"] {
        let mut bundle = Bundle::new("true");
        let canary = canary(&bundle);
        let before = look(&canary);
        bundle.link("volume", &canary);
        let source = bundle.beside("source");
        bundle.mount(json!({"destination": destination, "source": source, "options": ["bind"]}));
        bundle.config["process"]["cwd"] = json!("/volume/working/directory");
        bundle.run();
        assert_eq!(before, look(&canary), "{destination}");
    }
}

/// CVE-2021-30465: the same while another container swaps a directory of a shared volume for a link.
#[test]
fn a_mounts_place_is_inside_when_it_is_swapped_meanwhile() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new("true");
    let canary = canary(&bundle);
    let before = look(&canary);
    let volume = bundle.beside("volume");
    fs::create_dir(volume.join("place")).unwrap();
    std::os::unix::fs::symlink(&canary, volume.join("trap")).unwrap();
    let source = bundle.beside("source");
    bundle.mount(json!({"destination": "/volume", "source": volume, "options": ["bind"]}));
    bundle
        .mount(json!({"destination": "/volume/place/deep", "source": source, "options": ["bind"]}));
    let stop = Arc::new(AtomicBool::new(false));
    let swapper = std::thread::spawn({
        let (stop, volume) = (stop.clone(), volume.clone());
        move || {
            let directory = fs::File::open(volume).unwrap();
            while !stop.load(Ordering::Relaxed) {
                let (one, other) = ("place", "trap");
                rustix::fs::renameat_with(
                    &directory,
                    one,
                    &directory,
                    other,
                    RenameFlags::EXCHANGE,
                )
                .unwrap();
            }
        }
    });
    for _ in 0..100 {
        bundle.run();
    }
    stop.store(true, Ordering::Relaxed);
    swapper.join().unwrap();
    assert_eq!(before, look(&canary));
}

/// CVE-2025-31133: what stands at `/dev/null` is looked at before it hides anything.
#[test]
fn a_false_null_device_hides_nothing() {
    if !possible() {
        return;
    }
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let mut bundle =
        Bundle::new("echo '|/tmp/evil' >/proc/keys; cat /proc/keys; stat -c '%t:%T' /proc/keys");
    bundle.privileged();
    bundle.without_mount("/dev");
    bundle.without_mount("/dev/pts");
    bundle.link("dev/null", "/proc/sys/kernel/core_pattern");
    let said = bundle.run();
    assert_eq!(
        pattern,
        fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap()
    );
    assert!(said.code != Some(0) || said.out.trim() == "1:3", "{said:?}");
}

/// CVE-2022-29162, CVE-2022-24769 and others: no capability is inheritable, whatever the caller has.
#[test]
fn no_capability_is_inheritable() {
    if !possible() {
        return;
    }
    let inheritable = |command: std::process::Command| {
        let program = command.get_program().to_owned();
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let mut wrapped = std::process::Command::new("setpriv");
        wrapped
            .arg("--inh-caps=+kill,+chown,+net_raw")
            .arg(program)
            .args(arguments);
        wrapped.current_dir(command.get_current_dir().unwrap());
        Said::from(wrapped.output().unwrap())
    };
    let bundle = Bundle::new("grep -E 'CapInh|CapAmb' /proc/self/status");
    let none = "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000\n";
    assert_eq!(inheritable(bundle.command(&["run"], &[])).out, none);
    let bundle = Bundle::new("sleep 60");
    bundle.start();
    let words = ["grep", "-E", "CapInh|CapAmb", "/proc/self/status"];
    assert_eq!(inheritable(bundle.command(&["exec"], &words)).out, none);
}

/// CVE-2016-8867, CVE-2021-20188: a user that is not root has no capability.
#[test]
fn a_user_that_is_not_root_has_no_capability() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new("grep -E 'Cap(Prm|Eff|Amb)' /proc/self/status; id -u; id -g");
    bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    let none = "0000000000000000";
    let said = bundle.run();
    assert_eq!(
        said.out,
        format!("CapPrm:\t{none}\nCapEff:\t{none}\nCapAmb:\t{none}\n1000\n1000\n"),
        "{}",
        said.err
    );
}

/// CVE-2022-36109 and others: the supplementary groups are those of the bundle and no others.
#[test]
fn the_groups_of_the_caller_stay_outside() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new("grep Groups /proc/self/status");
    bundle.config["process"]["user"] = json!({"uid": 0, "gid": 7, "additionalGids": [7, 44]});
    assert_eq!(bundle.run().out.trim_end(), "Groups:\t7 44");
    bundle.config["process"]["user"] = json!({"uid": 0, "gid": 7});
    assert_eq!(bundle.run().out.trim_end(), "Groups:");
}

/// CVE-2023-25809: the groups of the host are shown read-only.
#[test]
fn cgroups_cannot_be_written() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new(
        "for f in $(find /sys/fs/cgroup -name cgroup.procs); do echo 1 >>$f && echo written $f; done;
         mkdir /sys/fs/cgroup/new && echo made; true",
    );
    bundle.privileged();
    let said = bundle.run();
    assert_eq!(
        (said.out.as_str(), said.code),
        ("", Some(0)),
        "{}",
        said.err
    );
    assert!(said.err.contains("Read-only file system"), "{}", said.err);
}

/// CVE-2022-0811: a parameter of the whole kernel is refused, and nothing is left.
#[test]
fn parameters_of_the_host_are_refused() {
    if !possible() {
        return;
    }
    for name in [
        "kernel.core_pattern",
        "vm.swappiness",
        "kernel/core_pattern",
        "net..core",
        "kernel.msgmax+x",
    ] {
        let mut bundle = Bundle::new("true");
        bundle.config["linux"]["sysctl"] = json!({name: "|/tmp/evil"});
        let said = bundle.run();
        assert!(said.err.contains(name), "{name}: {}", said.err);
        assert_ne!(said.code, Some(0));
        assert!(!bundle.states().join("test").exists());
    }
    // Those of its own namespaces are set, though procfs is not even mounted inside.
    let mut bundle = Bundle::new("true");
    bundle.config["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    bundle.config["process"]["args"] = json!(["cat", "/proc/sys/net/ipv4/ip_forward"]);
    assert_eq!(bundle.run().out.trim(), "1");
}

/// CVE-2019-16884: nothing but procfs comes to `/proc`.
#[test]
fn nothing_covers_procfs() {
    if !possible() {
        return;
    }
    for destination in ["/proc", "/proc/self/attr", "/proc/../proc/1", "proc"] {
        let mut bundle = Bundle::new("true");
        let source = bundle.beside("source");
        bundle.mount(json!({"destination": destination, "source": source, "options": ["bind"]}));
        let said = bundle.run();
        assert_ne!(said.code, Some(0), "{destination}");
        assert!(said.err.contains("proc"), "{}", said.err);
    }
}

/// CVE-2017-5226: a session of its own, so that no character gets into the caller's terminal.
#[test]
fn the_program_leads_a_session_of_its_own() {
    if !possible() {
        return;
    }
    // Field 6 of stat is the session, 7 the controlling terminal.
    let bundle = Bundle::new("cut -d' ' -f6,7 /proc/1/stat; cut -d' ' -f1,6 /proc/self/stat");
    assert!(bundle.run().out.starts_with("1 0\n"));
    let bundle = Bundle::new("sleep 60");
    bundle.start();
    let said = bundle.exec(&[
        "sh",
        "-c",
        "set -- $(cat /proc/$$/stat); test $1 = $6 && echo own",
    ]);
    assert_eq!(said.out.trim(), "own", "{}", said.err);
}

/// Signals that the caller ignores or blocks, its umask and its environment stay outside.
#[test]
fn traits_of_the_caller_stay_outside() {
    if !possible() {
        return;
    }
    let careless = |arguments: serde_json::Value| {
        let mut bundle = Bundle::new("");
        bundle.config["process"]["args"] = arguments;
        let mut command = bundle.command(&["run"], &[]);
        command.env("SECRET", "of the host");
        // SAFETY: signal and umask are async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGHUP, libc::SIG_IGN);
                libc::umask(0o077);
                Ok(())
            });
        }
        Said::from(command.output().unwrap()).out
    };
    let zero = "0000000000000000";
    assert_eq!(
        careless(json!([
            "grep",
            "-E",
            "Sig(Ign|Blk)|Umask",
            "/proc/self/status"
        ])),
        format!("Umask:\t0022\nSigBlk:\t{zero}\nSigIgn:\t{zero}\n")
    );
    assert_eq!(careless(json!(["env"])), "PATH=/bin\nHOME=/\n");
}

/// Masked and read-only paths are so, also for a privileged program.
#[test]
fn hidden_paths_are_hidden_and_protected_ones_protected() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new(
        "wc -c </proc/keys; ls /sys/firmware | wc -l; touch /sys/firmware/x; echo 1 >/proc/sys/kernel/panic",
    );
    bundle.privileged();
    let said = bundle.run();
    assert_eq!(said.out, "0\n0\n");
    assert_eq!(
        said.err.matches("Read-only file system").count(),
        2,
        "{}",
        said.err
    );
}

/// Mounts made for a container are not seen on the host, even while it runs.
#[test]
fn no_mount_reaches_the_host() {
    if !possible() {
        return;
    }
    let bundle = Bundle::new("sleep 60");
    bundle.start();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let root = bundle.root().display().to_string();
    assert!(!mounts.contains(&root), "{mounts}");
}

/// State, which says what to undo as root, is root's alone.
#[test]
fn state_is_roots_alone() {
    use std::os::unix::fs::PermissionsExt;
    if !possible() {
        return;
    }
    let bundle = Bundle::new("sleep 60");
    bundle.start();
    for (path, entry) in look(&bundle.states()) {
        let mode = fs::symlink_metadata(&path).unwrap().permissions().mode();
        assert!(
            mode & 0o077 == 0 || path.ends_with(".sock"),
            "{path}: {entry}"
        );
    }
}
