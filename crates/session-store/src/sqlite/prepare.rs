//! Makes batches ready to store, outside the writer: limits, redaction, JSON, search terms.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use oneiric::clock::Timestamp;
use oneiric::event::{EVENT_VERSION, Event, EventBatch, EventType, MAX_BATCH_EVENTS, Rejection, SessionStart};
use oneiric::fault::{Fault, Result};
use oneiric::redact::{MARK, Redactor};
use oneiric::threads::share;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::analysis::{Analyser, MAX_TERMS};
use crate::model::SessionStatus;
use crate::remember::ASIDE;
use crate::search::text::each_text;

/// Largest data of one event, as JSON.
pub(super) const MAX_EVENT_BYTES: usize = 1024 * 1024;
/// Deepest nesting of an event's data.
pub(super) const MAX_DEPTH: usize = 64;

/// Events that a thread prepares at once, and threads at most.
const PIECE: usize = 64;
const THREADS: usize = 2;

/// A batch that only has to be written.
pub(super) struct Batch {
    pub(super) session_id: String,
    pub(super) events: Vec<Ready>,
    pub(super) rejected: Vec<Rejection>,
    pub(super) redactions: usize,
    pub(super) received: Timestamp,
}

/// An event that only has to be written.
pub(super) struct Ready {
    pub(super) event_id: String,
    pub(super) event_type: String,
    pub(super) timestamp: Timestamp,
    pub(super) time_text: String,
    pub(super) sequence: Option<i64>,
    pub(super) data: String,
    /// Search terms, separated by spaces.
    pub(super) terms: String,
    /// Words in its texts.
    pub(super) length: usize,
    pub(super) effect: Effect,
}

/// What an event does to its session beyond being one of its events.
pub(super) enum Effect {
    None,
    Start(Box<SessionStart>),
    End(End),
    Command {
        failed: bool,
    },
    Error,
    /// It was added to a session that had ended, and changes nothing of its life.
    Aside,
}

/// What is needed of a `session_end` event; senders may leave the rest out.
#[derive(Clone, Debug, Default)]
pub(super) struct End {
    pub(super) failed: bool,
    pub(super) duration_seconds: Option<f64>,
}

#[derive(Deserialize)]
struct EndData {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    exit_code: Option<i64>,
    #[serde(default)]
    duration_seconds: Option<f64>,
}

/// Prepares all batches of a call.
pub(super) fn batches(batches: &[EventBatch], redactor: &Redactor, received: Timestamp) -> Result<Vec<Batch>> {
    if let Some(large) = batches.iter().find(|batch| batch.events.len() > MAX_BATCH_EVENTS) {
        return Err(Fault::user(format!("a batch of {} events is more than {MAX_BATCH_EVENTS}", large.events.len()))
            .hint("send it in several batches"));
    }
    let mut terms = Terms::default();
    Ok(batches.iter().map(|one| batch(one, redactor, received, &mut terms)).collect())
}

