//! What is wrong with a line that is none of an export's, in words for people.

use oneiric::clock::Timestamp;
use oneiric::event::EventType;
use oneiric::id::{EventId, SessionId};
use serde_json::error::Category;
use serde_json::{Map, Value};

use crate::model::SessionStatus;

/// A field of a line: its name, whether it has to be there, and why a value is none for it.
type Field = (&'static str, Need, fn(&Value) -> Result<(), String>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Always,
    /// May be left out.
    May,
    /// May be left out, or null.
    MayBeNull,
}

use Need::{Always, May, MayBeNull};

const HEADER: &[Field] =
    &[("format", Always, text), ("version", Always, number), ("sessions", Always, number), ("events", Always, number)];
const SESSION: &[Field] = &[
    ("session_id", Always, session_id),
    ("component", May, text),
    ("status", Always, status),
    ("start_time", Always, time),
    ("end_time", MayBeNull, time),
    ("archived_at", MayBeNull, time),
    ("events", Always, number),
];
const EVENT: &[Field] = &[
    ("session_id", Always, session_id),
    ("event_id", Always, event_id),
    ("event_type", Always, event_type),
    ("timestamp", Always, time),
    ("sequence", MayBeNull, number),
    ("data", May, object),
];

/// Why `line` could not be read.
pub(super) fn why(line: &str) -> String {
    let map = match serde_json::from_str(line) {
        Ok(Value::Object(map)) => map,
        Ok(_) => return "it is no JSON object".to_owned(),
        Err(error) if error.classify() == Category::Eof => return "it ends in the middle of its JSON".to_owned(),
        Err(error) if error.column() > 1 => return format!("it is no JSON from column {} on", error.column()),
        Err(_) => return "it is no JSON".to_owned(),
    };
    let (kind, fields) = match map.get("kind") {
        None => return "it has no \"kind\"".to_owned(),
        Some(Value::String(kind)) if kind == "header" => ("header", HEADER),
        Some(Value::String(kind)) if kind == "session" => ("session", SESSION),
        Some(Value::String(kind)) if kind == "event" => ("event", EVENT),
        Some(Value::String(kind)) => {
            return format!("its kind '{}' is not header, session or event", super::shown(kind));
        }
        Some(_) => return "its \"kind\" is no text".to_owned(),
    };
    let wrong = fields.iter().find_map(|field| wrong(&map, field));
    // What is left is a name that stands there twice.
    wrong.unwrap_or_else(|| format!("a field of this {kind} stands there twice"))
}

/// The format that the first line of some other program's export names.
pub(super) fn other_format(line: &str) -> Option<String> {
    let map: Map<String, Value> = serde_json::from_str(line).ok()?;
    let heads = map.get("kind").is_none_or(|kind| kind == "header");
    let format = map.get("format").and_then(Value::as_str).filter(|format| heads && *format != super::FORMAT)?;
    Some(format.to_owned())
}

fn wrong(map: &Map<String, Value>, (name, need, check): &Field) -> Option<String> {
    match map.get(*name) {
        None if *need == Always => Some(format!("it has no \"{name}\"")),
        None => None,
        Some(Value::Null) if *need == MayBeNull => None,
        Some(value) => check(value).err().map(|why| format!("its \"{name}\" {why}")),
    }
}

fn text(value: &Value) -> Result<(), String> {
    value.is_string().then_some(()).ok_or_else(|| "is no text".to_owned())
}

fn number(value: &Value) -> Result<(), String> {
    value.is_u64().then_some(()).ok_or_else(|| "is no whole number".to_owned())
}

fn object(value: &Value) -> Result<(), String> {
    value.is_object().then_some(()).ok_or_else(|| "is no JSON object".to_owned())
}

fn time(value: &Value) -> Result<(), String> {
    let time = value.as_str().and_then(Timestamp::parse);
    time.map(drop).ok_or_else(|| "is no time such as 2026-11-22T18:09:36Z".to_owned())
}

fn status(value: &Value) -> Result<(), String> {
    let status = value.as_str().and_then(SessionStatus::parse);
    status.map(drop).ok_or_else(|| "is not active, ended, failed or stale".to_owned())
}

fn session_id(value: &Value) -> Result<(), String> {
    let text = value.as_str().ok_or("is no text")?;
    SessionId::parse(text).map(drop).map_err(|error| format!("is none: {error}"))
}

fn event_id(value: &Value) -> Result<(), String> {
    let text = value.as_str().ok_or("is no text")?;
    EventId::parse(text).map(drop).map_err(|error| format!("is none: {error}"))
}

fn event_type(value: &Value) -> Result<(), String> {
    let text = value.as_str().ok_or("is no text")?;
    EventType::parse(text).map(drop).map_err(|error| format!("is none: {error}"))
}

#[cfg(test)]
mod tests {
    use super::super::Line;

    #[test]
    fn what_is_wrong_is_said_without_words_of_the_program() {
        let event = r#""session_id":"s","event_id":"e","event_type":"command","timestamp":"2026-11-22T18:00:00Z""#;
        for (line, said) in [
            ("hello", "it is no JSON"),
            ("", "it ends in the middle"),
            ("{\"kind\":\"event\",", "it ends in the middle"),
            ("{\"kind\":\"event\",x}", "it is no JSON from column 17 on"),
            ("[1]", "it is no JSON object"),
            ("{}", "it has no \"kind\""),
            ("{\"kind\":7}", "its \"kind\" is no text"),
            ("{\"kind\":\"drop table\"}", "its kind 'drop table' is not header, session or event"),
            ("{\"kind\":\"event\"}", "it has no \"session_id\""),
            ("{\"kind\":\"header\",\"format\":1}", "its \"format\" is no text"),
            ("{\"kind\":\"header\",\"format\":\"x\",\"version\":-1}", "its \"version\" is no whole number"),
            ("{\"kind\":\"session\",\"session_id\":\"../x\"}", "its \"session_id\" is none: "),
            ("{\"kind\":\"session\",\"session_id\":\"x\",\"status\":\"odd\"}", "its \"status\" is not active"),
            (&format!("{{\"kind\":\"event\",{event},\"data\":[]}}"), "its \"data\" is no JSON object"),
            (&format!("{{\"kind\":\"event\",{event},{event}}}"), "stands there twice"),
            (&format!("{{\"kind\":\"event\",{event},\"sequence\":1.5}}"), "its \"sequence\" is no whole number"),
            (
                &event
                    .replacen("\"session_id\":\"s\"", "{\"kind\":\"event\",\"session_id\":\"s\"", 1)
                    .replace("18:00", "soon"),
                "ends in",
            ),
        ] {
            let why = Line::parse(line).err().unwrap_or_default();
            assert!(why.contains(said), "{line}: {why}");
            for word in ["expected", "missing field", "invalid type", " at line "] {
                assert!(!why.contains(word), "{line}: {why}");
            }
        }
        assert!(Line::parse(&format!("{{\"kind\":\"event\",{event},\"sequence\":null}}")).is_ok());
    }
}
