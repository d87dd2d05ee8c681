//! The wire types of sessions and events: what a shell, an agent or a client sends, and what it is told.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::id::{EventId, SessionId};
use crate::process::ProcessIdentity;
use crate::repository::RepositoryIdentity;

/// Version of the session-start payload.
pub const EVENT_VERSION: &str = "1.0";

/// Events that one batch may carry. A larger batch is refused whole.
pub const MAX_BATCH_EVENTS: usize = 10_000;

/// The kind of an event: lower-case words joined by underscores. The set is open.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct EventType(String);

impl EventType {
    /// A session began; its data is a [`SessionStart`].
    pub const SESSION_START: &'static str = "session_start";
    /// A statement or command line ran; its data is a [`CommandData`].
    pub const COMMAND: &'static str = "command";
    /// Something failed outside a command.
    pub const ERROR: &'static str = "error";
    /// A sign of life with the state of the moment.
    pub const CHECKPOINT: &'static str = "checkpoint";
    /// A note by a person or an agent.
    pub const MESSAGE: &'static str = "message";
    /// A test's outcome.
    pub const TEST_RESULT: &'static str = "test_result";
    /// A session ended; its data is a [`SessionEnd`].
    pub const SESSION_END: &'static str = "session_end";

    /// Takes a name of 1 to 64 characters `a-z 0-9 _` that starts with a letter.
    ///
    /// # Errors
    /// A sentence that says what is allowed.
    pub fn parse(text: impl Into<String>) -> Result<Self, String> {
        let text = text.into();
        let ok = (1..=64).contains(&text.len())
            && text.as_bytes()[0].is_ascii_lowercase()
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if ok {
            Ok(Self(text))
        } else {
            Err("event_type must be 1 to 64 characters a-z 0-9 _ and start with a letter".into())
        }
    }

    /// One of the constants of this type.
    #[must_use]
    pub fn known(name: &'static str) -> Self {
        Self(name.to_owned())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EventType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// One thing that happened in a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Idempotency key: sent twice, stored once.
    pub event_id: EventId,
    /// The kind.
    pub event_type: EventType,
    /// When it happened, by the sender's clock.
    pub timestamp: Timestamp,
    /// Place among the session's events at the same time; the sender counts up from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// What happened; its fields depend on the type.
    #[serde(default)]
    pub data: Map<String, Value>,
}

/// Events of one session, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventBatch {
    /// The session they belong to.
    pub session_id: SessionId,
    /// At most [`MAX_BATCH_EVENTS`].
    pub events: Vec<Event>,
}

/// What became of a batch. Every event is in exactly one of the three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BatchReceipt {
    /// Stored now.
    pub accepted: usize,
    /// Were stored before.
    pub duplicates: usize,
    /// Cannot be stored, each with the reason. Sending them again will not help.
    pub rejected: Vec<Rejection>,
}

/// An event that cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rejection {
    /// The event's id as it was sent.
    pub event_id: String,
    /// Why.
    pub reason: String,
}

/// Data of a `session_start` event, and the body of a session's row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionStart {
    /// [`EVENT_VERSION`].
    pub event_version: String,
    /// Program that the session belongs to: `^[A-Za-z0-9_-]+$`.
    pub component_name: String,
    /// `admin_shell`, `mcp_client`, `manual`, …
    pub session_type: String,
    /// The shell's own name, such as `MahavishnuShell`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell_type: Option<String>,
    /// Process id on `hostname`.
    pub pid: u32,
    /// Identity of that process beyond its id; absent when the sender cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessIdentity>,
    /// Who.
    pub user: UserIdentity,
    /// Where.
    pub hostname: String,
    /// Platform and working directory.
    pub environment: Environment,
    /// Project's name; by default the repository's folder name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Repository of the working directory, when it is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryIdentity>,
    /// Anything else: `env` (allow-listed names), `git_branch`, …
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

/// The person behind a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserIdentity {
    /// Login name.
    pub username: String,
    /// Home directory.
    pub home: String,
}

/// Where a session runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// Operating system and architecture, such as `linux-x86_64`.
    pub platform: String,
    /// Working directory.
    pub cwd: String,
    /// For Python clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python_version: Option<String>,
}

/// Data of a `command` event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CommandData {
    /// The statement or command line as typed, redacted.
    pub command: String,
    /// `expression`, `statement`, `magic`, `cli` or `system`.
    pub kind: String,
    /// Exit code; 0 for a statement that worked; absent when it is not known ([`CommandData::outcome`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// `completed`, `failed`, `interrupted` (by its user) or `unknown` (its shell died meanwhile).
    pub outcome: String,
    /// The error's text when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Milliseconds from start to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<f64>,
    /// Beginning of what it printed, redacted, up to the cap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Bytes it printed in all, when more than the excerpt holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// Working directory, when it is not the session's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
}

/// Data of a `session_end` event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionEnd {
    /// `exit`, `eof`, `error` or the name of a signal.
    pub reason: String,
    /// `ended` or `failed`.
    pub status: String,
    /// The program's exit code.
    pub exit_code: i32,
    /// Commands of the session, by the sender's count.
    pub command_count: u64,
    /// Seconds by the sender's monotonic clock.
    pub duration_seconds: f64,
}
