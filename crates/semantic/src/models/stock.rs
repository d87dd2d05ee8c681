//! The models that are there.

use std::fs;
use std::path::Path;

use oneiric::fault::{Fault, Result};

use super::intake::file_digest;
use super::manifest::find;
use super::{Manifest, TOKENIZER, WEIGHTS};
use crate::embedder::Embedder as _;
use crate::minilm::MiniLm;

/// A folder below the models' folder.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Name of the folder.
    pub name: String,
    /// What it holds, or why that is of no use.
    pub manifest: Result<Manifest>,
}

/// Every model in `models`, by name. A folder that is not there holds none.
#[must_use]
pub fn list(models: &Path) -> Vec<Entry> {
    let entries = fs::read_dir(models).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names.into_iter().map(|name| Entry { manifest: find(models, &name), name }).collect()
}

/// Reads all of a model again: its digests have to be those of its manifest, and it has to make a vector.
///
/// # Errors
/// As [`find`]; `Unavailable` when the files are not those that came in.
pub fn verify(models: &Path, name: &str) -> Result<Manifest> {
    let manifest = find(models, name)?;
    let folder = models.join(name);
    for (file, right) in [(WEIGHTS, &manifest.digest), (TOKENIZER, &manifest.tokenizer_digest)] {
        let found = file_digest(&folder.join(file))?;
        if found != *right {
            return Err(Fault::unavailable(format!(
                "{} has changed since it came in: its SHA-256 is {}…, not {}…",
                folder.join(file).display(),
                &found[..16],
                right.get(..16).unwrap_or(right)
            ))
            .hint("get it again: session-buddy models pull, or session-buddy models import PATH"));
        }
    }
    MiniLm::new(folder, manifest.clone()).embed(&["a probe"])?;
    Ok(manifest)
}