/// Prepares events; a second thread helps with many, because preparing costs nearly what writing does.
fn prepare_all(events: &[Event], redactor: &Redactor, terms: &mut Terms) -> Vec<Prepared> {
    let prepared = |events: &[Event], terms: &mut Terms| -> Vec<Prepared> {
        events.iter().map(|event| prepare(event, redactor, terms)).collect()
    };
    if events.len() < 2 * PIECE {
        return prepared(events, terms);
    }
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    share(THREADS, || {
        let mut terms = Terms::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = events.chunks(PIECE).nth(number) else { return };
            let piece = prepared(piece, &mut terms);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((number, piece));
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().flat_map(|(_, piece)| piece).collect()
}

/// An event and the secrets that were taken out of it, or why it cannot be stored.
type Prepared = Result<(Ready, usize), String>;

fn batch(batch: &EventBatch, redactor: &Redactor, received: Timestamp, terms: &mut Terms) -> Batch {
    let mut ready = Batch {
        session_id: batch.session_id.as_str().to_owned(),
        events: Vec::with_capacity(batch.events.len()),
        rejected: Vec::new(),
        redactions: 0,
        received,
    };
    let named = redactor.holds_token(batch.session_id.as_str());
    for (event, prepared) in batch.events.iter().zip(prepare_all(&batch.events, redactor, terms)) {
        let prepared = if named { Err(token_in("session_id")) } else { prepared };
        match prepared {
            Ok((event, redactions)) => {
                ready.events.push(event);
                ready.redactions += redactions;
            }
            Err(reason) => ready.rejected.push(Rejection { event_id: event.event_id.as_str().to_owned(), reason }),
        }
    }
    ready
}

/// An id stays as it is, so one with a token in it is not taken.
fn token_in(field: &str) -> String {
    format!("{field} looks like a secret, which is never stored: choose another id")
}

fn prepare(event: &Event, redactor: &Redactor, terms: &mut Terms) -> Prepared {
    if redactor.holds_token(event.event_id.as_str()) {
        return Err(token_in("event_id"));
    }
    if !shallow(&event.data) {
        return Err(format!("data is nested deeper than {MAX_DEPTH} levels"));
    }
    let sequence = event.sequence.map(i64::try_from).transpose().map_err(|_| "sequence is too large".to_owned())?;
    let mut data = event.data.clone();
    let redactions = redactor.map(&mut data);
    let effect = effect(event.event_type.as_str(), &data)?;
    let data = serde_json::to_string(&data).map_err(|error| format!("data is not JSON: {error}"))?;
    if data.len() > MAX_EVENT_BYTES {
        return Err(format!("data has {} bytes, more than {MAX_EVENT_BYTES}", data.len()));
    }
    let (joined, length) = terms.of(&data);
    let ready = Ready {
        event_id: event.event_id.as_str().to_owned(),
        event_type: event.event_type.as_str().to_owned(),
        timestamp: event.timestamp,
        time_text: event.timestamp.to_string(),
        sequence,
        data,
        terms: joined,
        length,
        effect,
    };
    Ok((ready, redactions))
}

/// What an event does to its session.
pub(super) fn effect(event_type: &str, data: &Map<String, Value>) -> Result<Effect, String> {
    Ok(match event_type {
        EventType::SESSION_START => Effect::Start(Box::new(start(data)?)),
        EventType::SESSION_END => Effect::End(end(data)?),
        EventType::COMMAND => {
            let failed = match data.get("outcome").and_then(Value::as_str) {
                Some(outcome) => outcome == "failed",
                None => data.get("exit_code").and_then(Value::as_i64).is_some_and(|code| code != 0),
            };
            Effect::Command { failed }
        }
        EventType::ERROR => Effect::Error,
        _ if data.get(ASIDE) == Some(&Value::Bool(true)) => Effect::Aside,
        _ => Effect::None,
    })
}

fn start(data: &Map<String, Value>) -> Result<SessionStart, String> {
    let start = SessionStart::deserialize(data).map_err(|error| misfit("start", &error))?;
    if start.event_version != EVENT_VERSION {
        return Err(format!("event_version must be {EVENT_VERSION}"));
    }
    if start.component_name.contains(MARK) {
        return Err("component_name looks like a secret, which is never stored: choose another name".to_owned());
    }
    let name = start.component_name.as_bytes();
    if name.is_empty() || !name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) {
        return Err("component_name must match ^[A-Za-z0-9_-]+$".to_owned());
    }
    if start.session_type.trim().is_empty() {
        return Err("session_type must not be empty".to_owned());
    }
    Ok(start)
}

/// Why data is none of a session's `what`, in words for people.
fn misfit(what: &str, error: &serde_json::Error) -> String {
    let said = error.to_string();
    let part = |before: &str| said.split_once(before).and_then(|(_, rest)| rest.split_once('`')).map(|(name, _)| name);
    let why = match part("missing field `") {
        Some(name) => format!("it has no \"{name}\""),
        None => match said.split_once(", expected ") {
            Some((found, wanted)) => {
                let found = found.trim_start_matches("invalid type: ").trim_start_matches("invalid value: ");
                // Which of these words stands there depends on how numbers are read.
                let found = match found.split([' ', '`']).next().unwrap_or_default() {
                    "integer" | "number" | "floating" => "a number",
                    "string" => "a text",
                    "boolean" => "true or false",
                    "sequence" => "a list",
                    "map" => "an object",
                    _ => found,
                };
                format!("there is {found} where {wanted} belongs")
            }
            None => said.clone(),
        },
    };
    format!("data is no session {what}: {why}")
}

fn end(data: &Map<String, Value>) -> Result<End, String> {
    let end = EndData::deserialize(data).map_err(|error| misfit("end", &error))?;
    let failed = match end.status.as_deref().map(SessionStatus::parse) {
        Some(Some(SessionStatus::Ended)) => false,
        Some(Some(SessionStatus::Failed)) => true,
        Some(_) => return Err("status must be ended or failed".to_owned()),
        None => end.exit_code.is_some_and(|code| code != 0),
    };
    // No clock gives a negative or endless duration; what does is not believed.
    let duration_seconds = end.duration_seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
    Ok(End { failed, duration_seconds })
}

/// Whether `map` is nested at most [`MAX_DEPTH`] deep; walks without recursion, because the depth is the sender's.
fn shallow(map: &Map<String, Value>) -> bool {
    let mut open: Vec<(&Value, usize)> = map.values().map(|value| (value, 1)).collect();
    while let Some((value, depth)) = open.pop() {
        if depth > MAX_DEPTH {
            return false;
        }
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(fields) => open.extend(fields.values().map(|item| (item, depth + 1))),
            _ => {}
        }
    }
    true
}

/// Makes the search terms of documents; keeps its buffers.
#[derive(Default)]
pub(super) struct Terms {
    analyser: Analyser,
    seen: HashSet<u64>,
}

impl Terms {
    /// The distinct terms of a JSON document's strings, and the number of its words.
    pub(super) fn of(&mut self, json: &str) -> (String, usize) {
        let Self { analyser, seen } = self;
        let mut joined = String::with_capacity(json.len());
        let mut tokens = 0;
        let mut length = 0;
        seen.clear();
        each_text(json, &mut |text| {
            if length >= MAX_TERMS {
                return;
            }
            analyser.analyse(text, |token| {
                tokens += 1;
                length += usize::from(token.kind != crate::analysis::Kind::Whole);
                // Short texts hardly repeat a word; the index drops what they do repeat.
                if tokens <= 48 || seen.insert(hash(token.term.as_bytes())) {
                    if !joined.is_empty() {
                        joined.push(' ');
                    }
                    joined.push_str(token.term);
                }
                length < MAX_TERMS
            });
        });
        (joined, length)
    }
}

/// FNV-1a: small, and the same in every version, because search terms for filters are made from it.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
