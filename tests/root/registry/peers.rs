//! Other clients at the same registry: they read what we pushed, we read what they pushed, and all mean the same.

use support::{Background, Host, Need, skipped};

use super::{digest_by_skopeo, lighter, pushed_digest};
use crate::host;

#[test]
fn skopeo_and_we_push_the_same_bytes() {
    let Some(host) = host() else { return };
    let fixtures = host.fixtures();
    let registry = host.registry(5001, "");
    // gzip and zstd, OCI's and Docker's manifests.
    for image in ["busybox", "redis", "haproxy"] {
        let (source, ours, theirs) = (
            format!("{fixtures}/{image}"),
            format!("{registry}/ours/{image}"),
            format!("{registry}/theirs/{image}"),
        );
        lighter(&host, &["pull", "-q", &source]).success();
        lighter(&host, &["tag", &source, &ours]).success();
        let pushed = lighter(&host, &["push", &ours]).success();
        host.shell(&format!(
            "skopeo --insecure-policy copy -q --preserve-digests --src-tls-verify=false --dest-tls-verify=false docker://{source} docker://{theirs}"
        ))
        .success();
        let by_skopeo = digest_by_skopeo(&host, &theirs, "--tls-verify=false");
        assert_eq!(pushed_digest(&pushed), by_skopeo, "{image}");
        let pulled = lighter(&host, &["pull", &theirs]).success();
        assert!(pulled.stderr.contains(&by_skopeo), "{}", pulled.stderr);
    }
}

#[test]
fn podman_reads_what_we_push_and_we_what_it_pushes() {
    if skipped(&[Need::Program("podman")]) {
        return;
    }
    let Some(host) = host() else { return };
    let source = format!("{}/busybox", host.fixtures());
    let registry = host.registry(5001, "");
    let name = format!("{registry}/app");
    lighter(&host, &["pull", "-q", &source]).success();
    lighter(&host, &["tag", &source, &name]).success();
    lighter(&host, &["push", &name]).success();
    let podman = "podman --root podman --runroot podman-run --storage-driver vfs";
    let id = host
        .shell(&format!("{podman} pull -q --tls-verify=false {name}"))
        .success();
    let ours = lighter(&host, &["images", "-q", "--no-trunc", &name]).success();
    assert_eq!(ours.text().trim_start_matches("sha256:"), id.text());
    let other = format!("{registry}/again");
    host.shell(&format!(
        "{podman} tag {name} {other} && {podman} push -q --tls-verify=false {other} && {podman} rmi -a -f >/dev/null"
    ))
    .success();
    lighter(&host, &["pull", &other]).success();
    let again = lighter(&host, &["images", "-q", "--no-trunc", &other]).success();
    assert_eq!(again.text(), ours.text());
}

/// dockerd keeps its store in memory of this test, without networks of its own.
#[test]
fn docker_reads_what_we_push_and_we_what_it_pushes() {
    let needs = [
        Need::Root,
        Need::Program("dockerd"),
        Need::Program("docker"),
        Need::Fixtures,
    ];
    if skipped(&needs) {
        return;
    }
    let host = Host::with_own_mounts(env!("CARGO_BIN_EXE_lighter"));
    let source = format!("{}/busybox", host.fixtures());
    let registry = host.registry(5001, "");
    let name = format!("{registry}/app");
    lighter(&host, &["pull", "-q", &source]).success();
    lighter(&host, &["tag", &source, &name]).success();
    let pushed = pushed_digest(&lighter(&host, &["push", &name]).success());

    let directory = host.directory().join("docker");
    let mut daemon = host.command("dockerd");
    daemon
        .args([
            "--iptables=false",
            "--ip6tables=false",
            "--bridge=none",
            "--storage-driver=vfs",
        ])
        .arg(format!("--host=unix://{}/socket", directory.display()))
        .arg(format!("--data-root={}/data", directory.display()))
        .arg(format!("--exec-root={}/exec", directory.display()))
        .arg(format!("--pidfile={}/pid", directory.display()));
    std::fs::create_dir_all(&directory).unwrap();
    let mut daemon = Background::start_silent(daemon);
    let docker = |words: &str| {
        host.shell(&format!(
            "docker --host unix://{}/socket {words}",
            directory.display()
        ))
    };
    support::eventually("dockerd answers", 60, || {
        (docker("version").code == 0).then_some(())
    });

    let pulled = docker(&format!("pull {name}")).success();
    assert!(pulled.stdout.contains(&pushed), "{}", pulled.stdout);
    let id = docker(&format!("image inspect --format '{{{{.Id}}}}' {name}")).success();
    let ours = lighter(&host, &["images", "-q", "--no-trunc", &name]).success();
    assert_eq!(ours.text(), id.text());

    let other = format!("{registry}/again");
    docker(&format!("tag {name} {other}")).success();
    docker(&format!("push {other}")).success();
    lighter(&host, &["pull", &other]).success();
    let again = lighter(&host, &["images", "-q", "--no-trunc", &other]).success();
    assert_eq!(again.text(), ours.text());
    docker(&format!("save -o saved.tar {name}")).success();
    lighter(&host, &["rmi", "-f", &name, &other, &source]).success();
    lighter(&host, &["load", "-i", "saved.tar"]).success();
    assert_eq!(
        lighter(&host, &["images", "-q", "--no-trunc", &name])
            .success()
            .text(),
        ours.text()
    );
    lighter(&host, &["save", "-o", "ours.tar", &name]).success();
    docker(&format!("rmi -f {name} {other}")).success();
    docker("load -i ours.tar").success();
    let loaded = docker(&format!("image inspect --format '{{{{.Id}}}}' {name}")).success();
    assert_eq!(loaded.text(), ours.text());
    terminate(&mut daemon);
}

/// Lets the daemon end its own containerd.
fn terminate(daemon: &mut Background) {
    let pid = i32::try_from(daemon.pid())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(
        pid.expect("a process has a pid"),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    daemon.child().wait().unwrap();
}
