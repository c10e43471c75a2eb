//! Whatever bytes come: the readers of references, manifests, configs and archives never panic, and an
//! archive with damaged headers writes nowhere but into its layer.

use std::io::Cursor;

use image::archive::{Source, load};
use image::layer::tar::{Entry, Kind, Reader, Writer};
use image::{Digest, Document, ImageConfig, Platform, Reference, Silent, Store, media_type};
use proptest::prelude::*;

/// An archive with one entry of each kind.
fn archive() -> Vec<u8> {
    let kinds = [
        (Kind::Directory, "d"),
        (Kind::File, "d/f"),
        (Kind::Symlink, "d/s"),
        (Kind::HardLink, "d/h"),
        (Kind::Fifo, "d/p"),
        (Kind::File, "d/.wh.x"),
    ];
    let mut out = Writer::new(Vec::new());
    for (kind, name) in kinds {
        let size = if name == "d/f" { 3 } else { 0 };
        let entry = Entry {
            link: b"d/f".to_vec(),
            xattrs: vec![(b"user.x".to_vec(), b"y".to_vec())],
            ..Entry::plain(name.into(), kind, 0o644, size)
        };
        out.entry(&entry, &mut Cursor::new(b"abc")).unwrap();
    }
    out.finish().unwrap()
}

/// Changes bytes here and there and makes the checksums of all headers right again.
fn damaged(changes: &[(usize, u8)]) -> Vec<u8> {
    let mut bytes = archive();
    for (at, value) in changes {
        let at = at % bytes.len();
        bytes[at] = *value;
    }
    for block in bytes.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    bytes
}

fn read_to_the_end(bytes: &[u8]) {
    let mut reader = Reader::new(Cursor::new(bytes));
    while let Ok(Some(_)) = reader.next_entry() {
        while let Ok(piece) = reader.data() {
            let length = piece.len();
            if length == 0 {
                break;
            }
            reader.consume(length);
        }
    }
}

proptest! {
    #[test]
    fn no_text_or_bytes_make_a_reader_panic(text: String, bytes: Vec<u8>) {
        let _ = text.parse::<Reference>();
        let _ = text.parse::<Digest>();
        let _ = text.parse::<Platform>();
        for kind in [media_type::OCI_MANIFEST, media_type::OCI_INDEX, media_type::DOCKER_MANIFEST] {
            let _ = Document::parse(&bytes, kind);
            let _ = Document::parse(text.as_bytes(), kind);
        }
        let _ = ImageConfig::parse(&bytes);
        read_to_the_end(&bytes);
    }

    #[test]
    fn damaged_headers_are_read_or_refused(
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..30)
    ) {
        read_to_the_end(&damaged(&changes));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_layer_with_damaged_headers_stays_inside(
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..12)
    ) {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let base = tempfile::tempdir().unwrap();
        let root = base.path().join("root");
        let store = Store::open(&root).unwrap();
        let layer = damaged(&changes);
        let config = serde_json::json!({
            "architecture": Platform::host().architecture, "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]},
        })
        .to_string();
        let list = r#"[{"Config": "c", "RepoTags": ["t:1"], "Layers": ["l"]}]"#;
        let mut out = Writer::new(Vec::new());
        for (name, bytes) in [("c", config.as_bytes()), ("manifest.json", list.as_bytes()), ("l", &layer)] {
            out.file(name, 0o644, bytes.len() as u64, &mut Cursor::new(bytes)).unwrap();
        }
        let source = Source::Archive(Box::new(Cursor::new(out.finish().unwrap())));
        let loaded = load(&store, source, None, &Silent);
        let beside: Vec<_> = std::fs::read_dir(base.path()).unwrap().collect();
        prop_assert_eq!(beside.len(), 1, "something was written beside the store");
        if loaded.is_err() {
            let layers = std::fs::read_dir(root.join("layers")).unwrap().count();
            prop_assert_eq!(layers, 0, "something is left of what was refused");
        }
    }
}
