//! Bundles: made where the registry is, run where there is none.

use support::{Host, Need, Output, skipped};

use super::text;
use crate::host;

/// A bundle of the shop, made on a host with a registry.
fn bundle(host: &Host, name: &str, variables: &[(&str, &str)]) -> std::path::PathBuf {
    let compose = support::need::repository().join("vendor-fixtures/apps/shop/compose.yaml");
    let path = host.directory().join(name);
    let mut create =
        host.lighter_command(["bundle", "create", "-f", text(&compose), "-o", text(&path)]);
    create.envs(variables.iter().copied());
    Output::of(create).success();
    path
}

#[test]
fn a_bundle_runs_on_a_host_without_a_network() {
    let (Some(maker), Some(user)) = (host(), host()) else {
        return;
    };
    maker.fixtures();
    let path = bundle(&maker, "shop.lighter", &[]);
    user.lighter(["bundle", "run", "-d", text(&path)]).success();
    for port in [80, 8000] {
        let answer = user.get(&format!("http://127.0.0.1:{port}/"));
        assert!(
            answer.contains("a lighter container"),
            "on port {port}: {answer}"
        );
    }
    // Again: nothing to do, nothing is lost.
    let ids = user.lighter(["ps", "-q", "--no-trunc"]).success().stdout;
    user.lighter(["bundle", "run", "-d", text(&path)]).success();
    assert_eq!(
        user.lighter(["ps", "-q", "--no-trunc"]).success().stdout,
        ids
    );
    user.lighter(["compose", "-p", "shop", "down", "-v"])
        .success();
    super::is_sound(&user);
}

#[test]
fn a_bundle_is_the_same_twice_and_skopeo_reads_it() {
    let Some(host) = host() else { return };
    host.fixtures();
    let (one, two) = (bundle(&host, "one", &[]), bundle(&host, "two", &[]));
    assert!(
        std::fs::read(&one).ok() == std::fs::read(&two).ok(),
        "same input, other bytes"
    );
    let same = host
        .lighter(["bundle", "diff", text(&one), text(&two)])
        .success();
    assert_eq!(same.stdout, "");
    let other = bundle(&host, "other", &[("SHOP_PORT", "81")]);
    let changed = host
        .lighter(["bundle", "diff", text(&one), text(&other)])
        .success();
    assert_eq!(changed.lines().len(), 2, "{}", changed.stdout);
    assert!(changed.stdout.contains("\"81\""), "{}", changed.stdout);
    if skipped(&[Need::Program("skopeo")]) {
        return;
    }
    let image = format!("oci-archive:{}:localhost:5000/nginx:latest", text(&one));
    let seen = host
        .shell(&format!("skopeo inspect --config '{image}'"))
        .success()
        .json();
    assert_eq!(seen["config"]["Cmd"][0], "nginx");
}

#[test]
fn a_flipped_byte_is_refused_and_the_blob_named() {
    let (Some(maker), Some(user)) = (host(), host()) else {
        return;
    };
    maker.fixtures();
    let path = bundle(&maker, "shop.lighter", &[]);
    let mut bytes = std::fs::read(&path).expect("it was just made");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let damaged = user.write("damaged", &bytes);
    let refused = user
        .lighter(["bundle", "run", "-d", text(&damaged)])
        .exits(1);
    assert!(refused.stderr.contains("content of sha256:"), "{refused:?}");
    assert_eq!(user.lighter(["images", "-q"]).success().stdout, "");
    let none = user.write("none", b"");
    let refused = user.lighter(["bundle", "run", text(&none)]).exits(1);
    assert!(refused.stderr.contains("this is no bundle"), "{refused:?}");
}
