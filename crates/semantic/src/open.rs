//! The one way to a model: from settings to an embedder.

use std::path::Path;
use std::sync::Arc;

use oneiric::clock::SystemClock;
use oneiric::fault::Result;

use crate::embedder::Embedder;
use crate::minilm::MiniLm;
use crate::models;
use crate::ollama::{Ollama, OllamaSettings};

/// Which model turns texts into vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSettings {
    /// Name of a model in the models' folder.
    pub model: String,
    /// A model of Ollama, which then is used instead.
    pub ollama: Option<OllamaSettings>,
}

impl ModelSettings {
    /// The model of this machine called `model`.
    #[must_use]
    pub fn local(model: impl Into<String>) -> Self {
        Self { model: model.into(), ollama: None }
    }
}

/// The embedder that `settings` name; models of this machine are in `folder`. Of these it reads a manifest and nothing else:
/// the model is loaded at its first use. Ollama is asked for the model at once, and may take its time.
///
/// # Errors
/// `NotFound` when the model is not there, `Unavailable` when it is damaged or Ollama does not answer; the hint names the
/// command that mends it.
pub fn open(settings: &ModelSettings, folder: &Path) -> Result<Arc<dyn Embedder>> {
    if let Some(ollama) = &settings.ollama {
        return Ok(Arc::new(Ollama::open(ollama.clone(), Arc::new(SystemClock))?));
    }
    let manifest = models::find(folder, &settings.model)?;
    Ok(Arc::new(MiniLm::new(folder.join(&settings.model), manifest)))
}
