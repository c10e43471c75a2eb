//! Indexes made by hand, as `docker manifest` makes them; what skopeo reads of them.

use super::{image, lighter};
use crate::host;

#[test]
fn a_list_is_created_annotated_pushed_and_read() {
    let Some(host) = host() else { return };
    let registry = host.registry(5000, "");
    let [one, other, list] = ["amd:1", "arm:1", "all:1"].map(|name| format!("{registry}/{name}"));
    image(&host, &[&one]);
    host.shell("echo other >tree/file && tar -C tree -cf other.tar --mtime=@1 .")
        .success();
    lighter(
        &host,
        &[
            "import",
            "--platform",
            "linux/arm64/v8",
            "other.tar",
            &other,
        ],
    )
    .success();
    lighter(&host, &["push", &one]).success();
    lighter(&host, &["push", &other]).success();

    lighter(&host, &["manifest", "create", &list, &one]).success();
    let twice = lighter(&host, &["manifest", "create", &list, &other]).exits(1);
    assert!(twice.stderr.contains("--amend"), "{}", twice.stderr);
    lighter(&host, &["manifest", "create", "--amend", &list, &other]).success();
    lighter(
        &host,
        &["manifest", "annotate", "--os-version", "1.2", &list, &other],
    )
    .success();
    let kept = lighter(&host, &["manifest", "inspect", &list])
        .success()
        .json();
    assert_eq!(kept["manifests"][1]["platform"]["os.version"], "1.2");

    let pushed = lighter(&host, &["manifest", "push", "--purge", &list]).success();
    let raw = host
        .shell(&format!(
            "skopeo inspect --raw --tls-verify=false docker://{list}"
        ))
        .success()
        .json();
    assert_eq!(raw["manifests"][1]["platform"]["architecture"], "arm64");
    let digest = super::digest_by_skopeo(&host, &list, "--no-tags --tls-verify=false");
    assert_eq!(pushed.text(), digest);
    // All of it is there: skopeo copies every platform.
    host.shell(&format!(
        "skopeo copy --all --src-tls-verify=false docker://{list} dir:copy"
    ))
    .success();
    let shown = lighter(&host, &["manifest", "inspect", "-v", &list])
        .success()
        .json();
    assert_eq!(shown[1]["Descriptor"]["platform"]["architecture"], "arm64");
    lighter(&host, &["manifest", "rm", &list]).exits(1);

    let pulled = lighter(&host, &["pull", "--platform", "linux/arm64", &list]).success();
    assert!(pulled.stderr.contains(&digest), "{}", pulled.stderr);
    let elsewhere = lighter(&host, &["manifest", "create", "localhost:5009/x", &one]).success();
    assert!(elsewhere.stdout.contains("Created"));
    let refused = lighter(&host, &["manifest", "push", "localhost:5009/x"]).exits(1);
    assert!(
        refused.stderr.contains("another registry"),
        "{}",
        refused.stderr
    );
}
