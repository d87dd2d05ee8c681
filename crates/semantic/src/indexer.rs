//! Makes the vectors of events, some at a time, and goes on where it or another process stopped.
//!
//! What is done is what the store of vectors says is done: each step is one transaction with a new watermark. A change of
//! the model, or of how texts are made, begins another generation beside the one that searches use; when it has come as
//! far as the events have, it takes over.

use std::collections::HashMap;
use std::sync::Arc;

use oneiric::fault::{FaultKind, Result};
use session_store::Store;
use session_store::vectors::{Generation, NewEntry, NewVector, TextHash, VectorBatch, VectorModel, Vectors};

use crate::embedder::Embedder;
use crate::index::Encoder;
use crate::searcher::{Models, vector_model};
use crate::text_hash::{mark, text_hash};

/// Events and bytes of text of one step.
const EVENTS: usize = 256;
const BYTES: usize = 96 * 1024;
/// Texts that the model gets at once.
const AT_ONCE: usize = 16;
/// Rows of vectors that were given up, removed in one step.
const SWEPT: usize = 2_000;
/// Events compared with the store in one step.
const COMPARED: usize = 2_000;

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Made vectors of so many texts; there may be more to do.
    Worked {
        /// Texts that the model saw.
        embedded: usize,
    },
    /// There is nothing to do.
    Idle,
    /// It was told to stop, or another process does the same.
    Stopped,
}

/// How far the vectors have come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Model that vectors are made with.
    pub model: String,
    /// Events up to here are done.
    pub watermark: i64,
    /// The newest event.
    pub newest: i64,
    /// Vectors.
    pub vectors: u64,
    /// Texts that the model refuses.
    pub refused: u64,
    /// The earlier model, whose vectors searches ask meanwhile.
    pub earlier: Option<VectorModel>,
}

/// What came of the texts of one step.
struct Made {
    vectors: Vec<NewVector>,
    /// Texts that the model refuses, and what it said.
    refused: Vec<(TextHash, String)>,
    /// Texts that the model saw.
    embedded: usize,
}

/// Makes vectors.
pub struct Indexer {
    store: Arc<dyn Store>,
    vectors: Arc<dyn Vectors>,
    models: Arc<dyn Models>,
    /// Where the comparison with the store goes on; `None` when it is done.
    compare_from: Option<i64>,
}

