//! A session's row while a transaction changes it: loaded once, changed in memory, written once.

use oneiric::clock::Timestamp;
use oneiric::event::SessionStart;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::cell::{number_or_none, text, text_or_none, time, whole_or_none};
use super::counters::Contribution;
use super::prepare::{Effect, End, Ready, hash};
use crate::model::{SessionStatus, UNKNOWN};

/// First character of search terms that stand for a session's project, component and type and for an event's type.
/// They are private-use characters, which no text's terms hold.
pub(super) const SCOPE_PROJECT: char = '\u{e000}';
pub(super) const SCOPE_COMPONENT: char = '\u{e001}';
pub(super) const SCOPE_SESSION_TYPE: char = '\u{e002}';
pub(super) const SCOPE_EVENT_TYPE: char = '\u{e003}';

/// The search term of a scope.
pub(super) fn scope(kind: char, value: &str) -> String {
    format!("{kind}{:08x}", hash(value.as_bytes()) & 0xffff_ffff)
}

/// What a transaction knows of a session.
#[derive(Clone)]
pub(super) struct SessionRow {
    pub(super) id: String,
    component: String,
    session_type: String,
    project: Option<String>,
    status: SessionStatus,
    start_time: Timestamp,
    end_time: Option<Timestamp>,
    duration_seconds: Option<f64>,
    command_count: i64,
    pub(super) event_count: i64,
    error_count: i64,
    last_event_time: Option<Timestamp>,
    pub(super) start_event_id: Option<String>,
    end_event_id: Option<String>,
    /// The start's data, when it arrived in this transaction.
    start: Option<Box<SessionStart>>,
    /// What the stored row adds to the totals; `None` while there is none.
    pub(super) stored: Option<Contribution>,
    /// Whether columns changed that an index holds.
    indexed: bool,
    dirty: bool,
}

const COLUMNS: &str = "component, session_type, project, status, start_time, end_time, duration_seconds, command_count,
    event_count, error_count, last_event_time, start_event_id, end_event_id";

impl SessionRow {
    /// A session of which only an event at `time` is known.
    pub(super) fn provisional(id: &str, time: Timestamp) -> Self {
        Self {
            id: id.to_owned(),
            component: UNKNOWN.to_owned(),
            session_type: UNKNOWN.to_owned(),
            project: None,
            status: SessionStatus::Active,
            start_time: time,
            end_time: None,
            duration_seconds: None,
            command_count: 0,
            event_count: 0,
            error_count: 0,
            last_event_time: None,
            start_event_id: None,
            end_event_id: None,
            start: None,
            stored: None,
            indexed: true,
            dirty: true,
        }
    }

