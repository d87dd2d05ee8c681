//! Meaning: texts to vectors, and the vectors that lie near a query.

pub mod embedder;

pub use embedder::{Embedder, ModelIdentity};
