//! `list-events`.

use std::process::ExitCode;

use clap::Args;
use comfy_table::Cell;
use oneiric::fault::Result;
use serde_json::{Map, Value};
use session_store::{EventRow, Page};

use super::ask::{Context, read};
use super::options::{count, rows};
use super::output::{self, Format, Screen, cell, note};
use crate::mcp::events::{EventList, ListEvents};

/// Longest text of an event in a table.
const SUMMARY_CHARS: usize = 200;
/// Lines that this text takes on a terminal at most.
const TEXT_LINES: usize = 2;
/// Terminal width from which the table of all events has all columns, and 30 are left for the text.
const WIDE: u16 = 130;
/// The same for the table of one session's events.
const ROOMY: u16 = 90;

/// Arguments of `list-events`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Session whose events to list, by id or an unambiguous beginning of it; without it, the newest of all
    #[arg(long, value_name = "ID")]
    session_id: Option<String>,
    /// Only this type, such as command
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Without --session-id: events in the archive
    #[arg(long)]
    archived: bool,
    /// Rows at most
    #[arg(long, default_value_t = 1000, allow_negative_numbers = true, value_parser = count::<{ Page::MAX_LIMIT }>)]
    limit: usize,
    /// Rows to skip
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_parser = rows)]
    offset: usize,
    /// Shape of the output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs `list-events`.
pub(super) fn run(args: &ListArgs, context: &Context) -> Result<ExitCode> {
    let mut question = ListEvents {
        session_id: args.session_id.clone(),
        event_type: args.event_type.clone(),
        limit: args.limit,
        offset: args.offset,
        cursor: None,
        archived: args.archived,
    };
    let mut events = Vec::new();
    // Long events come in several pages.
    loop {
        let EventList { events: mut page, next_cursor } = read(context.ask(question.clone())?)?;
        events.append(&mut page);
        question.cursor = next_cursor.filter(|_| events.len() < args.limit);
        if question.cursor.is_none() {
            break;
        }
        (question.limit, question.offset) = (args.limit - events.len(), 0);
    }
    if args.format == Format::Json {
        return output::emit_json(&serde_json::json!(events));
    }
    if args.format == Format::Csv {
        return output::emit(&as_csv(&events));
    }
    if events.is_empty() {
        note("No events found. 'session-buddy list-sessions' shows which sessions there are.");
        return Ok(ExitCode::SUCCESS);
    }
    output::emit(&as_table(&events, context.screen(), args.session_id.is_none()))
}

fn as_table(events: &[EventRow], screen: Screen, of_all: bool) -> String {
    let narrower = |width| screen.wrap && screen.width < width;
    if of_all && narrower(WIDE) {
        return as_narrow_table(events, screen);
    }
    let mut headers = vec!["Time", "Type", "Event", "Exit", "Duration"];
    if of_all {
        headers.insert(0, "Session ID");
    }
    headers.truncate(if !of_all && narrower(ROOMY) { 4 } else { headers.len() });
    let rows = events.iter().map(|event| {
        let mut row = vec![
            Cell::new(event.timestamp.local()),
            cell(&event.event_type),
            cell(&summary(&event.data)),
            Cell::new(exit_code(event).unwrap_or_default()),
            Cell::new(duration(event).unwrap_or_default()),
        ];
        if of_all {
            row.insert(0, cell(&event.session_id));
        }
        row.truncate(headers.len());
        row
    });
    let text = 2 + usize::from(of_all);
    screen.table_around(text, TEXT_LINES, &headers, rows.collect())
}

/// What is beside each other in a wide table, below each other.
fn as_narrow_table(events: &[EventRow], screen: Screen) -> String {
    let rows = events.iter().map(|event| {
        let result = [exit_code(event).map(|code| format!("exit {code}")), duration(event)];
        let about: Vec<String> = [Some(event.event_type.clone())].into_iter().chain(result).flatten().collect();
        vec![
            cell(&format!("{}\n{}", event.session_id, event.timestamp.local())),
            cell(&format!("{}\n{}", about.join(", "), summary(&event.data))),
        ]
    });
    screen.table_around(1, 1 + TEXT_LINES, &["Session ID, time", "Event"], rows.collect())
}

fn exit_code(event: &EventRow) -> Option<String> {
    event.data.get("exit_code").and_then(Value::as_f64).map(|code| code.to_string())
}

fn duration(event: &EventRow) -> Option<String> {
    event.data.get("duration_ms").and_then(Value::as_f64).map(|millis| format!("{millis:.0} ms"))
}

