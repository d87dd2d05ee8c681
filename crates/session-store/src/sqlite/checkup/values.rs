//! Values of sessions and events that are not what their columns hold: a bit that flipped, or what another program wrote.
//! All else reads them as well as it can ([`crate::sqlite::cell`]); here they are found, named and set right.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use oneiric::fault::Result;
use rusqlite::{Connection, TransactionBehavior};

use super::place;
use crate::sqlite::archive::{EVENT_COLUMNS, SESSION_COLUMNS};
use crate::sqlite::cell::{self, Kind};
use crate::sqlite::failure::Failure;
use crate::sqlite::stray;

/// Tables, what a row of each is, and the columns, of which one names the row.
const TABLES: [(&str, &str, &str, &str); 4] = [
    ("sessions", "session", "session_id", SESSION_COLUMNS),
    ("session_events", "event", "event_id", EVENT_COLUMNS),
    ("archived_sessions", "session", "session_id", SESSION_COLUMNS),
    ("archived_events", "event", "event_id", EVENT_COLUMNS),
];
/// Values that are named.
const NAMED: usize = 3;

/// Values that are wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WrongValues {
    /// How many there are.
    pub count: u64,
    /// How many of them can be read in part, so that [`mend_values`] has something to store in their place.
    pub readable: u64,
    /// Some of them, in words.
    pub named: Vec<String>,
}

impl fmt::Display for WrongValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.named.join("; ");
        match self.count {
            1 => write!(f, "a value is damaged: {named}"),
            count if count <= NAMED as u64 => write!(f, "{count} values are damaged: {named}"),
            count => write!(f, "{count} values are damaged, such as: {named}"),
        }
    }
}

impl WrongValues {
    fn add(&mut self, wrong: Wrong) {
        self.count += 1;
        self.readable += u64::from(wrong.mended.is_some());
        if self.named.len() < NAMED {
            self.named.push(wrong.named);
        }
    }
}

/// One of them.
struct Wrong {
    table: &'static str,
    column: &'static str,
    row: i64,
    named: String,
    /// What can be stored instead.
    mended: Option<String>,
}

/// Finds all of them. Reads every row.
pub(in crate::sqlite) fn wrong(connection: &Connection) -> Result<Option<WrongValues>, Failure> {
    let mut found = WrongValues::default();
    each(connection, &mut |wrong| found.add(wrong))?;
    Ok((found.count > 0).then_some(found))
}

/// Stores what can be read of wrong values in their place. Those that say nothing stay: how many were set right, and the
/// others.
///
/// # Errors
/// What the store says; nothing is changed then.
pub fn mend_values(path: &Path) -> Result<(u64, Option<WrongValues>)> {
    let place = place(path);
    let done = (|| {
        let mut connection = place.writer(None)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut wrong = Vec::new();
        each(&transaction, &mut |one| wrong.push(one))?;
        let (mut set, mut left) = (0, WrongValues::default());
        for one in wrong {
            // An id that another row has by now stays as it is.
            let sql = format!("UPDATE OR IGNORE {} SET {} = ?1 WHERE rowid = ?2", one.table, one.column);
            match &one.mended {
                Some(mended) if transaction.execute(&sql, (mended, one.row))? > 0 => set += 1,
                _ => left.add(one),
            }
        }
        stray::advance(&transaction)?;
        transaction.commit()?;
        Ok((set, (left.count > 0).then_some(left)))
    })();
    done.map_err(|failure: Failure| failure.tell(&place))
}

fn each(connection: &Connection, take: &mut dyn FnMut(Wrong)) -> Result<(), Failure> {
    for (table, what, key, columns) in TABLES {
        let kinds = kinds(connection, table)?;
        let columns: Vec<&'static str> = columns.split(',').map(str::trim).collect();
        // A table that this version of the schema does not have yet.
        let Some(kinds) = columns.iter().map(|column| kinds.get(*column).copied()).collect::<Option<Vec<Kind>>>()
        else {
            continue;
        };
        let key = columns.iter().position(|column| *column == key).unwrap_or_default();
        let mut select = connection.prepare(&format!("SELECT {}, rowid FROM {table}", columns.join(", ")))?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            for (index, kind) in kinds.iter().enumerate() {
                let value = row.get_ref(index)?;
                let Some(wrong) = kind.wrong(value) else { continue };
                let column = columns[index];
                let named = format!("{column} of the {what} {} {wrong}", cell::id(row, key)?);
                // What refers to a session by its id would not find it any more.
                let mended = if column == "session_id" { None } else { kind.mended(value) };
                take(Wrong { table, column, row: row.get(columns.len())?, named, mended });
            }
        }
    }
    Ok(())
}

/// What the columns of a table hold.
fn kinds(connection: &Connection, table: &str) -> rusqlite::Result<HashMap<String, Kind>> {
    let sql = "SELECT lower(name), upper(type) FROM pragma_table_info(?1)";
    let mut select = connection.prepare(sql)?;
    let mut rows = select.query([table])?;
    let mut kinds = HashMap::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let kind = Kind::of(&name, &row.get::<_, String>(1)?);
        kinds.insert(name, kind);
    }
    Ok(kinds)
}
