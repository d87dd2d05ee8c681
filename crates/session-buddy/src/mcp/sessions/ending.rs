//! `track_session_end`.

use oneiric::clock::Timestamp;
use oneiric::event::{Event, EventType, SessionEnd};
use oneiric::id::EventId;
use oneiric_server::mcp::ToolError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use session_store::{SessionStatus, Store};

use super::{Tracked, field, ingest_one, map_of, parsed, refused, short};
use crate::desk::to_value;

/// Arguments of `track_session_end`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct TrackSessionEnd {
    /// Id or unambiguous prefix
    pub session_id: String,
    pub(crate) timestamp: Timestamp,
    /// "session_end"
    pub event_type: String,
    /// May hold status (completed|failed|cancelled), reason, note, exit_code
    #[serde(default)]
    pub metadata: Option<Map<String, Value>>,
    /// JWT, if not a header
    #[serde(default, skip_serializing)]
    pub token: Option<String>,
}

impl TrackSessionEnd {
    pub(crate) fn run(self, store: &dyn Store) -> Result<Value, ToolError> {
        let named = self.session_id.clone();
        self.store(store).map_err(|error| refused(error, Some(&named)))
    }

    fn store(self, store: &dyn Store) -> Result<Value, ToolError> {
        if self.event_type != EventType::SESSION_END {
            return Err(field("event_type", format!("'{}' is not \"session_end\"", short(&self.event_type))));
        }
        let mut data = self.metadata.unwrap_or_default();
        let (status, reason) = how(data.get("status").unwrap_or(&Value::Null))?;
        let session = store.session(&self.session_id)?;
        let session_id = parsed(&session.session_id)?;
        if matches!(session.status, SessionStatus::Ended | SessionStatus::Failed) {
            return to_value(&Tracked {
                session_id: session.session_id,
                status: "ended".into(),
                error: None,
                already: true,
            });
        }
        let exit_code =
            data.get("exit_code").and_then(Value::as_i64).and_then(|code| i32::try_from(code).ok()).unwrap_or(0);
        let end = SessionEnd {
            reason: data.get("reason").and_then(Value::as_str).unwrap_or(reason).to_owned(),
            status: status.into(),
            exit_code,
            command_count: session.command_count,
            duration_seconds: self.timestamp.since(session.start_time).as_secs_f64(),
        };
        data.extend(map_of(&end)?);
        // The same for every end of this session, so that a repeated call adds nothing.
        let event_id =
            EventId::parse(format!("{session_id}.end")).unwrap_or_else(|_| EventId::generate(self.timestamp));
        let event = Event {
            event_id,
            event_type: EventType::known(EventType::SESSION_END),
            timestamp: self.timestamp,
            sequence: None,
            data,
        };
        ingest_one(store, session_id, event, "ended")
    }
}

/// The status that a sender's word for how a session ended comes to, and a reason for want of a better one. `ended` is what
/// answers and stored events call it.
fn how(said: &Value) -> Result<(&'static str, &'static str), ToolError> {
    match (said, said.as_str()) {
        (Value::Null, _) | (_, Some("ended")) => Ok(("ended", "exit")),
        (_, Some("completed")) => Ok(("ended", "completed")),
        (_, Some("failed")) => Ok(("failed", "exit")),
        (_, Some("cancelled")) => Ok(("ended", "cancelled")),
        _ => {
            let told = short(&said.to_string());
            Err(field("metadata.status", format!("{told} is not completed, failed or cancelled")))
        }
    }
}
