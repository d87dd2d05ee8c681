//! all-MiniLM-L6-v2 and its kind (BERT encoders with mean pooling) in this process: safetensors in, vectors out. Nothing of
//! a model is touched before its first use.

mod encoder;
mod loops;
mod product;
mod weights;

use std::num::NonZero;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use oneiric::fault::{Fault, Result};
use tokenizers::Tokenizer;

use crate::chunk;
use crate::embedder::{Embedder, ModelIdentity};
use crate::models::{MIN_WINDOW, Manifest};
use encoder::{Encoder, Workspace};
use product::Weights;

/// Word pieces of one pass: enough for products at full speed, few enough that what is worked on stays in the caches.
const PASS: usize = 512;
/// `[CLS]` and `[SEP]` around every text.
const SPECIALS: usize = 2;
/// Threads that one call uses at most.
const MAX_THREADS: usize = 4;

/// A model in a folder of its own; loaded at its first use.
pub struct MiniLm {
    folder: PathBuf,
    manifest: Manifest,
    identity: ModelIdentity,
    loaded: Mutex<Option<Arc<Loaded>>>,
}

impl MiniLm {
    /// The model in `folder`, as its manifest describes it. Reads nothing else yet.
    #[must_use]
    pub fn new(folder: PathBuf, manifest: Manifest) -> Self {
        let identity = manifest.identity();
        Self { folder, manifest, identity, loaded: Mutex::new(None) }
    }

    /// Bytes of weights in memory; none while the model is not loaded.
    #[must_use]
    pub fn bytes_in_memory(&self) -> usize {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.as_ref().map_or(0, |loaded| loaded.encoder.bytes())
    }

    fn loaded(&self) -> Result<Arc<Loaded>> {
        let mut slot = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = slot.as_ref() {
            return Ok(Arc::clone(loaded));
        }
        let loaded = Arc::new(Loaded::read(&self.folder, &self.manifest)?);
        *slot = Some(Arc::clone(&loaded));
        Ok(loaded)
    }
}

impl Embedder for MiniLm {
    fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        self.loaded()?.embed(texts)
    }

    fn embed_query(&self, text: &str) -> Result<Vec<f32>> {
        let loaded = self.loaded()?;
        let ids = loaded.ids(text)?;
        let vector = loaded.encoder.run(&[&ids], &mut Workspace::default(), Weights::Rounded)?.pop();
        vector.ok_or_else(|| Fault::internal("the model gave no vector"))
    }

    fn chunks(&self, text: &str) -> Vec<Range<usize>> {
        match self.loaded() {
            Ok(loaded) => loaded.chunks(text),
            // Embedding these texts will say what is wrong.
            Err(_) if text.trim().is_empty() => Vec::new(),
            Err(_) => std::iter::once(0..text.len()).collect(),
        }
    }

    fn release(&self) {
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A model in memory.
struct Loaded {
    encoder: Encoder,
    tokenizer: Tokenizer,
    window: usize,
}

impl Loaded {
    fn read(folder: &Path, manifest: &Manifest) -> Result<Self> {
        let encoder = weights::read(&folder.join(crate::models::WEIGHTS), manifest.heads)?;
        if encoder.shape.width != manifest.dimensions {
            return Err(Fault::unavailable(format!(
                "{} has vectors of {} numbers, not {}",
                folder.join(crate::models::WEIGHTS).display(),
                encoder.shape.width,
                manifest.dimensions
            ))
            .hint("get it again: session-buddy models pull"));
        }
        if encoder.shape.positions < MIN_WINDOW {
            return Err(Fault::unavailable(format!(
                "{} sees {} word pieces at once, which is too few for a text",
                folder.join(crate::models::WEIGHTS).display(),
                encoder.shape.positions
            ))
            .hint("get it again: session-buddy models pull"));
        }
        let tokenizer = read_tokenizer(&folder.join(crate::models::TOKENIZER))?;
        let window = manifest.window.min(encoder.shape.positions);
        Ok(Self { encoder, tokenizer, window })
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let ids = texts.iter().map(|text| self.ids(text)).collect::<Result<Vec<_>>>()?;
        let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
        let passes = passes(&ids);
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS).min(passes.len());
        if threads <= 1 {
            let mut work = Workspace::default();
            let mut vectors = Vec::with_capacity(texts.len());
            for pass in passes {
                vectors.extend(self.encoder.run(&ids[pass], &mut work, Weights::Whole)?);
            }
            return Ok(vectors);
        }
        // Threads of this call, not of a pool: they take over the priority of the thread that asks.
        let next = AtomicUsize::new(0);
        let work = || {
            let mut work = Workspace::default();
            let mut done = Vec::new();
            while let Some(pass) = passes.get(next.fetch_add(1, Ordering::Relaxed)) {
                done.push((pass.start, self.encoder.run(&ids[pass.clone()], &mut work, Weights::Whole)?));
            }
            Ok::<_, Fault>(done)
        };
        let mut done = thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut done: Vec<(usize, Vec<Vec<f32>>)> = work()?;
            for other in others {
                done.extend(other.join().map_err(|_| Fault::internal("a thread of the model died"))??);
            }
            Ok::<_, Fault>(done)
        })?;
        done.sort_unstable_by_key(|(start, _)| *start);
        Ok(done.into_iter().flat_map(|(_, vectors)| vectors).collect())
    }

    /// Word pieces with `[CLS]` and `[SEP]`, cut at the window.
    fn ids(&self, text: &str) -> Result<Vec<u32>> {
        // A word piece has rarely more than 16 bytes; what is cut here lies beyond the window.
        let text = &text[..text.floor_char_boundary(self.window * 64)];
        let encoding = self.tokenizer.encode_fast(text, true).map_err(|error| bad_text(&*error))?;
        let mut ids = encoding.get_ids().to_vec();
        if ids.len() > self.window {
            let last = ids.last().copied();
            ids.truncate(self.window - 1);
            ids.extend(last);
        }
        Ok(ids)
    }

    fn chunks(&self, text: &str) -> Vec<Range<usize>> {
        chunk::cut(text, self.window - SPECIALS, |part| {
            let encoding = self.tokenizer.encode(part, false);
            encoding.map_or_else(|_| Vec::new(), |found| found.get_offsets().iter().map(|(_, end)| *end).collect())
        })
    }
}

/// Neighbouring texts that make one pass together.
fn passes(ids: &[&[u32]]) -> Vec<Range<usize>> {
    let mut passes = Vec::new();
    let mut start = 0;
    let mut tokens = 0;
    for (index, ids) in ids.iter().enumerate() {
        if tokens > 0 && tokens + ids.len() > PASS {
            passes.push(start..index);
            start = index;
            tokens = 0;
        }
        tokens += ids.len();
    }
    passes.push(start..ids.len());
    passes
}

/// Reads a tokenizer without the padding and truncation that its file may ask for.
pub(crate) fn read_tokenizer(path: &Path) -> Result<Tokenizer> {
    let bad = |why: &str| {
        Fault::unavailable(format!("{} is not a tokenizer: {why}", path.display()))
            .hint("get the model again: session-buddy models pull")
    };
    let bytes = std::fs::read(path).map_err(|error| bad(&oneiric::paths::plain(&error)))?;
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| bad(&error.to_string()))?;
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|error| bad(&error.to_string()))?;
    Ok(tokenizer)
}

fn bad_text(error: &(dyn std::error::Error + Send + Sync)) -> Fault {
    Fault::internal(format!("the model's tokenizer refuses a text: {error}"))
}
