//! The shell's functions: `ps top errors sync sessions`, and `repos` for code.

use std::sync::Arc;
use std::time::Duration;

use oneiric::clock::{Timestamp, clock_time};
use oneiric::count::counted;
use oneiric::fault::Result;
use oneiric_shell::interpreter::{Function, Live, Reply, Shown};
use oneiric_shell::table::Table;
use oneiric_shell::terminal::printable;
use orchestrator::workflows::{Which, Workflow};
use serde_json::{Value, json};

use crate::buddy;
use crate::drive;
use crate::journal::SessionJournal;
use crate::shell::drain;
use crate::shell::settle::settle;
use crate::world::World;

/// Workflows that a list shows.
const ROWS: usize = 50;

/// Active workflows that `sync()` looks at.
const MAX_ACTIVE: usize = 10_000;

/// Longest wait of `sync()` for this session's events, and again for those of others.
const SYNC: Duration = Duration::from_secs(3);

pub(super) fn all(world: &Arc<World>, journal: &Arc<SessionJournal>) -> Vec<Function> {
    let bind = |work: fn(&World, &SessionJournal) -> Result<Reply>| {
        let (world, journal) = (Arc::clone(world), Arc::clone(journal));
        move |_: &_| work(&world, &journal)
    };
    let ps = bind(|world, _| workflows(world, Which::All, "No workflows yet."));
    let top_world = Arc::clone(world);
    let top = move |_: &_| {
        let (own, seen) = (Arc::clone(&top_world), workflows(&top_world, Which::Active, "")?);
        Ok(Reply { shown: Shown::Live(Live::new(move |terminal| super::live::top(&own, terminal))), ..seen })
    };
    let sync = bind(|world, journal| Ok(reconcile(world, deliver(world, journal))));
    let repos = bind(|world, _| repositories(world));
    let (errors_world, errors_journal) = (Arc::clone(world), Arc::clone(journal));
    let sessions_world = Arc::clone(world);
    vec![
        Function::new("ps", "Show workflows, newest first", ps),
        Function::new("top", "Show active workflows with their progress; on a terminal until q", top),
        Function::new("errors", "Show the newest n errors: of workflows and of this session", move |arguments| {
            errors(&errors_world, &errors_journal, arguments.number("n", 1)?)
        })
        .optional("n", 10),
        Function::new(
            "sync",
            "Deliver waiting events to Session-Buddy now, also those of ended shells; look after interrupted workflows, and what other engines did for them meanwhile",
            sync,
        ),
        Function::new("sessions", "Show the newest sessions that Session-Buddy keeps", move |arguments| {
            let component = arguments.text("component")?.unwrap_or("*").to_owned();
            Ok(session_rows(buddy::sessions(&sessions_world, arguments.number("limit", 1)?, &component)?))
        })
        .optional("limit", 10)
        .optional("component", "*"),
        Function::new("repos", "The repositories as a list, for code (%repos shows them)", repos),
    ]
}

fn table(rows: Vec<Value>, table: Table, none: &str) -> Reply {
    let shown = if rows.is_empty() { Shown::Text(none.to_owned()) } else { Shown::Table(table) };
    Reply { value: Value::Array(rows), shown }
}

pub(super) fn workflows(world: &World, which: Which, none: &str) -> Result<Reply> {
    let found = world.workflows().list(which, ROWS)?;
    let shown = crate::cli::workflow::table(&found, world, false);
    let rows = found.iter().filter_map(|workflow| serde_json::to_value(workflow).ok()).collect();
    Ok(table(rows, shown, none))
}

fn errors(world: &World, journal: &SessionJournal, n: i64) -> Result<Reply> {
    let limit = usize::try_from(n).unwrap_or(usize::MAX);
    let failed = world.workflows().failures(limit)?.into_iter().map(|workflow| {
        let at = workflow.ended_at.unwrap_or(workflow.created_at);
        let error = workflow.error.unwrap_or_else(|| workflow.status.to_string());
        (at, "workflow", format!("{} in {}", workflow.task, workflow.repo), error)
    });
    let own = journal.failures().into_iter().map(|failure| (failure.at, "shell", failure.command, failure.error));
    let mut all: Vec<_> = failed.chain(own).collect();
    all.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
    all.truncate(limit);
    let mut shown = Table::new(["Time", "Source", "What", "Error"]);
    let mut rows = Vec::new();
    for (at, source, what, error) in all {
        // Other programs' words may carry secrets; what is shown is recorded.
        let (what, error) = (world.redactor().text(&what).into_owned(), world.redactor().text(&error).into_owned());
        shown.row([at.local(), source.to_owned(), what.clone(), error.clone()]);
        rows.push(json!({ "time": at, "source": source, "what": what, "error": error }));
    }
    Ok(table(rows, shown, "No errors."))
}

