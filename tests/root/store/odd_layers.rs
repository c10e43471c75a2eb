//! Layers with everything odd that archives know, unpacked by lighter and by umoci (or, where umoci does
//! not know holes, by the GNU tar that wrote them): the two trees are compared entry by entry. Half of
//! the layers come from a seed that a failure prints (`LIGHTER_SEED` repeats it), half from GNU tar.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Cursor;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use image::Digest;
use image::layer::tar::{Entry, Kind, Time, Writer};
use serde_json::json;
use support::{Host, Need, Output, skipped};

use super::text;
use crate::crash::Moments;
use crate::host;

const IMAGES: usize = 25;
const LAYERS: usize = 3;
const ENTRIES: usize = 14;

#[test]
fn random_layers_are_unpacked_as_umoci_does() {
    let Some(host) = umoci_host() else { return };
    let mut moments = Moments::new();
    for number in 0..IMAGES {
        let mut merged = Merged::default();
        let layers: Vec<Vec<u8>> = (0..LAYERS).map(|_| merged.layer(&mut moments)).collect();
        let name = format!("random-{number}");
        let theirs = unpacked_by_umoci(&host, &name, &layers);
        same_trees(&host, &name, &layers, &theirs);
    }
}

#[test]
fn every_form_of_gnu_tar_is_unpacked_as_others_do() {
    let Some(host) = umoci_host() else { return };
    if skipped(&[Need::Program("setfattr"), Need::Program("setcap")]) {
        return;
    }
    let tree = host.directory().join("tree");
    host.shell(&format!(
        "mkdir -p {0}/sub/$(printf 'long%.0s' $(seq 60)) && cd {0}
         printf start >holes; truncate -s 3M holes; printf end >>holes; truncate -s 5M holes
         truncate -s 1M nothing; printf x >sub/$(printf 'name%.0s' $(seq 60))
         ln -s $(printf 'target/%.0s' $(seq 30)) link; ln holes again; mkfifo -m 640 pipe
         mknod -m 660 null c 1 3; mknod disk b 7 200; printf '\\377' >$(printf 'odd\\377name')
         printf '#!' >tool; chmod 4711 tool; chown 1000:1001 tool; cp tool ping; setcap cap_net_raw+ep ping
         setfattr -n user.note -v 'with space' sub; chmod 3775 sub; printf nl >\"$(printf 'new\\nline')\"
         touch -d '2001-02-03 04:05:06.123456789' tool; touch -hd '1969-12-31 23:00:00.5' link
         touch -d '2000-01-01 00:00:00.000000001' sub .",
        tree.display()
    ))
    .success();
    let forms = [
        "--format=ustar --exclude=*long* --exclude=*namename* --exclude=link",
        "--format=gnu",
        "--format=gnu --sparse",
        "--format=oldgnu --sparse",
        "--format=posix",
        "--format=posix --xattrs --xattrs-include=*",
        "--format=posix --sparse --sparse-version=0.0",
        "--format=posix --sparse --sparse-version=0.1 --xattrs --xattrs-include=*",
        "--format=posix --sparse --sparse-version=1.0 --pax-option=globexthdr.mtime=7",
    ];
    for (number, form) in forms.iter().enumerate() {
        let archive = host.directory().join("layer.tar");
        host.shell(&format!(
            "tar -C {} {form} -cf {} .",
            text(&tree),
            text(&archive)
        ))
        .success();
        let layer = fs::read(&archive).expect("tar wrote it");
        let name = format!("gnu-{number}");
        let theirs = if form.contains("--sparse") {
            let rootfs = host.directory().join(format!("{name}-tar/rootfs"));
            host.shell(&format!(
                "mkdir -p {0} && tar -C {0} --xattrs --xattrs-include=* -xpf {1}",
                text(&rootfs),
                text(&archive)
            ))
            .success();
            rootfs
        } else {
            unpacked_by_umoci(&host, &name, std::slice::from_ref(&layer))
        };
        same_trees(&host, &name, &[layer], &theirs);
    }
}

fn umoci_host() -> Option<Host> {
    host().filter(|_| !skipped(&[Need::Program("umoci")]))
}