/// What happened, in a line.
fn summary(data: &Map<String, Value>) -> String {
    let text = |key: &str| data.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let what = ["command", "message", "text", "note", "error", "reason"].into_iter().find_map(text);
    let full = match (what, text("error")) {
        (Some(what), Some(error)) if what != error => format!("{what}: {error}"),
        (Some(what), _) => what.to_owned(),
        (None, _) => match (text("component_name"), data.get("environment").and_then(|env| env.get("cwd"))) {
            (Some(component), Some(Value::String(cwd))) => format!("{component} in {cwd}"),
            _ => pairs(data),
        },
    };
    let line = full.replace(['\n', '\r', '\t'], " ");
    if line.chars().count() <= SUMMARY_CHARS { line } else { line.chars().take(SUMMARY_CHARS).chain(['…']).collect() }
}

/// Names and values; what is nested comes last, since a long text is cut.
fn pairs(data: &Map<String, Value>) -> String {
    let (nested, plain): (Vec<_>, Vec<_>) = data.iter().partition(|(_, value)| value.is_object());
    let pair = |(name, value): (&String, &Value)| format!("{name}: {}", words(value));
    plain.into_iter().chain(nested).map(pair).collect::<Vec<_>>().join("; ")
}

fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn as_csv(events: &[EventRow]) -> String {
    let headers = ["event_id", "session_id", "event_type", "timestamp", "data"];
    let rows: Vec<Vec<String>> = events
        .iter()
        .map(|event| {
            vec![
                event.event_id.clone(),
                event.session_id.clone(),
                event.event_type.clone(),
                event.timestamp.to_string(),
                Value::Object(event.data.clone()).to_string(),
            ]
        })
        .collect();
    output::csv(&headers, &rows)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(data: Value) -> String {
        summary(data.as_object().unwrap())
    }

    #[test]
    fn an_event_is_told_in_a_line() {
        assert_eq!(of(json!({ "command": "ps()", "output": "x" })), "ps()");
        assert_eq!(of(json!({ "command": "boom", "error": "no\nsuch" })), "boom: no such");
        assert_eq!(of(json!({ "component_name": "mahavishnu", "environment": { "cwd": "/w" } })), "mahavishnu in /w");
        assert_eq!(of(json!({ "reason": "exit" })), "exit");
        let checkpoint =
            json!({ "files": ["a.rs", "b.rs"], "git": { "branch": "main" }, "manual": true, "todos": ["x"] });
        assert_eq!(of(checkpoint), "files: a.rs, b.rs; manual: true; todos: x; git: {\"branch\":\"main\"}");
        assert_eq!(of(json!({ "command": "x".repeat(500) })).chars().count(), SUMMARY_CHARS + 1);
    }

    fn event(session: &str, data: Value) -> EventRow {
        let at = oneiric::clock::Timestamp::parse("2026-11-22T19:30:45Z").unwrap();
        EventRow {
            event_id: "e".into(),
            session_id: session.into(),
            event_type: "session_start".into(),
            timestamp: at,
            sequence: None,
            received_at: at,
            data: data.as_object().unwrap().clone(),
        }
    }

    #[test]
    fn a_terminal_shows_ids_whole_and_an_event_in_a_few_lines() {
        let id = "01a2258c-136b-7f3f-9c41-fd1fa489d97d";
        let data = json!({ "message": "long words ".repeat(40), "exit_code": 101, "duration_ms": 24 });
        let events = [event(id, data.clone()), event(id, data)];
        for width in [60, 80, 100, 129, 130, 160] {
            let screen = Screen { width, colour: false, wrap: true };
            for (of_all, most) in [(true, 3), (false, 2)] {
                let table = as_table(&events, screen, of_all);
                assert!(table.lines().all(|line| line.chars().count() <= usize::from(width)), "{table}");
                assert!(table.lines().count() <= 4 + most * events.len(), "{table}");
                for (word, expected) in [(id, of_all), ("session_start", true), ("101", true), ("…", true)] {
                    let found = table.matches(word).count();
                    assert_eq!(found, if expected { events.len() } else { 0 }, "{word}: {table}");
                }
                assert_eq!(table.contains("24 ms"), of_all || width >= ROOMY, "{table}");
            }
        }
    }

    #[test]
    fn a_callers_own_long_id_does_not_widen_the_table() {
        let id = "x".repeat(120);
        let events = [event(&id, json!({ "message": "m" }))];
        for width in [80, 160] {
            let table = as_table(&events, Screen { width, colour: false, wrap: true }, true);
            assert!(table.lines().all(|line| line.chars().count() <= usize::from(width)), "{table}");
        }
    }

    #[test]
    fn another_program_gets_every_column_in_a_line_each() {
        let events = [event("s", json!({ "message": "long words ".repeat(18), "duration_ms": 24 }))];
        let screen = Screen { width: 80, colour: false, wrap: false };
        for of_all in [true, false] {
            let table = as_table(&events, screen, of_all);
            assert!(table.lines().count() == 5 && table.contains("24 ms") && !table.contains('…'), "{table}");
        }
    }
}
