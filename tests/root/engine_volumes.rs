//! Volumes, bind mounts and memory: what `/proc/self/mountinfo` shows inside, and what stays on disk.

use std::os::unix::fs::PermissionsExt;

use support::{Host, Output};

use crate::{BUSYBOX, busybox};

/// What `script` prints in a fresh container with these options.
#[track_caller]
fn inside(host: &Host, options: &[&str], script: &str) -> String {
    run(host, options, script)
        .success()
        .stdout
        .trim()
        .to_owned()
}

fn run(host: &Host, options: &[&str], script: &str) -> Output {
    let mut command = host.lighter_command(["run", "--rm", "--network", "none"]);
    command.args(options).args([BUSYBOX, "sh", "-c", script]);
    Output::of(command)
}

/// The fields of mountinfo from the mount point on, for one mount point inside.
#[track_caller]
fn mount(host: &Host, options: &[&str], target: &str) -> String {
    inside(
        host,
        options,
        &format!("grep ' {target} ' /proc/self/mountinfo | cut -d' ' -f5-"),
    )
}

#[test]
fn a_named_volume_outlives_its_containers() {
    let Some(host) = busybox() else { return };
    inside(&host, &["-v", "data:/data"], "echo kept > /data/file");
    assert_eq!(
        inside(&host, &["-v", "data:/elsewhere"], "cat /elsewhere/file"),
        "kept"
    );
    let inspected = host.lighter([
        "volume",
        "inspect",
        "-f",
        "{{.Mountpoint}} {{.Driver}} {{.Scope}}",
        "data",
    ]);
    let place = inspected
        .text()
        .strip_suffix(" local local")
        .expect("docker's words")
        .to_owned();
    assert_eq!(
        std::fs::read_to_string(format!("{place}/file")).expect("the file"),
        "kept\n"
    );
    assert_eq!(
        host.lighter(["volume", "ls"]).stdout,
        "DRIVER    VOLUME NAME\nlocal     data\n"
    );
}

#[test]
fn an_empty_volume_gets_what_the_image_has_there() {
    let Some(host) = busybox() else { return };
    let listing = "cd $0; find . | sort | while read f; do stat -c '%n %a %u %g' $f; done";
    let image = inside(&host, &[], &listing.replace("$0", "/etc/../bin"));
    assert_eq!(
        inside(
            &host,
            &["-v", "copied:/bin"],
            &listing.replace("$0", "/bin")
        ),
        image
    );
    // It is a copy: the image's own is still there, and a second container does not copy again.
    inside(&host, &["-v", "copied:/data"], "/data/rm /data/ls");
    assert_eq!(
        inside(
            &host,
            &["-v", "copied:/data"],
            "test -e /data/ls || echo gone"
        ),
        "gone"
    );
    for option in [
        &["-v", "empty:/usr:nocopy"][..],
        &["--mount", "type=volume,src=empty,dst=/usr,volume-nocopy"],
    ] {
        assert_eq!(inside(&host, option, "ls /usr"), "");
    }
}

#[test]
fn read_only_is_the_kernels_read_only() {
    let Some(host) = busybox() else { return };
    let directory = host.directory().join("bound");
    std::fs::create_dir(&directory).expect("a directory");
    let bind = format!("{}:/m:ro", directory.display());
    let long = format!("type=bind,src={},dst=/m,readonly", directory.display());
    for options in [
        ["-v", "data:/m:ro"],
        ["--mount", "type=volume,src=data,dst=/m,ro"],
        ["-v", bind.as_str()],
        ["--mount", long.as_str()],
        ["--mount", "type=tmpfs,dst=/m,readonly"],
    ] {
        assert!(
            mount(&host, &options, "/m").starts_with("/m ro,"),
            "{options:?}"
        );
        assert!(
            run(&host, &options, "touch /m/x")
                .exits(1)
                .stderr
                .contains("Read-only file system")
        );
    }
}

