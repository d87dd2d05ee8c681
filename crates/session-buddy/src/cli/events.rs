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
    let mut headers = vec!["Time", "Type", "Event", "Exit", "Duration"];
    if of_all {
        headers.insert(0, "Session ID");
    }
    let rows = events.iter().map(|event| {
        let number = |key: &str| event.data.get(key).and_then(Value::as_f64);
        let mut row = vec![
            Cell::new(event.timestamp.local()),
            cell(&event.event_type),
            cell(&summary(&event.data)),
            Cell::new(number("exit_code").map(|code| code.to_string()).unwrap_or_default()),
            Cell::new(number("duration_ms").map(|millis| format!("{millis:.0} ms")).unwrap_or_default()),
        ];
        if of_all {
            row.insert(0, cell(&event.session_id));
        }
        row
    });
    screen.table(&headers, rows.collect())
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
            _ => Value::Object(data.clone()).to_string(),
        },
    };
    let line = full.replace(['\n', '\r', '\t'], " ");
    if line.chars().count() <= SUMMARY_CHARS { line } else { line.chars().take(SUMMARY_CHARS).chain(['…']).collect() }
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
        assert_eq!(of(json!({ "command": "x".repeat(500) })).chars().count(), SUMMARY_CHARS + 1);
    }
}
