//! How well searches find what they should, measured over the way that every search takes: sessions are stored as any
//! client stores them, questions are asked as any client asks them.
//!
//! Data are lines of JSON ([`dataset`]); figures are those of the literature ([`figures`]). Each question is asked within
//! its own conversation, which is a project.

pub mod dataset;
pub mod figures;

use oneiric::clock::Clock;
use oneiric::event::{Event, EventBatch, EventType, MAX_BATCH_EVENTS};
use oneiric::fault::{Fault, FaultKind, Result};
use oneiric::id::{EventId, SessionId};
use serde_json::{Map, Value, json};

use crate::model::{Granularity, SearchFilter, SearchMode, SearchRequest};
use crate::search::meaning::Meaning;
use crate::store::{Store, Unknown};
use dataset::{Dataset, Recorded};
use figures::{Asked, Figures};

/// Hits that are looked at for each question.
pub const DEPTH: usize = 100;
/// Batches that are stored at once.
const AT_ONCE: usize = 64;

/// Makes what a search may know of meaning.
pub type MakeMeaning<'m> = &'m dyn Fn(&SearchRequest) -> Result<Box<dyn Meaning>>;

/// Stores the sessions of `dataset`; `progress` hears how many are stored.
///
/// # Errors
/// What the store says, and when it rejects an event.
pub fn store(dataset: &Dataset, store: &dyn Store, progress: &mut dyn FnMut(usize)) -> Result<()> {
    let mut turn = 0;
    for (chunk, sessions) in dataset.sessions.chunks(AT_ONCE).enumerate() {
        let mut batches = Vec::new();
        for (at, session) in sessions.iter().enumerate() {
            let id = session_id(chunk * AT_ONCE + at)?;
            let events = events(session, &id, &mut turn)?;
            for part in events.chunks(MAX_BATCH_EVENTS) {
                batches.push(EventBatch { session_id: id.clone(), events: part.to_vec() });
            }
        }
        for receipt in store.ingest(&batches, Unknown::Open)? {
            if let Some(rejected) = receipt.rejected.first() {
                return Err(Fault::user(format!("an event of the data cannot be stored: {}", rejected.reason)));
            }
        }
        progress(chunk * AT_ONCE + sessions.len());
    }
    Ok(())
}

/// Asks all questions; gives the figures over all and for each category, and the mode that was realised.
///
/// # Errors
/// What a search says, other than that a question cannot be asked.
pub fn ask(
    dataset: &Dataset,
    store: &dyn Store,
    (mode, by): (SearchMode, Granularity),
    meaning: Option<MakeMeaning<'_>>,
    clock: &dyn Clock,
    progress: &mut dyn FnMut(usize),
) -> Result<Figures> {
    let mut all = Vec::with_capacity(dataset.questions.len());
    let mut realised = mode;
    let mut note = None;
    for (index, question) in dataset.questions.iter().enumerate() {
        progress(index);
        let wanted = dataset.wanted(question, by);
        if wanted.is_empty() {
            continue;
        }
        let request = SearchRequest {
            query: question.text.clone(),
            filter: SearchFilter { project: Some(question.conversation.clone()), ..SearchFilter::default() },
            mode,
            by,
            limit: DEPTH,
            ..SearchRequest::default()
        };
        let began = clock.monotonic();
        let known = match (mode, meaning) {
            (SearchMode::Text, _) | (_, None) => None,
            (_, Some(make)) => Some(make(&request)?),
        };
        let answer = match store.search(&request, known.as_deref()) {
            Ok(answer) => answer,
            // A question that cannot be asked, such as one without a word, is one that nothing was found for.
            Err(fault) if fault.kind() == FaultKind::User => {
                let took = clock.monotonic().saturating_sub(began);
                all.push(Asked { category: question.category.clone(), wanted: wanted.len(), ranks: Vec::new(), took });
                continue;
            }
            Err(fault) => return Err(fault),
        };
        let took = clock.monotonic().saturating_sub(began);
        if answer.mode != mode {
            realised = answer.mode;
            note = answer.note;
        }
        let ranks = answer
            .hits
            .iter()
            .enumerate()
            .filter(|(_, hit)| match by {
                Granularity::Event => number(&hit.event_id).is_some_and(|turn| wanted.contains(&turn)),
                Granularity::Session => number(&hit.session_id).is_some_and(|session| wanted.contains(&session)),
            })
            .map(|(rank, _)| rank + 1)
            .collect();
        all.push(Asked { category: question.category.clone(), wanted: wanted.len(), ranks, took });
    }
    Ok(Figures::over(realised, &all, note))
}

fn number(id: &str) -> Option<usize> {
    id.rsplit('-').next()?.parse().ok()
}

fn session_id(index: usize) -> Result<SessionId> {
    SessionId::parse(format!("evaluation-{index}")).map_err(|error| Fault::internal(error.to_string()))
}

fn events(session: &Recorded, id: &SessionId, turn: &mut usize) -> Result<Vec<Event>> {
    let make = |name: String, kind: &str, seconds: usize, data: Value| {
        let data = match data {
            Value::Object(data) => data,
            _ => Map::new(),
        };
        Ok::<_, Fault>(Event {
            event_id: EventId::parse(name).map_err(|error| Fault::internal(error.to_string()))?,
            event_type: EventType::parse(kind).map_err(|error| Fault::internal(error.to_string()))?,
            timestamp: session.started_at.plus(std::time::Duration::from_secs(seconds as u64)),
            sequence: Some(seconds as u64),
            data,
        })
    };
    let start = json!({
        "event_version": oneiric::event::EVENT_VERSION, "component_name": "evaluation", "session_type": "evaluation",
        "pid": 0, "user": { "username": "", "home": "" }, "hostname": "",
        "environment": { "platform": "", "cwd": "" }, "project": session.conversation, "metadata": {},
    });
    let mut events = vec![make(format!("start-{id}"), EventType::SESSION_START, 0, start)?];
    for (place, one) in session.turns.iter().enumerate() {
        let data = json!({ "speaker": one.speaker, "text": one.text });
        events.push(make(format!("turn-{turn}"), EventType::MESSAGE, place + 1, data)?);
        *turn += 1;
    }
    Ok(events)
}
