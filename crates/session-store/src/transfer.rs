//! Sessions as lines of JSON: what `export` writes and `import` reads.
//!
//! The first line is a [`Header`]; then each session is a [`SessionLine`] followed by its [`EventLine`]s in the order in
//! which they arrived. A session is what its events make of it, so importing replays them: exporting what was imported
//! gives the same bytes. When this store received an event is its own affair and is not exported.

mod import;
mod wrong;

use oneiric::clock::Timestamp;
use oneiric::event::EventType;
use oneiric::id::{EventId, SessionId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::{SessionFilter, SessionStatus};

pub use import::{Import, Progress, Report, Trouble, check_headers};

/// First words of the first line.
pub const FORMAT: &str = "session-buddy-export";
/// Version of the format that this program writes, and the highest that it reads.
pub const VERSION: u32 = 1;
/// Longest line that is read, in bytes: an event's data may have a megabyte.
pub const MAX_LINE_BYTES: usize = 2 * 1024 * 1024;

/// Which sessions to export.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// These, by ids or unambiguous beginnings; none means all that the filter allows.
    pub sessions: Vec<String>,
    /// What the others have to be; its `archived` is not looked at.
    pub filter: SessionFilter,
    /// Archived sessions too. Those that are named are found in either place.
    pub archived: bool,
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename = "header")]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// Sessions that follow.
    pub sessions: u64,
    /// Events that follow.
    pub events: u64,
}

/// A session; its events follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename = "session")]
pub struct SessionLine {
    /// Its id.
    pub session_id: SessionId,
    /// Program that it belongs to, for readers; its start says so too.
    #[serde(default)]
    pub component: String,
    /// Where it stood. Only `stale` is not said by its events.
    pub status: SessionStatus,
    /// When it began.
    pub start_time: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Timestamp>,
    /// When it was archived; it is so again where it is imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Timestamp>,
    /// Events that follow.
    pub events: u64,
}

/// An event of the session before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename = "event")]
pub struct EventLine {
    /// Its session.
    pub session_id: SessionId,
    /// Its id.
    pub event_id: EventId,
    /// Its kind.
    pub event_type: EventType,
    /// When it happened.
    pub timestamp: Timestamp,
    /// Place among events of the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// What happened.
    #[serde(default)]
    pub data: Map<String, Value>,
}

/// A line of an export.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// The first one.
    Header(Header),
    /// A session.
    Session(SessionLine),
    /// An event.
    Event(EventLine),
}

impl Line {
    /// Its text, without a line end.
    ///
    /// # Errors
    /// A defect: every line can be written as JSON.
    pub fn text(&self) -> serde_json::Result<String> {
        match self {
            Self::Header(line) => serde_json::to_string(line),
            Self::Session(line) => serde_json::to_string(line),
            Self::Event(line) => serde_json::to_string(line),
        }
    }

    /// Reads a line.
    ///
    /// # Errors
    /// Why it is none of an export's.
    pub fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Kind {
            kind: String,
        }
        let told = |_| wrong::why(text);
        // Read twice: a tagged enum would read numbers through a buffer that does not know them all.
        let Kind { kind } = serde_json::from_str(text).map_err(told)?;
        match kind.as_str() {
            "header" => serde_json::from_str(text).map(Self::Header).map_err(told),
            "session" => serde_json::from_str(text).map(Self::Session).map_err(told),
            "event" => serde_json::from_str(text).map(Self::Event).map_err(told),
            _ => Err(wrong::why(text)),
        }
    }
}

/// Foreign text for a message: short, without control characters.
fn shown(text: &str) -> String {
    text.chars().take(40).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
