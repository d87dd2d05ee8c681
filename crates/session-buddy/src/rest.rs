//! The REST door: which routes there are, and the tool behind each.
//!
//! The route table is all there is; the tools answer (`oneiric_server::rest`). What a person with `curl` should not have to
//! type is filled in here.

pub mod lines;

use std::env::consts::OS;

use oneiric::clock::Timestamp;
use oneiric::id::{EventId, SessionId};
use oneiric_server::rest::{Asker, Lines, Route};
use serde_json::{Map, Value, json};

/// Every route below `/api/v1`, but those that every program has (`/version`, `/openapi.json`).
pub const ROUTES: &[Route] = &[
    Route {
        defaults: &[("component", "*")],
        ..Route::get("/sessions", "list_sessions", "list_sessions", "Sessions, newest first")
    },
    Route {
        defaults: &[("event_version", "1.0"), ("event_type", "session_start"), ("shell_type", "http")],
        filled: &["event_id", "timestamp", "pid", "user", "hostname", "environment"],
        unlisted: &["repository"],
        fill: Some(session_start),
        makes: Some(("session_id", "/sessions/")),
        ..Route::post("/sessions", "track_session_start", "create_session", "Record that a session began")
    },
    Route::get("/sessions/{session_id}", "get_session", "get_session", "One session with its metadata"),
    Route {
        defaults: &[("event_type", "session_end")],
        filled: &["timestamp"],
        fill: Some(now),
        ..Route::post("/sessions/{session_id}/end", "track_session_end", "end_session", "Record that a session ended")
    },
    Route::get("/sessions/{session_id}/events", "list_events", "list_session_events", "Events of a session, in order"),
    Route::post(
        "/sessions/{session_id}/events",
        "track_events",
        "add_events",
        "Record events; each event_id is stored once",
    ),
    Route::post("/sessions/{session_id}/messages", "add_message", "add_message", "Add a note to a session"),
    Route::post("/sessions/{session_id}/checkpoints", "checkpoint", "add_checkpoint", "Keep the state of the work"),
    Route::post(
        "/sessions/{session_id}/test-results",
        "store_test_result",
        "add_test_result",
        "Record a test's result",
    ),
    Route::get("/sessions/{session_id}/resume", "resume_context", "resume", "A brief to go on from"),
    Route::get("/sessions/{session_id}/links", "session_links", "list_links", "Sessions that a session is linked to"),
    Route::post("/links", "link_sessions", "link_sessions", "Link two sessions"),
    Route::get("/analytics", "analytics_sessions", "analytics", "Totals, durations and failures of a range of days"),
    Route::get("/events", "list_events", "list_events", "The newest events of all sessions"),
    Route::get("/search", "search", "search", "Find events by words and meaning"),
    Route {
        slow: true,
        ..Route::post("/archive", "archive_sessions", "archive_sessions", "Move old finished sessions to the archive")
    },
    Route {
        slow: true,
        ..Route::post("/archive/restore", "restore_sessions", "restore_sessions", "Move archived sessions back")
    },
    Route::get("/retention", "retention_preview", "retention_preview", "What the rules of retention would delete now"),
    Route {
        slow: true,
        ..Route::post(
            "/retention/apply",
            "retention_apply",
            "retention_apply",
            "Delete what the rules of retention mean",
        )
    },
    Route::get("/backups", "list_backups", "list_backups", "Backups of the database, newest first"),
    Route {
        slow: true,
        ..Route::post("/backups", "create_backup", "create_backup", "Make a checked copy of the database")
    },
    Route {
        lines: Some(Lines::Given),
        ..Route::get("/export", lines::EXPORT, "export", "Whole sessions with their events, as lines of JSON")
    },
    Route {
        lines: Some(Lines::Taken),
        ..Route::post("/import", lines::IMPORT, "import", "Take in what an export gave; what is known stays as it is")
    },
    Route::get("/health", "health_check", "health", "State of the server and its parts"),
];

/// A session that is opened by hand belongs to no process, so it says only who opened it and when.
fn session_start(given: &mut Map<String, Value>, asker: &Asker<'_>) {
    let key = asker.idempotency_key.map(|key| event_id(asker.subject, key));
    if let Some(key) = &key {
        // The session's id comes from the key alone, so that it is the same whenever the key is sent again.
        let id = SessionId::derived(Timestamp::from_micros(0), key).to_string();
        given.entry("session_id").or_insert_with(|| id.into());
    }
    now(given, asker);
    let id = key.unwrap_or_else(|| EventId::generate(asker.now)).to_string();
    given.entry("event_id").or_insert_with(|| id.into());
    given.entry("pid").or_insert_with(|| 0.into());
    let username = if asker.subject.is_empty() { "unknown" } else { asker.subject };
    given.entry("user").or_insert_with(|| json!({ "username": username, "home": "" }));
    given.entry("hostname").or_insert_with(|| "unknown".into());
    given.entry("environment").or_insert_with(|| json!({ "platform": OS, "cwd": "" }));
    given.entry("session_type").or_insert_with(|| "manual".into());
}

/// The id that a key stands for: itself, where it can be one and there is one caller. Two callers may use the same key.
fn event_id(subject: &str, key: &str) -> EventId {
    let own = if subject.is_empty() { EventId::parse(key).ok() } else { None };
    own.unwrap_or_else(|| EventId::derived(&[subject, key]))
}

fn now(given: &mut Map<String, Value>, asker: &Asker<'_>) {
    given.entry("timestamp").or_insert_with(|| asker.now.to_string().into());
}
