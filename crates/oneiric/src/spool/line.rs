//! A spool line: eight hexadecimal digits of CRC-32, a space, one JSON object, a line feed.

use serde::{Deserialize, Serialize};

use crate::event::Event;

/// What a line says of its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// It is about to happen: true as it stands only if no [`EntryKind::Event`] line has the same event id.
    Begin,
    /// It happened.
    Event,
}

/// One line's content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What the line says of the event.
    pub kind: EntryKind,
    /// The event.
    pub event: Event,
}

/// A line as it was found.
#[derive(Debug, PartialEq)]
pub enum Line {
    /// Whole and readable.
    Entry(Box<Entry>),
    /// Damaged: the checksum or the content is wrong.
    Damaged,
}

/// The line for `entry`, with its line feed.
///
/// # Errors
/// When the event's data cannot be written as JSON, which a map of JSON values always can.
pub fn encode(entry: &Entry) -> serde_json::Result<Vec<u8>> {
    let json = serde_json::to_vec(entry)?;
    let mut line = Vec::with_capacity(json.len() + 10);
    line.extend_from_slice(format!("{:08x} ", crc32fast::hash(&json)).as_bytes());
    line.extend_from_slice(&json);
    line.push(b'\n');
    Ok(line)
}

/// Reads one line, without its line feed.
#[must_use]
pub fn decode(line: &[u8]) -> Line {
    let parsed = (|| {
        let (sum, json) = line.split_at_checked(8)?;
        let json = json.strip_prefix(b" ")?;
        let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
        if sum != crc32fast::hash(json) {
            return None;
        }
        serde_json::from_slice(json).ok()
    })();
    parsed.map_or(Line::Damaged, |entry| Line::Entry(Box::new(entry)))
}
