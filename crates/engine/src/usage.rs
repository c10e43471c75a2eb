//! What containers and volumes take on disk, for `system df`.

use crate::Engine;
use crate::disk;
use crate::volume::Volume;

impl Engine {
    /// Bytes on disk of what the container with this id changed of its image.
    pub fn container_size(&self, id: &str) -> u64 {
        disk::size(&self.paths.container(id).kept.join("upper"))
    }

    /// Bytes on disk of a volume's content.
    pub fn volume_size(&self, volume: &Volume) -> u64 {
        disk::size(&volume.path)
    }
}