impl Indexer {
    /// An indexer that first compares what there is with the store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, vectors: Arc<dyn Vectors>, models: Arc<dyn Models>) -> Self {
        Self { store, vectors, models, compare_from: Some(0) }
    }

    /// Has the next steps compare all vectors with the store: events may have been deleted, or the database restored.
    pub fn compare(&mut self) {
        self.compare_from = Some(0);
    }

    /// Does a bounded piece of work. `stop` is asked between calls of the model.
    ///
    /// # Errors
    /// What the model or a store says; the next step tries again.
    pub fn step(&mut self, stop: &dyn Fn() -> bool) -> Result<Step> {
        if self.vectors.sweep(SWEPT)? {
            return Ok(Step::Worked { embedded: 0 });
        }
        let embedder = self.models.chosen()?;
        let generation = self.vectors.generation(&vector_model(embedder.identity()))?;
        let newest = self.store.newest_seq()?;
        if newest < generation.watermark {
            // The database is an older one: what came later is not there any more.
            self.vectors.forget(generation.id, &[newest + 1], true)?;
            self.compare();
            return Ok(Step::Worked { embedded: 0 });
        }
        if let Some(from) = self.compare_from {
            self.compare_from = self.compared(&generation, from)?;
            return Ok(Step::Worked { embedded: 0 });
        }
        match self.add(&generation, embedder.as_ref(), stop) {
            Err(fault) if fault.kind() == FaultKind::Conflict => Ok(Step::Stopped),
            other => other,
        }
    }

    /// How far it has come.
    ///
    /// # Errors
    /// What the model or a store says.
    pub fn progress(&self) -> Result<Progress> {
        let embedder = self.models.chosen()?;
        progress(self.store.as_ref(), self.vectors.as_ref(), Some(embedder.identity()))
    }

    fn add(&self, generation: &Generation, embedder: &dyn Embedder, stop: &dyn Fn() -> bool) -> Result<Step> {
        let texts = self.store.texts_after(generation.watermark, EVENTS, BYTES)?;
        if texts.through == generation.watermark {
            if generation.active {
                return Ok(Step::Idle);
            }
            self.vectors.activate(generation.id)?;
            tracing::info!(model = generation.model.name, vectors = generation.vectors, "new vectors took over");
            return Ok(Step::Worked { embedded: 0 });
        }
        let mut entries = Vec::new();
        let mut pieces: HashMap<TextHash, &str> = HashMap::new();
        for event in &texts.texts {
            for (piece, range) in (0_u32..).zip(embedder.chunks(&event.text)) {
                let Some(text) = event.text.get(range) else { continue };
                let hash = text_hash(text);
                pieces.entry(hash).or_insert(text);
                entries.push(NewEntry { seq: event.seq, piece, mark: mark(&event.event_id), hash });
            }
        }
        let Some(made) = self.vectors_of(generation, embedder, pieces, stop)? else {
            return Ok(Step::Stopped);
        };
        if let Some((first, why)) = made.refused.first() {
            let of = |entry: &&NewEntry| entry.hash == *first;
            let event = entries.iter().find(of).and_then(|entry| texts.texts.iter().find(|one| one.seq == entry.seq));
            tracing::warn!(
                texts = made.refused.len(),
                event = event.map_or("", |event| event.event_id.as_str()),
                model = generation.model.name,
                %why,
                "the model refuses texts, of which this is the first; they are found by their words alone"
            );
        }
        let batch = VectorBatch {
            vectors: made.vectors,
            refused: made.refused.into_iter().map(|(hash, _)| hash).collect(),
            entries,
            from: generation.watermark,
            watermark: texts.through,
        };
        self.vectors.append(generation.id, &batch)?;
        Ok(Step::Worked { embedded: made.embedded })
    }

    /// Vectors of the texts that have none in the generation; `None` when it was stopped.
    fn vectors_of(
        &self,
        generation: &Generation,
        embedder: &dyn Embedder,
        pieces: HashMap<TextHash, &str>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Made>> {
        let hashes: Vec<TextHash> = pieces.keys().copied().collect();
        let known = self.vectors.known(generation.id, &hashes)?;
        let (mut vectors, mut refused) = (Vec::new(), Vec::new());
        let mut missing: Vec<(TextHash, &str)> = Vec::new();
        for (hash, known) in hashes.iter().zip(known) {
            if known {
                continue;
            }
            match self.vectors.elsewhere(generation.id, hash)? {
                Some(vector) => vectors.push(vector),
                None => missing.push((*hash, pieces[hash])),
            }
        }
        // Texts of like length together, in an order that is the same whenever it is done again.
        missing.sort_unstable_by(|a, b| a.1.len().cmp(&b.1.len()).then_with(|| a.0.cmp(&b.0)));
        let encoder = Encoder::new(embedder.identity().dimensions);
        for some in missing.chunks(AT_ONCE) {
            if stop() {
                return Ok(None);
            }
            let texts: Vec<&str> = some.iter().map(|(_, text)| *text).collect();
            for ((hash, _), vector) in some.iter().zip(embedder.embed_each(&texts)?) {
                let vector = match vector {
                    Ok(vector) => vector,
                    Err(why) => {
                        refused.push((*hash, why));
                        continue;
                    }
                };
                let (code, stored) = encoder.encode(&vector);
                let mut bytes = Vec::new();
                code.write(&mut bytes);
                vectors.push(NewVector { hash: *hash, stored, code: bytes });
            }
        }
        Ok(Some(Made { vectors, refused, embedded: missing.len() }))
    }

    /// Compares some events with the store; where to go on.
    fn compared(&self, generation: &Generation, from: i64) -> Result<Option<i64>> {
        let marks = self.vectors.marks_from(generation.id, from, COMPARED)?;
        let Some((last, _)) = marks.last() else { return Ok(None) };
        let seqs: Vec<i64> = marks.iter().map(|(seq, _)| *seq).collect();
        let ids = self.store.event_ids(&seqs)?;
        let (mut gone, mut other) = (Vec::new(), Vec::new());
        for ((seq, then), id) in marks.iter().zip(ids) {
            match id {
                None => gone.push(*seq),
                Some(id) if mark(&id) != *then => other.push(*seq),
                Some(_) => {}
            }
        }
        if !gone.is_empty() {
            self.vectors.forget(generation.id, &gone, false)?;
        }
        if !other.is_empty() {
            tracing::info!(events = other.len(), "the database is another than the vectors were made of");
            self.vectors.forget(generation.id, &other, true)?;
        }
        Ok((marks.len() == COMPARED).then_some(last + 1))
    }
}

/// How far the vectors of `model` have come, or those that searches ask when there is no model.
///
/// # Errors
/// What a store says.
pub fn progress(
    store: &dyn Store,
    vectors: &dyn Vectors,
    model: Option<&crate::embedder::ModelIdentity>,
) -> Result<Progress> {
    let generations = vectors.generations()?;
    let wanted = model.map(vector_model);
    let found = match &wanted {
        Some(wanted) => generations.iter().rev().find(|one| one.model == *wanted),
        None => generations.iter().find(|one| one.active),
    };
    let newest = store.newest_seq()?;
    let id = found.map(|one| one.id);
    let name = found.map(|one| &one.model.name).or(wanted.as_ref().map(|one| &one.name));
    Ok(Progress {
        model: name.cloned().unwrap_or_default(),
        watermark: found.map_or(0, |one| one.watermark),
        newest,
        vectors: found.map_or(0, |one| one.vectors),
        refused: found.map_or(0, |one| one.refused),
        earlier: generations.iter().find(|one| one.active && Some(one.id) != id).map(|one| one.model.clone()),
    })
}
