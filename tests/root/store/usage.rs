//! `system df`, `system prune`, `image prune`, `image tree` and `image diff` against what is on disk.

use support::Host;

use super::BUSYBOX;
use crate::host;

/// Bytes of the store's blobs and layers, as files have them.
fn bytes(host: &Host) -> u64 {
    let root = host.root().display().to_string();
    let usage = host.shell(&format!(
        "du -cs --apparent-size -B1 {root}/images/blobs {root}/layers"
    ));
    let usage = usage.success();
    let total = usage
        .lines()
        .last()
        .and_then(|line| line.split_whitespace().next()?.parse().ok());
    total.expect("du prints a total")
}

#[test]
fn df_counts_what_is_on_disk_and_prune_frees_what_it_promises() {
    let Some(host) = host() else { return };
    host.fixtures();
    host.lighter(["pull", "-q", BUSYBOX]).success();
    host.lighter(["pull", "-q", "localhost:5000/debian"])
        .success();
    host.lighter([
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "one",
        BUSYBOX,
        "sleep",
        "1000",
    ])
    .success();
    host.lighter(["run", "--network", "none", "--name", "two", BUSYBOX, "true"])
        .success();
    host.lighter(["volume", "create", "kept"]).success();

    let rows = host.lighter([
        "system",
        "df",
        "--format",
        "{{.Type}} {{.TotalCount}} {{.Active}}",
    ]);
    assert_eq!(
        rows.success().lines(),
        [
            "Images 2 1",
            "Containers 2 1",
            "Local Volumes 1 0",
            "Build Cache 0 0"
        ]
    );
    let detailed = host
        .lighter(["system", "df", "-v", "--format", "json"])
        .success()
        .json();
    assert_eq!(detailed["Images"].as_array().map(Vec::len), Some(2));
    assert_eq!(detailed["Containers"][0]["Names"], "two");
    assert_eq!(detailed["Volumes"][0]["Links"], "0");

    let before = bytes(&host);
    let pruned = host.lighter(["system", "prune", "-af"]).success();
    assert!(pruned.stdout.contains("Deleted Containers:"), "{pruned:?}");
    assert!(
        pruned
            .stdout
            .contains("untagged: localhost:5000/debian:latest"),
        "{pruned:?}"
    );
    assert!(
        bytes(&host) < before / 10,
        "debian is far larger than busybox"
    );
    assert_eq!(host.lighter(["images", "-q"]).success().lines().len(), 1);
    assert_eq!(host.lighter(["ps", "-aq"]).success().lines().len(), 1);
    assert_eq!(
        host.lighter(["volume", "ls", "-q"]).success().text(),
        "kept"
    );
    let rows = host
        .lighter(["system", "df", "--format", "{{.Type}} {{.Reclaimable}}"])
        .success();
    assert_eq!(rows.lines()[0], "Images 0B (0%)");

    let refused = host.lighter(["system", "prune", "-f", "--volumes", "--filter", "until=1h"]);
    assert!(refused.exits(1).stderr.contains("not supported"));
    super::is_sound(&host);
}

#[test]
fn prune_asks_and_takes_only_yes_for_an_answer() {
    let Some(host) = host() else { return };
    host.fixtures();
    host.lighter(["pull", "-q", BUSYBOX]).success();
    let mut prune = host.lighter_command(["system", "prune", "-a"]);
    let answer = host.write("answer", "n\n");
    prune.stdin(std::fs::File::open(answer).expect("it was just written"));
    let asked = support::Output::with_input_set(prune).success();
    assert!(asked.stderr.contains("all stopped containers"), "{asked:?}");
    assert_eq!(host.lighter(["images", "-q"]).success().lines().len(), 1);
}

#[test]
fn trees_and_differences_of_images() {
    let Some(host) = host() else { return };
    host.fixtures();
    for image in ["debian", "nginx", "redis"] {
        host.lighter(["pull", "-q", &format!("localhost:5000/{image}")])
            .success();
    }
    let tree = host.lighter(["image", "tree"]).success();
    let roots = tree
        .lines()
        .iter()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_hexdigit()))
        .count();
    assert_eq!(roots, 1, "all stand on debian:\n{}", tree.stdout);
    assert!(
        tree.lines()[0].contains("[localhost:5000/debian:latest]"),
        "{}",
        tree.stdout
    );

    let same = [
        "image",
        "diff",
        "localhost:5000/nginx",
        "localhost:5000/nginx",
    ];
    assert_eq!(host.lighter(same).success().stdout, "");
    let changes = [
        "image",
        "diff",
        "localhost:5000/debian",
        "localhost:5000/nginx",
    ];
    let changes = host.lighter(changes).success();
    for line in [
        "A /usr/sbin/nginx",
        "A /var/log/nginx/access.log",
        "C config.Cmd",
    ] {
        assert!(
            changes.lines().iter().any(|found| found.starts_with(line)),
            "{line}: {}",
            changes.stdout
        );
    }
    assert!(!changes.stdout.contains("/bin/bash\n"), "both have it");
    let back = [
        "image",
        "diff",
        "localhost:5000/nginx",
        "localhost:5000/debian",
    ];
    assert!(
        host.lighter(back)
            .success()
            .stdout
            .contains("D /usr/sbin/nginx\n")
    );
}

/// Each verb answers from few files, however many images there are.
#[test]
fn a_listing_of_hundreds_of_images_reads_a_handful_of_files() {
    let Some(host) = host() else { return };
    host.fixtures();
    host.lighter(["pull", "-q", BUSYBOX]).success();
    let tag = host.lighter_command(["tag", BUSYBOX, "many:$i"]);
    let line = format!("{tag:?}").replace("\"many:$i\"", "many:$i");
    host.shell(&format!("for i in $(seq 300); do {line}; done"))
        .success();
    assert_eq!(
        host.lighter(["images", "--format", "{{.Tag}}"])
            .success()
            .lines()
            .len(),
        301
    );
    let root = host.root();
    let script = format!(
        "strace -f -e trace=openat -o {trace} {program} --root {root} images >/dev/null; grep -c {root} {trace}",
        trace = host.directory().join("trace").display(),
        program = host.program().display(),
        root = root.display(),
    );
    if support::skipped(&[support::Need::Program("strace")]) {
        return;
    }
    let opened: usize = host
        .shell(&script)
        .success()
        .text()
        .parse()
        .expect("grep prints a number");
    assert!(opened <= 3, "{opened} files below the root were opened");
}
