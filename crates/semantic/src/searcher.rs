//! Answers what lies near a query: the model and the vectors behind one door, for every search of a process.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use oneiric::fault::{Fault, Result};
use oneiric::threads::Crew;
use session_store::search::meaning::{Meaning, Near, Seen};
use session_store::vectors::{Generation, VectorModel, Vectors};
use session_store::{SearchFilter, SearchRequest, Store};

use crate::embedder::{Embedder, ModelIdentity};
use crate::held::{Held, SHAPE};
use crate::nearest::Question;
use crate::text_hash::mark;

/// Questions whose vectors are kept: up to 4 KiB of text and 1.5 KiB of numbers each.
const RECENT: usize = 32;

/// That words alone must answer, because nothing was embedded yet.
#[must_use]
pub fn none_yet() -> Fault {
    Fault::unavailable("no vectors have been made yet")
        .hint("a running server makes them in the background: session-buddy start")
}

/// Gives models. May load one, and keep it for some time.
pub trait Models: Send + Sync {
    /// The model that new vectors are made with.
    ///
    /// # Errors
    /// Why there is none, with the command that mends it.
    fn chosen(&self) -> Result<Arc<dyn Embedder>>;

    /// The model of this name and digest, which may be an earlier choice.
    ///
    /// # Errors
    /// `NotFound` when it is not on this machine any more.
    fn named(&self, name: &str, digest: &str) -> Result<Arc<dyn Embedder>>;
}

/// Whose vectors a model makes.
#[must_use]
pub(crate) fn vector_model(identity: &ModelIdentity) -> VectorModel {
    VectorModel {
        name: identity.name.clone(),
        digest: identity.digest.clone(),
        dimensions: identity.dimensions,
        shape: SHAPE,
    }
}

/// Tells a generation from others, also from one of the same number in a file that was made anew.
fn number_of(generation: &Generation) -> i64 {
    let VectorModel { name, digest, dimensions, shape } = &generation.model;
    mark(&format!("{} {name} {digest} {dimensions} {shape}", generation.id))
}

/// Searches by meaning.
pub struct Searcher {
    vectors: Arc<dyn Vectors>,
    models: Arc<dyn Models>,
    held: RwLock<Option<Arc<RwLock<Held>>>>,
    crew: Crew,
    /// What was asked last, the latest at the end.
    asked: Mutex<VecDeque<Recent>>,
}

/// A question of late, and its vector in a generation's model.
struct Recent {
    generation: i64,
    query: String,
    vector: Arc<[f32]>,
}

impl Searcher {
    /// A searcher; nothing is read yet.
    #[must_use]
    pub fn new(vectors: Arc<dyn Vectors>, models: Arc<dyn Models>) -> Self {
        Self { vectors, models, held: RwLock::new(None), crew: Crew::new(), asked: Mutex::default() }
    }

    /// The meaning of what `request` looks for. Begins to work at once, in the background.
    ///
    /// # Errors
    /// Why words alone must answer: no model, or no vectors yet.
    pub fn meaning(self: &Arc<Self>, store: Arc<dyn Store>, request: &SearchRequest) -> Result<Box<dyn Meaning>> {
        let generation = self.active()?;
        // A later page stays with what the first one knew.
        let through = request.after.map_or(i64::MAX, |(_, pool)| pool.meaning).min(generation.watermark);
        let told = number_of(&generation);
        let embedder = self.models.named(&generation.model.name, &generation.model.digest)?;
        let asked = Asked { searcher: Arc::clone(self), store, filter: request.filter.clone(), generation };
        let (query, wanted) = (request.query.clone(), request.nearest());
        let (tell_begun, begun) = sync_channel(1);
        let (tell_ahead, ahead) = sync_channel(1);
        let work = move || {
            let begun = asked.begin(embedder.as_ref(), &query).map(Arc::new);
            // Whoever asked may be gone.
            let _ = tell_begun.send(begun.clone());
            let _ =
                tell_ahead.send(begun.and_then(|begun| begun.question(|question| question.nearest(wanted, through))));
        };
        self.crew.run(work)?;
        Ok(Box::new(Pending {
            through,
            generation: told,
            begun: Mutex::new(Awaited::In(begun)),
            wanted,
            ahead: Mutex::new(Awaited::In(ahead)),
        }))
    }

    /// The generation that searches ask.
    fn active(&self) -> Result<Generation> {
        let active = self.vectors.generations()?.into_iter().find(|one| one.active);
        match active.filter(|one| one.entries > 0) {
            Some(active) if active.model.shape == SHAPE => Ok(active),
            _ => Err(none_yet()),
        }
    }

