//! How a value looks when it is an entry's result.

use serde_json::Value as Json;
use starlark::values::Value;
use starlark::values::dict::DictRef;
use starlark::values::list::ListRef;

use super::host::{Reply, Shown};
use crate::table::Table;
use crate::terminal::{Terminal, printable_lines};

/// Longest text of a value that is shown whole.
const MAX_SHOWN: usize = 64 * 1024;

/// Rows of a list of dictionaries that become a table; a longer list is data rather than something to look at.
const MAX_ROWS: usize = 1_000;

/// The text of `value`, in the form of the program's last reply when it still is that reply.
pub(super) fn echo(value: Value<'_>, last: Option<&Reply>, terminal: Terminal) -> String {
    if let Some(reply) = last
        && reply.shown != Shown::Value
        && value.to_json_value().is_ok_and(|json| json == reply.value)
    {
        match &reply.shown {
            Shown::Text(text) => return text.clone(),
            Shown::Table(table) => return table.render(terminal),
            Shown::Value => {}
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
    let mut text = printable_lines(&value.to_repr());
    if text.len() > MAX_SHOWN {
        let total = text.len();
        text.truncate(text.floor_char_boundary(MAX_SHOWN));
        text.push_str(&format!("… ({total} bytes in all)"));
    }
    text
}

/// A list of dictionaries with text as keys is a table.
fn as_table(value: Value<'_>) -> Option<Table> {
    let list = ListRef::from_value(value)?;
    if list.is_empty() || list.len() > MAX_ROWS {
        return None;
    }
    let rows: Vec<DictRef<'_>> = list.iter().map(DictRef::from_value).collect::<Option<_>>()?;
    let mut columns: Vec<&str> = Vec::new();
    for row in &rows {
        for key in row.keys() {
            let key = key.unpack_str()?;
            if !columns.contains(&key) {
                columns.push(key);
            }
        }
    }
    if columns.is_empty() || columns.len() > 16 {
        return None;
    }
    let objects: Vec<Json> = list.iter().map(|row| row.to_json_value().ok()).collect::<Option<_>>()?;
    let columns: Vec<(&str, &str)> = columns.into_iter().map(|key| (key, key)).collect();
    Some(Table::of_objects(&objects, &columns))
}
