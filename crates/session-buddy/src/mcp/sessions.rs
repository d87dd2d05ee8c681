//! `track_session_start`, `track_session_end`, `list_sessions`, `get_session`.

mod by_hand;
mod ending;

use oneiric::clock::Timestamp;
use oneiric::event::{EVENT_VERSION, Environment, Event, EventBatch, EventType, SessionStart, UserIdentity};
use oneiric::fault::FaultKind;
use oneiric::id::{EventId, SessionId};
use oneiric::repository::RepositoryIdentity;
use oneiric_server::mcp::ToolError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use session_store::{Page, STARTED_ALREADY, Session, SessionFilter, SessionPlace, SessionStatus, Store, Unknown};

use super::cursor::{Question, with_one_more};
use super::times;
use crate::desk::to_value;

pub use ending::TrackSessionEnd;

/// Arguments of `track_session_start`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct TrackSessionStart {
    /// "1.0"
    pub event_version: String,
    /// Sent twice, stored once
    pub(crate) event_id: EventId,
    /// "session_start"
    pub event_type: String,
    /// ^[A-Za-z0-9_-]+$
    pub component_name: String,
    /// Such as MahavishnuShell
    pub shell_type: String,
    pub(crate) timestamp: Timestamp,
    pub(crate) pid: u32,
    pub(crate) user: UserInput,
    pub(crate) hostname: String,
    pub(crate) environment: EnvironmentInput,
    #[serde(default)]
    pub(crate) metadata: Option<Map<String, Value>>,
    /// Default: made from event_id
    #[serde(default)]
    pub session_id: Option<SessionId>,
    /// Default: admin_shell
    #[serde(default)]
    pub session_type: Option<String>,
    #[serde(default)]
    pub(crate) project: Option<String>,
    #[serde(default)]
    #[schemars(skip)]
    pub(crate) repository: Option<RepositoryInput>,
    /// JWT, if not a header
    #[serde(default, skip_serializing)]
    pub token: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct UserInput {
    username: String,
    home: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct EnvironmentInput {
    platform: String,
    cwd: String,
    #[serde(default)]
    python_version: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RepositoryInput {
    common_dir: String,
    worktree: String,
    #[serde(default)]
    branch: Option<String>,
    #[serde(default)]
    commit: Option<String>,
    #[serde(default)]
    dirty: Option<bool>,
}

/// Answer of both track tools.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tracked {
    /// The session.
    pub session_id: String,
    /// `tracked` or `ended`.
    pub status: String,
    /// Null when all is well.
    pub error: Option<String>,
    /// Whether it had ended before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(skip)]
    pub already: bool,
}

fn refused(error: ToolError, session_id: Option<&str>) -> ToolError {
    let status = if error.code() == FaultKind::NotFound.code() { "not_found" } else { "error" };
    let message = error.message().to_owned();
    error.with("session_id", session_id).with("status", status).with("error", message)
}

fn field(name: &str, message: String) -> ToolError {
    ToolError::new("invalid_arguments", format!("{name}: {message}")).with("field", name)
}

impl TrackSessionStart {
    pub(crate) fn run(self, store: &dyn Store) -> Result<Value, ToolError> {
        let session_id = match &self.session_id {
            Some(id) => id.clone(),
            None => SessionId::derived(self.timestamp, &self.event_id),
        };
        let shown = session_id.as_str().to_owned();
        let answer = self.checked().and_then(|input| input.store(store, session_id));
        answer.map_err(|error| refused(error, Some(&shown)))
    }

    fn checked(self) -> Result<Self, ToolError> {
        if self.event_version != EVENT_VERSION {
            return Err(field("event_version", format!("'{}' is not \"{EVENT_VERSION}\"", short(&self.event_version))));
        }
        if self.event_type != EventType::SESSION_START {
            return Err(field("event_type", format!("'{}' is not \"session_start\"", short(&self.event_type))));
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if self.component_name.is_empty()
            || self.component_name.len() > 128
            || !self.component_name.bytes().all(allowed)
        {
            return Err(field(
                "component_name",
                format!("'{}' does not match ^[A-Za-z0-9_-]+$", short(&self.component_name)),
            ));
        }
        if let Some(kind) = &self.session_type {
            EventType::parse(kind.as_str()).map_err(|_| {
                field("session_type", "must be 1 to 64 characters a-z 0-9 _ and start with a letter".into())
            })?;
        }
        Ok(self)
    }

    fn store(self, store: &dyn Store, session_id: SessionId) -> Result<Value, ToolError> {
        let start = SessionStart {
            event_version: self.event_version,
            component_name: self.component_name,
            session_type: self.session_type.unwrap_or_else(|| "admin_shell".into()),
            shell_type: Some(self.shell_type).filter(|name| !name.is_empty()),
            pid: self.pid,
            // Only the process itself can say who it is beyond its number.
            process: None,
            user: UserIdentity { username: self.user.username, home: self.user.home },
            hostname: self.hostname,
            environment: Environment {
                platform: self.environment.platform,
                cwd: self.environment.cwd,
                python_version: self.environment.python_version,
            },
            project: self.project,
            repository: self.repository.map(|repository| RepositoryIdentity {
                common_dir: repository.common_dir,
                worktree: repository.worktree,
                branch: repository.branch,
                commit: repository.commit,
                dirty: repository.dirty,
            }),
            metadata: self.metadata.unwrap_or_default(),
        };
        let event = Event {
            event_id: self.event_id,
            event_type: EventType::known(EventType::SESSION_START),
            timestamp: self.timestamp,
            sequence: Some(0),
            data: map_of(&start)?,
        };
        ingest_one(store, session_id, event, "tracked")
    }
}

fn ingest_one(store: &dyn Store, session_id: SessionId, event: Event, status: &str) -> Result<Value, ToolError> {
    let shown = session_id.to_string();
    let receipts = store.ingest(&[EventBatch { session_id, events: vec![event] }], Unknown::Refuse)?;
    match receipts.first().and_then(|receipt| receipt.rejected.first()) {
        Some(rejection) => {
            let kind = if rejection.reason.ends_with(STARTED_ALREADY) { FaultKind::Conflict } else { FaultKind::User };
            Err(ToolError::new(kind.code(), rejection.reason.clone()))
        }
        None => to_value(&Tracked { session_id: shown, status: status.into(), error: None, already: false }),
    }
}

fn parsed(id: &str) -> Result<SessionId, ToolError> {
    SessionId::parse(id).map_err(|error| ToolError::new(FaultKind::Internal.code(), error.to_string()))
}

fn map_of(value: &impl Serialize) -> Result<Map<String, Value>, ToolError> {
    match to_value(value)? {
        Value::Object(map) => Ok(map),
        _ => Err(ToolError::new(FaultKind::Internal.code(), "event data is no object")),
    }
}

fn short(text: &str) -> String {
    text.chars().take(40).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Component that is meant when none is named, as the guide has it.
const DEFAULT_COMPONENT: &str = "mahavishnu";

#[allow(clippy::unnecessary_wraps, reason = "the shape that serde wants")]
fn default_component() -> Option<String> {
    Some(DEFAULT_COMPONENT.into())
}

const fn default_limit() -> usize {
    100
}

/// Arguments of `list_sessions`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListSessions {
    #[serde(default = "default_limit")]
    #[schemars(range(max = 10000))]
    pub(crate) limit: usize,
    #[serde(default)]
    pub(crate) offset: usize,
    #[serde(default)]
    pub(crate) session_type: Option<String>,
    /// "*" or null: all
    #[serde(default = "default_component")]
    pub(crate) component: Option<String>,
    #[serde(default)]
    pub(crate) status: Option<SessionStatus>,
    #[serde(default)]
    pub(crate) project: Option<String>,
    /// Common git directory
    #[serde(default)]
    pub(crate) repository: Option<String>,
    #[serde(default)]
    pub(crate) worktree: Option<String>,
    #[serde(default)]
    pub(crate) since: Option<Timestamp>,
    #[serde(default)]
    pub(crate) until: Option<Timestamp>,
    /// Those in the archive
    #[serde(default)]
    pub(crate) archived: bool,
    /// next_cursor of the page before
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
}

/// A session in a list.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the fields of `session_store::Session` of the same names")]
pub struct SessionLine {
    pub session_id: String,
    pub component: String,
    pub session_type: String,
    pub status: SessionStatus,
    pub start_time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub end_time: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
    pub command_count: u64,
    pub event_count: u64,
    pub error_count: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub repository: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub worktree: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub branch: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub hostname: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub pid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub archived_at: Option<Timestamp>,
}

impl From<Session> for SessionLine {
    fn from(session: Session) -> Self {
        Self {
            session_id: session.session_id,
            component: session.component,
            session_type: session.session_type,
            status: session.status,
            start_time: session.start_time,
            end_time: session.end_time,
            duration_seconds: session.duration_seconds,
            command_count: session.command_count,
            event_count: session.event_count,
            error_count: session.error_count,
            project: session.project,
            repository: session.repository,
            worktree: session.worktree,
            branch: session.branch,
            hostname: session.hostname,
            username: session.username,
            pid: session.pid,
            archived_at: session.archived_at,
        }
    }
}

/// Answer of `list_sessions`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SessionList {
    /// Newest first.
    pub sessions: Vec<SessionLine>,
    /// Where the next page begins; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// No more rows than this at once.
pub(crate) fn page(limit: usize, offset: usize) -> Result<Page, ToolError> {
    if limit == 0 || limit > Page::MAX_LIMIT {
        return Err(field("limit", format!("must be 1 to {}", Page::MAX_LIMIT)));
    }
    Ok(Page { limit, offset })
}

impl ListSessions {
    /// All sessions, a page of `limit`.
    #[must_use]
    pub fn all(limit: usize, offset: usize) -> Self {
        Self {
            limit,
            offset,
            session_type: None,
            component: None,
            status: None,
            project: None,
            repository: None,
            worktree: None,
            since: None,
            until: None,
            archived: false,
            cursor: None,
        }
    }

    pub(crate) fn run(self, store: &dyn Store) -> Result<Value, ToolError> {
        times::in_order(self.since, self.until)?;
        let question = Question::of("list_sessions", &self);
        let place = self.cursor.as_deref().map(|cursor| question.place(cursor, self.offset)).transpose()?;
        let filter = SessionFilter {
            session_type: self.session_type,
            component: self.component.filter(|component| component != "*"),
            status: self.status,
            project: self.project,
            repository: self.repository,
            worktree: self.worktree,
            since: self.since,
            until: self.until,
            archived: self.archived,
            after: place.map(|(start_time, session_id)| SessionPlace { start_time, session_id }),
        };
        let page = page(self.limit, self.offset)?;
        let mut sessions = store.sessions(&filter, Page { limit: with_one_more(page.limit), ..page })?;
        let more = sessions.len() > page.limit;
        sessions.truncate(page.limit);
        let last = sessions.last().filter(|_| more);
        let next_cursor = last.and_then(|last| question.cursor(&(last.start_time, &last.session_id)));
        to_value(&SessionList { sessions: sessions.into_iter().map(SessionLine::from).collect(), next_cursor })
    }
}

/// Arguments of `get_session`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetSession {
    /// Id or unambiguous prefix
    pub session_id: String,
}

impl GetSession {
    /// Asks for the session that `id` names.
    #[must_use]
    pub const fn by(id: String) -> Self {
        Self { session_id: id }
    }

    pub(crate) fn run(self, store: &dyn Store) -> Result<Value, ToolError> {
        to_value(&store.session(&self.session_id)?)
    }
}

/// Answer of `get_session`, as far as its schema tells: these, and all fields of a list's line.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the fields of `session_store::Session` of the same names")]
pub struct SessionDetail {
    pub session_id: String,
    pub status: SessionStatus,
    pub start_time: Timestamp,
    pub metadata: Map<String, Value>,
}

/// The part of `get_session`'s answer that its tool's schema tells: clients pay for each word of it.
#[derive(Debug, Serialize, JsonSchema)]
#[allow(missing_docs, reason = "the fields of `session_store::Session` of the same names")]
pub struct SessionShape {
    pub session_id: String,
    pub component: String,
    pub status: SessionStatus,
    pub start_time: Timestamp,
    pub metadata: Map<String, Value>,
}