    /// The generation in memory, as new as the one on disk.
    fn held(&self, generation: &Generation) -> Result<Arc<RwLock<Held>>> {
        let known = self.held.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(held) = known {
            let state = held.read().unwrap_or_else(PoisonError::into_inner);
            if state.is_of(generation) {
                if !state.is_complete(generation) {
                    drop(state);
                    held.write().unwrap_or_else(PoisonError::into_inner).read(self.vectors.as_ref())?;
                } else {
                    drop(state);
                }
                return Ok(held);
            }
        }
        let mut slot = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = slot.as_ref()
            && held.read().unwrap_or_else(PoisonError::into_inner).is_of(generation)
        {
            return Ok(Arc::clone(held));
        }
        // The old one goes first, so that both are never in memory, unless a search still uses it.
        *slot = None;
        let held = Arc::new(RwLock::new(Held::load(self.vectors.as_ref(), generation)?));
        *slot = Some(Arc::clone(&held));
        Ok(held)
    }

    /// The vector of a question that was asked before: its next page, or the same within a narrower filter.
    fn recent(&self, generation: i64, query: &str) -> Option<Arc<[f32]>> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let found = asked.iter().rev().find(|one| one.generation == generation && one.query == query);
        found.map(|one| Arc::clone(&one.vector))
    }

    fn remember(&self, generation: i64, query: &str, vector: Vec<f32>) -> Arc<[f32]> {
        let vector: Arc<[f32]> = vector.into();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() == RECENT {
            asked.pop_front();
        }
        asked.push_back(Recent { generation, query: query.to_owned(), vector: Arc::clone(&vector) });
        vector
    }

    /// Gives up what is held in memory; the next search reads it again.
    pub fn rest(&self) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clear();
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A search under way.
struct Asked {
    searcher: Arc<Searcher>,
    store: Arc<dyn Store>,
    filter: SearchFilter,
    generation: Generation,
}

impl Asked {
    fn begin(self, embedder: &dyn Embedder, query: &str) -> Result<Begun> {
        let identity = embedder.identity();
        if vector_model(identity) != self.generation.model {
            return Err(Fault::unavailable(format!(
                "the vectors are of {}, which is not the model of that name here",
                self.generation.model.name
            ))
            .hint("a running server makes new ones in the background"));
        }
        let vector = match self.searcher.recent(self.generation.id, query) {
            Some(known) => known,
            None => self.searcher.remember(self.generation.id, query, embedder.embed_query(query)?),
        };
        let held = self.searcher.held(&self.generation)?;
        Ok(Begun { asked: self, held, vector })
    }
}

/// A search whose query is embedded.
struct Begun {
    asked: Asked,
    held: Arc<RwLock<Held>>,
    vector: Arc<[f32]>,
}

impl Begun {
    fn question<T>(&self, ask: impl FnOnce(&Question<'_>) -> Result<T>) -> Result<T> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let query = held.query(&self.vector);
        ask(&Question {
            held: &held,
            vectors: self.asked.searcher.vectors.as_ref(),
            store: self.asked.store.as_ref(),
            filter: &self.asked.filter,
            query: &query,
        })
    }
}

/// What a thread finds out.
enum Awaited<T> {
    In(Receiver<Result<T>>),
    There(Result<T>),
}

impl<T: Clone> Awaited<T> {
    fn get(this: &Mutex<Self>) -> Result<T> {
        let mut this = this.lock().unwrap_or_else(PoisonError::into_inner);
        if let Self::In(receiver) = &*this {
            let lost = |_| Err(Fault::internal("the search by meaning ended unexpectedly"));
            *this = Self::There(receiver.recv().unwrap_or_else(lost));
        }
        match &*this {
            Self::There(found) => found.clone(),
            Self::In(_) => Err(Fault::internal("a search by meaning was lost")),
        }
    }
}

struct Pending {
    /// The newest event up to which vectors count.
    through: i64,
    generation: i64,
    begun: Mutex<Awaited<Arc<Begun>>>,
    /// The nearest `wanted`, which are looked for while the words are still searched.
    wanted: usize,
    ahead: Mutex<Awaited<Vec<Near>>>,
}

impl Meaning for Pending {
    fn nearest(&self, limit: usize, through: i64) -> Result<Vec<Near>> {
        if limit <= self.wanted {
            let mut ahead = Awaited::get(&self.ahead)?;
            if ahead.iter().all(|one| one.seq <= through) {
                ahead.truncate(limit);
                return Ok(ahead);
            }
        }
        let through = through.min(self.through);
        Awaited::get(&self.begun)?.question(|question| question.nearest(limit, through))
    }

    fn of(&self, events: &[Seen<'_>]) -> Result<Vec<Near>> {
        Awaited::get(&self.begun)?.question(|question| question.of(events))
    }

    fn through(&self) -> i64 {
        self.through
    }

    fn generation(&self) -> i64 {
        self.generation
    }
}
