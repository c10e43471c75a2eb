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
