//! Bundles: a whole application in one file, to be run without a network.
//!
//! A bundle is an OCI archive that skopeo reads: the images under their names,
//! and an artifact that holds the Compose file, the lock (which manifest each
//! image name means) and the application's own files. The same input gives the
//! same bytes. Every blob is checked when the file is read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ArchiveError;
use super::contents::Contents;
use super::load::{blob as document, config_of, documents};
use super::save::{blobs_of, index_entries, write_layout};
use crate::arrival::{self, Naming};
use crate::json::parse;
use crate::layer::tar::{Entry, Kind, Reader, Writer};
use crate::layer::unpack_tree;
use crate::media_type::OCI_MANIFEST;
use crate::store::{Keeping, Spool, Spooled};
use crate::{
    Algorithm, Descriptor, Digest, Document, Error, Hasher, Image, Index, Manifest, Platform,
    Progress, Reference, Store,
};

const BUNDLE: &str = "application/vnd.lighter.bundle.v1";
const COMPOSE: &str = "application/vnd.lighter.bundle.compose.v1+yaml";
const LOCK: &str = "application/vnd.lighter.bundle.lock.v1+json";
const FILES: &str = "application/vnd.lighter.bundle.files.v1.tar";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// What an application consists of.
pub struct Application<'a> {
    /// Its name.
    pub project: String,
    /// Its Compose file, with paths below its directory.
    pub compose: String,
    /// Its images, by the name the Compose file has for them.
    pub images: BTreeMap<Reference, Image>,
    /// Where its files are.
    pub directory: &'a Path,
    /// Which of them it needs, below that directory; directories with all in them.
    pub files: BTreeSet<PathBuf>,
}

/// Which manifest each image name means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// The application's name.
    pub project: String,
    /// Its images.
    pub images: BTreeMap<Reference, Locked>,
}

/// One image of a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locked {
    /// The digest of its manifest.
    pub manifest: Digest,
    /// The digest of its config.
    pub id: Digest,
}

/// A bundle that was read and checked.
pub struct Bundle {
    /// The digest of all of it.
    pub digest: Digest,
    /// The Compose file.
    pub compose: String,
    /// The lock.
    pub lock: Lock,
    /// The application's own files: a tar archive.
    files: PathBuf,
    /// Where that is.
    _spool: Spool,
}

/// The manifest under which `image` is in a bundle of it.
pub fn locked(store: &Store, image: &Image) -> Result<Locked, Error> {
    Ok(Locked {
        manifest: store.oci_manifest(image)?.digest,
        id: image.id.clone(),
    })
}

/// Writes the bundle of an application.
pub fn create(
    store: &Store,
    application: &Application<'_>,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let _in_use = store.begin_use()?;
    let mut lock = Lock {
        project: application.project.clone(),
        images: BTreeMap::new(),
    };
    let mut stored = BTreeSet::new();
    let mut entries = Vec::new();
    for (name, image) in &application.images {
        let manifest = store.oci_manifest(image)?;
        stored.extend(blobs_of(&manifest, image));
        entries.extend(index_entries(&manifest, std::slice::from_ref(name)));
        lock.images.insert(name.clone(), locked(store, image)?);
    }
    let lock = serde_json::to_vec_pretty(&lock)
        .map_err(|error| ArchiveError::Write(io::Error::from(error)))?;
    let spool = store.spool()?;
    let mut given = Given {
        spool: &spool,
        files: BTreeMap::new(),
    };
    let layers = vec![
        given.keep(COMPOSE, application.compose.as_bytes())?,
        given.keep(LOCK, &lock)?,
        given.take(
            FILES,
            pack(&spool, application.directory, &application.files)?,
        ),
    ];
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(OCI_MANIFEST.to_owned()),
        artifact_type: Some(BUNDLE.to_owned()),
        config: given.keep(EMPTY, b"{}")?,
        layers,
        subject: None,
        annotations: BTreeMap::new(),
    };
    entries.push(Descriptor {
        artifact_type: Some(BUNDLE.to_owned()),
        ..given.keep(OCI_MANIFEST, &manifest.to_bytes())?
    });
    write_layout(store, &stored, &given.files, &entries, None, out)
}

/// Blobs that are not the store's.
struct Given<'a> {
    spool: &'a Spool,
    files: BTreeMap<Digest, PathBuf>,
}