#[track_caller]
fn unpacked_by_umoci(host: &Host, name: &str, layers: &[Vec<u8>]) -> PathBuf {
    let layout = host.directory().join(format!("{name}-umoci-layout"));
    write_layout(&layout, name, layers);
    let bundle = host.directory().join(format!("{name}-umoci"));
    let unpack = format!(
        "umoci --log=error unpack --image {}:{name} {}",
        text(&layout),
        text(&bundle)
    );
    host.shell(&unpack).success();
    bundle.join("rootfs")
}

/// Loads the image of these layers and compares what overlay makes of it with `theirs`.
#[track_caller]
fn same_trees(host: &Host, name: &str, layers: &[Vec<u8>], theirs: &Path) {
    let layout = host.directory().join(format!("{name}-layout"));
    write_layout(&layout, name, layers);
    host.lighter(["load", "-q", "-i", text(&layout)]).success();
    let store = image::Store::open(&host.root()).expect("the store is there");
    let image = store.find(name).expect("the image was loaded");
    let merged = host.directory().join(format!("{name}-merged"));
    let empty = host.directory().join("empty");
    fs::create_dir_all(&merged)
        .and_then(|()| fs::create_dir_all(&empty))
        .expect("the directory can be written");
    let mut lower: Vec<&str> = image
        .layers
        .iter()
        .rev()
        .map(|layer| text(&layer.directory))
        .collect();
    lower.push(text(&empty));
    let mount = format!(
        "mount -t overlay -o ro,lowerdir={} none {}",
        lower.join(":"),
        text(&merged)
    );
    host.shell(&mount).success();
    let ours = describe(&merged);
    host.shell(&format!("umount {}", text(&merged))).success();
    let theirs = describe(theirs);
    for path in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
        assert_eq!(
            ours.get(path),
            theirs.get(path),
            "{name}: ours and theirs, {}",
            path.display()
        );
    }
    assert!(!ours.is_empty(), "{name}: nothing was compared");
}

fn write_layout(path: &Path, name: &str, layers: &[Vec<u8>]) {
    let blobs = path.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("the directory can be written");
    let put = |media_type: &str, bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).expect("the directory can be written");
        json!({"mediaType": format!("application/vnd.oci.image.{media_type}"), "digest": digest, "size": bytes.len()})
    };
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let config = json!({
        "architecture": image::Platform::host().architecture, "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let descriptors: Vec<_> = layers
        .iter()
        .map(|layer| put("layer.v1.tar", layer))
        .collect();
    let manifest = json!({
        "schemaVersion": 2, "config": put("config.v1+json", config.to_string().as_bytes()),
        "layers": descriptors,
    });
    let mut entry = put("manifest.v1+json", manifest.to_string().as_bytes());
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    fs::write(path.join("index.json"), index.to_string()).expect("the directory can be written");
    fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
        .expect("the directory can be written");
}

/// Everything below `root`, but not `root` itself, with all that a layer says of it.
fn describe(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(directory) = todo.pop() {
        for found in fs::read_dir(&directory).expect("it is a directory") {
            let path = found.expect("it can be listed").path();
            let meta = fs::symlink_metadata(&path).expect("it is there");
            let kind = meta.file_type();
            let content = if kind.is_dir() {
                todo.push(path.clone());
                "directory".to_owned()
            } else if kind.is_symlink() {
                format!("link to {:?}", fs::read_link(&path).expect("it is a link"))
            } else if kind.is_file() {
                let content = fs::read(&path).expect("root reads everything");
                let sparse = meta.blocks() * 512 < meta.len() / 2;
                format!(
                    "file {} {} sparse {sparse}",
                    meta.len(),
                    Digest::of(&content).short()
                )
            } else {
                let (block, pipe) = (kind.is_block_device(), kind.is_fifo());
                format!("device block {block} pipe {pipe} {:x}", meta.rdev())
            };
            let attributes = format!(
                "{:o} {}:{} {}.{:09} {:?}",
                meta.mode(),
                meta.uid(),
                meta.gid(),
                meta.mtime(),
                meta.mtime_nsec(),
                xattrs(&path)
            );
            let name = path.strip_prefix(root).expect("it is below").to_owned();
            all.insert(name, format!("{attributes} {content}"));
        }
    }
    all
}

fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0u8; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let names = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    let names =
        names.filter(|name| !name.starts_with(b"trusted.overlay.") && name != b"security.selinux");
    names
        .map(|name| {
            let mut value = vec![0u8; 4096];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).expect("it was listed");
            (
                String::from_utf8_lossy(name).into_owned(),
                value[..length].to_vec(),
            )
        })
        .collect()
}

