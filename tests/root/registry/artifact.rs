//! Files in a registry, and what is said about an image there.

use super::{image, lighter};
use crate::host;

#[test]
fn files_come_back_as_they_went() {
    let Some(host) = host() else { return };
    let registry = host.registry(5000, "");
    host.shell("head -c 2000000 /dev/urandom >noise.bin && echo '{}' >report.json && : >empty")
        .success();
    let name = format!("{registry}/files:1");
    let arguments = [
        "artifact",
        "push",
        "--artifact-type",
        "application/vnd.test",
        "--annotation",
        "who=me",
        &name,
        "noise.bin",
        "report.json:application/json",
        "empty",
    ];
    lighter(&host, &arguments).success();
    let raw = host
        .shell(&format!(
            "skopeo inspect --raw --tls-verify=false docker://{name}"
        ))
        .success()
        .json();
    assert_eq!(raw["artifactType"], "application/vnd.test");
    assert_eq!(raw["annotations"]["who"], "me");
    assert_eq!(raw["layers"][1]["mediaType"], "application/json");

    lighter(&host, &["artifact", "pull", "-o", "out", &name]).success();
    host.shell("for file in noise.bin report.json empty; do cmp $file out/$file; done")
        .success();
    let again = lighter(&host, &["artifact", "pull", "-o", "out", &name]).exits(1);
    assert!(
        again.stderr.contains("File exists"),
        "nothing is overwritten: {}",
        again.stderr
    );
    let pulled = lighter(&host, &["pull", &name]).exits(1);
    assert!(
        pulled.stderr.contains("is not an image"),
        "{}",
        pulled.stderr
    );
}

#[test]
fn what_refers_to_an_image_is_listed() {
    let Some(host) = host() else { return };
    let registry = host.registry(5000, "");
    let name = format!("{registry}/app:1");
    image(&host, &[&name]);
    lighter(&host, &["push", &name]).success();
    host.write("list.json", "{}");
    for kind in ["application/vnd.one", "application/vnd.two"] {
        let other = format!("{registry}/app:{}", kind.rsplit('.').next().unwrap());
        lighter(
            &host,
            &[
                "artifact",
                "push",
                "--artifact-type",
                kind,
                "--subject",
                "1",
                &other,
                "list.json",
            ],
        )
        .success();
    }
    let found = lighter(
        &host,
        &["artifact", "ls", "--format", "{{.ArtifactType}}", &name],
    )
    .success();
    assert_eq!(
        found.lines(),
        ["application/vnd.one", "application/vnd.two"]
    );
    let only = [
        "artifact",
        "ls",
        "--artifact-type",
        "application/vnd.two",
        "--format",
        "json",
        &name,
    ];
    assert_eq!(lighter(&host, &only).success().lines().len(), 1);
    let none = lighter(
        &host,
        &[
            "artifact",
            "ls",
            "--format",
            "json",
            &format!("{registry}/app:one"),
        ],
    )
    .success();
    assert_eq!(none.stdout, "");
}
