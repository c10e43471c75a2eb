//! `cp`: cp's rules on directories and slashes, owners, links that lead nowhere but inside, and tar streams.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use support::{Host, Output};

use crate::{BUSYBOX, busybox, detached};

/// A running container `box`, and a tree `d` on the host: `a` (5:6, 0640), `sub/s`, `link -> a`.
fn prepared() -> Option<(Host, PathBuf)> {
    let host = busybox()?;
    detached(&host, &[BUSYBOX, "sleep", "1000"]);
    let file = host.write("d/a", "a\n");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).expect("it is ours");
    chown(&file, Some(5), Some(6)).expect("we are root");
    host.write("d/sub/s", "s\n");
    let tree = host.directory().join("d");
    symlink("a", tree.join("link")).expect("a link");
    Some((host, tree))
}

fn cp(host: &Host, options: &[&str], from: &str, to: &str) -> Output {
    host.lighter([&["cp"], options, &[from, to]].concat())
}

#[track_caller]
fn inside(host: &Host, script: &str) -> String {
    host.lighter(["exec", "box", "sh", "-c", script])
        .success()
        .stdout
        .trim()
        .to_owned()
}

#[test]
fn into_a_container_with_cps_rules() {
    let Some((host, tree)) = prepared() else {
        return;
    };
    let tree = tree.to_str().expect("the path is UTF-8");
    cp(&host, &[], tree, "box:/new").success();
    assert_eq!(
        inside(&host, "ls /new"),
        "a\nlink\nsub",
        "a name that is new is the directory itself"
    );
    cp(&host, &[], tree, "box:/new").success();
    assert_eq!(
        inside(&host, "ls /new/d"),
        "a\nlink\nsub",
        "into one that is there"
    );
    cp(&host, &[], &format!("{tree}/."), "box:/contents").success();
    cp(&host, &[], &format!("{tree}/."), "box:/new/sub").success();
    assert_eq!(
        inside(&host, "ls /contents; ls /new/sub"),
        "a\nlink\nsub\na\nlink\ns\nsub"
    );
    cp(&host, &[], &format!("{tree}/a"), "box:/tmp").success();
    cp(&host, &[], &format!("{tree}/a"), "box:/tmp/named").success();
    cp(&host, &[], &format!("{tree}/a"), "box:relative").success();
    assert_eq!(inside(&host, "cat /tmp/a /tmp/named /relative"), "a\na\na");
    for (from, to) in [
        ("a", "/nodir/"),
        ("a", "/nodir/x"),
        ("a", "/etc/passwd/"),
        ("sub", "/etc/passwd"),
        ("a/", "/x"),
        ("nosuch", "/"),
        ("a", ""),
    ] {
        cp(&host, &[], &format!("{tree}/{from}"), &format!("box:{to}")).exits(1);
    }
    cp(&host, &[], "box:/a", "box:/b").exits(1);
    cp(&host, &[], "/a", "/b").exits(1);
    cp(&host, &[], tree, "nosuch:/").exits(1);
}

#[test]
fn owners_and_links_as_asked() {
    let Some((host, tree)) = prepared() else {
        return;
    };
    let at = |name: &str| format!("{}/{name}", tree.display());
    cp(&host, &[], &at("a"), "box:/tmp/plain").success();
    cp(&host, &["-a"], &at("a"), "box:/tmp/archive").success();
    assert_eq!(
        inside(&host, "stat -c '%u:%g %a' /tmp/plain /tmp/archive"),
        "0:0 640\n5:6 640"
    );
    cp(&host, &[], &at("link"), "box:/tmp/link").success();
    cp(&host, &["-L"], &at("link"), "box:/tmp/followed").success();
    assert_eq!(
        inside(&host, "readlink /tmp/link; cat /tmp/followed"),
        "a\na"
    );
    cp(&host, &["-a"], "box:/tmp/archive", &at("archive")).success();
    cp(&host, &[], "box:/tmp/archive", &at("mine")).success();
    let owner = |name: &str| {
        std::fs::metadata(at(name))
            .map(|meta| (meta.uid(), meta.gid()))
            .expect("a file")
    };
    assert_eq!((owner("archive"), owner("mine")), ((5, 6), (0, 0)));
}