/// What the layers so far make together: every path with the entry it came from.
#[derive(Default)]
struct Merged(BTreeMap<String, (Entry, Vec<u8>)>);

impl Merged {
    /// One more layer of random entries.
    fn layer(&mut self, moments: &mut Moments) -> Vec<u8> {
        let lower: Vec<String> = self.0.keys().cloned().collect();
        let mut own: BTreeSet<String> = BTreeSet::new();
        let mut out = Writer::new(Vec::new());
        let mut write = |entry: &Entry, data: &[u8]| {
            out.entry(entry, &mut Cursor::new(data))
                .expect("memory can be written");
        };
        for _ in 0..ENTRIES {
            let choice = moments.number(12);
            if choice < 2
                && let Some(path) = self.untouched(&lower, &own, moments)
            {
                let opaque = choice == 0 && self.0[&path].0.kind == Kind::Directory;
                let (parent, name) = path
                    .rsplit_once('/')
                    .map_or(("", &*path), |(parent, name)| (parent, name));
                let hiding = match (opaque, parent) {
                    (true, _) => format!("{path}/.wh..wh..opq"),
                    (false, "") => format!(".wh.{name}"),
                    (false, _) => format!("{parent}/.wh.{name}"),
                };
                write(
                    &Entry::plain(hiding.into_bytes(), Kind::File, 0o644, 0),
                    b"",
                );
                self.remove(&path, opaque);
                own.insert(path);
                continue;
            }
            let path = self.free_path(moments);
            let (entry, data) = match self.linkable(&path, moments) {
                Some((target, (entry, _))) if choice < 4 => {
                    let link = target.clone().into_bytes();
                    let entry = Entry {
                        path: path.clone().into_bytes(),
                        kind: Kind::HardLink,
                        link,
                        ..entry
                    };
                    write(&entry, b"");
                    let same = self.0[&target].clone();
                    self.remove(&path, false);
                    self.0.insert(path.clone(), same);
                    own.insert(path);
                    continue;
                }
                _ => random_entry(&path, moments),
            };
            write(&entry, &data);
            let keeps = entry.kind == Kind::Directory
                && self
                    .0
                    .get(&path)
                    .is_some_and(|(old, _)| old.kind == Kind::Directory);
            if !keeps {
                self.remove(&path, false);
            }
            self.0.insert(path.clone(), (entry, data));
            own.insert(path);
        }
        out.finish().expect("memory can be written")
    }

    /// A path of the layers below that this layer has said nothing of, nor of what is in it.
    fn untouched(
        &self,
        lower: &[String],
        own: &BTreeSet<String>,
        moments: &mut Moments,
    ) -> Option<String> {
        let related = |a: &str, b: &str| {
            a == b || a.starts_with(&format!("{b}/")) || b.starts_with(&format!("{a}/"))
        };
        let free: Vec<&String> = lower
            .iter()
            .filter(|path| self.0.contains_key(*path) && !own.iter().any(|one| related(one, path)))
            .collect();
        (!free.is_empty()).then(|| free[moments.number(free.len())].clone())
    }

    /// A name in a directory that is there.
    fn free_path(&self, moments: &mut Moments) -> String {
        let directories = self.0.iter().filter(|(path, (entry, _))| {
            entry.kind == Kind::Directory && path.matches('/').count() < 3
        });
        let mut parents: Vec<String> = directories.map(|(path, _)| format!("{path}/")).collect();
        parents.push(String::new());
        let name = ["a", "b", "c", "d", "e"][moments.number(5)];
        format!("{}{name}", parents[moments.number(parents.len())])
    }

