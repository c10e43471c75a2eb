//! What the lines say, and that the whole is a script bash can read. That it makes the same
//! container is for the tests that have a kernel.

use std::path::PathBuf;

use super::{lines, quote, script};
use crate::namespace::Namespace;
use crate::op::*;
use crate::script::{Script, Side, Step};

fn line(op: Op) -> String {
    lines(&op, Side::Container).join("\n")
}

#[test]
fn words_are_quoted_only_when_a_shell_would_take_them_apart() {
    assert_eq!(quote("/etc/hosts"), "/etc/hosts");
    assert_eq!(quote(""), "''");
    assert_eq!(quote("two words"), "'two words'");
    assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
    assert_eq!(quote("a\nb;rm -rf /"), "'a\nb;rm -rf /'");
}

#[test]
fn a_filesystem_is_mounted_and_then_made_read_only() {
    let mut mount = Mount::filesystem("sysfs", "sysfs", Vec::new(), Inside::new("/sys"));
    mount.attributes.set = 0x01 | 0x02 | 0x04 | 0x08;
    insta::assert_snapshot!(line(Op::Mount(mount)), @r#"
    at="$(inside /sys)"
    mkdir -p "$at"
    mount -t sysfs -o nosuid,nodev,noexec sysfs "$at"
    mount -o remount,bind,ro,nosuid,nodev,noexec "$at"
    "#);
}

#[test]
fn a_bind_mount_keeps_its_options() {
    let mut mount = Mount::bind("/srv/a b", true, Inside::new("/data"));
    mount.attributes.set = 0x01;
    insta::assert_snapshot!(line(Op::Mount(mount)), @r#"
    at="$(inside /data)"
    place '/srv/a b' "$at"
    mount --rbind '/srv/a b' "$at"
    mount --make-rprivate "$at"
    mount -o "remount,bind,ro$(options_of "$at")" "$at"
    "#);
}

#[test]
fn layers_with_odd_names_stay_whole() {
    let overlay = Overlay {
        lower: vec![PathBuf::from("/a:b"), PathBuf::from("/c,d")],
        upper: Some(PathBuf::from("/u")),
        work: Some(PathBuf::from("/w")),
        target: PathBuf::from("/root"),
        options: Vec::new(),
    };
    assert!(
        line(Op::MountOverlay(overlay)).contains(r"'lowerdir=/a\:b:/c\,d,upperdir=/u,workdir=/w'")
    );
}

/// Another name than the plan's would be another file.
#[test]
fn odd_names_inside_stay_whole() {
    let link = Op::Symlink {
        target: PathBuf::from("/a"),
        link: Inside::new("/dev/a $b`c\"d"),
    };
    let at = "\"$(inside /dev)\"/'a $b`c\"d'";
    assert_eq!(
        line(link),
        format!("[ -L {at} ] || [ -e {at} ] || ln -s /a {at}")
    );
}

#[test]
fn privileges_are_collected_for_the_last_step() {
    let user = Op::SetUser {
        uid: 5,
        gid: 6,
        groups: Some(vec![7, 8]),
    };
    assert_eq!(line(user), "privileges+=(--reuid=5 --regid=6 --groups=7,8)");
    let bounding = Op::LimitCapabilities {
        bounding: vec!["CAP_CHOWN".into(), "CAP_KILL".into()],
    };
    assert_eq!(
        line(bounding),
        "privileges+=(--bounding-set=-all,+chown,+kill)"
    );
    let exec = Op::Exec(Exec {
        args: vec!["echo".into(), "a b".into()],
        env: vec!["A=$B".into()],
    });
    assert_eq!(line(exec), "environment=('A=$B')\nbecome echo 'a b'");
}

#[test]
fn what_no_tool_does_is_said() {
    let seccomp = Op::Seccomp(Seccomp {
        program: vec![Instruction {
            code: 6,
            jt: 0,
            jf: 0,
            k: 0,
        }],
        ..Seccomp::default()
    });
    let text = line(seccomp);
    assert!(
        text.starts_with(": # ") && text.contains("1 instructions"),
        "{text}"
    );
}

/// The two sides take turns, and a tool that changes the shell itself begins a new stage.
#[test]
fn the_sides_take_turns() {
    let clone = Clone3 {
        new: vec![Namespace::Mount, Namespace::Pid],
        ..Clone3::default()
    };
    let steps = vec![
        Step::host(Op::Clone(clone), "the process is born"),
        Step::host(Op::SetOomScore { adjustment: 5 }, "the host gives"),
        Step::container(
            Op::Unshare {
                namespaces: vec![Namespace::Cgroup],
            },
            "its own group",
        ),
        Step::container(Op::SetHostname { name: "web".into() }, "a name"),
        Step::host(Op::LinkUp { name: "br0".into() }, "the host again"),
        Step::container(
            Op::Exec(Exec {
                args: vec!["true".into()],
                ..Exec::default()
            }),
            "the program",
        ),
    ];
    let undo = [Step::host(Op::Remove { path: "/x".into() }, "gone")];
    let text = script("lighter run image", &Script::new(steps), &undo);
    let (_, body) = text.split_once("\ncontainer_1() {").unwrap();
    insta::assert_snapshot!(body, @r#"
      set -euo pipefail
      start_stage
      born_inside

      wait_for_host

      # 3. its own group. unshare(2), namespaces(7)
      exec unshare --cgroup -- bash -c "$(declare -f); container_2"
    }

    container_2() {
      set -euo pipefail
      start_stage

      # 4. a name. sethostname(2), uts_namespaces(7)
      hostname web

      tell_host

      wait_for_host

      # 6. the program. execve(2)
      environment=()
      become true
    }

    undo() {
      set +e
      trap - EXIT
      # gone
      rm -rf -- /x
    }

    host() {
      find_loader
      trap 'code=$?; undo; exit $code' EXIT

      # 1. the process is born. clone(2), namespaces(7)
      open_pipes
      (
        exec unshare --mount --pid --fork --propagation unchanged \
          bash -c "$(declare -f); container_1"
      ) <&0 &
      born=$!
      hear pid

      # 2. the host gives. proc_pid_oom_score_adj(5)
      echo 5 >/proc/"$pid"/oom_score_adj

      tell_container

      wait_for_container

      # 5. the host again. ip-link(8), rtnetlink(7)
      ip link set br0 up

      tell_container

      wait "$born"
    }

    host
    "#);
    let mut bash = std::process::Command::new("bash")
        .arg("-n")
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(bash.stdin.as_mut().unwrap(), text.as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());
}
