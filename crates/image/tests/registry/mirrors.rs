//! Mirrors, short names, blocked registries and foreign layers: who is asked, in which order, with which credentials.

use std::fs;
use std::path::Path;

use image::registry::{Credentials, Options};
use image::{Digest, Error, PullOptions, Pulled, Reference, Silent, Store, pull};
use serde_json::json;
use support::http::{Reply, Request, Server, answer, redirect};

use crate::served::{Good, Part, layer_bytes};

/// A configuration directory with these files.
fn configured(registries: &str, policy: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("registries.conf"), registries).unwrap();
    fs::write(dir.path().join("policy.toml"), policy).unwrap();
    dir
}

fn pull_with(name: &str, configuration: &Path) -> Result<Pulled, Error> {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let registries = Options {
        configuration: Some(configuration.to_owned()),
        auth_file: Some(root.path().join("none")),
        credentials: Some(Credentials::Password {
            user: "me".into(),
            password: "hush".into(),
        }),
        ..Options::default()
    };
    let options = PullOptions {
        registries,
        ..PullOptions::default()
    };
    let reference: Reference = name.parse().unwrap();
    pull(&store, &reference, &options, &Silent)
}

/// Serves `good`, whose repository is `r`, as the repository `name`.
fn serving(good: &Good, name: &str, request: &Request) -> Reply {
    let path = request.path.replace(&format!("/v2/{name}/"), "/v2/r/");
    let path = path.split('?').next().unwrap_or_default().to_owned();
    good.serve(&Request {
        path,
        ..request.clone()
    })
}

fn mirrored(origin: &Server, mirror: &str) -> tempfile::TempDir {
    let rule = format!(
        "[[registry]]\nprefix = \"{}\"\n[[registry.mirror]]\nlocation = \"{mirror}\"\n",
        origin.address
    );
    configured(&rule, "")
}

#[test]
fn a_mirror_is_asked_instead_of_the_registry() {
    let origin = Server::start(|_| answer(500, ""));
    let good = Good::new();
    let mirror = Server::start(move |request| serving(&good, "copy/r", request));
    let dir = mirrored(&origin, &format!("{}/copy", mirror.address));
    pull_with(&format!("{}/r:1", origin.address), dir.path()).unwrap();
    assert!(origin.requests().is_empty());
    let private = |request: &Request| request.header("authorization").is_none();
    assert!(
        mirror.requests().iter().all(private),
        "the registry's credentials are not the mirror's"
    );
}

#[test]
fn a_mirror_that_fails_is_passed_by() {
    type Fault = fn(&Good, &Request) -> Reply;
    let faults: &[(&str, Fault)] = &[
        ("has nothing", |_, _| answer(404, "")),
        ("is broken", |_, _| answer(503, "")),
        ("closes", |_, _| Reply::Closed),
        ("redirects in circles", |_, _| redirect("")),
        ("lies in the manifest", |good, request| {
            match good.part(request) {
                Some(Part::Manifest) => answer(200, "{}"),
                _ => good.serve(request),
            }
        }),
        ("has other bytes in the layer", |good, request| {
            match good.part(request) {
                Some(Part::Layer) => answer(200, vec![b'x'; good.layer.len()]),
                _ => good.serve(request),
            }
        }),
        (
            "breaks in the middle of the layer",
            |good, request| match good.part(request) {
                Some(Part::Layer) => Reply::Cut {
                    length: good.layer.len(),
                    kind: "",
                    body: good.layer[..100_000].to_vec(),
                },
                _ => good.serve(request),
            },
        ),
    ];
    for (name, fault) in faults {
        let (fault, good) = (*fault, Good::new());
        let mirror = Server::start(move |request| fault(&good, request));
        let good = Good::new();
        let origin = Server::start(move |request| good.serve(request));
        let dir = mirrored(&origin, &mirror.address.to_string());
        let pulled = pull_with(&format!("{}/r:1", origin.address), dir.path());
        pulled.unwrap_or_else(|error| panic!("a mirror that {name}: {error}"));
    }
}

#[test]
fn what_a_mirror_sent_is_not_fetched_again() {
    let good = Good::new();
    let mirror = Server::start(move |request| match good.part(request) {
        Some(Part::Layer) => Reply::Cut {
            length: good.layer.len(),
            kind: "",
            body: good.layer[..100_000].to_vec(),
        },
        _ => answer(404, ""),
    });
    let good = Good::new();
    let origin = Server::start(move |request| good.serve(request));
    let dir = mirrored(&origin, &mirror.address.to_string());
    pull_with(&format!("{}/r:1", origin.address), dir.path()).unwrap();
    let asked = origin.requests();
    let ranges: Vec<usize> = asked.iter().filter_map(Request::range_start).collect();
    assert_eq!(ranges, [100_000]);
}

