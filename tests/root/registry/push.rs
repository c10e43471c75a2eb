//! What arrives at the registry: whole, in chunks, all platforms of an index, and other packings.

use super::{digest_by_skopeo, image, lighter, pushed_digest};
use crate::host;

#[test]
fn a_blob_arrives_whole_or_in_chunks() {
    let Some(host) = host() else { return };
    let registry = host.registry(5000, "");
    host.shell(
        "mkdir -p tree && head -c 3000000 /dev/urandom >tree/noise && tar -C tree -cf tree.tar .",
    )
    .success();
    let (whole, chunks) = (format!("{registry}/whole"), format!("{registry}/chunks"));
    lighter(&host, &["import", "tree.tar", &whole]).success();
    lighter(&host, &["tag", &whole, &chunks]).success();
    let first = lighter(&host, &["push", &whole]).success();
    let second = lighter(&host, &["push", "--chunk-size", "500k", &chunks]).success();
    assert_eq!(pushed_digest(&first), pushed_digest(&second));
    for name in [&whole, &chunks] {
        assert_eq!(
            digest_by_skopeo(&host, name, "--tls-verify=false"),
            pushed_digest(&first)
        );
        host.shell(&format!(
            "rm -rf copy && skopeo copy --src-tls-verify=false docker://{name} dir:copy"
        ))
        .success();
    }
    let again = lighter(&host, &["push", &chunks]).success();
    assert!(
        again.stderr.contains("Layer already exists"),
        "{}",
        again.stderr
    );
}

#[test]
fn every_tag_is_pulled_when_asked() {
    let Some(host) = host() else { return };
    let registry = host.registry(5000, "");
    let names = ["1", "2", "3"].map(|tag| format!("{registry}/app:{tag}"));
    image(&host, &names.each_ref().map(String::as_str));
    lighter(&host, &["push", "--all-tags", &format!("{registry}/app")]).success();
    for name in &names {
        lighter(&host, &["rmi", name]).success();
    }
    let pulled = lighter(&host, &["pull", "--all-tags", &format!("{registry}/app")]).success();
    assert_eq!(pulled.lines().len(), 3, "{}", pulled.stdout);
    lighter(&host, &["pull", "--all-tags", &names[0]]).exits(1);
}

#[test]
fn search_looks_through_the_list_of_repositories() {
    let Some(host) = host() else { return };
    let registry = host.registry(5000, "");
    let names = ["team/web", "team/webber", "other"].map(|name| format!("{registry}/{name}"));
    image(&host, &names.each_ref().map(String::as_str));
    for name in &names {
        lighter(&host, &["push", name]).success();
    }
    let term = format!("{registry}/web");
    let found = lighter(&host, &["search", "--format", "{{.Name}}", &term]).success();
    assert_eq!(found.lines(), ["team/web", "team/webber"]);
    let found = lighter(&host, &["search", "--limit", "1", &term]).success();
    assert_eq!(found.lines().len(), 2, "{}", found.stdout);
}

#[test]
fn layers_are_packed_anew_when_asked() {
    let Some(host) = host() else { return };
    let source = format!("{}/busybox", host.fixtures());
    let registry = host.registry(5001, "");
    let name = format!("{registry}/app");
    lighter(&host, &["pull", "-q", &source]).success();
    lighter(&host, &["tag", &source, &name]).success();
    let push = |options: &[&str]| {
        let words = [&["push"], options, &[&name]].concat();
        pushed_digest(&lighter(&host, &words).success())
    };
    let raw = || {
        host.shell(&format!(
            "skopeo inspect --raw --tls-verify=false docker://{name}"
        ))
        .success()
        .json()
    };
    let zstd = push(&["--compression-format", "zstd", "--compression-level", "3"]);
    assert_eq!(
        raw()["layers"][0]["mediaType"],
        "application/vnd.oci.image.layer.v1.tar+zstd"
    );
    assert_eq!(
        zstd,
        push(&["--compression-format", "zstd", "--compression-level", "3"])
    );
    // The same files come out: the config, with the digests of the plain layers, is the same.
    let id = lighter(&host, &["images", "-q", "--no-trunc", &source]).success();
    assert_eq!(raw()["config"]["digest"], id.text());
    lighter(&host, &["rmi", &source, &name]).success();
    lighter(&host, &["pull", "-q", &name]).success();
    host.shell(&format!(
        "skopeo --insecure-policy copy -q --src-tls-verify=false docker://{name} dir:copy"
    ))
    .success();
    let gzip = push(&["--compression-format", "gzip"]);
    assert_eq!(
        raw()["layers"][0]["mediaType"],
        "application/vnd.oci.image.layer.v1.tar+gzip"
    );
    assert_ne!(zstd, gzip);
    lighter(&host, &["push", "--compression-level", "3", &name]).exits(125);
    lighter(
        &host,
        &[
            "push",
            "--compression-format",
            "gzip",
            "--compression-level",
            "10",
            &name,
        ],
    )
    .exits(1);
}

