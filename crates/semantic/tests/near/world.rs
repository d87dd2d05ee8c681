//! A store, vectors and a model that needs no weights: it hashes words.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use oneiric::clock::{ManualClock, Timestamp};
use oneiric::event::{Event, EventBatch, EventType};
use oneiric::fault::{Fault, Result};
use oneiric::id::{EventId, SessionId};
use semantic::{Embedder, Indexer, ModelIdentity, Models, Searcher, Step};
use serde_json::json;
use session_store::search::meaning::Near;
use session_store::sqlite::{Options, SqliteStore, SqliteVectors};
use session_store::{SearchFilter, SearchRequest, Store, Unknown};

/// Words by their hash; texts that share words are near.
pub(crate) struct Hashing {
    identity: ModelIdentity,
    salt: u64,
    pub(crate) seen: Arc<AtomicUsize>,
}

impl Hashing {
    pub(crate) fn new(name: &str, salt: u64) -> Arc<Self> {
        let identity = ModelIdentity { name: name.into(), digest: format!("{name}-{salt}"), dimensions: 64 };
        Arc::new(Self { identity, salt, seen: Arc::default() })
    }
}

impl Embedder for Hashing {
    fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        self.seen.fetch_add(texts.len(), Ordering::Relaxed);
        Ok(texts
            .iter()
            .map(|text| {
                let mut vector = vec![0.01_f32; 64];
                for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
                    let mut hash = self.salt ^ 0xcbf2_9ce4_8422_2325;
                    for byte in word.to_lowercase().bytes() {
                        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
                    }
                    for turn in 0..4 {
                        let bits = hash.rotate_left(turn * 16);
                        vector[(bits % 64) as usize] += if bits >> 40 & 1 == 0 { 1.0 } else { -1.0 };
                    }
                }
                let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
                vector.iter().map(|number| number / length).collect()
            })
            .collect())
    }

    fn embed_each(&self, texts: &[&str]) -> Result<Vec<Result<Vec<f32>, String>>> {
        let one = |text: &&str| {
            let vector = self.embed(&[*text])?.pop();
            Ok(vector.filter(|_| !text.contains("unspeakable")).ok_or_else(|| "no".to_owned()))
        };
        texts.iter().map(one).collect()
    }

    fn chunks(&self, text: &str) -> Vec<Range<usize>> {
        // Pieces of eight words.
        let mut pieces: Vec<Range<usize>> = Vec::new();
        for (index, word) in text.split_whitespace().enumerate() {
            let start = word.as_ptr() as usize - text.as_ptr() as usize;
            match pieces.last_mut() {
                Some(last) if index % 8 != 0 => last.end = start + word.len(),
                _ => pieces.push(start..start + word.len()),
            }
        }
        pieces
    }
}

#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) chosen: Mutex<Option<Arc<Hashing>>>,
    pub(crate) others: Mutex<Vec<Arc<Hashing>>>,
}

impl Models for Shelf {
    fn chosen(&self) -> Result<Arc<dyn Embedder>> {
        let chosen = self.chosen.lock().unwrap().clone();
        chosen.map(|one| one as Arc<dyn Embedder>).ok_or_else(|| Fault::not_found("no model"))
    }

    fn named(&self, name: &str, digest: &str) -> Result<Arc<dyn Embedder>> {
        let all = self.others.lock().unwrap().clone();
        all.into_iter()
            .chain(self.chosen.lock().unwrap().clone())
            .find(|one| one.identity.name == name && one.identity.digest == digest)
            .map(|one| one as Arc<dyn Embedder>)
            .ok_or_else(|| Fault::not_found("no such model"))
    }
}

pub(crate) struct World {
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) vectors: Arc<SqliteVectors>,
    pub(crate) models: Arc<Shelf>,
    pub(crate) searcher: Arc<Searcher>,
    pub(crate) model: Arc<Hashing>,
}

pub(crate) fn store() -> Arc<SqliteStore> {
    let now = Timestamp::parse("2026-11-22T18:00:00Z").unwrap();
    Arc::new(SqliteStore::in_memory(Options::new(Arc::new(ManualClock::at(now)))).unwrap())
}

impl World {
    pub(crate) fn new() -> Self {
        Self::over(store(), Arc::new(SqliteVectors::in_memory().unwrap()))
    }

    pub(crate) fn over(store: Arc<SqliteStore>, vectors: Arc<SqliteVectors>) -> Self {
        let model = Hashing::new("words", 1);
        let models = Arc::new(Shelf::default());
        *models.chosen.lock().unwrap() = Some(Arc::clone(&model));
        let searcher = Arc::new(Searcher::new(vectors.clone(), models.clone()));
        Self { store, vectors, models, searcher, model }
    }

    pub(crate) fn indexer(&self) -> Indexer {
        Indexer::new(self.store.clone(), self.vectors.clone(), self.models.clone())
    }

    /// Makes all vectors; how many texts the model saw.
    pub(crate) fn index(&self) -> usize {
        let mut indexer = self.indexer();
        let mut seen = 0;
        loop {
            match indexer.step(&|| false).unwrap() {
                Step::Worked { embedded } => seen += embedded,
                Step::Idle => return seen,
                Step::Stopped => panic!("nobody stopped it"),
            }
        }
    }

    pub(crate) fn session(&self, id: &str, project: &str, texts: &[&str]) {
        put(&self.store, id, project, texts);
    }

    pub(crate) fn near(&self, query: &str, filter: &SearchFilter, limit: usize) -> Result<Vec<Near>> {
        self.searcher
            .meaning(self.store.clone(), &SearchRequest::text(query).within(filter.clone()))?
            .nearest(limit, i64::MAX)
    }

    /// Ids of the nearest events.
    pub(crate) fn ids(&self, query: &str, filter: &SearchFilter, limit: usize) -> Vec<String> {
        let near = self.near(query, filter, limit).unwrap();
        let seqs: Vec<i64> = near.iter().map(|one| one.seq).collect();
        use session_store::Scope;
        self.store.event_ids(&seqs).unwrap().into_iter().map(Option::unwrap).collect()
    }
}

/// Stores a session whose events, `ID.0`, `ID.1` and so on, say `texts`.
pub(crate) fn put(store: &SqliteStore, id: &str, project: &str, texts: &[&str]) {
    let base = Timestamp::parse("2026-11-22T18:00:00Z").unwrap().as_micros();
    let event = |name: String, kind: &str, at: i64, data: serde_json::Value| Event {
        event_id: EventId::parse(name).unwrap(),
        event_type: EventType::parse(kind).unwrap(),
        timestamp: Timestamp::from_micros(base + at * 1_000_000),
        sequence: None,
        data: data.as_object().unwrap().clone(),
    };
    let mut events = vec![event(
        format!("{id}.start"),
        "session_start",
        0,
        json!({
            "event_version": "1.0", "component_name": "c", "session_type": "manual", "pid": 1,
            "user": { "username": "ada", "home": "/home/ada" }, "hostname": "box",
            "environment": { "platform": "linux", "cwd": "/" }, "project": project,
        }),
    )];
    for (index, text) in texts.iter().enumerate() {
        events.push(event(format!("{id}.{index}"), "message", index as i64 + 1, json!({ "text": text })));
    }
    let batch = EventBatch { session_id: SessionId::parse(id).unwrap(), events };
    let receipt = store.ingest(&[batch], Unknown::Open).unwrap().remove(0);
    assert_eq!(receipt.accepted, texts.len() + 1, "{receipt:?}");
}