    /// Something a hard link at `path` may lead to.
    fn linkable(&self, path: &str, moments: &mut Moments) -> Option<(String, (Entry, Vec<u8>))> {
        let below = format!("{path}/");
        let files: Vec<_> = self
            .0
            .iter()
            .filter(|(target, (entry, _))| {
                entry.kind == Kind::File && *target != path && !target.starts_with(&below)
            })
            .collect();
        let (target, found) = files.get(moments.number(files.len().max(1)))?;
        Some(((*target).clone(), (*found).clone()))
    }

    fn remove(&mut self, path: &str, only_below: bool) {
        let below = format!("{path}/");
        self.0
            .retain(|known, _| !known.starts_with(&below) && (only_below || known != path));
    }
}

fn random_entry(path: &str, moments: &mut Moments) -> (Entry, Vec<u8>) {
    let kinds = [
        Kind::File,
        Kind::File,
        Kind::File,
        Kind::Directory,
        Kind::Directory,
        Kind::Directory,
        Kind::Symlink,
        Kind::CharDevice,
        Kind::BlockDevice,
        Kind::Fifo,
    ];
    let kind = kinds[moments.number(kinds.len())];
    let modes: &[u32] = match kind {
        Kind::Directory => &[0o755, 0o700, 0o1777, 0o2775, 0o3000],
        Kind::Symlink => &[0o777],
        _ => &[0o644, 0o755, 0o600, 0o4755, 0o2711, 0o6711, 0o1644, 0],
    };
    let owners = [0, 0, 1, 1000, 65534];
    let data = if kind == Kind::File {
        vec![b'x'; moments.number(1500)]
    } else {
        Vec::new()
    };
    let mut entry = Entry {
        uid: owners[moments.number(owners.len())],
        gid: owners[moments.number(owners.len())],
        mtime: Time {
            seconds: i64::try_from(moments.number(4_000_000_000)).unwrap_or(0) - 1_000_000_000,
            nanoseconds: [0, 1, 123_456_789, 999_999_999][moments.number(4)],
        },
        device: if matches!(kind, Kind::CharDevice | Kind::BlockDevice) {
            (7, 300)
        } else {
            (0, 0)
        },
        ..Entry::plain(
            path.as_bytes().to_vec(),
            kind,
            modes[moments.number(modes.len())],
            data.len() as u64,
        )
    };
    if kind == Kind::Symlink {
        entry.link = [&b"a"[..], b"../b", b"/c", b"nowhere/at/all"][moments.number(4)].to_vec();
    }
    if matches!(kind, Kind::File | Kind::Directory) && moments.number(3) == 0 {
        entry
            .xattrs
            .push((b"user.note".to_vec(), b"a\0=\n".to_vec()));
    }
    if kind == Kind::File && moments.number(4) == 0 {
        // cap_net_raw+ep, version 2, as setcap writes it.
        let value = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        entry
            .xattrs
            .push((b"security.capability".to_vec(), value.to_vec()));
    }
    (entry, data)
}

#[test]
fn a_store_of_a_newer_lighter_is_refused_and_one_of_an_older_opens() {
    let Some(host) = host() else { return };
    host.fixtures();
    host.lighter(["pull", "-q", super::BUSYBOX]).success();
    // Before version 1 said it, records had no word about the root.
    host.shell(&format!(
        "for record in {0}/layers/*/layer.json; do jq 'del(.describes_root)' $record >new; mv new $record; done
         rm {0}/images/reserve",
        text(&host.root())
    ))
    .success();
    let ran = host.lighter([
        "run",
        "--rm",
        "--network",
        "none",
        super::BUSYBOX,
        "echo",
        "opens",
    ]);
    assert_eq!(ran.success().text(), "opens");
    super::is_sound(&host);
    fs::write(host.root().join("images/version"), "2\n").expect("root writes everywhere");
    let refused: Output = host.lighter(["images"]).exits(1);
    assert!(
        refused.stderr.contains("was written by a newer lighter"),
        "{refused:?}"
    );
}
