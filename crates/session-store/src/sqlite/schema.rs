//! Whether a database has the tables that this program makes, as it makes them, and nothing that would run by itself.
//!
//! What it is held to is a new database in memory of the same version: a list of names beside the migrations would grow old.

use std::collections::{BTreeMap, BTreeSet};

use oneiric::clock::Timestamp;
use rusqlite::Connection;

use super::checkup::{TABLE_OF_WORDS, is_derived};
use super::failure::Failure;
use super::migrations;

/// Something that is not as this program makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// In words.
    pub(super) what: String,
    /// Whether it can be made anew from the other tables.
    pub(super) derived: bool,
    /// What would have to be dropped: a trigger of somebody else.
    pub(super) foreign: Option<Foreign>,
}

/// A trigger, which no version of this program makes. It would run with what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Its name.
    pub name: String,
}

impl Foreign {
    /// The statement that removes it.
    #[must_use]
    pub fn drop_statement(&self) -> String {
        format!("DROP TRIGGER \"{}\"", self.name.replace('"', "\"\""))
    }
}

/// A column: type, whether it must have a value, its default, its place in the primary key.
#[derive(Debug, PartialEq, Eq)]
struct Column {
    kind: String,
    needed: bool,
    default: Option<String>,
    key: i64,
}

impl Column {
    /// Whether rows can be stored without naming it.
    fn may_be_left_out(&self) -> bool {
        (!self.needed || self.default.is_some()) && self.key == 0
    }
}

/// All differences of a database of this version, those that cannot be mended first. Views, more tables, more columns that
/// need no value and more indexes that refuse no row are other people's business.
pub(super) fn differences(connection: &Connection, version: u32) -> Result<Vec<Difference>, Failure> {
    let mut whole = Connection::open_in_memory()?;
    migrations::migrate_to(&mut whole, Timestamp::from_micros(0), version)?;
    let (wanted, there) = (tables(&whole)?, tables(connection)?);
    let mut found = Vec::new();
    for name in triggers(connection)? {
        let what = format!("there is a trigger '{name}' that is not this program's");
        found.push(Difference { what, derived: false, foreign: Some(Foreign { name }) });
    }
    for (table, made_by_module) in &wanted {
        let what = match there.get(table) {
            None => Some(format!("there is no table {table}")),
            Some(other) if other != made_by_module => Some(format!("the table {table} is of another kind")),
            // The parts of an index are the business of SQLite's own check.
            Some(_) if is_derived(table) && table != TABLE_OF_WORDS => None,
            Some(_) => within(&whole, connection, table)?,
        };
        found.extend(what.map(|what| Difference { what, derived: is_derived(table), foreign: None }));
    }
    found.sort_by_key(|difference| difference.derived);
    Ok(found)
}

