//! Other clients at the same registry: they read what we pushed, we read what they pushed, and all mean the same.

use support::{Need, skipped};

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