impl Given<'_> {
    fn keep(&mut self, media_type: &str, mut bytes: &[u8]) -> Result<Descriptor, Error> {
        let file = self.spool.keep(&mut bytes, Algorithm::Sha256)?;
        Ok(self.take(media_type, file))
    }

    fn take(&mut self, media_type: &str, file: Spooled) -> Descriptor {
        self.files.insert(file.digest.clone(), file.path);
        Descriptor::new(media_type, file.digest, file.size)
    }
}

/// Reads a bundle, checking every byte of it.
pub fn read(store: &Store, path: &Path) -> Result<Bundle, Error> {
    open(store, path).map(|opened| opened.bundle)
}

/// Brings the images of a bundle into the store, under their names and digests.
pub fn load(store: &Store, path: &Path, progress: &dyn Progress) -> Result<Bundle, Error> {
    let _in_use = store.begin_use()?;
    store.clean()?;
    let Opened {
        bundle,
        contents,
        index,
    } = open(store, path)?;
    let files = contents.by_digest();
    for (name, locked) in &bundle.lock.images {
        let missing = || Error::Incomplete {
            digest: locked.manifest.clone(),
        };
        let mut entries = index.manifests.iter();
        let descriptor = entries.find(|entry| entry.digest == locked.manifest);
        let documents = documents(
            &contents,
            descriptor.ok_or_else(missing)?,
            &Platform::host(),
        )?;
        let config = config_of(&documents)?;
        let naming = Naming {
            reference: Some(name.clone()),
            source: Some(name.clone()),
        };
        arrival::install(store, progress, &files, &documents, &config, &[naming])?;
    }
    Ok(bundle)
}

impl Bundle {
    /// The application's files that are not the same in `other`: `A`, `C` or `D`.
    pub fn files_changed(&self, other: &Self) -> Result<BTreeMap<PathBuf, char>, Error> {
        let (before, after) = (list(&self.files)?, list(&other.files)?);
        let all: BTreeSet<&PathBuf> = before.keys().chain(after.keys()).collect();
        let change = |path: &&PathBuf| match (before.get(*path), after.get(*path)) {
            (None, _) => Some('A'),
            (_, None) => Some('D'),
            (old, new) => (old != new).then_some('C'),
        };
        Ok(all
            .into_iter()
            .filter_map(|path| Some((path.clone(), change(&path)?)))
            .collect())
    }

    /// Puts the Compose file and the application's files into `directory`, which must be empty.
    pub fn unpack(&self, directory: &Path) -> Result<(), Error> {
        let layer = |source| Error::Layer {
            digest: self.digest.clone(),
            source,
        };
        let files = File::open(&self.files).map_err(crate::error::file("open", &self.files))?;
        unpack_tree(&mut Reader::new(BufReader::new(files)), directory).map_err(layer)?;
        let path = directory.join("compose.yaml");
        fs::write(&path, &self.compose).map_err(crate::error::file("write", &path))
    }
}

/// Every entry of an archive of files, with the digest of its data.
fn list(path: &Path) -> Result<BTreeMap<PathBuf, (Entry, Digest)>, Error> {
    let file = File::open(path).map_err(crate::error::file("open", path))?;
    let mut reader = Reader::new(BufReader::new(file));
    let mut all = BTreeMap::new();
    while let Some(entry) = reader.next_entry().map_err(ArchiveError::Tar)? {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        loop {
            let piece = reader.data().map_err(ArchiveError::Tar)?;
            let length = piece.len();
            if length == 0 {
                break;
            }
            hasher.update(piece);
            reader.consume(length);
        }
        let name = PathBuf::from(std::ffi::OsStr::from_bytes(&entry.path));
        all.insert(name, (entry, hasher.finish()));
    }
    Ok(all)
}

/// A bundle and what its file holds.
struct Opened {
    bundle: Bundle,
    contents: Contents,
    index: Index,
}