/// Tables, each with whether a module makes it.
fn tables(connection: &Connection) -> rusqlite::Result<BTreeMap<String, bool>> {
    let sql = "SELECT lower(name), coalesce(sql, '') LIKE 'CREATE VIRTUAL%' FROM sqlite_schema WHERE type = 'table'";
    connection.prepare(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Triggers. This program makes none. A view does nothing unless somebody reads it, and none of its names is a table's.
fn triggers(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'trigger' ORDER BY name";
    connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

/// What is different within a table that both have.
fn within(whole: &Connection, connection: &Connection, table: &str) -> rusqlite::Result<Option<String>> {
    let (wanted, there) = (columns(whole, table)?, columns(connection, table)?);
    for (name, column) in &wanted {
        match there.get(name) {
            None => return Ok(Some(format!("the table {table} has no column {name}"))),
            Some(other) if other != column => {
                return Ok(Some(format!("the column {name} of the table {table} is of another kind")));
            }
            Some(_) => {}
        }
    }
    if let Some((name, _)) =
        there.iter().find(|(name, column)| !wanted.contains_key(*name) && !column.may_be_left_out())
    {
        return Ok(Some(format!("the table {table} has a column {name} that is not this program's and needs a value")));
    }
    let (wanted, there) = (rules(whole, table)?, rules(connection, table)?);
    if let Some(more) = there.difference(&wanted).next() {
        return Ok(Some(format!("the table {table} refuses rows by a rule that is not this program's: {more}")));
    }
    let (wanted, there) = (unique(whole, table)?, unique(connection, table)?);
    if let Some(missing) = wanted.difference(&there).next() {
        return Ok(Some(format!("the table {table} lets {} be there twice", missing.join(", "))));
    }
    Ok(there
        .difference(&wanted)
        .next()
        .map(|more| format!("the table {table} refuses rows with equal {}", more.join(", "))))
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<BTreeMap<String, Column>> {
    let sql = "SELECT lower(name), upper(type), \"notnull\", dflt_value, pk FROM pragma_table_xinfo(?1)";
    let mut select = connection.prepare(sql)?;
    let rows = select.query_map([table], |row| {
        Ok((row.get(0)?, Column { kind: row.get(1)?, needed: row.get(2)?, default: row.get(3)?, key: row.get(4)? }))
    })?;
    rows.collect()
}

/// What else rows of a table have to fulfil: its checks and what they refer to.
fn rules(connection: &Connection, table: &str) -> rusqlite::Result<BTreeSet<String>> {
    let sql =
        "SELECT 'REFERENCES ' || lower(\"table\") || ' (' || lower(\"from\") || ')' FROM pragma_foreign_key_list(?1)";
    let mut rules: BTreeSet<String> =
        connection.prepare(sql)?.query_map([table], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let sql = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND lower(name) = ?1";
    let made: Option<String> = connection.query_row(sql, [table], |row| row.get(0))?;
    rules.extend(checks(&made.unwrap_or_default()));
    Ok(rules)
}

/// The checks in a statement that makes a table, written in one way.
fn checks(sql: &str) -> Vec<String> {
    let tokens = tokens(sql);
    let mut found = Vec::new();
    for (at, _) in tokens.iter().enumerate().filter(|(_, token)| *token == "check") {
        let mut depth = 0;
        let end = tokens[at + 1..].iter().position(|token| {
            depth += i32::from(token == "(") - i32::from(token == ")");
            depth <= 0
        });
        let Some(end) = end.filter(|end| *end > 0) else { continue };
        found.push(format!("CHECK {}", tokens[at + 1..=at + 1 + end].join(" ")));
    }
    found
}

/// The words, quoted texts and signs of a statement, words in small letters, without comments and blanks.
fn tokens(sql: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = sql.trim_start();
    while let Some(first) = rest.chars().next() {
        let past = |end: &str| rest.find(end).map_or(rest.len(), |at| at + end.len());
        let length = match first {
            '-' if rest.starts_with("--") => past("\n"),
            '/' if rest.starts_with("/*") => past("*/"),
            '\'' | '"' | '`' | '[' => {
                let close = if first == '[' { ']' } else { first };
                rest[1..].find(close).map_or(rest.len(), |at| at + 2)
            }
            c if c.is_alphanumeric() || c == '_' => {
                rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
            }
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        if !token.starts_with("--") && !token.starts_with("/*") {
            let quoted = matches!(first, '\'' | '"' | '`' | '[');
            tokens.push(if quoted { token.to_owned() } else { token.to_lowercase() });
        }
        rest = after.trim_start();
    }
    tokens
}

/// Columns of which a table lets no two rows be equal.
fn unique(connection: &Connection, table: &str) -> rusqlite::Result<BTreeSet<Vec<String>>> {
    let mut select = connection.prepare("SELECT name FROM pragma_index_list(?1) WHERE \"unique\"")?;
    let names = select.query_map([table], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    let mut select =
        connection.prepare("SELECT lower(coalesce(name, '')) FROM pragma_index_info(?1) ORDER BY seqno")?;
    names.iter().map(|name| select.query_map([name], |row| row.get(0))?.collect()).collect()
}
