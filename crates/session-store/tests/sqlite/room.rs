//! A folder with a database, and events to put into it.

use std::path::PathBuf;
use std::sync::Arc;

use oneiric::clock::{ManualClock, Timestamp};
use oneiric::event::{BatchReceipt, Event, EventBatch, EventType};
use oneiric::fault::Fault;
use oneiric::id::{EventId, SessionId};
use serde_json::{Value, json};
use session_store::sqlite::{Options, SqliteStore};
use session_store::{Store, Unknown};

pub(crate) struct Room {
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) fn options() -> Options {
    Options::new(Arc::new(ManualClock::at(Timestamp::parse("2026-11-22T18:00:00Z").unwrap())))
}

impl Room {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("sessions.db")
    }

    pub(crate) fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.path(), options()).unwrap()
    }

    pub(crate) fn try_open(&self, options: Options) -> Result<SqliteStore, Fault> {
        SqliteStore::open(&self.path(), options)
    }

    /// The file as any other program sees it.
    pub(crate) fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }
}

pub(crate) fn put(store: &SqliteStore, session: &str, events: Vec<Event>) -> Result<BatchReceipt, Fault> {
    let batch = EventBatch { session_id: SessionId::parse(session).unwrap(), events };
    Ok(store.ingest(&[batch], Unknown::Open)?.remove(0))
}

pub(crate) fn event(id: &str, event_type: &str, seconds: i64, data: Value) -> Event {
    let base = Timestamp::parse("2026-11-22T18:00:00Z").unwrap().as_micros();
    Event {
        event_id: EventId::parse(id).unwrap(),
        event_type: EventType::parse(event_type).unwrap(),
        timestamp: Timestamp::from_micros(base + seconds * 1_000_000),
        sequence: None,
        data: data.as_object().unwrap().clone(),
    }
}

pub(crate) fn command(id: &str, text: &str) -> Event {
    event(id, "command", 1, json!({ "command": text, "kind": "cli", "outcome": "completed" }))
}

pub(crate) fn start(component: &str, session_type: &str, project: &str) -> Value {
    json!({
        "event_version": "1.0", "component_name": component, "session_type": session_type, "pid": 1,
        "user": { "username": "ada", "home": "/home/ada" }, "hostname": "box",
        "environment": { "platform": "linux-x86_64", "cwd": "/home/ada" }, "project": project,
        "repository": { "common_dir": format!("/r/{project}/.git"), "worktree": format!("/r/{project}") },
    })
}