#[test]
fn a_bind_mount_is_the_hosts_directory() {
    let Some(host) = busybox() else { return };
    let file = host.write("bound/file", "from the host");
    let directory = file.parent().expect("a directory").display().to_string();
    let option = format!("{directory}:/m");
    assert_eq!(
        inside(
            &host,
            &["-v", &option],
            "cat /m/file; echo from inside > /m/new"
        ),
        "from the host"
    );
    assert_eq!(
        std::fs::read_to_string(format!("{directory}/new")).expect("a file"),
        "from inside\n"
    );
    let single = format!("{}:/etc/one", file.display());
    assert_eq!(
        inside(&host, &["-v", &single], "cat /etc/one"),
        "from the host"
    );
    // -v makes what is missing, --mount does not.
    let made = format!("{directory}/made/deep");
    inside(&host, &["-v", &format!("{made}:/m")], "true");
    assert!(std::path::Path::new(&made).is_dir());
    let missing = format!("type=bind,src={directory}/missing,dst=/m");
    let refused = run(&host, &["--mount", &missing], "true").exits(125);
    assert!(refused.stderr.contains("does not exist"), "{refused:?}");
    assert!(!std::path::Path::new(&directory).join("missing").exists());
}

#[test]
fn users_who_are_not_root_pass_through_the_places_made_for_mounts() {
    let Some(host) = busybox() else { return };
    let option = format!("{}:/x/y/host:ro", host.directory().display());
    let script = "cat /x/y/host/open; stat -c %a /x /x/y; cd /a/b && pwd";
    host.write("open", "seen\n");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(host.directory(), open).expect("it is ours");
    let shown = inside(&host, &["-u", "1000", "-w", "/a/b", "-v", &option], script);
    assert_eq!(shown, "seen\n755\n755\n/a/b");
}

#[test]
fn memory_has_the_size_mode_and_options_it_was_given() {
    let Some(host) = busybox() else { return };
    let plain = mount(&host, &["--tmpfs", "/m"], "/m");
    assert!(
        plain.starts_with("/m rw,nosuid,nodev,noexec,relatime") && plain.contains("tmpfs"),
        "{plain}"
    );
    assert_eq!(inside(&host, &["--tmpfs", "/m"], "stat -c %a /m"), "1777");
    let options = ["--tmpfs", "/m:size=4m,mode=750,uid=7,exec"];
    assert!(mount(&host, &options, "/m").contains("size=4096k,mode=750,uid=7"));
    assert_eq!(
        inside(
            &host,
            &options,
            "cp /bin/true /m && /m/true && stat -c '%a %u' /m"
        ),
        "750 7"
    );
    let full = run(&host, &options, "dd if=/dev/zero of=/m/x bs=1M count=5").exits(1);
    assert!(full.stderr.contains("No space left"), "{full:?}");
    let long = ["--mount", "type=tmpfs,dst=/m,tmpfs-size=2m,tmpfs-mode=700"];
    assert!(mount(&host, &long, "/m").contains("size=2048k,mode=700"));
}

#[test]
fn volumes_from_another_container_are_the_same_ones() {
    let Some(host) = busybox() else { return };
    let create = [
        "create", "--name", "donor", "-v", "named:/n", "-v", "/a", BUSYBOX, "true",
    ];
    host.lighter(create).success();
    inside(
        &host,
        &["--volumes-from", "donor"],
        "echo 1 > /n/x; echo 2 > /a/x",
    );
    assert_eq!(
        inside(&host, &["--volumes-from", "donor:ro"], "cat /n/x /a/x"),
        "1\n2"
    );
    run(&host, &["--volumes-from", "donor:ro"], "touch /n/y").exits(1);
    run(&host, &["--volumes-from", "nosuch"], "true").exits(125);
}

#[test]
fn what_is_used_stays_and_prune_takes_the_rest() {
    let Some(host) = busybox() else { return };
    let create = [
        "create", "--name", "box", "-v", "used:/n", "-v", "/a", BUSYBOX, "true",
    ];
    host.lighter(create).success();
    host.lighter(["volume", "create", "--label", "a=b", "idle"])
        .success();
    let refused = host.lighter(["volume", "rm", "used"]).exits(1);
    assert!(refused.stderr.contains("used by box"), "{refused:?}");
    assert_eq!(
        host.lighter(["volume", "ls", "-q", "-f", "dangling=true"])
            .stdout,
        "idle\n"
    );
    assert_eq!(
        host.lighter(["volume", "ls", "-q", "-f", "label=a=b"])
            .stdout,
        "idle\n"
    );
    host.lighter(["rm", "box"]).success();
    let anonymous = host.lighter(["volume", "ls", "-q"]).lines().len() - 2;
    assert_eq!(anonymous, 1, "rm without -v keeps the anonymous volume");
    host.lighter(["volume", "prune", "-f"]).success();
    assert_eq!(host.lighter(["volume", "ls", "-q"]).stdout, "idle\nused\n");
    host.lighter(["volume", "prune", "-f", "-a"]).success();
    assert_eq!(host.lighter(["volume", "ls", "-q"]).stdout, "");
    host.lighter(["volume", "rm", "idle"]).exits(1);
    host.lighter(["volume", "rm", "-f", "idle"]).success();
    assert!(!host.root().join("volumes/used").exists());
}

