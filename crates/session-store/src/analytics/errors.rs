//! What failed, put together by what it was.

use std::collections::{BTreeSet, HashMap};

use oneiric::clock::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Failures that are told.
const TOLD: usize = 20;
/// Different failures that are kept apart.
const MAX_KINDS: usize = 10_000;
/// Characters of a failure's name and of its example.
const MAX_CHARS: usize = 160;

/// A failed command, or an error.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its session.
    pub session_id: String,
    /// Its event.
    pub event_id: String,
    /// When.
    pub at: Timestamp,
    /// The command, or the first words of the error.
    what: String,
    error: Option<String>,
}

impl Failure {
    /// Reads an event; `None` when nothing failed.
    #[must_use]
    pub fn of(
        event_type: &str,
        session_id: String,
        event_id: String,
        at: Timestamp,
        data: &Map<String, Value>,
    ) -> Option<Self> {
        let text = |name: &str| data.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        let failed = match event_type {
            "command" => match text("outcome") {
                Some(outcome) => outcome == "failed",
                None => data.get("exit_code").and_then(Value::as_i64).is_some_and(|code| code != 0),
            },
            "error" => true,
            _ => false,
        };
        if !failed {
            return None;
        }
        let error = ["error", "message", "reason", "text"].iter().find_map(|name| text(name)).map(line);
        let what = text("command").map(line).or_else(|| error.clone()).unwrap_or_else(|| event_type.to_owned());
        Some(Self { session_id, event_id, at, what, error })
    }
}

/// The first line with text, cut.
fn line(text: &str) -> String {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let clean = first.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = clean.take(MAX_CHARS).collect();
    if first.chars().count() > MAX_CHARS {
        short.push('…');
    }
    short
}

/// Failures of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorFigures {
    /// The command that failed, or the error.
    pub what: String,
    /// How often.
    pub count: u64,
    /// In how many sessions.
    pub sessions: u64,
    /// When last.
    pub last: Timestamp,
    /// What it said then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The event that says so.
    pub event_id: String,
}

/// Puts failures together.
#[derive(Debug, Default)]
pub struct ErrorTally {
    kinds: HashMap<String, (ErrorFigures, BTreeSet<String>)>,
    bounded: bool,
}

impl ErrorTally {
    /// Adds a failure.
    pub fn add(&mut self, failure: Failure) {
        if !self.kinds.contains_key(&failure.what) && self.kinds.len() >= MAX_KINDS {
            self.bounded = true;
            return;
        }
        let Failure { session_id, event_id, at, what, error } = failure;
        let (figures, sessions) = self.kinds.entry(what.clone()).or_insert_with(|| {
            let figures = ErrorFigures {
                what,
                count: 0,
                sessions: 0,
                last: at,
                error: error.clone(),
                event_id: event_id.clone(),
            };
            (figures, BTreeSet::new())
        });
        figures.count += 1;
        if at > figures.last {
            (figures.last, figures.error, figures.event_id) = (at, error, event_id);
        }
        sessions.insert(session_id);
    }

    /// Says that not all was looked at.
    pub const fn bound(&mut self) {
        self.bounded = true;
    }

    /// The most frequent first, and whether not all was looked at.
    pub(super) fn finish(self) -> (Vec<ErrorFigures>, bool) {
        let counted = |(figures, sessions): (ErrorFigures, BTreeSet<String>)| ErrorFigures {
            sessions: sessions.len() as u64,
            ..figures
        };
        let mut list: Vec<ErrorFigures> = self.kinds.into_values().map(counted).collect();
        list.sort_by(|a, b| (b.count, b.last, &a.what).cmp(&(a.count, a.last, &b.what)));
        list.truncate(TOLD);
        (list, self.bounded)
    }
}