    /// The stored row.
    pub(super) fn load(connection: &Connection, id: &str) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM sessions WHERE session_id = ?1"))?
            .query_row([id], |row| Self::read(id, row))
            .optional()
    }

    fn read(id: &str, row: &Row<'_>) -> rusqlite::Result<Self> {
        let status = text(row, 3)?;
        let mut loaded = Self {
            component: text(row, 0)?,
            session_type: text(row, 1)?,
            project: text_or_none(row, 2)?,
            status: SessionStatus::parse(&status).unwrap_or(SessionStatus::Active),
            start_time: time(row, 4)?.unwrap_or(Timestamp::from_micros(0)),
            end_time: time(row, 5)?,
            duration_seconds: number_or_none(row, 6)?,
            command_count: whole_or_none(row, 7)?.unwrap_or(0),
            event_count: whole_or_none(row, 8)?.unwrap_or(0),
            error_count: whole_or_none(row, 9)?.unwrap_or(0),
            last_event_time: time(row, 10)?,
            start_event_id: text_or_none(row, 11)?,
            end_event_id: text_or_none(row, 12)?,
            indexed: false,
            dirty: false,
            ..Self::provisional(id, Timestamp::from_micros(0))
        };
        loaded.stored = Some(loaded.contribution());
        Ok(loaded)
    }

    /// What the row adds to the totals.
    pub(super) fn contribution(&self) -> Contribution {
        let finished = self.status != SessionStatus::Active;
        Contribution {
            component: self.component.clone(),
            status: self.status,
            duration_seconds: self.duration_seconds.filter(|_| finished),
        }
    }

    /// Search terms that every event of the session has; empty while its start has not arrived.
    pub(super) fn scope_terms(&self) -> String {
        if self.start_event_id.is_none() {
            return String::new();
        }
        let mut terms = scope(SCOPE_COMPONENT, &self.component);
        terms.push(' ');
        terms.push_str(&scope(SCOPE_SESSION_TYPE, &self.session_type));
        if let Some(project) = &self.project {
            terms.push(' ');
            terms.push_str(&scope(SCOPE_PROJECT, project));
        }
        terms
    }

    pub(super) fn is_new(&self) -> bool {
        self.stored.is_none()
    }

    /// Takes a start event over.
    pub(super) fn begin(&mut self, event: &Ready, start: &SessionStart) {
        self.component.clone_from(&start.component_name);
        self.session_type.clone_from(&start.session_type);
        self.project.clone_from(&start.project);
        self.start_time = event.timestamp;
        self.start_event_id = Some(event.event_id.clone());
        self.start = Some(Box::new(start.clone()));
        self.indexed = true;
        self.dirty = true;
        self.measure();
    }

    /// Counts an event that was stored just now.
    pub(super) fn count(&mut self, event: &Ready) {
        self.dirty = true;
        self.event_count += 1;
        match &event.effect {
            Effect::Command { failed } => {
                self.command_count += 1;
                self.error_count += i64::from(*failed);
            }
            Effect::Error => self.error_count += 1,
            _ => {}
        }
        self.last_event_time = Some(self.last_event_time.map_or(event.timestamp, |last| last.max(event.timestamp)));
        if self.start_event_id.is_none() && event.timestamp < self.start_time {
            self.start_time = event.timestamp;
            self.indexed = true;
        }
        if let Effect::End(end) = &event.effect {
            self.finish(event, end);
        } else if self.status == SessionStatus::Stale && !matches!(event.effect, Effect::Aside) {
            // Its process is gone, but it did more than was known when it was found so.
            self.end_time = self.last_event_time;
            self.duration_seconds = None;
            self.measure();
        }
    }

    fn finish(&mut self, event: &Ready, end: &End) {
        if self.end_event_id.is_some() {
            // It ended already; the first word stands.
            return;
        }
        self.end_event_id = Some(event.event_id.clone());
        self.set_status(if end.failed { SessionStatus::Failed } else { SessionStatus::Ended });
        self.end_time = Some(event.timestamp);
        self.duration_seconds = end.duration_seconds;
        self.measure();
    }

    /// Its process is gone and it did not say goodbye. `false` when it is not active any more.
    pub(super) fn abandon(&mut self, now: Timestamp) -> bool {
        if self.status != SessionStatus::Active {
            return false;
        }
        self.set_status(SessionStatus::Stale);
        // What is gone did not end in the future, whatever clock its last event had.
        self.end_time = Some(self.last_event_time.unwrap_or(self.start_time).min(now));
        self.measure();
        true
    }

    fn set_status(&mut self, status: SessionStatus) {
        self.status = status;
        self.indexed = true;
        self.dirty = true;
    }

    /// The duration by the times, when the sender did not measure it. Clocks go backwards; sessions do not: none ends before it
    /// starts.
    fn measure(&mut self) {
        self.end_time = self.end_time.map(|end| end.max(self.start_time));
        if let (Some(end), None, Some(_)) = (self.end_time, self.duration_seconds, &self.start_event_id) {
            self.duration_seconds = Some(end.since(self.start_time).as_secs_f64());
        }
    }

    /// Writes the row for the first time, so that events can refer to it.
    pub(super) fn insert(&mut self, connection: &Connection, now: &str) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "INSERT INTO sessions (session_id, component, session_type, start_time, status, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
            )?
            .execute((
                &self.id,
                &self.component,
                &self.session_type,
                self.start_time.to_string(),
                self.status.as_str(),
                now,
            ))?;
        Ok(())
    }

    /// Writes what changed.
    pub(super) fn save(&self, connection: &Connection, now: &str) -> rusqlite::Result<()> {
        if !self.dirty {
            return Ok(());
        }
        connection
            .prepare_cached(
                "UPDATE sessions SET end_time = :end_time, duration_seconds = :duration, command_count = :commands,
                    event_count = :events, error_count = :errors, last_event_time = :last, start_event_id = :start_id,
                    end_event_id = :end_id, updated_at = :now
                 WHERE session_id = :id",
            )?
            .execute(named_params! {
                ":end_time": self.end_time.map(|at| at.to_string()),
                ":duration": self.duration_seconds,
                ":commands": self.command_count,
                ":events": self.event_count,
                ":errors": self.error_count,
                ":last": self.last_event_time.map(|at| at.to_string()),
                ":start_id": self.start_event_id,
                ":end_id": self.end_event_id,
                ":now": now,
                ":id": self.id,
            })?;
        if self.indexed {
            self.save_indexed(connection)?;
        }
        Ok(())
    }

    /// Columns that indexes hold; an update that names them rewrites the indexes' entries.
    fn save_indexed(&self, connection: &Connection) -> rusqlite::Result<()> {
        let Some(start) = &self.start else {
            connection
                .prepare_cached("UPDATE sessions SET status = ?1, start_time = ?2 WHERE session_id = ?3")?
                .execute((self.status.as_str(), self.start_time.to_string(), &self.id))?;
            return Ok(());
        };
        let repository = start.repository.as_ref();
        connection
            .prepare_cached(
                "UPDATE sessions SET status = :status, start_time = :start_time, component = :component,
                    session_type = :type, project = :project, repository = :repository, worktree = :worktree,
                    branch = :branch, commit_id = :commit, dirty = :dirty, hostname = :hostname, username = :username,
                    pid = :pid, process = :process, cwd = :cwd, shell_type = :shell, metadata = :metadata
                 WHERE session_id = :id",
            )?
            .execute(named_params! {
                ":status": self.status.as_str(),
                ":start_time": self.start_time.to_string(),
                ":component": self.component,
                ":type": self.session_type,
                ":project": self.project,
                ":repository": repository.map(|one| &one.common_dir),
                ":worktree": repository.map(|one| &one.worktree),
                ":branch": repository.and_then(|one| one.branch.as_ref()),
                ":commit": repository.and_then(|one| one.commit.as_ref()),
                ":dirty": repository.and_then(|one| one.dirty),
                ":hostname": start.hostname,
                ":username": start.user.username,
                ":pid": start.pid,
                ":process": start.process.as_ref().and_then(|process| serde_json::to_string(process).ok()),
                ":cwd": start.environment.cwd,
                ":shell": start.shell_type,
                ":metadata": metadata(start),
                ":id": self.id,
            })?;
        Ok(())
    }
}

/// The start's own metadata, and what has no column of its own.
fn metadata(start: &SessionStart) -> String {
    let mut metadata = start.metadata.clone();
    let mut add = |name: &str, value: Option<&str>| {
        if let (Some(value), false) = (value, metadata.contains_key(name)) {
            metadata.insert(name.to_owned(), value.into());
        }
    };
    add("git_branch", start.repository.as_ref().and_then(|one| one.branch.as_deref()));
    add("platform", Some(&start.environment.platform));
    add("python_version", start.environment.python_version.as_deref());
    add("home", Some(&start.user.home));
    serde_json::to_string(&metadata).unwrap_or_else(|_| "{}".to_owned())
}
