//! A store with a clock of its own, and events to put into it.

use std::sync::Arc;
use std::time::Duration;

use oneiric::clock::{Clock, ManualClock, Timestamp};
use oneiric::event::{BatchReceipt, Event, EventBatch, EventType};
use oneiric::fault::Fault;
use oneiric::id::{EventId, SessionId};
use serde_json::{Map, Value, json};
use session_store::sqlite::{Options, SqliteStore};
use session_store::{EventFilter, EventRow, Page, SearchAnswer, SearchFilter, SearchRequest, Session, Store, Unknown};

pub(crate) struct World {
    pub(crate) store: Box<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    _folder: Option<tempfile::TempDir>,
}

/// 2026-11-22T18:00:00Z plus seconds.
pub(crate) fn at(seconds: f64) -> Timestamp {
    let base = Timestamp::parse("2026-11-22T18:00:00Z").unwrap();
    Timestamp::from_micros(base.as_micros() + (seconds * 1e6) as i64)
}

impl World {
    pub(crate) fn sqlite_file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(at(0.0)));
        let store = SqliteStore::open(&folder.path().join("sessions.db"), Options::new(clock.clone())).unwrap();
        Self { store: Box::new(store), clock, _folder: Some(folder) }
    }

    pub(crate) fn sqlite_memory() -> Self {
        let clock = Arc::new(ManualClock::at(at(0.0)));
        let store = SqliteStore::in_memory(Options::new(clock.clone())).unwrap();
        Self { store: Box::new(store), clock, _folder: None }
    }

    pub(crate) fn try_put(&self, session: &str, events: Vec<Event>, unknown: Unknown) -> Result<BatchReceipt, Fault> {
        self.clock.advance(Duration::from_millis(1));
        let batch = EventBatch { session_id: SessionId::parse(session).unwrap(), events };
        Ok(self.store.ingest(&[batch], unknown)?.remove(0))
    }

    pub(crate) fn put(&self, session: &str, events: Vec<Event>) -> BatchReceipt {
        self.try_put(session, events, Unknown::Open).unwrap()
    }

    /// A session with its start and one command event a text.
    pub(crate) fn session(&self, session: &str, start: Value, texts: &[&str]) {
        let mut events = vec![event(&format!("{session}.start"), "session_start", 0.0, start)];
        for (index, text) in texts.iter().enumerate() {
            events.push(command(&format!("{session}.{index}"), index as f64 + 1.0, text));
        }
        let receipt = self.put(session, events);
        assert_eq!(receipt.accepted, texts.len() + 1, "{receipt:?}");
    }

    pub(crate) fn get(&self, session: &str) -> Session {
        self.store.session(session).unwrap()
    }

    pub(crate) fn events(&self, session: &str) -> Vec<EventRow> {
        let filter = EventFilter { session: Some(session.into()), ..EventFilter::default() };
        self.store.events(&filter, Page::first(1000)).unwrap()
    }

    pub(crate) fn event_ids(&self, session: &str) -> Vec<String> {
        self.events(session).into_iter().map(|event| event.event_id).collect()
    }

    pub(crate) fn search(&self, query: &str) -> SearchAnswer {
        self.search_in(query, &SearchFilter::default())
    }

    pub(crate) fn search_in(&self, query: &str, filter: &SearchFilter) -> SearchAnswer {
        self.store.search(&SearchRequest::text(query).within(filter.clone()), None).unwrap()
    }

    /// Ids of the events that hold all of the query.
    pub(crate) fn found(&self, query: &str) -> Vec<String> {
        complete(&self.search(query))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

pub(crate) fn complete(answer: &SearchAnswer) -> Vec<String> {
    let mut ids: Vec<String> = answer.hits.iter().filter(|hit| hit.complete).map(|hit| hit.event_id.clone()).collect();
    ids.sort();
    ids
}

pub(crate) fn event(id: &str, event_type: &str, seconds: f64, data: Value) -> Event {
    let data: Map<String, Value> = data.as_object().unwrap().clone();
    Event {
        event_id: EventId::parse(id).unwrap(),
        event_type: EventType::parse(event_type).unwrap(),
        timestamp: at(seconds),
        sequence: None,
        data,
    }
}

pub(crate) fn command(id: &str, seconds: f64, text: &str) -> Event {
    event(id, "command", seconds, json!({ "command": text, "kind": "cli", "exit_code": 0, "outcome": "completed" }))
}

pub(crate) fn start() -> Value {
    start_of("mahavishnu", "admin_shell")
}

pub(crate) fn start_of(component: &str, session_type: &str) -> Value {
    json!({
        "event_version": "1.0", "component_name": component, "session_type": session_type, "shell_type": "MahavishnuShell",
        "pid": 4242, "user": { "username": "ada", "home": "/home/ada" }, "hostname": "box",
        "environment": { "platform": "linux-x86_64", "cwd": "/home/ada/work" },
        "project": "engine",
        "repository": { "common_dir": "/home/ada/work/.git", "worktree": "/home/ada/work", "branch": "main",
            "commit": "0123abcd", "dirty": true },
        "metadata": { "env": { "LANG": "C" } },
    })
}

pub(crate) fn start_in(project: &str, worktree: &str) -> Value {
    let mut start = start();
    start["project"] = project.into();
    start["repository"]["worktree"] = worktree.into();
    start
}

pub(crate) fn start_with_process(pid: u32) -> Value {
    let mut start = start();
    start["process"] = json!({ "pid": pid, "start_ticks": 1, "boot_id": "boot", "pid_namespace": 1 });
    start
}

pub(crate) fn end(id: &str, seconds: f64, status: &str, duration: f64) -> Event {
    let data = json!({ "reason": "exit", "status": status, "exit_code": 0, "command_count": 99, "duration_seconds": duration });
    event(id, "session_end", seconds, data)
}
