//! Cursors: where the next page of a list begins.
//!
//! A cursor holds the place of a page's last row and a checksum over that place and the question. It stays good whatever is
//! added meanwhile, and belongs to one question only; what is in it is nobody's business.

use oneiric_server::mcp::ToolError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Longest cursor that is read.
const MAX_CHARS: usize = 1024;

/// Arguments that choose a page, and are no part of the question.
const OF_PAGE: [&str; 4] = ["limit", "offset", "cursor", "max_tokens"];

/// What a list is asked for, without the page.
pub(crate) struct Question(Vec<u8>);

impl Question {
    /// From the arguments of `tool`.
    pub(crate) fn of(tool: &str, arguments: &impl Serialize) -> Self {
        let mut map = match serde_json::to_value(arguments) {
            Ok(Value::Object(map)) => map,
            _ => Map::new(),
        };
        map.retain(|name, value| !OF_PAGE.contains(&name.as_str()) && !value.is_null());
        // Names in their order, whatever order a build keeps them in.
        let mut members: Vec<String> = map.iter().map(|(name, value)| format!("{name}={value}")).collect();
        members.sort();
        Self(format!("{tool} {}", members.join(" ")).into_bytes())
    }

    /// The cursor behind `place`.
    pub(crate) fn cursor(&self, place: &impl Serialize) -> Option<String> {
        let place = serde_json::to_vec(place).ok()?;
        let mut text = format!("{:08x}", self.checksum(&place));
        for byte in place {
            text.push_str(&format!("{byte:02x}"));
        }
        Some(text)
    }

    /// The place in `cursor`.
    ///
    /// # Errors
    /// Code `invalid_arguments`: it is no cursor, or one of another question.
    pub(crate) fn place<T: DeserializeOwned>(&self, cursor: &str, offset: usize) -> Result<T, ToolError> {
        if offset != 0 {
            return Err(wrong("it does not go together with offset"));
        }
        let (checksum, place) = cursor.split_at_checked(8).ok_or_else(|| wrong("it is no cursor"))?;
        let place = Some(place).filter(|place| place.len() <= MAX_CHARS).and_then(unhex);
        let place = place.ok_or_else(|| wrong("it is no cursor"))?;
        if u32::from_str_radix(checksum, 16) != Ok(self.checksum(&place)) {
            return Err(of_another_question());
        }
        serde_json::from_slice(&place).map_err(|_| wrong("it is no cursor"))
    }

    /// FNV-1a: against mistakes, not against malice, which could ask for any page anyway.
    fn checksum(&self, place: &[u8]) -> u32 {
        let step = |sum: u32, byte: &u8| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        self.0.iter().chain(place).fold(0x811c_9dc5, step)
    }
}

/// The refusal of a cursor that came with another question than its own.
pub(crate) fn of_another_question() -> ToolError {
    wrong("it belongs to another question")
}

/// The refusal of a cursor, and why.
pub(crate) fn wrong(why: &str) -> ToolError {
    ToolError::new("invalid_arguments", format!("cursor: {why}"))
        .with("field", "cursor")
        .with("hint", "leave it out to begin again, or send next_cursor of the same question as it came")
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

/// Rows to read for a page of `limit`: one more tells whether there is another page.
pub(crate) const fn with_one_more(limit: usize) -> usize {
    limit.saturating_add(1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_place_for_the_same_question_only() {
        let question = Question::of("list", &json!({ "project": "x", "limit": 2, "cursor": null }));
        let cursor = question.cursor(&(17, "id")).unwrap();
        let same = Question::of("list", &json!({ "limit": 50, "project": "x", "cursor": cursor }));
        assert_eq!(same.place::<(i64, String)>(&cursor, 0).unwrap(), (17, "id".to_owned()));
        assert!(same.place::<(i64, String)>(&cursor, 3).unwrap_err().message().contains("offset"));
        let other = Question::of("list", &json!({ "project": "y" }));
        assert!(other.place::<(i64, String)>(&cursor, 0).unwrap_err().message().contains("another question"));
        for wrong in ["", "x", "zzzzzzzz", "0000000", "00000000", "é0000000é", &format!("{cursor}0"), &"0".repeat(5000)]
        {
            assert_eq!(same.place::<(i64, String)>(wrong, 0).unwrap_err().code(), "invalid_arguments", "{wrong}");
        }
    }
}
