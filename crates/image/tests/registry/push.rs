//! Pushing to registries that take no large body, or break in the middle of one.

use std::sync::{Arc, Mutex};

use image::registry::Options;
use image::{Digest, Error, PushOptions, Pushed, Reference, Silent, push};
use support::http::{Reply, Request, Server, answer};

use crate::served::{Attempt, Good, attempt};

/// The bytes of each upload, and what was finished.
#[derive(Default)]
struct Uploads {
    kept: Vec<Vec<u8>>,
    finished: Vec<Digest>,
}

fn located(status: u16, upload: usize, have: usize) -> Reply {
    let headers = vec![
        ("Location".to_owned(), format!("/upload/{upload}")),
        ("Range".to_owned(), format!("0-{}", have.saturating_sub(1))),
    ];
    Reply::Answer(status, headers, Vec::new())
}

impl Uploads {
    /// A registry that is right in everything.
    fn reply(&mut self, request: &Request) -> Reply {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let upload = path
            .strip_prefix("/upload/")
            .and_then(|number| number.parse().ok());
        match (request.method.as_str(), upload) {
            ("POST", _) => {
                self.kept.push(Vec::new());
                located(202, self.kept.len() - 1, 0)
            }
            ("GET", Some(upload)) => located(204, upload, self.kept[upload].len()),
            ("PATCH", Some(upload)) => {
                let start = request
                    .header("content-range")
                    .and_then(|range| range.split('-').next());
                let have = self.kept[upload].len();
                if start != Some(have.to_string().as_str()) {
                    return located(416, upload, have);
                }
                self.kept[upload].extend(&request.body);
                located(202, upload, self.kept[upload].len())
            }
            ("PUT", Some(upload)) => {
                self.kept[upload].extend(&request.body);
                let digest = Digest::of(&self.kept[upload]);
                let named = query.replace("%3A", ":");
                self.finished.push(digest.clone());
                answer(
                    if named == format!("digest={digest}") {
                        201
                    } else {
                        400
                    },
                    "",
                )
            }
            ("PUT", None) => answer(201, ""),
            _ => answer(404, ""),
        }
    }
}

/// An image in a store of its own.
fn pulled() -> Attempt {
    let good = Good::new();
    let source = Server::start(move |request| good.serve(request));
    attempt(&source)
}

fn pushed(image: &Attempt, server: &Server, chunk: Option<u64>) -> Result<Pushed, Error> {
    let reference: Reference = format!("{}/r:1", server.address).parse().unwrap();
    let options = PushOptions {
        registries: Options {
            auth_file: Some(image.dir.path().join("none")),
            ..Options::default()
        },
        chunk,
        ..PushOptions::default()
    };
    push(
        &image.store,
        &image.pulled("the image").image,
        &reference,
        &options,
        &Silent,
    )
}

/// Serves uploads; `fault` may answer first.
fn server(
    fault: impl Fn(&Request, &mut Uploads) -> Option<Reply> + Send + Sync + 'static,
) -> (Server, Arc<Mutex<Uploads>>) {
    let uploads: Arc<Mutex<Uploads>> = Arc::default();
    let shared = Arc::clone(&uploads);
    let server = Server::start(move |request| {
        let mut uploads = shared.lock().unwrap();
        fault(request, &mut uploads).unwrap_or_else(|| uploads.reply(request))
    });
    (server, uploads)
}

#[test]
fn chunks_are_used_where_one_piece_is_too_large() {
    let image = pulled();
    let (server, uploads) = server(|request, _| {
        (request.method == "PUT" && request.body.len() > 100_000).then(|| answer(413, ""))
    });
    pushed(&image, &server, None).unwrap();
    let layer = image.pulled("the image").image.manifest.layers[0]
        .digest
        .clone();
    assert!(uploads.lock().unwrap().finished.contains(&layer));
    assert!(
        server
            .requests()
            .iter()
            .any(|request| request.method == "PATCH")
    );
}

#[test]
fn a_broken_chunk_goes_on_where_it_stopped() {
    let image = pulled();
    let (server, uploads) = server(|request, uploads| {
        let third =
            request.method == "PATCH" && request.header("content-range")?.starts_with("200000-");
        let upload = request
            .path
            .strip_prefix("/upload/")?
            .parse::<usize>()
            .ok()?;
        let first = uploads.kept[upload].len() == 200_000;
        (third && first).then(|| {
            uploads.kept[upload].extend(&request.body[..30_000]);
            answer(503, "")
        })
    });
    pushed(&image, &server, Some(100_000)).unwrap();
    let layer = image.pulled("the image").image.manifest.layers[0]
        .digest
        .clone();
    assert!(uploads.lock().unwrap().finished.contains(&layer));
    let requests = server.requests();
    let ranges = requests
        .iter()
        .filter_map(|request| request.header("content-range"));
    assert!(
        ranges.clone().any(|range| range.starts_with("230000-")),
        "{:?}",
        ranges.collect::<Vec<_>>()
    );
}

#[test]
fn refusals_are_told_in_a_line() {
    let image = pulled();
    for (method, status, words) in [
        ("POST", 403, "push access denied"),
        ("POST", 405, "405"),
        ("POST", 202, "does not say where"),
        ("PUT", 400, "400"),
        ("PUT", 507, "507"),
        ("HEAD", 401, "push access denied"),
    ] {
        let (server, _) =
            server(move |request, _| (request.method == method).then(|| answer(status, "")));
        let error = pushed(&image, &server, None).unwrap_err().to_string();
        assert!(
            error.contains(words) && !error.contains('\n'),
            "{method} {status}: {error}"
        );
    }
}
