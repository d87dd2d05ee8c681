//! Models on disk: `<home>/models/<name>/` with the weights, the tokenizer, and a manifest that says what was checked when
//! the model came in.

mod import;
mod intake;
mod known;
mod manifest;
mod pull;
mod stock;

pub use import::import;
pub use intake::Progress;
pub use known::{KNOWN, Known, by_name};
pub(crate) use manifest::MIN_WINDOW;
pub use manifest::{Manifest, find};
pub use pull::pull;
pub use stock::{Entry, list, verify};

/// File of the weights in a model's folder.
pub const WEIGHTS: &str = "model.safetensors";
/// File of the tokenizer in a model's folder.
pub const TOKENIZER: &str = "tokenizer.json";
/// File that says what the folder holds; it is written last.
pub const MANIFEST: &str = "model.json";
/// The makers' description of a model.
const CONFIG: &str = "config.json";
/// The makers' word on how much of a text a model sees.
const WINDOW: &str = "sentence_bert_config.json";
