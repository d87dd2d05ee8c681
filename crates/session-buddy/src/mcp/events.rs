//! `track_events`, `list_events`.

use oneiric::event::{BatchReceipt, Event, EventBatch, EventType, MAX_BATCH_EVENTS, Rejection};
use oneiric::fault::FaultKind;
use oneiric::id::SessionId;
use oneiric_server::mcp::{Arguments, ToolError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use session_store::{EventFilter, EventPlace, EventRow, Store, Unknown};

use super::cursor::Question;
use super::sessions::page;
use crate::desk::to_value;

/// Arguments of `track_events`, read.
#[derive(Debug)]
pub struct TrackEvents {
    batch: EventBatch,
    rejected: Vec<Rejection>,
}

/// What the schema shows of them.
#[derive(Deserialize, JsonSchema)]
#[allow(dead_code, reason = "read by hand, so that one bad event does not cost the others")]
struct TrackEventsInput {
    session_id: String,
    #[schemars(length(max = 10000))]
    events: Vec<EventInput>,
    /// JWT, if not a header
    #[serde(default)]
    token: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct EventInput {
    event_id: String,
    /// lower_snake: command, error, checkpoint, message, …
    event_type: String,
    timestamp: oneiric::clock::Timestamp,
    #[serde(default)]
    data: Map<String, Value>,
}

impl JsonSchema for TrackEvents {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        TrackEventsInput::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        TrackEventsInput::json_schema(generator)
    }
}

impl TrackEvents {
    /// Reads the arguments. Events that cannot be read are rejected one by one; the others are kept.
    pub(crate) fn read(arguments: Arguments<'_>) -> Result<Self, ToolError> {
        let map = match arguments {
            Arguments::Raw(raw) => {
                if let Ok(batch) = serde_json::from_str(raw.get()) {
                    return Self::bounded(batch, Vec::new());
                }
                Arguments::Raw(raw).parse::<Map<String, Value>>()?
            }
            Arguments::Parsed(map) => map,
        };
        Self::one_by_one(map)
    }

    fn one_by_one(mut map: Map<String, Value>) -> Result<Self, ToolError> {
        #[derive(Deserialize)]
        struct Loose {
            session_id: SessionId,
            events: Vec<Value>,
        }
        map.remove("token");
        let loose: Loose = Arguments::Parsed(map).parse()?;
        let mut events = Vec::with_capacity(loose.events.len());
        let mut rejected = Vec::new();
        for (index, value) in loose.events.into_iter().enumerate() {
            let Value::Object(fields) = value else {
                rejected.push(Rejection { event_id: String::new(), reason: format!("events[{index}] is no object") });
                continue;
            };
            let event_id = fields.get("event_id").and_then(Value::as_str).unwrap_or_default().to_owned();
            match Arguments::Parsed(fields).parse::<Event>() {
                Ok(event) => events.push(event),
                Err(error) => {
                    rejected.push(Rejection { event_id, reason: format!("events[{index}]: {}", error.message()) })
                }
            }
        }
        Self::bounded(EventBatch { session_id: loose.session_id, events }, rejected)
    }

    fn bounded(batch: EventBatch, rejected: Vec<Rejection>) -> Result<Self, ToolError> {
        let count = batch.events.len() + rejected.len();
        if count > MAX_BATCH_EVENTS {
            let message = format!("events: {count} are more than {MAX_BATCH_EVENTS}; send them in several batches");
            return Err(ToolError::new("invalid_arguments", message).with("field", "events"));
        }
        Ok(Self { batch, rejected })
    }

    pub(crate) fn run(mut self, store: &dyn Store) -> Result<Value, ToolError> {
        let starts = self.batch.events.iter().any(|event| event.event_type.as_str() == EventType::SESSION_START);
        if !starts && !store.session_exists(&self.batch.session_id)? {
            self.batch.session_id = store.resolve(self.batch.session_id.as_str())?;
        }
        let mut receipt = if self.batch.events.is_empty() {
            BatchReceipt::default()
        } else {
            store
                .ingest(&[self.batch], Unknown::Refuse)?
                .pop()
                .ok_or_else(|| ToolError::new(FaultKind::Internal.code(), "the store gave no receipt"))?
        };
        receipt.rejected.append(&mut self.rejected);
        to_value(&receipt)
    }
}

/// Answer of `track_events`: every event is in exactly one of the three.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the fields of `BatchReceipt` of the same names")]
pub struct Receipt {
    pub accepted: usize,
    pub duplicates: usize,
    pub rejected: Vec<Rejected>,
}

/// An event that cannot be stored.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the fields of `Rejection` of the same names")]
pub struct Rejected {
    pub event_id: String,
    pub reason: String,
}

const fn default_limit() -> usize {
    100
}

/// Bytes of events after which an answer ends, though fewer than asked for are in it: many callers who take their time must not
/// fill the memory.
pub(super) const MOST_BYTES: usize = 1024 * 1024;

/// Bytes of an event in an answer.
pub(super) fn size(event: &EventRow) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Writing to a counter does not fail.
    let _ = serde_json::to_writer(&mut count, event);
    count.0
}

/// Arguments of `list_events`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListEvents {
    /// Id or unambiguous prefix; without it the newest events of all sessions
    #[serde(default)]
    pub(crate) session_id: Option<String>,
    #[serde(default)]
    pub(crate) event_type: Option<String>,
    #[serde(default = "default_limit")]
    #[schemars(range(max = 10000))]
    pub(crate) limit: usize,
    #[serde(default)]
    pub(crate) offset: usize,
    /// Without session_id: those in the archive
    #[serde(default)]
    pub(crate) archived: bool,
    /// next_cursor of the page before
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
}

/// Answer of `list_events`.
#[derive(Debug, Serialize, Deserialize)]
pub struct EventList {
    /// In the session's order; newest first when no session was named.
    pub events: Vec<EventRow>,
    /// Where the next page begins; absent when there is none. A page ends after about a MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// The part of an event that the schema tells.
#[derive(Serialize, JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct EventLine {
    event_id: String,
    session_id: String,
    event_type: String,
    timestamp: oneiric::clock::Timestamp,
    data: Map<String, Value>,
}

#[derive(Serialize, JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct EventListShape {
    events: Vec<EventLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

impl JsonSchema for EventList {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        EventListShape::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        EventListShape::json_schema(generator)
    }
}

impl ListEvents {
    pub(crate) fn run(self, store: &dyn Store) -> Result<Value, ToolError> {
        let question = Question::of("list_events", &self);
        let place = self.cursor.as_deref().map(|cursor| question.place(cursor, self.offset)).transpose()?;
        let filter = EventFilter {
            session: self.session_id,
            event_type: self.event_type,
            archived: self.archived,
            after: place.map(|(timestamp, sequence, seq)| EventPlace { timestamp, sequence, seq }),
        };
        let mut bytes = 0;
        let mut fits = |event: &EventRow| {
            let fits = bytes < MOST_BYTES;
            bytes += size(event);
            fits
        };
        let (events, place) = store.events_that_fit(&filter, page(self.limit, self.offset)?, &mut fits)?;
        let next_cursor = place.and_then(|place| question.cursor(&(place.timestamp, place.sequence, place.seq)));
        to_value(&EventList { events, next_cursor })
    }
}
