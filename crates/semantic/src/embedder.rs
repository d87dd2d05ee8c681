//! The contract of a model that turns text into vectors.

use std::ops::Range;

use oneiric::fault::{Fault, Result};

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
    /// A local model works on some hundred word pieces at a time and takes a second core when a call has more: a caller
    /// that must not be in the way sends few texts a call.
    ///
    /// # Errors
    /// `Unavailable` when the model cannot answer now.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>>;

    /// As [`Embedder::embed`], for texts of which the model may refuse some: such a text has what the model said instead of
    /// a vector, and is refused again however often it is asked.
    ///
    /// # Errors
    /// As [`Embedder::embed`], when the model cannot answer any text now.
    fn embed_each(&self, texts: &[&str]) -> Result<Vec<Result<Vec<f32>, String>>> {
        Ok(self.embed(texts)?.into_iter().map(Ok).collect())
    }

    /// The vector of a question, which some models want to be told from the texts that answer it.
    ///
    /// # Errors
    /// As [`Embedder::embed`].
    fn embed_query(&self, text: &str) -> Result<Vec<f32>> {
        let vector = self.embed(&[text])?.pop();
        vector.ok_or_else(|| Fault::internal("the model gave no vector for a question"))
    }

    /// Byte ranges of `text` that each fit the model's window, with some overlap; one range when all of it fits, none
    /// when there is nothing but space.
    fn chunks(&self, text: &str) -> Vec<Range<usize>>;

    /// Gives back the memory that the model takes; the next call loads it again. For callers that have been idle.
    fn release(&self) {}
}

/// Scales `vector` to length 1; a vector of zeros stays as it is.
pub(crate) fn to_unit_length(vector: &mut [f32]) {
    let length = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    if length > 0.0 {
        for value in vector {
            *value = (f64::from(*value) / length) as f32;
        }
    }
}