fn open(store: &Store, path: &Path) -> Result<Opened, Error> {
    let spool = store.spool()?;
    let file = File::open(path).map_err(crate::error::file("open", path))?;
    let contents = Contents::of_archive(BufReader::new(file), &spool)?;
    let index = contents.document::<Index>("index.json")?;
    let index = index.ok_or(ArchiveError::NoBundle)?;
    let mut entries = index.manifests.iter();
    let bundle = entries.find(|entry| entry.artifact_type.as_deref() == Some(BUNDLE));
    let digest = bundle.ok_or(ArchiveError::NoBundle)?.digest.clone();
    let unreadable = |source| Error::Document {
        what: "manifest",
        digest: digest.clone(),
        source,
    };
    let parsed = Document::parse(&document(&contents, &digest)?, OCI_MANIFEST);
    let Document::Manifest(manifest) = parsed.map_err(unreadable)? else {
        return Err(ArchiveError::NoBundle.into());
    };
    let part = |media_type: &str| -> Result<Digest, Error> {
        let mut parts = manifest.layers.iter();
        let found = parts.find(|one| one.media_type == media_type);
        Ok(found.ok_or(ArchiveError::NoBundle)?.digest.clone())
    };
    let lock = parse(&document(&contents, &part(LOCK)?)?).map_err(unreadable)?;
    let compose = String::from_utf8_lossy(&document(&contents, &part(COMPOSE)?)?).into_owned();
    let files = part(FILES)?;
    let missing = || Error::Incomplete {
        digest: files.clone(),
    };
    let files = contents.blob(&files).ok_or_else(missing)?.path.clone();
    let bundle = Bundle {
        digest,
        compose,
        lock,
        files,
        _spool: spool,
    };
    Ok(Opened {
        bundle,
        contents,
        index,
    })
}

/// The files as a tar archive: sorted, owners and permissions as they are, without times.
fn pack(spool: &Spool, directory: &Path, files: &BTreeSet<PathBuf>) -> Result<Spooled, Error> {
    let mut all = BTreeSet::new();
    for file in files {
        for above in file.ancestors().skip(1) {
            if above != Path::new("") {
                all.insert(above.to_owned());
            }
        }
        with_all_below(directory, file, &mut all)?;
    }
    let mut archive = Writer::new(spool.begin(Algorithm::Sha256)?);
    for path in &all {
        put(&mut archive, directory, path)?;
    }
    let written = archive.finish().map_err(ArchiveError::Write)?;
    Ok(written.finish())
}

fn with_all_below(root: &Path, path: &Path, all: &mut BTreeSet<PathBuf>) -> Result<(), Error> {
    all.insert(path.to_owned());
    let whole = root.join(path);
    let failed = |source| ArchiveError::Directory {
        path: whole.clone(),
        source,
    };
    if fs::symlink_metadata(&whole).map_err(failed)?.is_dir() {
        for found in fs::read_dir(&whole).map_err(failed)? {
            let name = found.map_err(failed)?.file_name();
            with_all_below(root, &path.join(name), all)?;
        }
    }
    Ok(())
}

fn put(archive: &mut Writer<Keeping>, root: &Path, path: &Path) -> Result<(), Error> {
    let whole = root.join(path);
    let failed = |source| ArchiveError::Directory {
        path: whole.clone(),
        source,
    };
    let metadata = fs::symlink_metadata(&whole).map_err(failed)?;
    let name = path.as_os_str().as_bytes().to_vec();
    let (kind, size) = match metadata.file_type() {
        kind if kind.is_dir() => (Kind::Directory, 0),
        kind if kind.is_symlink() => (Kind::Symlink, 0),
        kind if kind.is_file() => (Kind::File, metadata.len()),
        _ => {
            return Err(ArchiveError::Unbundled {
                path: whole,
                reason: "it is neither a file, a directory nor a link".to_owned(),
            }
            .into());
        }
    };
    let mut entry = Entry {
        uid: metadata.uid(),
        gid: metadata.gid(),
        ..Entry::plain(name, kind, metadata.mode() & 0o7777, size)
    };
    let mut data: Box<dyn Read> = Box::new(io::empty());
    match kind {
        Kind::File => data = Box::new(File::open(&whole).map_err(failed)?),
        Kind::Symlink => {
            let target = fs::read_link(&whole).map_err(failed)?;
            entry.link = target.as_os_str().as_bytes().to_vec();
        }
        _ => {}
    }
    archive
        .entry(&entry, &mut *data)
        .map_err(|error| ArchiveError::Write(error).into())
}
