//! Each fault in turn, at each kind of document. Every case must end soon, with
//! words that say what happened, and leave nothing in the store that was not checked.

use std::io::Read;

use image::Digest;
use image::registry::Credentials;
use serde_json::{Value, json};
use support::http::{Reply, Server, answer, redirect, typed};

use crate::served::*;

/// Faults that make sense at any document; the words that may describe them.
type Fault = (&'static str, &'static [&'static str], fn(&[u8]) -> Reply);
const FAULTS: &[Fault] = &[
    ("not there", &["not known"], |_| {
        answer(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#)
    }),
    ("forbidden", &["denied"], |_| answer(403, "")),
    ("broken for ever", &["500"], |_| answer(500, "<html>")),
    ("busy for ever", &["429"], |_| {
        Reply::Answer(429, vec![("Retry-After".into(), "0".into())], Vec::new())
    }),
    ("a teapot with control characters", &["418"], |_| {
        answer(
            418,
            "{\"errors\":[{\"code\":\"X\",\"message\":\"a\\u001b[31m\\nb\"}]}",
        )
    }),
    (
        "cut short",
        &["ended", "broke", "end of file", "unexpected", "closed"],
        |good| cut(good.len(), &good[..good.len() / 2]),
    ),
    (
        "empty",
        &["has 0", "EOF", "should have", "expected value"],
        |_| typed(MANIFEST, ""),
    ),
    (
        "other bytes of the same number",
        &["digest", "members", "expected", "EOF"],
        |good| typed(MANIFEST, vec![b'x'; good.len()]),
    ),
    (
        "one byte more",
        &["should have", "digest", "trailing"],
        |good| typed(MANIFEST, [good, b"x"].concat()),
    ),
    ("without end", &["more than", "should have"], |_| endless()),
    (
        "dripping",
        &["nothing for", "more than", "should have", "EOF"],
        |_| Reply::Drip(STALL / 3),
    ),
    ("silent", &["nothing for"], |_| Reply::Silent(LIMIT)),
    ("reset in the middle", &["cannot reach"], |good| {
        Reply::Reset {
            length: good.len(),
            body: good[..good.len() / 2].to_vec(),
        }
    }),
    ("closed at once", &["cannot reach"], |_| Reply::Closed),
    ("not HTTP", &["cannot reach"], |_| {
        Reply::Raw(b"SSH-2.0-x\r\n\r\n".to_vec())
    }),
    ("a header without end", &["cannot reach"], |_| {
        Reply::Raw([b"HTTP/1.1 200 OK\r\nX: ", vec![b'a'; 2 << 20].as_slice()].concat())
    }),
    ("redirects to itself", &["redirects more than"], |_| {
        Reply::Answer(307, vec![("Location".into(), String::new())], Vec::new())
    }),
    ("redirects to a file", &["not a web address"], |_| {
        redirect("file:///etc/passwd")
    }),
    ("redirects to nowhere", &["redirects to nowhere"], |_| {
        redirect("http://[")
    }),
    (
        "a length that lies",
        &["cannot reach", "should have", "more than"],
        |good| cut(good.len() + 1000, good),
    ),
];

fn at_each(part: Part) {
    for (fault, words, make) in FAULTS {
        let good = Good::new();
        let (fault_make, name) = (*make, format!("{part:?} {fault}"));
        let server = Server::start(move |request| {
            if good.part(request) == Some(part) {
                fault_make(&good.documents[&request.path].1)
            } else {
                good.serve(request)
            }
        });
        attempt(&server).refused(&name, words);
    }
}

#[test]
fn faults_of_the_index() {
    at_each(Part::Index);
}

#[test]
fn faults_of_the_manifest() {
    at_each(Part::Manifest);
}

#[test]
fn faults_of_the_config() {
    at_each(Part::Config);
}

#[test]
fn faults_of_a_layer() {
    at_each(Part::Layer);
}

/// An image that is wrong in itself, and the words that must say how.
struct Case {
    name: &'static str,
    words: &'static str,
    image: Good,
}

impl Case {
    fn config(name: &'static str, words: &'static str, change: impl Fn(&mut Value)) -> Self {
        let image = Good::with_layer(layer_bytes(10), change, |_| {}, |_| {});
        Self { name, words, image }
    }

    fn manifest(name: &'static str, words: &'static str, change: impl Fn(&mut Value)) -> Self {
        let image = Good::with_layer(layer_bytes(10), |_| {}, change, |_| {});
        Self { name, words, image }
    }

    fn index(name: &'static str, words: &'static str, change: impl Fn(&mut Value)) -> Self {
        let image = Good::with_layer(layer_bytes(10), |_| {}, |_| {}, change);
        Self { name, words, image }
    }

    fn layer(name: &'static str, words: &'static str, layer: Vec<u8>) -> Self {
        let image = Good::with_layer(layer, |_| {}, |_| {}, |_| {});
        Self { name, words, image }
    }
}

#[track_caller]
fn all_refused(cases: Vec<Case>) {
    for Case { name, words, image } in cases {
        let server = Server::start(move |request| image.serve(request));
        attempt(&server).refused(name, &[words]);
    }
}

#[test]
fn hostile_indexes() {
    all_refused(vec![
        Case::index("a child digest that is a path", "not a digest", |i| {
            i["manifests"][0]["digest"] = json!("sha256:/")
        }),
        Case::index("a child size that lies", "should have", |i| {
            i["manifests"][0]["size"] = json!(7)
        }),
        Case::index("1001 manifests", "at most 1000", |i| {
            i["manifests"] = json!(vec![i["manifests"][0].clone(); 1001])
        }),
        Case::index(
            "an index that is a manifest as well",
            "members do not fit",
            |i| i["layers"] = json!([]),
        ),
        Case::index("only attestations", "no image for", |i| {
            i["manifests"][0]["annotations"] =
                json!({"vnd.docker.reference.type": "attestation-manifest"})
        }),
        Case::index("only other platforms", "no image for", |i| {
            i["manifests"][0]["platform"]["architecture"] = json!("pdp11")
        }),
    ]);
}

#[test]
fn hostile_descriptors() {
    all_refused(vec![
        Case::manifest("a layer digest that is a path", "not a digest", |m| {
            m["layers"][0]["digest"] = json!("sha256:../../../etc/passwd")
        }),
        Case::manifest("a config digest that is a path", "not a digest", |m| {
            m["config"]["digest"] = json!("../x")
        }),
        Case::manifest("a digest of an unknown kind", "not a digest", |m| {
            m["layers"][0]["digest"] = json!("md5:d41d8cd98f00b204e9800998ecf8427e")
        }),
        Case::manifest("a negative size", "invalid value", |m| {
            m["layers"][0]["size"] = json!(-1)
        }),
        Case::manifest("a layer size too small", "should have", |m| {
            m["layers"][0]["size"] = json!(5)
        }),
        Case::manifest("a layer size too large", "should have", |m| {
            m["layers"][0]["size"] = json!(1u64 << 40)
        }),
        Case::manifest("a config size that lies", "more than", |m| {
            m["config"]["size"] = json!(7)
        }),
        Case::manifest("a config of gigabytes", "more than", |m| {
            m["config"]["size"] = json!(1u64 << 33)
        }),
    ]);
}

#[test]
fn hostile_manifests() {
    all_refused(vec![
        Case::manifest("an unknown layer type", "unknown media type", |m| {
            m["layers"][0]["mediaType"] = json!("application/x-evil")
        }),
        Case::manifest("a layer that is a manifest", "unknown media type", |m| {
            m["layers"][0]["mediaType"] = json!(MANIFEST)
        }),
        Case::manifest("501 layers", "at most 500", |m| {
            m["layers"] = json!(vec![m["layers"][0].clone(); 501])
        }),
        Case::manifest("an artifact", "artifact", |m| {
            m["artifactType"] = json!("application/x-evil")
        }),
        Case::manifest(
            "a manifest that is an index as well",
            "members do not fit",
            |m| m["manifests"] = json!([]),
        ),
        Case::manifest(
            "a manifest that calls itself an index",
            "but was sent as",
            |m| m["mediaType"] = json!(INDEX),
        ),
        Case::manifest("schema 1", "schema", |m| m["schemaVersion"] = json!(1)),
        Case::manifest("schema 3", "schemaVersion", |m| {
            m["schemaVersion"] = json!(3)
        }),
        Case::manifest("a manifest nested too deep", "deep", |m| {
            m["annotations"] =
                serde_json::from_str(&format!("{}{}", "[".repeat(100), "]".repeat(100))).unwrap()
        }),
    ]);
}

#[test]
fn hostile_configs() {
    all_refused(vec![
        Case::config("more diff ids than layers", "its config 2", |c| {
            c["rootfs"]["diff_ids"] = json!(vec![c["rootfs"]["diff_ids"][0].clone(); 2])
        }),
        Case::config("no diff ids", "its config 0", |c| {
            c["rootfs"]["diff_ids"] = Value::Null
        }),
        Case::config("another diff id", "another diff id", |c| {
            c["rootfs"]["diff_ids"] = json!([Digest::of(b"other")])
        }),
        Case::config("labels of a megabyte", "labels", |c| {
            c["config"] = json!({"Labels": {"a": "x".repeat(1 << 20)}})
        }),
    ]);
}

#[test]
fn hostile_layers() {
    all_refused(vec![
        Case::layer("a layer that is no archive", "checksum", vec![b'x'; 2000]),
        Case::layer("a layer of xz", "xz", b"\xfd7zXZ\0...".to_vec()),
        Case::layer(
            "a zstd window of gigabytes",
            "inflate",
            vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 1, 0, 0],
        ),
    ]);
}

/// More plain bytes than any layer of its packed size may have.
#[test]
fn bombs() {
    let zeros = || std::io::repeat(0).take(1200 << 20);
    let zstd = zstd::encode_all(zeros(), 1).unwrap();
    let mut gzip = Vec::new();
    let mut packed = flate2::read::GzEncoder::new(zeros(), flate2::Compression::fast());
    packed.read_to_end(&mut gzip).unwrap();
    let cut = zstd[..zstd.len() / 2].to_vec();
    all_refused(vec![
        Case::layer("a zstd bomb", "more than", zstd),
        Case::layer("half a zstd frame", "inflate", cut),
        // A packed gigabyte of zeros takes gzip more bytes, which allow for more.
        Case::layer(
            "a gzip member without its end",
            "inflate",
            gzip[..gzip.len() / 1000].to_vec(),
        ),
    ]);
}

#[test]
fn a_bomb_of_brackets() {
    let deep = "[".repeat(100_000);
    let server = Server::start(move |_| typed(MANIFEST, deep.clone()));
    attempt(&server).refused("a bomb of brackets", &["deep"]);
}

#[test]
fn an_index_that_contains_itself_in_turn() {
    // A real cycle would need a broken hash: five levels stand for it.
    let good = Good::new();
    let mut bytes = good.index.to_string().into_bytes();
    let mut documents = good.documents.clone();
    for _ in 0..5 {
        documents.insert(
            format!("/v2/r/manifests/{}", Digest::of(&bytes)),
            (INDEX.into(), bytes.clone()),
        );
        let mut child = descriptor(INDEX, &bytes);
        child["platform"] =
            json!({"os": "linux", "architecture": image::Platform::host().architecture});
        bytes = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [child]})
            .to_string()
            .into_bytes();
    }
    documents.insert("/v2/r/manifests/1".into(), (INDEX.into(), bytes));
    let good = Good { documents, ..good };
    let server = Server::start(move |request| good.serve(request));
    attempt(&server).refused("five indexes deep", &["deep"]);
}