fn deliver(world: &World, journal: &SessionJournal) -> Reply {
    let own = journal.sync(SYNC);
    let (delivered, pending) = own.as_ref().map_or((0, 0), |report| (report.delivered, report.pending));
    let mut error = own.and_then(|report| report.error);
    let mut value = json!({ "delivered": delivered, "pending": pending, "others": 0, "left": 0 });
    let mut text = format!("{} of this session delivered, {pending} waiting.", counted(delivered, "event", "events"));
    // While the peer does not answer, asking it again for others only takes time.
    if error.is_none() {
        let report = drain(world, SYNC);
        value["others"] = json!(report.events);
        value["left"] = json!(report.left);
        if report.sessions > 0 {
            let events = counted(report.events, "event", "events");
            let sessions = counted(report.sessions, "ended session", "ended sessions");
            text.push_str(&format!(" {events} of {sessions} delivered."));
        }
        if !report.quarantined.is_empty() {
            let files: Vec<String> = report.quarantined.iter().map(|path| path.display().to_string()).collect();
            text.push_str(&format!("\n! Damaged entries were set aside: {}", files.join(", ")));
        }
        error = report.error.map(|error| error.to_string());
    }
    value["error"] = json!(error);
    let text = match error {
        None => format!("✓ {text}"),
        Some(error) => {
            format!("✗ {text} {error}\n  Nothing is lost: it waits on the spool. `session-buddy health` says more.")
        }
    };
    Reply { value, shown: Shown::Text(text) }
}

/// Looks for workflows whose engine is gone. A running server takes them. Without one, what other engines ran meanwhile is
/// written down, and the rest waits for a word.
fn reconcile(world: &World, mut reply: Reply) -> Reply {
    let Shown::Text(text) = &mut reply.shown else { return reply };
    let active = match world.workflows().list(Which::Active, MAX_ACTIVE) {
        Ok(active) => active,
        Err(fault) => {
            reply.value["interrupted"] = Value::Null;
            text.push_str(&format!("\n✗ The workflows cannot be looked at: {fault}"));
            return reply;
        }
    };
    let count = active.len();
    reply.value["active"] = json!(count);
    reply.value["settled"] = json!([]);
    // Asking whether an engine lives also takes away the lock that a killed one left.
    let interrupted: Vec<Workflow> = active.into_iter().filter(|workflow| !drive::is_driven(world, workflow)).collect();
    if interrupted.is_empty() {
        reply.value["interrupted"] = json!([]);
        let said = match count {
            1 => "1 active workflow, not interrupted".to_owned(),
            many => format!("{many} active workflows, none of them interrupted"),
        };
        text.push_str(&format!("\n✓ {said}."));
        return reply;
    }
    if drive::server_runs(world) {
        reply.value["interrupted"] = ids(&interrupted);
        let many = interrupted.len();
        let (were, them) = (counted(many, "workflow was", "workflows were"), if many == 1 { "it" } else { "them" });
        text.push_str(&format!("\n! {were} interrupted; the server goes on with {them}."));
        return reply;
    }
    let found = settle(world, interrupted);
    reply.value["settled"] = ids(&found.ended);
    for workflow in &found.ended {
        let task = printable(&workflow.task);
        text.push_str(&format!("\n✓ {} {} while nobody watched: {task}", workflow.id, workflow.status));
    }
    let unheard = found.unheard.iter().map(|(workflow, why)| (workflow, format!("not known, {why}")));
    let working = found.working.iter().map(|workflow| (workflow, "still at work over there".to_owned()));
    let waiting = found.waiting.iter().map(|workflow| (workflow, String::new()));
    let open: Vec<(&Workflow, String)> = waiting.chain(working).chain(unheard).collect();
    reply.value["interrupted"] = json!(open.iter().map(|(workflow, _)| &workflow.id).collect::<Vec<_>>());
    if open.is_empty() {
        return reply;
    }
    let waiting = match open.len() {
        1 => "1 workflow was interrupted and waits".to_owned(),
        many => format!("{many} workflows were interrupted and wait"),
    };
    text.push_str(&format!("\n! {waiting}:"));
    for (workflow, how) in open.iter().take(10) {
        let how = if how.is_empty() { String::new() } else { format!(" ({})", printable(how)) };
        text.push_str(&format!("\n  workflow resume {}    {}{how}", workflow.id, printable(&workflow.task)));
    }
    text.push_str("\n  `mcp start` starts a server, which goes on with all of them.");
    reply
}

fn ids(workflows: &[Workflow]) -> Value {
    json!(workflows.iter().map(|workflow| &workflow.id).collect::<Vec<_>>())
}

pub(super) fn session_rows(rows: Vec<Value>) -> Reply {
    table(rows.clone(), session_table(&rows), "No sessions yet.")
}

/// Sessions as the guide shows them.
pub(crate) fn session_table(rows: &[Value]) -> Table {
    let mut shown =
        Table::new(["Session ID", "Component", "Type", "Status", "Project", "Started", "Duration", "Events"])
            .numeric(7)
            .optional([2, 4, 6, 1]);
    let text = |row: &Value, key: &str| row.get(key).map(oneiric_shell::table::cell_text).unwrap_or_default();
    for row in rows {
        let start = text(row, "start_time");
        let duration = row.get("duration_seconds").and_then(Value::as_f64).filter(|seconds| *seconds >= 0.0);
        shown.row([
            text(row, "session_id"),
            text(row, "component"),
            text(row, "session_type"),
            text(row, "status"),
            text(row, "project"),
            Timestamp::parse(&start).map_or(start, Timestamp::local),
            duration.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).map(clock_time).unwrap_or_default(),
            text(row, "event_count"),
        ]);
    }
    shown
}

pub(super) fn repositories(world: &World) -> Result<Reply> {
    let manifest = world.manifest()?;
    let rows: Vec<Value> = manifest.repos.iter().filter_map(|repo| serde_json::to_value(repo).ok()).collect();
    let shown = crate::cli::repos::table(&manifest.repos.iter().collect::<Vec<_>>());
    Ok(table(rows, shown, "No repositories; %repos says how to list some."))
}
