//! What the store gives back: sessions, events, hits and totals, in the shape that doors print and peers read.

mod search;

use std::fmt;

use oneiric::clock::Timestamp;
use oneiric::process::ProcessIdentity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use search::{Candidates, Granularity, Pool, SearchAnswer, SearchFilter, SearchHit, SearchMode, SearchRequest};

/// Component and type of a session whose start has not arrived yet.
pub const UNKNOWN: &str = "unknown";

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum SessionStatus {
    /// It runs, as far as is known.
    Active,
    /// It ended by itself.
    Ended,
    /// It ended with a failure.
    Failed,
    /// Its process is gone and it never said goodbye.
    Stale,
}

impl SessionStatus {
    /// Whether a session of this status with so many events holds more than its beginning and its end. A client's session
    /// often does not.
    #[must_use]
    pub const fn holds_work(self, event_count: u64) -> bool {
        event_count > if matches!(self, Self::Ended | Self::Failed) { 2 } else { 1 }
    }

    /// All of them.
    pub const ALL: [Self; 4] = [Self::Active, Self::Ended, Self::Failed, Self::Stale];

    /// The name that is stored and printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Ended => "ended",
            Self::Failed => "failed",
            Self::Stale => "stale",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

impl fmt::Display for SessionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// Its id.
    pub session_id: String,
    /// Program that it belongs to; `unknown` until its start has arrived.
    pub component: String,
    /// `admin_shell`, `mcp_client`, `manual`, …; `unknown` until its start has arrived.
    pub session_type: String,
    /// Where it stands.
    pub status: SessionStatus,
    /// When it began.
    pub start_time: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Timestamp>,
    /// How long it took, by the sender's monotonic clock when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
    /// Stored `command` events.
    pub command_count: u64,
    /// Stored events of any type.
    pub event_count: u64,
    /// `error` events and failed commands.
    pub error_count: u64,
    /// Time of its latest event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event_time: Option<Timestamp>,
    /// Project's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Git directory that all worktrees of the repository share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Working tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worktree: Option<String>,
    /// Branch at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Commit at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Whether the working tree had changes at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dirty: Option<bool>,
    /// Machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Login name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Process id on `hostname`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Identity of the process beyond its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessIdentity>,
    /// Working directory at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// The shell's own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell_type: Option<String>,
    /// Anything else that its start said: `env`, `git_branch`, `platform`, …
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// When this store first heard of it.
    pub created_at: Timestamp,
    /// When its row last changed.
    pub updated_at: Timestamp,
    /// When it was moved to the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Timestamp>,
}

/// A stored event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventRow {
    /// Its id.
    pub event_id: String,
    /// Its session.
    pub session_id: String,
    /// Its kind.
    pub event_type: String,
    /// When it happened, by the sender's clock.
    pub timestamp: Timestamp,
    /// Place among events of the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// When this store received it.
    pub received_at: Timestamp,
    /// What happened.
    #[serde(default)]
    pub data: Map<String, Value>,
}

/// Which sessions. Empty fields allow all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SessionFilter {
    /// Exact session type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_type: Option<String>,
    /// Exact component.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// Status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<SessionStatus>,
    /// Exact project name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Common git directory: all worktrees of a repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// One working tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worktree: Option<String>,
    /// Started at or after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Started before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Those in the archive, instead of the others.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub archived: bool,
    /// Those that come after this place in the list.
    #[serde(skip)]
    pub after: Option<SessionPlace>,
}

/// A session's place in a list. It stays where it is when sessions are added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPlace {
    /// Its start.
    pub start_time: Timestamp,
    /// Its id, for those that started at the same time.
    pub session_id: String,
}

/// An event's place in any list. It stays where it is when events are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPlace {
    /// When it happened.
    pub timestamp: Timestamp,
    /// Place among events of the same time.
    pub sequence: Option<u64>,
    /// Place among all arrivals.
    pub seq: i64,
}

/// Which events. Empty fields allow all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EventFilter {
    /// Id of a session, or an unambiguous beginning of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Exact event type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// When no session is named: those in the archive, instead of the others. A named session is found in either.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub archived: bool,
    /// Those that come after this place in the list.
    #[serde(skip)]
    pub after: Option<EventPlace>,
}

/// A part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Rows at most.
    pub limit: usize,
    /// Rows to skip.
    pub offset: usize,
}

impl Page {
    /// Most rows that one page may hold.
    pub const MAX_LIMIT: usize = 10_000;

    /// The first `limit` rows.
    #[must_use]
    pub const fn first(limit: usize) -> Self {
        Self { limit, offset: 0 }
    }
}

/// Totals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Sessions by component and status, archived ones among them.
    pub sessions: Vec<SessionCount>,
    /// Durations of finished sessions by component.
    pub durations: Vec<DurationHistogram>,
    /// Stored events by type, archived ones among them.
    pub events: Vec<EventCount>,
    /// Sessions in the archive; part of `sessions` as well.
    #[serde(default)]
    pub archived_sessions: u64,
    /// Events in the archive; part of `events` as well.
    #[serde(default)]
    pub archived_events: u64,
    /// Sessions that retention deleted; not part of `sessions`.
    #[serde(default)]
    pub deleted_sessions: Vec<SessionCount>,
    /// Events that retention deleted; not part of `events`.
    #[serde(default)]
    pub deleted_events: Vec<EventCount>,
    /// Secrets that ingestion replaced.
    pub redactions: u64,
    /// Size of the database on disk (in memory: of its pages).
    pub database_bytes: u64,
}

impl Counts {
    /// Stored events of all types.
    #[must_use]
    pub fn events_total(&self) -> u64 {
        self.events.iter().map(|row| row.count).sum()
    }

    /// Sessions of all components that have `status`; of any status when it is `None`.
    #[must_use]
    pub fn sessions_total(&self, status: Option<SessionStatus>) -> u64 {
        self.sessions.iter().filter(|row| status.is_none_or(|wanted| row.status == wanted)).map(|row| row.count).sum()
    }
}

/// Sessions of one component and status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionCount {
    /// Component.
    pub component: String,
    /// Status.
    pub status: SessionStatus,
    /// How many.
    pub count: u64,
}

/// Events of one type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventCount {
    /// Type.
    pub event_type: String,
    /// How many.
    pub count: u64,
}

/// Upper bounds, in seconds, of a duration histogram's buckets; one more bucket holds what is longer.
pub const DURATION_BOUNDS: [f64; 12] =
    [1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0, 86_400.0];

/// How long the finished sessions of one component took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DurationHistogram {
    /// Component.
    pub component: String,
    /// Sessions in each bucket of [`DURATION_BOUNDS`] (not cumulative), then those beyond the last bound.
    pub buckets: Vec<u64>,
    /// Sum of all durations in seconds.
    pub sum_seconds: f64,
}

impl DurationHistogram {
    /// Finished sessions.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// What a store is and how it fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreInfo {
    /// `sqlite`.
    pub backend: String,
    /// Path of the file, or `memory`.
    pub location: String,
    /// Version of the schema.
    pub schema_version: u32,
    /// Whether it can be written.
    pub writable: bool,
    /// Size in bytes.
    pub database_bytes: u64,
    /// What a write or a search of this process found damaged, while it is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<Damage>,
}

/// Something in a database that is damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Damage {
    /// What the database says.
    pub said: String,
    /// Whether it is the search index or the list of words, which are made of the events.
    pub derived: bool,
    /// Whether events could not be stored for it.
    pub writing: bool,
}
