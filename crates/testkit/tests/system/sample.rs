//! Input that several tests send, and reading of what comes back.

use serde_json::{Value, json};

/// Time stamp `second` seconds after noon of a fixed day.
pub(crate) fn at(second: u64) -> String {
    format!("2026-11-20T{:02}:{:02}:{:02}Z", 12 + second / 3600, second / 60 % 60, second % 60)
}

/// Arguments of `track_session_start`.
pub(crate) fn session_start(event_id: &str, second: u64) -> Value {
    json!({
        "event_version": "1.0",
        "event_id": event_id,
        "event_type": "session_start",
        "component_name": "mahavishnu",
        "shell_type": "MahavishnuShell",
        "timestamp": at(second),
        "pid": 4_000_000,
        "user": { "username": "ada", "home": "/home/ada" },
        "hostname": "elsewhere",
        "environment": { "platform": "linux-x86_64", "cwd": "/home/ada/project" },
    })
}

/// A `command` event.
pub(crate) fn command(event_id: &str, second: u64, command: &str) -> Value {
    json!({
        "event_id": event_id,
        "event_type": "command",
        "timestamp": at(second),
        "data": { "command": command, "kind": "expression", "exit_code": 0, "outcome": "completed", "duration_ms": 1.0 },
    })
}

/// The types of events, in their order.
pub(crate) fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event_type"].as_str().unwrap_or_default()).collect()
}

/// The command of an event; nothing when it is none.
pub(crate) fn command_of(event: &Value) -> &str {
    // Lists may show an event's data as an object or, as the database's column does, as JSON text.
    event["data"]["command"].as_str().unwrap_or_default()
}

/// The commands of events, in their order.
pub(crate) fn commands(events: &[Value]) -> Vec<&str> {
    events.iter().filter(|event| event["event_type"] == "command").map(command_of).collect()
}

/// The id of a session.
pub(crate) fn id(session: &Value) -> String {
    session["session_id"].as_str().unwrap_or_else(|| panic!("no session id: {session}")).to_owned()
}