#[test]
fn out_of_a_container() {
    let Some((host, tree)) = prepared() else {
        return;
    };
    let at = |name: &str| tree.join(name).display().to_string();
    inside(
        &host,
        "mkdir -p /t/sub; echo x > /t/x; echo s > /t/sub/s; ln -s x /t/l; ln -s /t /tl",
    );
    cp(&host, &[], "box:/t", &at("out")).success();
    assert_eq!(
        std::fs::read_to_string(at("out/sub/s")).expect("a file"),
        "s\n"
    );
    assert_eq!(
        std::fs::read_link(at("out/l")).expect("a link"),
        Path::new("x")
    );
    cp(&host, &[], "box:/t/.", &at("contents")).success();
    assert!(Path::new(&at("contents/x")).is_file());
    cp(&host, &[], "box:/tl", &at("tl")).success();
    assert!(Path::new(&at("tl")).is_symlink());
    cp(&host, &["-L"], "box:/tl", &at("followed")).success();
    assert!(Path::new(&at("followed/x")).is_file());
    cp(&host, &[], "box:/t/x", &at("nosuch/x")).exits(1);
    cp(&host, &[], "box:/nosuch", &at("x")).exits(1);
    cp(&host, &[], "box:/t", &at("a")).exits(1);
}

#[test]
fn a_link_of_the_container_never_leads_to_the_host() {
    let Some((host, tree)) = prepared() else {
        return;
    };
    let secret = host.write("secret", "of the host\n");
    let up = "../".repeat(12);
    inside(
        &host,
        &format!(
            "ln -s {up}{} /leak; ln -s {up}{} /dir",
            secret.display(),
            tree.display()
        ),
    );
    cp(
        &host,
        &["-L"],
        "box:/leak",
        &tree.join("stolen").display().to_string(),
    )
    .exits(1);
    assert!(!tree.join("stolen").exists());
    let from = tree.join("a").display().to_string();
    cp(&host, &[], &from, "box:/dir/planted").exits(1);
    assert!(!tree.join("planted").exists());
    // A link to what is not there yet: what it names is made, inside.
    inside(&host, "ln -s /tmp/named /dangling");
    cp(&host, &[], &from, "box:/dangling").success();
    assert_eq!(
        inside(&host, "cat /tmp/named; readlink /dangling"),
        "a\n/tmp/named"
    );
}

#[test]
fn tar_streams_both_ways() {
    let Some((host, tree)) = prepared() else {
        return;
    };
    let lighter = |words: &str| {
        format!(
            "{} --root {} --state {} {words}",
            host.program().display(),
            host.root().display(),
            host.state().display()
        )
    };
    let script = format!(
        "tar -C {} -c . | {}",
        tree.display(),
        lighter("cp - box:/tmp")
    );
    host.shell(&script).success();
    assert_eq!(
        inside(&host, "cd /tmp; find . | sort"),
        ".\n./a\n./link\n./sub\n./sub/s"
    );
    let listed = |path: &str| {
        host.shell(&format!(
            "{} | tar -t | sort",
            lighter(&format!("cp box:{path} -"))
        ))
        .success()
        .stdout
    };
    assert_eq!(listed("/tmp/sub"), "sub/\nsub/s\n");
    assert_eq!(listed("/tmp/a"), "a\n");
    assert_eq!(listed("/tmp/sub/."), "./\ns\n");
    for target in ["/etc/passwd", "/nosuch"] {
        let refused = host.shell(&format!(
            "tar -C {} -c . | {}",
            tree.display(),
            lighter(&format!("cp - box:{target}"))
        ));
        assert_ne!(refused.code, 0);
    }
    let mut broken = host.lighter_command(["cp", "-", "box:/tmp"]);
    broken.stdin(Stdio::from(
        std::fs::File::open(tree.join("a")).expect("a file"),
    ));
    Output::with_input_set(broken).exits(1);
}

#[test]
fn a_stopped_container_and_its_volumes_are_reached_too() {
    let Some(host) = busybox() else { return };
    let bound = host
        .write("bound/file", "bound")
        .parent()
        .expect("a directory")
        .display()
        .to_string();
    let option = format!("{bound}:/bound");
    let create = [
        "create",
        "--network",
        "none",
        "--name",
        "box",
        "-v",
        "data:/data",
        "-v",
        &option,
        BUSYBOX,
    ];
    host.lighter([&create[..], &["cat", "/data/x", "/etc/x", "/bound/x"]].concat())
        .success();
    let file = host.write("x", "x\n");
    for place in ["/data/x", "/etc/x", "/bound/x"] {
        cp(
            &host,
            &[],
            file.to_str().expect("UTF-8"),
            &format!("box:{place}"),
        )
        .success();
    }
    assert_eq!(
        std::fs::read_to_string(format!("{bound}/x")).expect("a file"),
        "x\n"
    );
    assert_eq!(
        host.lighter(["start", "-a", "box"]).success().stdout,
        "x\nx\nx\n"
    );
    let out = host.directory().join("out");
    cp(&host, &[], "box:/data/x", out.to_str().expect("UTF-8")).success();
    assert_eq!(std::fs::read_to_string(out).expect("a file"), "x\n");
}
