//! Meaning: texts to vectors, and the vectors that lie near a query.

mod chunk;
pub mod embedder;
pub mod minilm;
pub mod models;
mod open;

pub use embedder::{Embedder, ModelIdentity};
pub use open::{ModelSettings, open};