#[test]
fn a_mirror_of_everything_is_told_which_registry_is_meant() {
    let good = Good::new();
    let mirror = Server::start(move |request| serving(&good, "r", request));
    let rule = format!(
        "[[registry]]\nprefix = \"*\"\n[[registry.mirror]]\nlocation = \"{}\"\n",
        mirror.address
    );
    let dir = configured(&rule, "");
    pull_with("registry.invalid/r:1", dir.path()).unwrap();
    let named = |request: &Request| request.path.ends_with("?ns=registry.invalid");
    assert!(mirror.requests().iter().all(named));
}

#[test]
fn a_short_name_is_pulled_from_where_it_stands_for() {
    let good = Good::new();
    let server = Server::start(move |request| serving(&good, "team/web", request));
    let rule = format!("[aliases]\nweb = \"{}/team/web\"\n", server.address);
    let dir = configured(&rule, "");
    let pulled = pull_with("web:1", dir.path()).unwrap();
    assert_eq!(pulled.image.reference.unwrap().familiar(), "web:1");
}

#[test]
fn blocked_and_rejected_registries_are_not_asked() {
    let server = Server::start(|_| answer(500, ""));
    let name = format!("{}/r:1", server.address);
    let blocked = configured(
        &format!(
            "[[registry]]\nprefix = \"{}\"\nblocked = true\n",
            server.address
        ),
        "",
    );
    let error = pull_with(&name, blocked.path()).unwrap_err().to_string();
    assert!(error.contains("is blocked by"), "{error}");
    let rejected = configured("", "[[policy]]\nprefix = \"*\"\nrequire = \"reject\"\n");
    let error = pull_with(&name, rejected.path()).unwrap_err().to_string();
    assert!(error.contains("rejects all images"), "{error}");
    assert!(server.requests().is_empty());
}

#[test]
fn files_that_cannot_be_read_are_errors() {
    for (registries, policy, words) in [
        ("[[registry]]\nprefix = 1\n", "", "line 2"),
        ("nonsense = true\n", "", "unknown field"),
        (
            "[[registry]]\nprefix = \"x\"\nlocation = \"http://x\"\n",
            "",
            "",
        ),
        (
            "",
            "[[policy]]\nprefix = \"*\"\nrequire = \"signed\"\n",
            "names no keys",
        ),
        (
            "",
            "[[policy]]\nprefix = \"*\"\nrequire = \"signed\"\nkeys = [\"no.pub\"]\n",
            "no.pub",
        ),
    ] {
        let dir = configured(registries, policy);
        let error = pull_with("x/r:1", dir.path()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_foreign_layer_comes_from_its_address_without_credentials() {
    let layer = layer_bytes(10_000);
    let served = layer.clone();
    let elsewhere = Server::start(move |request| match request.path.as_str() {
        "/asks" => Reply::Answer(
            401,
            vec![("WWW-Authenticate".into(), "Basic realm=\"x\"".into())],
            Vec::new(),
        ),
        _ => answer(200, served.clone()),
    });
    let urls = ["asks", "gives"].map(|path| format!("http://{}/{path}", elsewhere.address));
    let good = Good::with_layer(
        layer,
        |_| {},
        move |manifest| {
            manifest["layers"][0]["mediaType"] =
                json!("application/vnd.oci.image.layer.nondistributable.v1.tar");
            manifest["layers"][0]["urls"] = json!(urls);
        },
        |_| {},
    );
    let server =
        Server::start(
            move |request| match (request.header("authorization"), good.part(request)) {
                (None, _) => Reply::Answer(
                    401,
                    vec![("WWW-Authenticate".into(), "Basic realm=\"x\"".into())],
                    Vec::new(),
                ),
                (_, Some(Part::Layer)) => answer(404, ""),
                _ => good.serve(request),
            },
        );
    let dir = configured("", "");
    pull_with(&format!("{}/r:1", server.address), dir.path()).unwrap();
    let asked = elsewhere.requests();
    assert_eq!(asked.len(), 2);
    assert!(
        asked
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
}

#[test]
fn an_ordinary_layer_is_asked_for_nowhere_else() {
    let elsewhere = Server::start(|_| answer(500, ""));
    let url = format!("http://{}/x", elsewhere.address);
    let good = Good::with_layer(
        layer_bytes(10),
        |_| {},
        move |manifest| manifest["layers"][0]["urls"] = json!([url]),
        |_| {},
    );
    let digest = Digest::of(&good.layer);
    let server = Server::start(move |request| good.serve(request));
    let dir = configured("", "");
    let pulled = pull_with(&format!("{}/r:1", server.address), dir.path()).unwrap();
    assert_eq!(pulled.image.manifest.layers[0].digest, digest);
    assert!(elsewhere.requests().is_empty());
}
