//! Images on disk, valid at every instant and shared by any number of processes.
//!
//! ```text
//! ROOT/images/            an OCI image layout: skopeo inspect oci:ROOT/images:NAME
//!   oci-layout index.json blobs/<algorithm>/<hex>
//!   spool-<pid>-<n>/      what an archive holds, until it becomes blobs
//!   partial/<hex>         a blob on its way; flock'd by who fetches it, kept for resuming
//!   reserve               room for a new index.json on a full disk
//!   pins/<hex>.json       a container's snapshot uses these layers; void when its directory is gone
//!   index.lock gc.lock    flock: writers of index.json; users (shared) against collectors
//! ROOT/layers/<32 hex>/   one unpacked layer: fs/ (overlay form) and layer.json
//! ```
//!
//! Order makes it safe: a blob, a layer and then the index entry are each
//! written under another name, synced, and renamed. Names are made only from
//! checked digests. Read next: `index.rs` (names), `blob.rs`, `layers.rs`, `gc.rs`.

mod blob;
mod gc;
mod index;
mod layers;
mod pin;
mod spool;
mod temporary;
mod usage;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub use blob::Partial;
pub use gc::Reclaimed;
pub use index::Entry;
pub(crate) use index::stored;
pub use layers::LayerRecord;
pub(crate) use layers::{Staging, chain_ids};
pub(crate) use spool::{Keeping, Spool, Spooled};
pub use usage::{ImageUsage, Usage};

use crate::Error;
use crate::error::{errno, file};
use crate::remove::remove_directory;

const VERSION: u32 = 1;
const RESERVE: u64 = 512 << 10;
/// How long a blob that could not be finished waits to be resumed.
const RESUMABLE: Duration = Duration::from_secs(24 * 3600);
pub(crate) const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// The images and layers below one root directory.
#[derive(Clone, Debug)]
pub struct Store {
    images: PathBuf,
    layers: PathBuf,
}

/// While it lives, nothing of the store is collected.
pub struct InUse {
    store: Store,
    lock: Option<File>,
}

impl Store {
    /// Opens the store below `root`, making it when there is none.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let store = Self {
            images: root.join("images"),
            layers: root.join("layers"),
        };
        match fs::read_to_string(store.images.join("version")) {
            Ok(version) => store.check_version(version.trim())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => store.create(root)?,
            Err(error) => return Err(file("read", &store.images.join("version"))(error)),
        }
        Ok(store)
    }

    fn check_version(&self, found: &str) -> Result<(), Error> {
        match found.parse::<u32>() {
            Ok(version) if version <= VERSION => Ok(()),
            _ => Err(Error::NewerStore {
                path: self.images.clone(),
                found: found.chars().take(20).collect(),
                known: VERSION,
            }),
        }
    }

    /// `version` comes last: a store without it is made again.
    fn create(&self, root: &Path) -> Result<(), Error> {
        make_directory(root)?;
        for dir in ["blobs/sha256", "blobs/sha512", "partial", "pins"] {
            make_directory(&self.images.join(dir))?;
        }
        make_directory(&self.layers)?;
        write_atomic(&self.images.join("oci-layout"), LAYOUT)?;
        self.update_index(|_| Ok(()))?;
        self.keep_reserve();
        write_atomic(
            &self.images.join("version"),
            format!("{VERSION}\n").as_bytes(),
        )
    }

    /// The OCI image layout, for other tools.
    pub fn layout(&self) -> &Path {
        &self.images
    }

    /// Removes what crashed processes left; quick, so every command that writes does it first.
    pub(crate) fn clean(&self) -> Result<(), Error> {
        self.clean_layers()?;
        self.clean_spools()?;
        self.remove_partials(RESUMABLE).map(drop)
    }

    /// Sets a little room aside, for removing images from a full disk.
    fn keep_reserve(&self) {
        let make = |path: &Path| {
            let reserve = OpenOptions::new()
                .create_new(true)
                .write(true)
                .mode(0o600)
                .open(path)?;
            let flags = rustix::fs::FallocateFlags::empty();
            rustix::fs::fallocate(&reserve, flags, 0, RESERVE).map_err(io::Error::from)
        };
        let path = self.images.join("reserve");
        if let Err(error) = make(&path)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            // A disk without room, or without this call: one without a reserve.
            let _ = remove_file(&path);
        }
    }

    /// Gives that room back; false when there is none.
    fn use_reserve(&self) -> bool {
        fs::remove_file(self.images.join("reserve")).is_ok()
    }

    /// Keeps the collector away until the value is dropped.
    pub fn begin_use(&self) -> Result<InUse, Error> {
        let path = self.images.join("gc.lock");
        let lock = open_lock(&path)?;
        lock.lock_shared().map_err(file("lock", &path))?;
        Ok(InUse {
            store: self.clone(),
            lock: Some(lock),
        })
    }
}

impl Drop for InUse {
    /// A collection that this use kept from running is done now.
    fn drop(&mut self) {
        drop(self.lock.take());
        self.store.collect_if_asked();
    }
}

pub(crate) fn open_lock(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(file("open", path))
}

/// mkdir -p with mode 0700.
pub(crate) fn make_directory(path: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(file("make directory", path))
}

/// Writes under another name, syncs, renames, syncs the directory.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    replace(path, bytes, File::sync_all)?;
    sync_directory(path.parent().unwrap_or(Path::new("/")))
}

/// Writes under another name and renames: whole or not at all, but not proof
/// against a power cut.
pub(crate) fn write_unsynced(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    replace(path, bytes, |_| Ok(()))
}

fn replace(path: &Path, bytes: &[u8], sync: fn(&File) -> io::Result<()>) -> Result<(), Error> {
    let temporary = path.with_extension(format!("{}.new", unique()));
    let written = (|| {
        let mut new = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&temporary)?;
        new.write_all(bytes)?;
        sync(&new)?;
        fs::rename(&temporary, path)
    })();
    written.map_err(|error| {
        let _ = fs::remove_file(&temporary);
        file("write", path)(error)
    })
}

/// A part of a file name that no other thread or process uses now.
pub(crate) fn unique() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    format!(
        "{}-{}",
        std::process::id(),
        COUNTER.fetch_add(1, Ordering::Relaxed)
    )
}

pub(crate) fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(file("sync", path))
}

/// Removes a tree; one that is gone already is no error.
pub(crate) fn remove_tree(path: &Path) -> Result<(), Error> {
    let name = path.as_os_str().as_encoded_bytes();
    match remove_directory(rustix::fs::CWD, name) {
        Err(rustix::io::Errno::NOENT) => Ok(()),
        other => other.map_err(errno("remove", path)),
    }
}

/// Removes a file; one that is gone already is no error.
pub(crate) fn remove_file(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file("remove", path)(error)),
        _ => Ok(()),
    }
}
