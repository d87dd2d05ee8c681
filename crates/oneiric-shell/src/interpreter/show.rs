//! How a value looks when it is an entry's result.

use std::fmt::Write as _;

use serde_json::Value as Json;
use starlark::values::Value;
use starlark::values::dict::DictRef;
use starlark::values::list::ListRef;

use super::host::{Live, Reply, Shown};
use crate::table::Table;
use crate::terminal::{Terminal, printable_lines};

/// An entry's value as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Echo {
    /// As text.
    Text(String),
    /// As something that is drawn again until it is over.
    Live(Live),
}

/// Longest text of a value that is shown whole.
const MAX_SHOWN: usize = 64 * 1024;

/// Longest text of a value whose length is told.
const MAX_COUNTED: usize = 16 << 20;

/// Rows of a list of dictionaries that become a table; a longer list is data rather than something to look at.
const MAX_ROWS: usize = 1_000;

/// Columns of such a table.
const MAX_COLUMNS: usize = 32;

/// The text of `value`, in the form of the program's last reply when it still is that reply.
pub(super) fn echo(value: Value<'_>, last: Option<&Reply>, terminal: Terminal) -> Echo {
    if let Some(Reply { shown: Shown::Live(live), value: own }) = last
        && is_still(value, own)
    {
        return Echo::Live(live.clone());
    }
    Echo::Text(text(value, last, terminal))
}

fn text(value: Value<'_>, last: Option<&Reply>, terminal: Terminal) -> String {
    if let Some(reply) = last
        && reply.shown != Shown::Value
        && is_still(value, &reply.value)
    {
        match &reply.shown {
            Shown::Text(text) => return text.clone(),
            Shown::Table(table) => return table.render(terminal),
            Shown::Value | Shown::Live(_) => {}
        }
    }
    if let Some(table) = as_table(value) {
        return table.render(terminal);
    }
    if value.get_type() == "function"
        && let Some(text) = super::host::describe(&value.to_str())
    {
        return text;
    }
    // A text makes its form as a whole, so only as much of it is asked as is shown.
    if let Some(text) = value.unpack_str().filter(|text| text.len() > MAX_SHOWN) {
        let begin = &text[..text.floor_char_boundary(MAX_SHOWN)];
        return format!("{}… ({} bytes in all)", printable_lines(&format!("{begin:?}")), text.len());
    }
    let mut room = Room { text: String::new(), total: 0 };
    let whole = write!(room, "{value}").is_ok();
    let mut text = printable_lines(&room.text);
    if !whole {
        text.push_str("… (and more)");
    } else if room.total > MAX_SHOWN {
        text.push_str(&format!("… ({} bytes in all)", room.total));
    }
    text
}

/// Whether a value is that of a reply. Long ones are not compared with short ones.
fn is_still(value: Value<'_>, reply: &Json) -> bool {
    let length = match reply {
        Json::Array(rows) => Some(rows.len()),
        Json::Object(fields) => Some(fields.len()),
        Json::String(text) => Some(text.chars().count()),
        _ => None,
    };
    let own = value.length().ok().and_then(|length| usize::try_from(length).ok());
    (value.get_type() == "struct" || own == length) && value.to_json_value().is_ok_and(|json| json == *reply)
}

/// Takes as much text as is shown, counts on for a while, and then wants no more.
struct Room {
    text: String,
    total: usize,
}

impl std::fmt::Write for Room {
    fn write_str(&mut self, piece: &str) -> std::fmt::Result {
        let room = MAX_SHOWN.saturating_sub(self.text.len()).min(piece.len());
        self.text.push_str(&piece[..piece.floor_char_boundary(room)]);
        self.total += piece.len();
        if self.total > MAX_COUNTED { Err(std::fmt::Error) } else { Ok(()) }
    }
}

/// A list of dictionaries with text as keys, or of structs, is a table; a struct is one with a row for each field.
fn as_table(value: Value<'_>) -> Option<Table> {
    if value.get_type() == "struct" {
        let Json::Object(fields) = value.to_json_value().ok()? else { return None };
        let mut table = Table::new(["Field", "Value"]);
        for (name, value) in fields {
            table.row([name, crate::table::cell_text(&value)]);
        }
        return (!table.is_empty()).then_some(table);
    }
    let list = ListRef::from_value(value)?;
    if list.is_empty() || list.len() > MAX_ROWS {
        return None;
    }
    let named = |row: Value<'_>| match DictRef::from_value(row) {
        Some(row) => row.keys().all(|key| key.unpack_str().is_some()),
        None => row.get_type() == "struct",
    };
    if !list.iter().all(named) {
        return None;
    }
    let objects: Vec<Json> = list.iter().map(|row| row.to_json_value().ok()).collect::<Option<_>>()?;
    let mut columns: Vec<&str> = Vec::new();
    for key in objects.iter().filter_map(Json::as_object).flat_map(serde_json::Map::keys) {
        if !columns.contains(&key.as_str()) {
            columns.push(key);
        }
    }
    if columns.is_empty() || columns.len() > MAX_COLUMNS {
        return None;
    }
    let columns: Vec<(&str, &str)> = columns.into_iter().map(|key| (key, key)).collect();
    // The first columns say what a row is; what does not fit is reached by its name.
    Some(Table::of_objects(&objects, &columns).optional((3..columns.len()).rev()))
}
