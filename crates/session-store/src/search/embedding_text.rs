//! The text whose meaning stands for an event.
//!
//! Short events say little alone: an answer is about what was asked just before it. So a short event is read together
//! with the one before it in its session. Long texts speak for themselves.

use serde_json::Value;

/// How many events before an event [`embedding_text`] wants to see.
pub const EVENTS_BEFORE: usize = 1;
/// Longest text of one event in bytes; the beginning of a longer one stands for it.
pub const MAX_BYTES: usize = 16 * 1024;
/// An event whose own text is longer needs no other.
const ENOUGH_BYTES: usize = 600;
/// What is taken of an event that only gives context.
const CONTEXT_BYTES: usize = 300;

/// Fields that say who speaks: they go in front.
const SPEAKER: [&str; 5] = ["speaker", "role", "author", "sender", "from"];
/// Fields that say what it is about, in this order; all others follow.
const FIRST: [&str; 9] = ["title", "command", "text", "message", "content", "error", "summary", "note", "output"];
/// Fields whose words say nothing of the matter.
const NOISE: [&str; 5] = ["kind", "outcome", "status", "event_version", "hostname"];
/// Events about the session itself.
const ADMINISTRATIVE: [&str; 2] = ["session_start", "session_end"];

/// The text to embed for an event of `event_type` with the JSON object `data`; `before` holds type and data of the
/// [`EVENTS_BEFORE`] events before it in its session, the nearest last. `None` when there is nothing worth it.
#[must_use]
pub fn embedding_text(event_type: &str, data: &str, before: &[(&str, &str)]) -> Option<String> {
    let own = spoken(event_type, data, MAX_BYTES)?;
    if own.len() > ENOUGH_BYTES {
        return Some(own);
    }
    let mut text = String::new();
    for (event_type, data) in &before[before.len().saturating_sub(EVENTS_BEFORE)..] {
        if let Some(earlier) = spoken(event_type, data, CONTEXT_BYTES) {
            text.push_str(&earlier);
            text.push('\n');
        }
    }
    text.push_str(&own);
    Some(text)
}

/// What an event says, `speaker: words`, at most about `limit` bytes.
fn spoken(event_type: &str, data: &str, limit: usize) -> Option<String> {
    if ADMINISTRATIVE.contains(&event_type) {
        return None;
    }
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(data) else { return None };
    let mut text = String::new();
    for name in FIRST {
        if let Some(value) = fields.get(name) {
            append(value, &mut text, limit, 0);
        }
    }
    for (name, value) in &fields {
        let name = name.as_str();
        if !FIRST.contains(&name) && !SPEAKER.contains(&name) && !NOISE.contains(&name) {
            append(value, &mut text, limit, 0);
        }
    }
    if !text.chars().any(char::is_alphanumeric) {
        return None;
    }
    let speaker = SPEAKER.iter().find_map(|name| fields.get(*name)?.as_str()).map(str::trim);
    match speaker.filter(|speaker| !speaker.is_empty() && speaker.len() <= CONTEXT_BYTES) {
        Some(speaker) => Some(format!("{speaker}: {text}")),
        None => Some(text),
    }
}

/// Appends every string in `value`; what the redactor took out is left out.
fn append(value: &Value, text: &mut String, limit: usize, depth: usize) {
    if text.len() >= limit || depth > 8 {
        return;
    }
    match value {
        Value::String(one) => {
            let one = one.trim();
            if one.is_empty() {
                return;
            }
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&one[..one.floor_char_boundary(limit.saturating_sub(text.len()))]);
        }
        Value::Array(items) => items.iter().for_each(|item| append(item, text, limit, depth + 1)),
        // With numbers of any precision, a number is no object here: `Value` knows it.
        Value::Object(fields) => fields.values().for_each(|item| append(item, text, limit, depth + 1)),
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn who_speaks_stands_before_what_is_said_and_noise_stays_out() {
        let said = r#"{"text":"I went to the lake","speaker":"Ada","kind":"cli","n":3}"#;
        assert_eq!(embedding_text("message", said, &[]).unwrap(), "Ada: I went to the lake");
        let command = r#"{"command":"make","exit_code":2,"outcome":"failed","output":"no rule"}"#;
        assert_eq!(embedding_text("command", command, &[]).unwrap(), "make\nno rule");
    }

    #[test]
    fn a_short_event_is_read_after_the_one_before_it_and_a_long_one_alone() {
        let asked = ("message", r#"{"speaker":"Ada","text":"Where were you?"}"#);
        let answer = r#"{"speaker":"Bob","text":"At the lake."}"#;
        assert_eq!(embedding_text("message", answer, &[asked]).unwrap(), "Ada: Where were you?\nBob: At the lake.");
        let long = serde_json::json!({ "text": "word ".repeat(200) }).to_string();
        assert!(embedding_text("message", &long, &[asked]).unwrap().starts_with("word"));
    }

    #[test]
    fn what_says_nothing_is_not_embedded() {
        for (event_type, data) in [
            ("session_start", r#"{"component_name":"x"}"#),
            ("command", r#"{"exit_code":0}"#),
            ("a", r#"{"text":"--"}"#),
            ("a", "["),
        ] {
            assert_eq!(embedding_text(event_type, data, &[]), None);
        }
    }

    #[test]
    fn texts_are_bounded_at_a_characters_edge() {
        let data = serde_json::json!({ "text": "ü".repeat(40_000) }).to_string();
        assert!(embedding_text("message", &data, &[]).unwrap().len() <= MAX_BYTES);
    }
}
