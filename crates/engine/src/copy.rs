//! `cp`: files between host and container, every path inside resolved under the container's root and nowhere else.

use std::io::{Read, Write};
use std::path::Path;

use crate::{Engine, Result};

/// How to copy.
#[derive(Debug, Clone, Copy, Default)]
pub struct CopyOptions {
    /// Keep user and group (`-a`).
    pub archive: bool,
    /// Follow a symbolic link that is the source (`-L`).
    pub follow_link: bool,
}

impl Engine {
    /// `cp HOST_PATH CONTAINER:PATH`, with cp's rules on directories and trailing slashes.
    pub fn copy_to(&self, who: &str, host: &Path, inside: &str, how: CopyOptions) -> Result<()> {
        let _ = (who, host, inside, how);
        todo!()
    }

    /// `cp CONTAINER:PATH HOST_PATH`.
    pub fn copy_from(&self, who: &str, inside: &str, host: &Path, how: CopyOptions) -> Result<()> {
        let _ = (who, inside, host, how);
        todo!()
    }

    /// `cp - CONTAINER:DIRECTORY`: unpacks a tar stream.
    pub fn unpack_to(
        &self,
        who: &str,
        tar: &mut dyn Read,
        inside: &str,
        how: CopyOptions,
    ) -> Result<()> {
        let _ = (who, tar, inside, how);
        todo!()
    }

    /// `cp CONTAINER:PATH -`: writes a tar stream.
    pub fn pack_from(
        &self,
        who: &str,
        inside: &str,
        tar: &mut dyn Write,
        how: CopyOptions,
    ) -> Result<()> {
        let _ = (who, inside, tar, how);
        todo!()
    }
}