#[test]
fn content_types_that_lie() {
    for kind in [
        "text/html",
        "application/x-evil",
        LAYER,
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    ] {
        let good = Good::new();
        let server = Server::start(move |request| match good.part(request) {
            Some(Part::Index) => typed(kind, good.index.to_string()),
            _ => good.serve(request),
        });
        attempt(&server).refused(
            kind,
            &["where a manifest was asked for", "was sent as", "neither"],
        );
    }
    // A plain web server may not know better.
    let good = Good::new();
    let server = Server::start(move |request| match good.part(request) {
        Some(Part::Index) => typed("application/json; charset=utf-8", good.index.to_string()),
        _ => good.serve(request),
    });
    attempt(&server).pulled("application/json");
}

#[test]
fn a_digest_header_that_lies() {
    let good = Good::new();
    let server = Server::start(move |request| match good.part(request) {
        Some(Part::Index) => Reply::Answer(
            200,
            vec![
                ("Content-Type".into(), INDEX.into()),
                ("Docker-Content-Digest".into(), Digest::of(b"x").to_string()),
            ],
            good.index.to_string().into_bytes(),
        ),
        _ => good.serve(request),
    });
    attempt(&server).refused("a lying header", &["digest"]);
}

#[test]
fn a_challenge_that_never_ends() {
    let challenges = [
        "Basic realm=\"x\"",
        "Bearer realm=\"http://HOST/token\",service=\"s\"",
        "Negotiate",
        "",
    ];
    for challenge in challenges {
        let server = Server::start(move |request| {
            if request.path.starts_with("/token") {
                return answer(200, r#"{"token":"abc"}"#);
            }
            let challenge = challenge.replace("HOST", &request.host.to_string());
            Reply::Answer(
                401,
                vec![("WWW-Authenticate".into(), challenge)],
                Vec::new(),
            )
        });
        attempt(&server).refused(challenge, &["denied"]);
        assert!(
            server.requests().len() < 20,
            "{challenge}: {} requests",
            server.requests().len()
        );
    }
}

#[test]
fn tokens_that_are_wrong() {
    type Make = fn() -> Reply;
    let cases: &[(&str, &[&str], Make)] = &[
        ("without end", &["more than", "deep"], || endless()),
        ("no JSON", &["cannot read the answer"], || {
            answer(200, "<html>")
        }),
        ("no token in it", &["without a token"], || answer(200, "{}")),
        ("a token with a line break", &["without a token"], || {
            answer(200, r#"{"token":"a\r\nX-Evil: 1"}"#)
        }),
        ("refused", &["denied"], || answer(401, "secret words")),
        ("broken", &["500"], || answer(500, "secret words")),
        ("silent", &["nothing for"], || Reply::Silent(LIMIT)),
    ];
    for (name, words, make) in cases {
        let make = *make;
        let server = Server::start(move |request| {
            if request.path.starts_with("/token") {
                return make();
            }
            let challenge = format!("Bearer realm=\"http://{}/token\"", request.host);
            Reply::Answer(
                401,
                vec![("WWW-Authenticate".into(), challenge)],
                Vec::new(),
            )
        });
        let outcome = attempt(&server);
        assert!(
            !outcome
                .result
                .as_ref()
                .is_err_and(|text| text.contains("secret")),
            "{name}"
        );
        outcome.refused(name, words);
    }
}

#[test]
fn credentials_stay_with_their_registry() {
    let other = Server::start(|request| {
        assert!(request.method == "GET");
        typed("", layer_bytes(400_000))
    });
    let elsewhere = other.address;
    let good = Good::new();
    let server = Server::start(move |request| {
        if request.header("authorization").is_none() {
            return Reply::Answer(
                401,
                vec![("WWW-Authenticate".into(), "Basic realm=\"x\"".into())],
                Vec::new(),
            );
        }
        match good.part(request) {
            Some(Part::Layer) => redirect(&format!("http://{elsewhere}/blob?signature=secret")),
            _ => good.serve(request),
        }
    });
    let credentials = Credentials::Password {
        user: "me".into(),
        password: "hush".into(),
    };
    attempt_in(tempfile::tempdir().unwrap(), &server, Some(credentials)).pulled("redirected layer");
    let seen = other.requests();
    assert!(!seen.is_empty());
    assert!(
        seen.iter()
            .all(|request| request.header("authorization").is_none()),
        "{seen:?}"
    );
}

#[test]
fn a_realm_in_clear_elsewhere_gets_nothing() {
    let server = Server::start(|_| {
        let challenge = "Bearer realm=\"http://registry.invalid/token\"";
        Reply::Answer(
            401,
            vec![("WWW-Authenticate".into(), challenge.into())],
            Vec::new(),
        )
    });
    let credentials = Credentials::Password {
        user: "me".into(),
        password: "hush".into(),
    };
    let outcome = attempt_in(tempfile::tempdir().unwrap(), &server, Some(credentials));
    assert!(
        !outcome
            .result
            .as_ref()
            .is_err_and(|text| text.contains("hush"))
    );
    outcome.refused("a realm in clear", &["anybody on the way"]);
}

#[test]
fn secrets_in_urls_are_not_shown() {
    let good = Good::new();
    let server = Server::start(move |request| match good.part(request) {
        Some(Part::Layer) => redirect("http://user:hush@127.0.0.1:1/blob?signature=hush"),
        _ => good.serve(request),
    });
    let outcome = attempt(&server);
    assert!(
        !outcome
            .result
            .as_ref()
            .is_err_and(|text| text.contains("hush")),
        "{:?}",
        outcome.result
    );
    outcome.refused("a secret URL", &["cannot reach"]);
}

#[test]
fn ranges_that_lie() {
    let cases: &[(&str, &[&str])] = &[
        ("bytes 0-9/400000", &["instead of", "should have"]),
        (
            "bytes 999999-/1",
            &["instead of", "without saying", "should have"],
        ),
        ("", &["without saying"]),
        ("bytes x", &["without saying"]),
    ];
    for (range, words) in cases {
        let (good, range_value) = (Good::new(), (*range).to_owned());
        let server = Server::start(move |request| match good.part(request) {
            Some(Part::Layer) if request.earlier == 0 => cut(good.layer.len(), &good.layer[..5000]),
            Some(Part::Layer) => Reply::Answer(
                206,
                vec![("Content-Range".into(), range_value.clone())],
                good.layer[5000..].to_vec(),
            ),
            _ => good.serve(request),
        });
        attempt(&server).refused(range, words);
    }
}
