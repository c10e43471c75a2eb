//! What a registry can refuse.

/// A request to a registry failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no such image.
    #[error("{reference} is not known to its registry")]
    NotFound {
        /// As asked for.
        reference: String,
    },
}
