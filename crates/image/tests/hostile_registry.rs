//! A registry that does everything wrong, in this process: each fault in turn,
//! at each kind of document. Every case must end soon, with words that say what
//! happened, and leave nothing in the store that was not checked.

use std::collections::HashMap;
use std::fs;
use std::io::{Cursor, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use image::layer::tar::Writer;
use image::registry::{Credentials, Options};
use image::{Digest, PullOptions, Pulled, Reference, Silent, Store, pull};
use serde_json::{Value, json};

const STALL: Duration = Duration::from_millis(250);
const LIMIT: Duration = Duration::from_secs(20);
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// One request as it came.
#[derive(Clone, Debug)]
struct Request {
    method: String,
    path: String,
    headers: HashMap<String, String>,
    /// How many requests for this path came before.
    earlier: usize,
    host: SocketAddr,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    fn range_start(&self) -> Option<usize> {
        self.header("range")?
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    }
}

/// What is sent back.
enum Reply {
    Answer(u16, Vec<(String, String)>, Vec<u8>),
    /// Says it has so many bytes, sends these, and closes.
    Cut(usize, Vec<u8>),
    /// Sends these forever.
    Endless(Vec<u8>),
    /// One byte now and then, forever.
    Drip,
    /// Nothing at all.
    Silent,
    /// Closes at once.
    Closed,
    /// Bytes as they are, then closes.
    Raw(Vec<u8>),
}

fn answer(status: u16, body: impl Into<Vec<u8>>) -> Reply {
    Reply::Answer(status, Vec::new(), body.into())
}

fn typed(kind: &str, body: impl Into<Vec<u8>>) -> Reply {
    Reply::Answer(200, vec![("Content-Type".into(), kind.into())], body.into())
}

fn redirect(target: &str) -> Reply {
    Reply::Answer(307, vec![("Location".into(), target.into())], Vec::new())
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (seen, handler): (_, Arc<Handler>) = (Arc::clone(&requests), Arc::new(handler));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, handler) = (Arc::clone(&seen), Arc::clone(&handler));
                thread::spawn(move || serve(stream, address, &seen, &*handler));
            }
        });
        Self { address, requests }
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    host: SocketAddr,
    seen: &Mutex<Vec<Request>>,
    handler: &Handler,
) -> Option<()> {
    let request = read_request(&mut stream, host, seen)?;
    let reply = handler(&request);
    let _ = send(&mut stream, &request, reply);
    let _ = stream.shutdown(Shutdown::Write);
    Some(())
}

fn read_request(
    stream: &mut TcpStream,
    host: SocketAddr,
    seen: &Mutex<Vec<Request>>,
) -> Option<Request> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        text.push(byte[0]);
    }
    let text = String::from_utf8(text).ok()?;
    let mut lines = text.lines();
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers
        .map(|(k, v)| (k.to_ascii_lowercase(), v.to_owned()))
        .collect();
    let mut seen = seen.lock().unwrap();
    let earlier = seen.iter().filter(|request| request.path == path).count();
    let request = Request {
        method,
        path,
        headers,
        earlier,
        host,
    };
    seen.push(request.clone());
    Some(request)
}

fn send(stream: &mut TcpStream, request: &Request, reply: Reply) -> std::io::Result<()> {
    match reply {
        Reply::Answer(status, headers, body) => {
            let mut head = format!(
                "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n",
                body.len()
            );
            for (name, value) in headers {
                head += &format!("{name}: {value}\r\n");
            }
            stream.write_all(format!("{head}\r\n").as_bytes())?;
            if request.method != "HEAD" {
                stream.write_all(&body)?;
            }
            Ok(())
        }
        Reply::Cut(length, body) => {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {MANIFEST}\r\nContent-Length: {length}\r\n\r\n"
            );
            stream.write_all(head.as_bytes())?;
            stream.write_all(&body)
        }
        Reply::Endless(piece) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: ")?;
            stream.write_all(format!("{MANIFEST}\r\nConnection: close\r\n\r\n").as_bytes())?;
            loop {
                stream.write_all(&piece)?;
            }
        }
        Reply::Drip => {
            stream.write_all(
                format!("HTTP/1.1 200 OK\r\nContent-Type: {MANIFEST}\r\nConnection: close\r\n\r\n")
                    .as_bytes(),
            )?;
            loop {
                stream.write_all(b" ")?;
                thread::sleep(STALL / 3);
            }
        }
        Reply::Silent => {
            thread::sleep(LIMIT);
            Ok(())
        }
        Reply::Closed => Ok(()),
        Reply::Raw(bytes) => stream.write_all(&bytes),
    }
}