/// The machine's mounts of this host's volumes.
fn mounted(host: &Host) -> usize {
    let table = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    table
        .lines()
        .filter(|line| line.contains(host.name()) && line.contains("/_data "))
        .count()
}

#[test]
fn a_volume_with_a_device_is_mounted_once_for_all_who_use_it() {
    let Some(host) = busybox() else { return };
    let options = [
        "--opt",
        "type=tmpfs",
        "--opt",
        "device=tmpfs",
        "--opt",
        "o=size=2m,uid=7",
    ];
    host.lighter([&["volume", "create"], &options[..], &["memory"]].concat())
        .success();
    assert_eq!(mounted(&host), 0);
    let start = [
        "run",
        "-d",
        "--network",
        "none",
        "-v",
        "memory:/m",
        "--name",
        "box",
        BUSYBOX,
        "sleep",
        "1000",
    ];
    host.lighter(start).success();
    assert_eq!(mounted(&host), 1);
    host.lighter(["exec", "box", "touch", "/m/shared"])
        .success();
    assert_eq!(
        inside(&host, &["-v", "memory:/n:ro"], "ls /n; stat -c %u /n"),
        "shared\n7"
    );
    assert!(mount(&host, &["-v", "memory:/n"], "/n").contains("size=2048k"));
    assert_eq!(mounted(&host), 1, "the other one still uses it");
    host.lighter(["rm", "-f", "box"]).success();
    assert_eq!(mounted(&host), 0, "the last one unmounts it");
    assert_eq!(inside(&host, &["-v", "memory:/n"], "ls /n"), "");
    let words = [
        "volume",
        "create",
        "--opt",
        "type=nosuch",
        "--opt",
        "device=x",
        "broken",
    ];
    host.lighter(words).success();
    let refused = run(&host, &["-v", "broken:/m"], "true").exits(125);
    assert!(refused.stderr.contains("nosuch"), "{refused:?}");
    host.lighter(["volume", "create", "--opt", "bogus=1", "none"])
        .exits(1);
    host.lighter(["volume", "create", "--opt", "type=tmpfs", "none"])
        .exits(1);
}

#[test]
fn a_volume_can_be_a_directory_of_the_host() {
    let Some(host) = busybox() else { return };
    let file = host.write("bound/file", "from the host");
    let device = format!("device={}", file.parent().expect("a directory").display());
    let options = ["--opt", "type=none", "--opt", "o=bind", "--opt", &device];
    host.lighter([&["volume", "create"], &options[..], &["bound"]].concat())
        .success();
    assert_eq!(
        inside(&host, &["-v", "bound:/m"], "cat /m/file; touch /m/new"),
        "from the host"
    );
    host.lighter(["volume", "rm", "bound"]).success();
    assert!(
        file.exists() && file.with_file_name("new").exists(),
        "the host's directory stays"
    );
}

#[test]
fn dev_shm_is_shared_only_by_those_who_ask() {
    let Some(host) = busybox() else { return };
    for (name, ipc) in [("open", "shareable"), ("closed", "private")] {
        let words = [
            "run",
            "-d",
            "--network",
            "none",
            "--name",
            name,
            "--ipc",
            ipc,
            "--shm-size",
            "8m",
            BUSYBOX,
        ];
        host.lighter([&words[..], &["sleep", "1000"]].concat())
            .success();
    }
    host.lighter(["exec", "open", "sh", "-c", "echo shared > /dev/shm/file"])
        .success();
    let joined = inside(
        &host,
        &["--ipc", "container:open"],
        "cat /dev/shm/file; readlink /proc/self/ns/ipc",
    );
    let own = host.lighter(["exec", "open", "readlink", "/proc/self/ns/ipc"]);
    assert_eq!(joined, format!("shared\n{}", own.text()));
    let refused = run(&host, &["--ipc", "container:closed"], "true").exits(125);
    assert!(refused.stderr.contains("--ipc shareable"), "{refused:?}");
    assert_eq!(
        inside(
            &host,
            &["--ipc", "none"],
            "grep -c ' /dev/shm ' /proc/mounts || true"
        ),
        "0"
    );
    assert!(mount(&host, &["--shm-size", "3m"], "/dev/shm").contains("size=3072k"));
}
