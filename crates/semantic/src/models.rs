//! Models on disk: `<home>/models/<name>/` with the weights, the tokenizer, and a manifest that says what was checked when
//! the model came in.

mod manifest;

pub use manifest::{Manifest, find};

/// File of the weights in a model's folder.
pub const WEIGHTS: &str = "model.safetensors";
/// File of the tokenizer in a model's folder.
pub const TOKENIZER: &str = "tokenizer.json";
/// File that says what the folder holds; it is written last.
pub const MANIFEST: &str = "model.json";