#[test]
fn a_pull_draws_where_its_time_went() {
    let Some(host) = host() else { return };
    let name = format!("{}/redis", host.fixtures());
    lighter(&host, &["pull", "-q", "--trace", "trace.json", &name]).success();
    let text = std::fs::read_to_string(host.directory().join("trace.json")).unwrap();
    let trace: serde_json::Value = serde_json::from_str(&text).unwrap();
    let spans = trace["spans"].as_array().unwrap();
    let blobs: std::collections::BTreeSet<&str> = spans
        .iter()
        .filter_map(|span| span["blob"].as_str())
        .collect();
    for stage in [
        "wait",
        "first byte",
        "download",
        "inflate",
        "diff id",
        "write",
    ] {
        let count = spans.iter().filter(|span| span["stage"] == stage).count();
        assert_eq!(count, blobs.len(), "{stage}: {text}");
    }
    for stage in ["resolve", "fsync"] {
        assert!(
            spans
                .iter()
                .any(|span| span["stage"] == stage && span["blob"].is_null()),
            "{stage}: {text}"
        );
    }
    lighter(&host, &["pull", "-q", "--trace", "trace.svg", &name]).success();
    let picture = std::fs::read_to_string(host.directory().join("trace.svg")).unwrap();
    assert!(
        picture.starts_with("<svg ") && picture.contains("resolve"),
        "{picture}"
    );
    lighter(&host, &["pull", "-q", "--trace", "trace.png", &name]).exits(1);
}

#[test]
fn an_index_is_pushed_with_all_its_platforms() {
    let Some(host) = host() else { return };
    let (registry, second) = (host.registry(5000, ""), host.registry(5001, ""));
    let [one, other, all] = ["amd", "arm", "all"].map(|name| format!("{registry}/{name}"));
    image(&host, &[&one]);
    host.shell("echo other >tree/file && tar -C tree -cf other.tar .")
        .success();
    lighter(
        &host,
        &["import", "--platform", "linux/arm64", "other.tar", &other],
    )
    .success();
    lighter(&host, &["push", &one]).success();
    lighter(&host, &["push", &other]).success();
    lighter(&host, &["manifest", "create", &all, &one, &other]).success();
    let digest = lighter(&host, &["manifest", "push", &all])
        .success()
        .text()
        .to_owned();
    lighter(&host, &["rmi", &one, &other]).success();

    let copy = format!("{second}/all");
    lighter(&host, &["pull", &all]).success();
    lighter(&host, &["tag", &all, &copy]).success();
    let only = pushed_digest(&lighter(&host, &["push", &copy]).success());
    assert_ne!(
        only, digest,
        "without the other platform there is only the manifest"
    );

    lighter(&host, &["pull", "--all-platforms", &all]).success();
    lighter(&host, &["image", "prune", "-f"]).success();
    let whole = pushed_digest(&lighter(&host, &["push", &copy]).success());
    assert_eq!(whole, digest);
    host.shell(&format!(
        "skopeo --insecure-policy copy -q --all --src-tls-verify=false docker://{copy} dir:copy"
    ))
    .success();
    lighter(&host, &["system", "check"]).success();
}
