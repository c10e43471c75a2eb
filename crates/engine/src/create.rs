//! `create`: from an image and a wish to a container on disk that has never run.

use crate::{ContainerConfig, Engine, Result};

/// What `create` made.
#[derive(Debug, Clone)]
pub struct Created {
    /// 64 hexadecimal digits.
    pub id: String,
    /// The name given or chosen.
    pub name: String,
    /// What was taken but has no effect here, one sentence each.
    pub warnings: Vec<String>,
}

impl Engine {
    /// Makes a container. (Takes `image: &image::Image` as its first argument as soon as that type has landed.) The image must be in the store; the caller pulls it before.
    pub fn create(&self, wish: ContainerConfig) -> Result<Created> {
        let _ = wish;
        todo!()
    }
}
