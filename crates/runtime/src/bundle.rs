//! A bundle: a directory with a `config.json` and, usually, a root filesystem.
//!
//! bundle.md and config.md of the OCI runtime specification.

use std::fs;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

use crate::Error;

/// A bundle that was read or written.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// The directory, absolute.
    pub dir: PathBuf,
    /// Its configuration.
    pub spec: Spec,
}

impl Bundle {
    /// Read the bundle in `dir`.
    pub fn load(dir: &Path) -> Result<Bundle, Error> {
        let file = |action, source| Error::File {
            action,
            path: dir.join("config.json"),
            source,
        };
        let dir = dir.canonicalize().map_err(|e| file("open", e))?;
        let text = fs::read(dir.join("config.json")).map_err(|e| file("read", e))?;
        let spec = crate::json::parse(&text).map_err(|source| Error::Json {
            path: dir.join("config.json"),
            source,
        })?;
        Ok(Bundle { dir, spec })
    }

    /// Read the bundle in `dir` whose configuration is the file `config` instead of `config.json`.
    pub fn load_as(dir: &Path, config: &Path) -> Result<Bundle, Error> {
        let file = |action, path: &Path, source| Error::File {
            action,
            path: path.to_owned(),
            source,
        };
        let dir = dir.canonicalize().map_err(|e| file("open", dir, e))?;
        let text = fs::read(config).map_err(|e| file("read", config, e))?;
        let spec = crate::json::parse(&text).map_err(|source| Error::Json {
            path: config.to_owned(),
            source,
        })?;
        Ok(Bundle { dir, spec })
    }

    /// Keep the configuration in `dir`, where changes to the bundle's own do not reach it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join("config.json");
        let failed = |source| Error::file("write", &path, source);
        let text = serde_json::to_vec(&self.spec).map_err(|error| failed(error.into()))?;
        kernel::file::write_host_file(&path, &text, 0o600).map_err(failed)
    }

    /// Write `spec` as the bundle in `dir`, which must exist.
    pub fn write(dir: &Path, spec: Spec) -> Result<Bundle, Error> {
        let path = dir.join("config.json");
        let text = serde_json::to_vec_pretty(&spec).map_err(|source| Error::Json {
            path: path.clone(),
            source,
        })?;
        let failed = |action, source| Error::File {
            action,
            path: path.clone(),
            source,
        };
        fs::write(&path, text).map_err(|source| failed("write", source))?;
        let dir = dir
            .canonicalize()
            .map_err(|source| failed("open", source))?;
        Ok(Bundle { dir, spec })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let written = Bundle::write(directory.path(), Spec::default()).unwrap();
        let read = Bundle::load(directory.path()).unwrap();
        assert_eq!((written.dir, written.spec), (read.dir, read.spec));
    }
}
