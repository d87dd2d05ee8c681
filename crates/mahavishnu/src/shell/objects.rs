//! The shell's objects: `app`, `repos`, `workflows` and `sessions`, with fields.

use std::sync::Arc;

use oneiric::fault::{Fault, Result};
use oneiric::run_file;
use oneiric_shell::interpreter::{Object, Reply, Shown};
use orchestrator::workflows::Which;
use serde::Serialize;
use serde_json::{Value, json};

use super::functions::{repositories, session_rows, workflows};
use crate::buddy;
use crate::drive::PRODUCT;
use crate::journal::SessionJournal;
use crate::who;
use crate::world::World;

/// Sessions that `sessions` holds.
const SESSIONS: i64 = 50;

pub(super) fn all(world: &Arc<World>, journal: &Arc<SessionJournal>) -> Vec<Object> {
    let own = || Arc::clone(world);
    let (app_world, app_journal) = (own(), Arc::clone(journal));
    let (repos_world, find_world, list_world, get_world, sessions_world) = (own(), own(), own(), own(), own());
    vec![
        Object::new(
            "app",
            "This program",
            &["version", "pid", "home", "cwd", "user", "session", "server", "session_buddy"],
            move || Ok(app(&app_world, &app_journal)),
        ),
        Object::new(
            "repos",
            "The repositories of the manifest, by name, nickname or number",
            &["name", "path", "role", "tags", "description", "depends_on", "nickname", "package", "status"],
            move || repositories(&repos_world),
        )
        .found_by("name", move |name, rows| {
            let called =
                |row: &&Value| [&row["name"], &row["nickname"]].iter().any(|known| known.as_str() == Some(name));
            match rows.iter().find(called) {
                Some(row) => Ok(row.clone()),
                // The manifest knows what it may have been meant for.
                None => value(find_world.manifest()?.find(name)?),
            }
        }),
        Object::new(
            "workflows",
            "The newest workflows, by number (0 is the newest); any by the beginning of its id",
            &[
                "id",
                "task",
                "repo",
                "status",
                "progress",
                "steps",
                "running",
                "completed",
                "failed",
                "error",
                "exit_code",
            ],
            move || workflows(&list_world, Which::All, "No workflows yet."),
        )
        .found_by("id", move |id, _| value(&get_world.workflows().get(id)?)),
        Object::new(
            "sessions",
            "The newest sessions that Session-Buddy keeps, by number or the beginning of their id",
            &["session_id", "component", "session_type", "status", "project", "start_time", "event_count"],
            move || Ok(session_rows(buddy::sessions(&sessions_world, SESSIONS, "*")?)),
        )
        .found_by("session_id", session),
    ]
}

fn app(world: &World, journal: &SessionJournal) -> Reply {
    let server = run_file::running(world.settings.home(), PRODUCT).map(|server| server.address);
    let value = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "home": world.settings.home().root(),
        "cwd": world.surroundings.cwd,
        "user": who::username(&world.surroundings),
        "session": journal.session(),
        "server": server,
        "session_buddy": world.peer().base(),
    });
    Reply { value, shown: Shown::Value }
}

fn session(id: &str, rows: &[Value]) -> Result<Value> {
    let begins = |row: &&Value| row["session_id"].as_str().is_some_and(|known| known.starts_with(id));
    let found: Vec<&Value> = rows.iter().filter(begins).collect();
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Fault::not_found(format!("no session {} among the newest {SESSIONS}", id.escape_debug()))
            .hint("sessions(limit = 1000) goes further back")),
        _ => Err(Fault::conflict(format!("more than one session begins with {}", id.escape_debug()))
            .hint("give more of its id")),
    }
}

fn value(of: &impl Serialize) -> Result<Value> {
    serde_json::to_value(of).map_err(|error| Fault::internal(error.to_string()))
}
