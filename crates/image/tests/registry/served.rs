//! A small image as a registry serves it, and one attempt to pull it into a store of its own.

use std::collections::HashMap;
use std::fs;
use std::io::Cursor;
use std::time::{Duration, Instant};

use image::layer::tar::Writer;
use image::registry::{Credentials, Options};
use image::{Digest, PullOptions, Pulled, Reference, Silent, Store, pull};
use serde_json::{Value, json};
use support::http::{Reply, Request, Server, answer, typed};

pub(crate) const STALL: Duration = Duration::from_millis(250);
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Says it has so many bytes, and sends fewer.
pub(crate) fn cut(length: usize, body: &[u8]) -> Reply {
    Reply::Cut {
        length,
        kind: MANIFEST,
        body: body.to_vec(),
    }
}

pub(crate) fn endless() -> Reply {
    Reply::Endless {
        kind: MANIFEST,
        piece: vec![b' '; 64 << 10],
    }
}

/// A good image for this platform, behind an index.
pub(crate) struct Good {
    pub(crate) documents: HashMap<String, (String, Vec<u8>)>,
    pub(crate) layer: Vec<u8>,
    pub(crate) config: Value,
    pub(crate) manifest: Value,
    pub(crate) index: Value,
}

pub(crate) fn layer_bytes(size: usize) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    let data: Vec<u8> = (0..size).map(|at| (at * 7 % 251) as u8).collect();
    writer
        .file("file", 0o644, data.len() as u64, &mut Cursor::new(data))
        .unwrap();
    writer.finish().unwrap()
}

pub(crate) fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len()})
}

impl Good {
    pub(crate) fn new() -> Self {
        Self::with_layer(layer_bytes(400_000), |_| {}, |_| {}, |_| {})
    }

    /// The same image with its documents changed before they are digested.
    pub(crate) fn with_layer(
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

    pub(crate) fn serve(&self, request: &Request) -> Reply {
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

    pub(crate) fn part(&self, request: &Request) -> Option<Part> {
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
pub(crate) enum Part {
    Index,
    Manifest,
    Config,
    Layer,
}

pub(crate) struct Attempt {
    pub(crate) result: Result<Pulled, String>,
    pub(crate) store: Store,
    pub(crate) dir: tempfile::TempDir,
}

pub(crate) fn attempt(server: &Server) -> Attempt {
    attempt_in(tempfile::tempdir().unwrap(), server, None)
}

pub(crate) fn attempt_in(
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
    pub(crate) fn refused(self, name: &str, words: &[&str]) {
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
        // Some cases send gigabytes, and several run at once in this process.
        let most = most_memory();
        assert!(most < 512 << 20, "{name}: needed {most} bytes");
        // Only what a later attempt can go on with may stay.
        let may_go_on = ["cannot reach", "nothing for", "answered 5", "answered 429"];
        let text = self
            .result
            .as_ref()
            .map_or_else(Clone::clone, |_| String::new());
        if !may_go_on.iter().any(|words| text.contains(words)) {
            assert_eq!(names("images/partial"), 0, "{name}: left a part of a blob");
        }
    }

    pub(crate) fn pulled(&self, name: &str) -> &Pulled {
        self.result
            .as_ref()
            .unwrap_or_else(|text| panic!("{name}: {text}"))
    }
}

/// The most memory this process had at any time.
fn most_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.unwrap() << 10
}
