//! Transfers that break, go on, or need not begin.

use std::fs;

use image::{Digest, Store};
use serde_json::{Value, json};
use support::http::{Reply, Request, Server, answer, typed};

use crate::served::*;

#[test]
fn a_broken_blob_goes_on_where_it_stopped() {
    let good = Good::new();
    let total = good.layer.len();
    let server = Server::start(move |request| match (good.part(request), request.earlier) {
        (Some(Part::Layer), 0) => cut(total, &good.layer[..100_000]),
        (Some(Part::Layer), 1) => {
            let rest = &good.layer[100_000..200_000];
            let head = format!(
                "HTTP/1.1 206 X\r\nContent-Range: bytes 100000-{}/{total}\r\nContent-Length: {}\r\n\r\n",
                total - 1,
                total - 100_000
            );
            Reply::Raw([head.as_bytes(), rest].concat())
        }
        (Some(Part::Layer), 2) => answer(503, ""),
        _ => good.serve(request),
    });
    attempt(&server).pulled("three connections");
    let ranges: Vec<Option<usize>> = server
        .requests()
        .iter()
        .filter(|r| r.path.contains("/blobs/"))
        .map(Request::range_start)
        .collect();
    assert_eq!(ranges.last(), Some(&Some(200_000)), "{ranges:?}");
}

#[test]
fn a_server_that_ignores_ranges_is_used_all_the_same() {
    let good = Good::new();
    let server = Server::start(move |request| match (good.part(request), request.earlier) {
        (Some(Part::Layer), 0) => cut(good.layer.len(), &good.layer[..100_000]),
        (Some(Part::Layer), _) => typed("", good.layer.clone()),
        _ => good.serve(request),
    });
    attempt(&server).pulled("200 instead of 206");
}

#[test]
fn the_next_pull_takes_only_the_rest() {
    let good = Good::new();
    let broken = Server::start({
        let good = Good::new();
        move |request| match (good.part(request), request.earlier) {
            (Some(Part::Layer), 0) => cut(good.layer.len(), &good.layer[..300_000]),
            (Some(Part::Layer), _) => answer(503, ""),
            _ => good.serve(request),
        }
    });
    let first = attempt(&broken);
    assert!(first.result.is_err());
    let whole = Server::start(move |request| good.serve(request));
    attempt_in(first.dir, &whole, None).pulled("the second pull");
    let ranges: Vec<Option<usize>> = whole
        .requests()
        .iter()
        .filter(|r| r.path.contains("/blobs/"))
        .filter_map(|r| r.range_start().map(Some))
        .collect();
    assert_eq!(ranges, [Some(300_000)]);
}

#[test]
fn a_damaged_start_is_fetched_again() {
    let good = Good::new();
    let digest = Digest::of(&good.layer);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let partial = store.layout().join("partial").join(digest.hex());
    fs::write(&partial, vec![b'!'; 100_000]).unwrap();
    let server = Server::start(move |request| good.serve(request));
    attempt_in(dir, &server, None).pulled("a damaged start");
}

#[test]
fn too_many_requests_are_waited_for() {
    let good = Good::new();
    let server = Server::start(move |request| {
        if request.earlier == 0 {
            return Reply::Answer(429, vec![("Retry-After".into(), "0".into())], Vec::new());
        }
        good.serve(request)
    });
    attempt(&server).pulled("429 once for everything");
}

#[test]
fn the_same_layer_twice_is_fetched_once() {
    let twice = |value: &mut Value, at: &str| {
        let first = value[at][0].clone();
        value[at] = json!([first.clone(), first]);
    };
    let good = Good::with_layer(
        layer_bytes(1000),
        move |config| twice(&mut config["rootfs"], "diff_ids"),
        move |manifest| twice(manifest, "layers"),
        |_| {},
    );
    let path = format!("/v2/r/blobs/{}", Digest::of(&good.layer));
    let server = Server::start(move |request| good.serve(request));
    let outcome = attempt(&server);
    assert_eq!(outcome.pulled("twice").image.layers.len(), 2);
    assert_eq!(
        server
            .requests()
            .iter()
            .filter(|request| request.path == path)
            .count(),
        1
    );
}

#[test]
fn a_second_pull_is_one_request() {
    let good = Good::new();
    let index = good.index.to_string();
    let server = Server::start(move |request| match good.part(request) {
        Some(Part::Index) => Reply::Answer(
            200,
            vec![
                ("Content-Type".into(), INDEX.into()),
                (
                    "Docker-Content-Digest".into(),
                    Digest::of(index.as_bytes()).to_string(),
                ),
            ],
            index.clone().into_bytes(),
        ),
        _ => good.serve(request),
    });
    let first = attempt(&server);
    assert!(first.pulled("first").downloaded);
    let before = server.requests().len();
    let second = attempt_in(first.dir, &server, None);
    assert!(!second.pulled("second").downloaded);
    assert_eq!(server.requests().len(), before + 1);
}

#[test]
fn documents_are_what_they_were_made_of() {
    // The helpers above must not be what refuses: the unchanged image is pulled.
    let good = Good::new();
    assert_eq!(good.manifest["layers"].as_array().map(Vec::len), Some(1));
    assert_eq!(good.config["os"], "linux");
    let server = Server::start(move |request| good.serve(request));
    let outcome = attempt(&server);
    let pulled = outcome.pulled("the good image");
    assert!(pulled.downloaded);
    assert!(pulled.image.layers[0].directory.join("file").exists());
}
