//! The one way to a model: from settings to an embedder.

use std::path::Path;
use std::sync::Arc;

use oneiric::fault::Result;

use crate::embedder::Embedder;
use crate::minilm::MiniLm;
use crate::models;

/// Which model turns texts into vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSettings {
    /// Name of a model in the models' folder.
    pub model: String,
}

/// The embedder that `settings` name; models of this machine are in `folder`. Reads a manifest and nothing else: the model
/// is loaded at its first use.
///
/// # Errors
/// `NotFound` when the model is not there, `Unavailable` when it is damaged; the hint names the command that mends it.
pub fn open(settings: &ModelSettings, folder: &Path) -> Result<Arc<dyn Embedder>> {
    let manifest = models::find(folder, &settings.model)?;
    Ok(Arc::new(MiniLm::new(folder.join(&settings.model), manifest)))
}
