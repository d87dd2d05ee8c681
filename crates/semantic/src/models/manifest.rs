//! What a model's folder says about itself.

use std::fs;
use std::path::Path;

use oneiric::fault::{Fault, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{MANIFEST, TOKENIZER, WEIGHTS, known};
use crate::embedder::ModelIdentity;

/// Fewest word pieces that a model sees at once: those around every text, and a few of the text.
pub(crate) const MIN_WINDOW: usize = 8;

/// The command that mends a missing or damaged model.
const MEND: &str = "get it: session-buddy models pull, or session-buddy models import PATH";

/// `model.json`: written when a model comes in, after everything in it has been checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name of the model and of its folder.
    pub name: String,
    /// Hex SHA-256 of the weights.
    pub digest: String,
    /// Hex SHA-256 of the tokenizer.
    pub tokenizer_digest: String,
    /// Length of its vectors.
    pub dimensions: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Word pieces that it sees at once, with the two around every text.
    pub window: usize,
    /// Bytes of the weights.
    pub bytes: u64,
}

impl Manifest {
    /// What vectors of this model are kept under.
    #[must_use]
    pub fn identity(&self) -> ModelIdentity {
        let known = known::by_name(&self.name);
        let is_known =
            |known: &known::Known| known.digest == self.digest && known.tokenizer_digest == self.tokenizer_digest;
        let digest = if known.is_some_and(is_known) {
            self.digest.clone()
        } else {
            // Other word pieces make other vectors of the same weights, and so do another window and other heads.
            let parts = format!("{} {} {} {}", self.digest, self.tokenizer_digest, self.window, self.heads);
            Sha256::digest(parts).iter().map(|byte| format!("{byte:02x}")).collect()
        };
        ModelIdentity { name: self.name.clone(), digest, dimensions: self.dimensions }
    }
}

/// The manifest of the model `name` below `models`, with its files there and as large as they were.
///
/// # Errors
/// `User` for a name that cannot be a folder's, `NotFound` when there is no such model, `Unavailable` when it is damaged.
pub fn find(models: &Path, name: &str) -> Result<Manifest> {
    check_name(name)?;
    let folder = models.join(name);
    let text = match fs::read(folder.join(MANIFEST)) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Fault::not_found(format!("the model {name} is not in {}", models.display())).hint(MEND));
        }
        Err(error) => return Err(damaged(&folder, &oneiric::paths::plain(&error))),
    };
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| damaged(&folder, &format!("{MANIFEST}: {error}")))?;
    if manifest.name != name || manifest.heads == 0 || manifest.window < MIN_WINDOW || manifest.dimensions == 0 {
        return Err(damaged(&folder, &format!("{MANIFEST} describes no model of this name")));
    }
    let length = fs::metadata(folder.join(WEIGHTS)).map_or(0, |meta| meta.len());
    if length != manifest.bytes {
        return Err(damaged(&folder, &format!("{WEIGHTS} has {length} of {} bytes", manifest.bytes)));
    }
    if !folder.join(TOKENIZER).is_file() {
        return Err(damaged(&folder, &format!("{TOKENIZER} is missing")));
    }
    Ok(manifest)
}

/// Names are folder names: no path, nothing hidden.
pub(super) fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(plain) {
        return Err(Fault::user(format!("{name:?} cannot be a model's name"))
            .hint("use letters, digits, dots and dashes, such as all-MiniLM-L6-v2"));
    }
    Ok(())
}

fn damaged(folder: &Path, why: &str) -> Fault {
    Fault::unavailable(format!("the model in {} is damaged: {why}", folder.display())).hint(MEND)
}

pub(super) fn write_error(path: &Path, error: &std::io::Error) -> Fault {
    Fault::unavailable(format!("cannot write {}: {}", path.display(), oneiric::paths::plain(error)))
        .hint("make room or the folder writable")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_kept_under_all_that_they_depend_on() {
        let known = known::KNOWN[0];
        let whole = Manifest {
            name: known.name.into(),
            digest: known.digest.into(),
            tokenizer_digest: known.tokenizer_digest.into(),
            dimensions: known.dimensions,
            heads: known.heads,
            window: known.window,
            bytes: 1,
        };
        assert_eq!(whole.identity().digest, known.digest);
        let own = Manifest { name: "own".into(), ..whole };
        let others = [
            Manifest { tokenizer_digest: "another".into(), ..own.clone() },
            Manifest { digest: "another".into(), ..own.clone() },
            Manifest { window: 512, ..own.clone() },
            Manifest { heads: 6, ..own.clone() },
            own,
        ];
        let mut digests: Vec<String> = others.iter().map(|manifest| manifest.identity().digest).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), others.len(), "{digests:?}");
    }
}