/// A good image for this platform, behind an index.
struct Good {
    documents: HashMap<String, (String, Vec<u8>)>,
    layer: Vec<u8>,
    config: Value,
    manifest: Value,
    index: Value,
}

fn layer_bytes(size: usize) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    let data: Vec<u8> = (0..size).map(|at| (at * 7 % 251) as u8).collect();
    writer
        .file("file", 0o644, data.len() as u64, &mut Cursor::new(data))
        .unwrap();
    writer.finish().unwrap()
}

fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len()})
}

impl Good {
    fn new() -> Self {
        Self::with_layer(layer_bytes(400_000), |_| {}, |_| {}, |_| {})
    }

    /// The same image with its documents changed before they are digested.
    fn with_layer(
        layer: Vec<u8>,
        config_change: impl Fn(&mut Value),
        manifest_change: impl Fn(&mut Value),
        index_change: impl Fn(&mut Value),
    ) -> Self {
        let host = image::Platform::host();
        let mut config = json!({
            "architecture": host.architecture, "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]},
        });
        config_change(&mut config);
        let config_bytes = config.to_string().into_bytes();
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &config_bytes), "layers": [descriptor(LAYER, &layer)],
        });
        manifest_change(&mut manifest);
        let manifest_bytes = manifest.to_string().into_bytes();
        let mut child = descriptor(MANIFEST, &manifest_bytes);
        child["platform"] = json!({"os": "linux", "architecture": host.architecture});
        let mut index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [child]});
        index_change(&mut index);
        let index_bytes = index.to_string().into_bytes();
        let manifest_digest = Digest::of(&manifest_bytes);
        let documents = HashMap::from([
            (
                "/v2/r/manifests/1".to_owned(),
                (INDEX.to_owned(), index_bytes),
            ),
            (
                format!("/v2/r/manifests/{manifest_digest}"),
                (MANIFEST.to_owned(), manifest_bytes),
            ),
            (
                format!("/v2/r/blobs/{}", Digest::of(&config_bytes)),
                (String::new(), config_bytes),
            ),
            (
                format!("/v2/r/blobs/{}", Digest::of(&layer)),
                (String::new(), layer.clone()),
            ),
        ]);
        Self {
            documents,
            layer,
            config,
            manifest,
            index,
        }
    }

    fn serve(&self, request: &Request) -> Reply {
        let Some((kind, bytes)) = self.documents.get(&request.path) else {
            return answer(404, "");
        };
        match request.range_start() {
            Some(start) if kind.is_empty() => {
                let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
                Reply::Answer(
                    206,
                    vec![("Content-Range".into(), range)],
                    bytes[start..].to_vec(),
                )
            }
            _ => typed(kind, bytes.clone()),
        }
    }

    fn part(&self, request: &Request) -> Option<Part> {
        let (kind, bytes) = self.documents.get(&request.path)?;
        Some(match kind.as_str() {
            INDEX => Part::Index,
            MANIFEST => Part::Manifest,
            _ if *bytes == self.layer => Part::Layer,
            _ => Part::Config,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Index,
    Manifest,
    Config,
    Layer,
}

struct Attempt {
    result: Result<Pulled, String>,
    store: Store,
    dir: tempfile::TempDir,
}

fn attempt(server: &Server) -> Attempt {
    attempt_in(tempfile::tempdir().unwrap(), server, None)
}

fn attempt_in(
    dir: tempfile::TempDir,
    server: &Server,
    credentials: Option<Credentials>,
) -> Attempt {
    let store = Store::open(dir.path()).unwrap();
    let reference: Reference = format!("{}/r:1", server.address).parse().unwrap();
    let auth_file = Some(dir.path().join("no-such-file"));
    let registries = Options {
        stall: Some(STALL),
        credentials,
        auth_file,
        ..Options::default()
    };
    let options = PullOptions {
        registries,
        ..PullOptions::default()
    };
    let started = Instant::now();
    let result = pull(&store, &reference, &options, &Silent).map_err(|error| {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        text
    });
    assert!(
        started.elapsed() < LIMIT,
        "took {:?}: {result:?}",
        started.elapsed()
    );
    Attempt { result, store, dir }
}

impl Attempt {
    fn refused(self, name: &str, words: &[&str]) {
        match &self.result {
            Ok(_) => panic!("{name}: was pulled"),
            Err(text) => {
                assert!(
                    words.iter().any(|word| text.contains(word)),
                    "{name}: said {text:?}"
                );
                assert!(
                    text.len() < 1000 && !text.contains('\n'),
                    "{name}: said {text:?}"
                );
            }
        }
        assert!(
            self.store.entries().unwrap().is_empty(),
            "{name}: has a name"
        );
        let names = |path: &str| fs::read_dir(self.dir.path().join(path)).unwrap().count();
        assert_eq!(names("layers"), 0, "{name}: left a layer");
        assert_eq!(names("images/blobs/sha256"), 0, "{name}: left a blob");
    }

    fn pulled(&self, name: &str) -> &Pulled {
        self.result
            .as_ref()
            .unwrap_or_else(|text| panic!("{name}: {text}"))
    }
}

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
        |good| Reply::Cut(good.len(), good[..good.len() / 2].to_vec()),
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
    ("without end", &["more than", "should have"], |_| {
        Reply::Endless(vec![b' '; 64 << 10])
    }),
    (
        "dripping",
        &["nothing for", "more than", "should have", "EOF"],
        |_| Reply::Drip,
    ),
    ("silent", &["nothing for"], |_| Reply::Silent),
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
        |good| Reply::Cut(good.len() + 1000, good.to_vec()),
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

/// Images that are wrong in themselves.
#[test]
#[allow(clippy::too_many_lines, reason = "a table of cases")]
fn hostile_documents() {
    let nothing = |_: &mut Value| {};
    let small = || layer_bytes(10);
    let deep = "[".repeat(100_000);
    let cases: Vec<(&str, &str, Good)> = vec![
        (
            "a layer digest that is a path",
            "not a digest",
            Good::with_layer(
                small(),
                nothing,
                |m| m["layers"][0]["digest"] = json!("sha256:../../../etc/passwd"),
                nothing,
            ),
        ),
        (
            "a config digest that is a path",
            "not a digest",
            Good::with_layer(
                small(),
                nothing,
                |m| m["config"]["digest"] = json!("../x"),
                nothing,
            ),
        ),
        (
            "a child digest that is a path",
            "not a digest",
            Good::with_layer(small(), nothing, nothing, |i| {
                i["manifests"][0]["digest"] = json!("sha256:/")
            }),
        ),
        (
            "a digest of an unknown kind",
            "not a digest",
            Good::with_layer(
                small(),
                nothing,
                |m| m["layers"][0]["digest"] = json!("md5:d41d8cd98f00b204e9800998ecf8427e"),
                nothing,
            ),
        ),
        (
            "a negative size",
            "invalid value",
            Good::with_layer(
                small(),
                nothing,
                |m| m["layers"][0]["size"] = json!(-1),
                nothing,
            ),
        ),
        (
            "a layer size too small",
            "should have",
            Good::with_layer(
                small(),
                nothing,
                |m| m["layers"][0]["size"] = json!(5),
                nothing,
            ),
        ),
        (
            "a layer size too large",
            "should have",
            Good::with_layer(
                small(),
                nothing,
                |m| m["layers"][0]["size"] = json!(1u64 << 40),
                nothing,
            ),
        ),
        (
            "a config size that lies",
            "more than",
            Good::with_layer(
                small(),
                nothing,
                |m| m["config"]["size"] = json!(7),
                nothing,
            ),
        ),
        (
            "a config of gigabytes",
            "more than",
            Good::with_layer(
                small(),
                nothing,
                |m| m["config"]["size"] = json!(1u64 << 33),
                nothing,
            ),
        ),
        (
            "a child size that lies",
            "should have",
            Good::with_layer(small(), nothing, nothing, |i| {
                i["manifests"][0]["size"] = json!(7)
            }),
        ),
        (
            "an unknown layer type",
            "unknown media type",
            Good::with_layer(
                small(),
                nothing,
                |m| m["layers"][0]["mediaType"] = json!("application/x-evil"),
                nothing,
            ),
        ),
        (
            "a layer that is a manifest",
            "unknown media type",
            Good::with_layer(
                small(),
                nothing,
                |m| m["layers"][0]["mediaType"] = json!(MANIFEST),
                nothing,
            ),
        ),
        (
            "501 layers",
            "at most 500",
            Good::with_layer(
                small(),
                nothing,
                |m| m["layers"] = json!(vec![m["layers"][0].clone(); 501]),
                nothing,
            ),
        ),
        (
            "1001 manifests",
            "at most 1000",
            Good::with_layer(small(), nothing, nothing, |i| {
                i["manifests"] = json!(vec![i["manifests"][0].clone(); 1001])
            }),
        ),
        (
            "more diff ids than layers",
            "its config 2",
            Good::with_layer(
                small(),
                |c| c["rootfs"]["diff_ids"] = json!(vec![c["rootfs"]["diff_ids"][0].clone(); 2]),
                nothing,
                nothing,
            ),
        ),
        (
            "no diff ids",
            "its config 0",
            Good::with_layer(
                small(),
                |c| c["rootfs"]["diff_ids"] = Value::Null,
                nothing,
                nothing,
            ),
        ),
        (
            "another diff id",
            "another diff id",
            Good::with_layer(
                small(),
                |c| c["rootfs"]["diff_ids"] = json!([Digest::of(b"other")]),
                nothing,
                nothing,
            ),
        ),
        (
            "an artifact",
            "artifact",
            Good::with_layer(
                small(),
                nothing,
                |m| m["artifactType"] = json!("application/x-evil"),
                nothing,
            ),
        ),
        (
            "a manifest that is an index as well",
            "members do not fit",
            Good::with_layer(small(), nothing, |m| m["manifests"] = json!([]), nothing),
        ),
        (
            "an index that is a manifest as well",
            "members do not fit",
            Good::with_layer(small(), nothing, nothing, |i| i["layers"] = json!([])),
        ),
        (
            "a manifest that calls itself an index",
            "but was sent as",
            Good::with_layer(small(), nothing, |m| m["mediaType"] = json!(INDEX), nothing),
        ),
        (
            "schema 1",
            "schema",
            Good::with_layer(small(), nothing, |m| m["schemaVersion"] = json!(1), nothing),
        ),
        (
            "schema 3",
            "schemaVersion",
            Good::with_layer(small(), nothing, |m| m["schemaVersion"] = json!(3), nothing),
        ),
        (
            "only attestations",
            "no image for",
            Good::with_layer(small(), nothing, nothing, |i| {
                i["manifests"][0]["annotations"] =
                    json!({"vnd.docker.reference.type": "attestation-manifest"})
            }),
        ),
        (
            "only other platforms",
            "no image for",
            Good::with_layer(small(), nothing, nothing, |i| {
                i["manifests"][0]["platform"]["architecture"] = json!("pdp11")
            }),
        ),
        (
            "labels of a megabyte",
            "labels",
            Good::with_layer(
                small(),
                |c| c["config"] = json!({"Labels": {"a": "x".repeat(1 << 20)}}),
                nothing,
                nothing,
            ),
        ),
        (
            "a layer that is no archive",
            "checksum",
            Good::with_layer(vec![b'x'; 2000], nothing, nothing, nothing),
        ),
        (
            "a layer of xz",
            "xz",
            Good::with_layer(b"\xfd7zXZ\0...".to_vec(), nothing, nothing, nothing),
        ),
        (
            "a manifest nested too deep",
            "deep",
            Good::with_layer(
                small(),
                nothing,
                |m| {
                    m["annotations"] =
                        serde_json::from_str(&format!("{}{}", "[".repeat(100), "]".repeat(100)))
                            .unwrap()
                },
                nothing,
            ),
        ),
        (
            "a zstd window of gigabytes",
            "inflate",
            Good::with_layer(
                vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 1, 0, 0],
                nothing,
                nothing,
                nothing,
            ),
        ),
    ];
    for (name, words, good) in cases {
        let server = Server::start(move |request| good.serve(request));
        attempt(&server).refused(name, &[words]);
    }
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
        ("without end", &["more than", "deep"], || {
            Reply::Endless(vec![b' '; 64 << 10])
        }),
        ("no JSON", &["cannot read the answer"], || {
            answer(200, "<html>")
        }),
        ("no token in it", &["without a token"], || answer(200, "{}")),
        ("a token with a line break", &["without a token"], || {
            answer(200, r#"{"token":"a\r\nX-Evil: 1"}"#)
        }),
        ("refused", &["denied"], || answer(401, "secret words")),
        ("broken", &["500"], || answer(500, "secret words")),
        ("silent", &["nothing for"], || Reply::Silent),
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
            Some(Part::Layer) if request.earlier == 0 => {
                Reply::Cut(good.layer.len(), good.layer[..5000].to_vec())
            }
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

#[test]
fn a_broken_blob_goes_on_where_it_stopped() {
    let good = Good::new();
    let total = good.layer.len();
    let server = Server::start(move |request| match (good.part(request), request.earlier) {
        (Some(Part::Layer), 0) => Reply::Cut(total, good.layer[..100_000].to_vec()),
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
        (Some(Part::Layer), 0) => Reply::Cut(good.layer.len(), good.layer[..100_000].to_vec()),
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
            (Some(Part::Layer), 0) => Reply::Cut(good.layer.len(), good.layer[..300_000].to_vec()),
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
