//! The contract of a model that turns text into vectors.

use std::ops::Range;

use oneiric::fault::Result;

/// What tells vectors of one model from those of another. Vectors of two identities are never compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelIdentity {
    /// Name, such as `all-MiniLM-L6-v2`.
    pub name: String,
    /// Hex SHA-256 of the weights (of what the server reports for a model that runs elsewhere).
    pub digest: String,
    /// Length of its vectors.
    pub dimensions: usize,
}

/// Turns text into vectors of length 1. Calls block.
pub trait Embedder: Send + Sync {
    /// Which model this is.
    fn identity(&self) -> &ModelIdentity;

    /// One vector a text, in order; each has [`ModelIdentity::dimensions`] finite numbers and length 1.
    /// What lies beyond the model's window is not seen: cut long texts with [`Embedder::chunks`] first.
    ///
    /// # Errors
    /// `Unavailable` when the model cannot answer now.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>>;

    /// Byte ranges of `text` that each fit the model's window, with some overlap; one range when all of it fits, none
    /// when there is nothing but space.
    fn chunks(&self, text: &str) -> Vec<Range<usize>>;
}
