//! What a brief needs of a session's events, taken from the newest to the oldest.

use std::collections::HashSet;

use oneiric::clock::Timestamp;
use oneiric::event::EventType;
use oneiric::repository::RepositoryIdentity;
use serde_json::{Map, Value};

use super::lines::{MAX_CHARS, OUTPUT_CHARS, REASON_CHARS, WORD_CHARS, short};
use crate::model::EventRow;

/// A command that ran, or an error, which may name none.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) at: Timestamp,
    pub(super) event_id: String,
    pub(super) command: String,
    pub(super) outcome: String,
    pub(super) exit_code: Option<i64>,
    pub(super) duration_ms: Option<f64>,
    /// What it said, in short.
    pub(super) detail: Option<String>,
}

/// Something that was said or happened, with its event.
#[derive(Debug)]
pub(super) struct Said<T> {
    pub(super) at: Timestamp,
    pub(super) event_id: String,
    pub(super) what: T,
}

/// The latest result of a test.
#[derive(Debug)]
pub(super) struct Test {
    pub(super) file: String,
    pub(super) result: String,
    pub(super) coverage: Option<f64>,
    pub(super) message: Option<String>,
}

/// How the session ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) reason: Option<String>,
    pub(super) note: Option<String>,
}

/// Everything, newest first. Texts are cut to what a line shows: an event may hold a megabyte.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) start: Option<String>,
    pub(super) end: Option<Said<End>>,
    pub(super) commands: Vec<Command>,
    /// Failed commands that did not succeed later, and errors.
    pub(super) failures: Vec<Command>,
    pub(super) tests: Vec<Said<Test>>,
    pub(super) messages: Vec<Said<String>>,
    pub(super) note: Option<Said<String>>,
    pub(super) todos: Option<Said<Vec<String>>>,
    pub(super) files: Option<Said<Vec<String>>>,
    pub(super) git: Option<Said<RepositoryIdentity>>,
    /// The newest event.
    pub(super) latest: Option<String>,
    /// Commands whose latest run is known already, with their directories.
    judged: HashSet<(String, Option<String>)>,
    tested: HashSet<String>,
}

impl Gathered {
    /// Takes the next older event. Always wants more: the caller bounds how many.
    pub(super) fn take(&mut self, event: &EventRow) -> bool {
        self.latest.get_or_insert_with(|| event.event_id.clone());
        let data = &event.data;
        match event.event_type.as_str() {
            EventType::SESSION_START => self.start = Some(event.event_id.clone()),
            EventType::SESSION_END => {
                let end = End { reason: line(data, "reason", REASON_CHARS), note: line(data, "note", MAX_CHARS) };
                if end.reason.is_some() || end.note.is_some() {
                    self.end.get_or_insert_with(|| said(event, end));
                }
            }
            EventType::COMMAND => self.command(event),
            EventType::ERROR => self.error(event),
            EventType::TEST_RESULT => self.test(event),
            EventType::MESSAGE => {
                let message = line(data, "message", MAX_CHARS).or_else(|| line(data, "text", MAX_CHARS));
                self.messages.extend(message.map(|message| said(event, message)));
            }
            EventType::CHECKPOINT => self.checkpoint(event),
            _ => {}
        }
        true
    }

    fn command(&mut self, event: &EventRow) {
        let Some(command) = text(&event.data, "command") else { return };
        let exit_code = event.data.get("exit_code").and_then(Value::as_i64);
        let outcome = text(&event.data, "outcome").unwrap_or(if exit_code.is_some_and(|code| code != 0) {
            "failed"
        } else {
            "completed"
        });
        // A run that was interrupted says nothing of whether it works by now.
        let judges = matches!(outcome, "completed" | "failed" | "unknown");
        let latest = judges && self.judged.insert(run_of(event, command));
        if latest && outcome != "completed" {
            self.failures.push(ran(event, command, outcome, exit_code));
        }
        self.commands.push(ran(event, command, outcome, exit_code));
    }

    /// An error that names a command is mended when that command worked later.
    fn error(&mut self, event: &EventRow) {
        let command = text(&event.data, "command").unwrap_or_default();
        let mended = !command.is_empty() && !self.judged.insert(run_of(event, command));
        if !mended {
            let mut failure = ran(event, command, "error", None);
            let said =
                ["error", "message", "reason", "text"].iter().find_map(|name| line(&event.data, name, OUTPUT_CHARS));
            failure.detail = said.or(failure.detail);
            self.failures.push(failure);
        }
    }

    fn test(&mut self, event: &EventRow) {
        let (Some(file), Some(result)) = (text(&event.data, "test_file"), text(&event.data, "result")) else { return };
        if self.tested.insert(file.to_owned()) {
            let test = Test {
                file: short(file, MAX_CHARS),
                result: short(result, WORD_CHARS),
                coverage: event.data.get("coverage").and_then(Value::as_f64),
                message: line(&event.data, "message", OUTPUT_CHARS),
            };
            self.tests.push(said(event, test));
        }
    }

    fn checkpoint(&mut self, event: &EventRow) {
        if let Some(note) = line(&event.data, "note", MAX_CHARS) {
            self.note.get_or_insert_with(|| said(event, note));
        }
        for (name, list) in [("todos", &mut self.todos), ("files", &mut self.files)] {
            if let Some(Value::Array(items)) = event.data.get(name) {
                let items = items.iter().filter_map(Value::as_str).map(|item| short(item, MAX_CHARS)).collect();
                list.get_or_insert_with(|| said(event, items));
            }
        }
        let git = event.data.get("git").and_then(|git| serde_json::from_value(git.clone()).ok());
        if let Some(git) = git {
            self.git.get_or_insert_with(|| said(event, git));
        }
    }
}

fn said<T>(event: &EventRow, what: T) -> Said<T> {
    Said { at: event.timestamp, event_id: event.event_id.clone(), what }
}

/// What a later run of the same has in common with this one.
fn run_of(event: &EventRow, command: &str) -> (String, Option<String>) {
    (command.trim().to_owned(), text(&event.data, "cwd").map(str::to_owned))
}

fn ran(event: &EventRow, command: &str, outcome: &str, exit_code: Option<i64>) -> Command {
    // What a command says last is what it came to.
    let last = || text(&event.data, "output").and_then(|output| output.trim().lines().next_back());
    Command {
        at: event.timestamp,
        event_id: event.event_id.clone(),
        command: short(command, MAX_CHARS),
        outcome: short(outcome, WORD_CHARS),
        exit_code,
        duration_ms: event.data.get("duration_ms").and_then(Value::as_f64),
        detail: line(&event.data, "error", OUTPUT_CHARS).or_else(|| last().map(|line| short(line, OUTPUT_CHARS))),
    }
}

fn line(data: &Map<String, Value>, name: &str, most: usize) -> Option<String> {
    text(data, name).map(|text| short(text, most))
}

fn text<'d>(data: &'d Map<String, Value>, name: &str) -> Option<&'d str> {
    data.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty())
}
