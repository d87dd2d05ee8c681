//! Meaning: texts to vectors, and the vectors that lie near a query.

mod chunk;
pub mod embedder;
mod held;
pub mod index;
pub mod indexer;
pub mod minilm;
pub mod models;
mod nearest;
pub mod ollama;
mod open;
pub mod searcher;
mod text_hash;

pub use embedder::{Embedder, ModelIdentity};
pub use indexer::{Indexer, Progress, Step};
pub use ollama::OllamaSettings;
pub use open::{ModelSettings, open};
pub use searcher::{Models, Searcher};
