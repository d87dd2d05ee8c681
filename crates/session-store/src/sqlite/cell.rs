//! Values of rows: what a sound one is, and what is read of one that is not.
//!
//! SQLite keeps any bytes under any column, and a bit that flips in a text is nothing that its own checks see. What can be
//! read of such a value is read, so that it hides neither its row nor the others.

use std::borrow::Cow;

use oneiric::clock::Timestamp;
use oneiric::event::EventType;
use oneiric::id;
use rusqlite::Row;
use rusqlite::types::ValueRef;

/// What stands for a character that an id cannot have: ids and names of types may hold it anywhere.
const UNREADABLE: char = 'x';

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text.
    Text,
    /// The id of a session or an event.
    Id,
    /// The name of an event's type.
    Type,
    /// A time, as text.
    Time,
    /// A whole number.
    Whole,
    /// A number.
    Number,
}

impl Kind {
    /// Of a column, by its name and the type that its table gives it.
    pub(super) fn of(column: &str, declared: &str) -> Self {
        match declared {
            "TIMESTAMP" => Self::Time,
            "INTEGER" => Self::Whole,
            "REAL" => Self::Number,
            _ => match column {
                "session_id" | "event_id" | "start_event_id" | "end_event_id" => Self::Id,
                "event_type" => Self::Type,
                _ => Self::Text,
            },
        }
    }

    /// What is wrong with a value under such a column; a value that is missing is for SQLite's check to tell.
    pub(super) fn wrong(self, value: ValueRef<'_>) -> Option<&'static str> {
        match (self, value) {
            (_, ValueRef::Null)
            | (Self::Whole | Self::Number, ValueRef::Integer(_))
            | (Self::Number, ValueRef::Real(_)) => None,
            (Self::Whole | Self::Number, _) => Some("is no number"),
            (_, ValueRef::Text(bytes)) => match std::str::from_utf8(bytes) {
                Err(_) => Some("is no text (UTF-8)"),
                Ok(text) if self == Self::Time && parse_time(text).is_none() => Some("is no time"),
                Ok(text) if !self.can_be(text) => Some("has characters that none has"),
                Ok(_) => None,
            },
            _ => Some("is no text"),
        }
    }

    /// Whether a text is one that everything can name.
    fn can_be(self, text: &str) -> bool {
        match self {
            Self::Id => id::is_usable(text),
            Self::Type => EventType::parse(text).is_ok(),
            _ => true,
        }
    }

    /// What a wrong value can be replaced by: what is read of it. Nothing when that would say nothing.
    pub(super) fn mended(self, value: ValueRef<'_>) -> Option<String> {
        let text = read(value)?;
        match self {
            Self::Text => Some(text.into_owned()),
            Self::Id | Self::Type => Some(self.plain(&text)).filter(|plain| self.can_be(plain)),
            Self::Time => parse_time(&text).map(|time| time.to_string()),
            Self::Whole | Self::Number => None,
        }
    }

    /// An id or a type's name without the characters that it cannot have.
    fn plain(self, text: &str) -> String {
        let mut plain = String::with_capacity(text.len());
        for c in text.chars() {
            plain.push(c);
            if !self.can_be(&plain) {
                plain.pop();
                plain.push(UNREADABLE);
            }
        }
        plain
    }
}

/// A value as text; `None` for NULL. What is no UTF-8 in it becomes U+FFFD.
fn read(value: ValueRef<'_>) -> Option<Cow<'_, str>> {
    match value {
        ValueRef::Null => None,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes)),
        ValueRef::Integer(number) => Some(number.to_string().into()),
        ValueRef::Real(number) => Some(number.to_string().into()),
    }
}

/// A text, without copying a sound one; `None` for NULL.
pub(super) fn borrowed<'r>(row: &'r Row<'_>, column: usize) -> rusqlite::Result<Option<Cow<'r, str>>> {
    Ok(read(row.get_ref(column)?))
}

/// A text that may be missing.
pub(super) fn text_or_none(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    Ok(borrowed(row, column)?.map(Cow::into_owned))
}

/// A text that is always there: empty when it is not.
pub(super) fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(text_or_none(row, column)?.unwrap_or_default())
}

/// The id of a session or an event, as one that everything can name.
pub(super) fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    named(row, column, Kind::Id)
}

/// The name of a type, as one that everything can name.
pub(super) fn event_type(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    named(row, column, Kind::Type)
}

fn named(row: &Row<'_>, column: usize, kind: Kind) -> rusqlite::Result<String> {
    let value = row.get_ref(column)?;
    let text = read(value).unwrap_or_default();
    Ok(if kind.wrong(value).is_some() { kind.plain(&text) } else { text.into_owned() })
}

/// The id as it is stored, to look other rows up by it; `None` when it cannot be read, so that nothing would be found.
pub(super) fn key(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    Ok(row.get_ref(column)?.as_str_or_null().unwrap_or_default().map(str::to_owned))
}

/// A whole number; `None` for NULL and for what is none.
pub(super) fn whole_or_none(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<i64>> {
    Ok(row.get_ref(column)?.as_i64_or_null().unwrap_or_default())
}

/// A column that counts; a negative number, which nothing here writes, counts as 0.
pub(super) fn whole(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(whole_or_none(row, column)?.unwrap_or(0)).unwrap_or(0))
}

/// A number; `None` for NULL and for what is none.
pub(super) fn number_or_none(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<f64>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Real(number) => Some(number),
        ValueRef::Integer(number) => Some(number as f64),
        _ => None,
    })
}

/// A time; `None` for NULL and for what is no time.
pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(borrowed(row, column)?.and_then(|text| parse_time(&text)))
}

/// Also the form that SQLite's `CURRENT_TIMESTAMP` has.
pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text).or_else(|| Timestamp::parse(&format!("{}Z", text.replacen(' ', "T", 1))))
}
