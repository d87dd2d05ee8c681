//! Which model turns texts into vectors here, by the settings.

use std::path::PathBuf;
use std::sync::Arc;

use oneiric::fault::{Fault, Result};
use oneiric::settings::Settings;
use oneiric_server::health::Part;
use semantic::{Embedder, ModelSettings, OllamaSettings, models};

/// Name of the line of the health report.
pub(super) const NAME: &str = "Semantic search";

/// Hex digits of a digest that are shown.
pub const DIGEST_SHOWN: usize = 12;

/// The settings' word on search by meaning. Cheap to make and to clone; opens nothing by itself.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Below the home: `models/`.
    pub folder: PathBuf,
    /// None when search by meaning is switched off.
    pub model: Option<ModelSettings>,
    /// Least cosine of what is found by meaning alone; without it, that of texts that have nothing to do with each other.
    pub least: Option<f32>,
}

impl Choice {
    /// By `settings`: Ollama's model when intelligence is on, else the one of this machine.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let enabled = settings.bool("semantic_search.enabled");
        let model = enabled.then(|| {
            let named = settings.text("intelligence.embedding_model");
            // A model of this machine stays one, whichever setting names it.
            let ollama = settings.bool("intelligence.enabled") && models::by_name(named).is_none();
            ModelSettings {
                model: settings.text("semantic_search.model").to_owned(),
                ollama: ollama.then(|| OllamaSettings {
                    base_url: settings.text("intelligence.ollama_base_url").to_owned(),
                    model: named.to_owned(),
                }),
            }
        });
        let least = settings.opt_text("semantic_search.similarity_threshold").and_then(|text| text.parse().ok());
        Self { folder: settings.home().root().join("models"), model, least }
    }

    /// Where the model runs, when it is one of Ollama.
    pub(crate) fn ollama(&self) -> Option<&OllamaSettings> {
        self.model.as_ref().and_then(|model| model.ollama.as_ref())
    }

    /// The embedder.
    ///
    /// # Errors
    /// `Config` when search by meaning is switched off, and as [`semantic::open`].
    pub fn open(&self) -> Result<Arc<dyn Embedder>> {
        let model = self.model.as_ref().ok_or_else(|| {
            Fault::config("search by meaning is switched off").hint("set semantic_search.enabled = true")
        })?;
        semantic::open(model, &self.folder)
    }

    /// The line of the health report, after a look for the model. Never a failure: text search answers without a model.
    #[must_use]
    pub fn part(&self) -> Part {
        let Some(model) = &self.model else {
            return Part::off(NAME, "semantic_search_enabled = false; text search answers");
        };
        if let Some(ollama) = &model.ollama {
            return by_ollama(ollama, semantic::ollama::look_at(ollama));
        }
        part(
            models::find(&self.folder, &model.model).map(|found| {
                format!("{}, {} dimensions, digest {}", found.name, found.dimensions, shown(&found.digest))
            }),
        )
    }
}

/// The line of the health report about a model of Ollama, of which this `digest` was found.
pub(super) fn by_ollama(ollama: &OllamaSettings, digest: Result<String>) -> Part {
    part(digest.map(|digest| format!("{} by Ollama, digest {}", ollama.model, shown(&digest))))
}

fn part(found: Result<String>) -> Part {
    match found {
        Ok(fact) => Part::ok(NAME, "enabled", fact),
        Err(fault) => Part::off(NAME, format!("{fault}; text search answers meanwhile")),
    }
}

/// The beginning of a digest.
#[must_use]
pub fn shown(digest: &str) -> &str {
    let digest = digest.strip_prefix("sha256:").unwrap_or(digest);
    digest.get(..DIGEST_SHOWN).unwrap_or(digest)
}
