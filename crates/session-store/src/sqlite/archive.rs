//! Moves whole sessions with their events between the live tables and the archive.
//!
//! Rows are moved as they are; `seq` stays, and so do the search index's rows. A session is in exactly one of the two.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params_from_iter, types::Value};

use super::cell;
use super::counters::{self, Changes};
use super::failure::Failure;
use super::sessions;
use crate::upkeep::{Amount, ArchiveRule, ArchivedElsewhere, Candidate, RestoreRule};

/// Columns of both tables of sessions.
pub(super) const SESSION_COLUMNS: &str = "session_id, component, session_type, start_time, end_time, duration_seconds,
    command_count, metadata, created_at, updated_at, status, event_count, error_count, last_event_time, project, repository,
    worktree, branch, commit_id, dirty, hostname, username, pid, process, cwd, shell_type, start_event_id, end_event_id";
/// Columns of both tables of events.
pub(super) const EVENT_COLUMNS: &str = "seq, event_id, session_id, event_type, timestamp, data, sequence, received_at";

/// A session is as old as its latest sign of life. `?1` is the bound.
pub(super) const OLD: &str = "status <> 'active' AND start_time < ?1 AND coalesce(end_time, start_time) < ?1
    AND coalesce(last_event_time, start_time) < ?1";

pub(super) fn candidates(connection: &Connection, rule: &ArchiveRule) -> Result<Vec<Candidate>, Failure> {
    let project = if rule.project.is_some() { " AND project = ?2" } else { "" };
    let sql = format!("SELECT session_id, event_count FROM sessions WHERE {OLD}{project} ORDER BY start_time, rowid");
    let mut values = vec![Value::from(rule.before.to_string())];
    values.extend(rule.project.clone().map(Value::from));
    listed(connection, &sql, values)
}

fn listed(connection: &Connection, sql: &str, values: Vec<Value>) -> Result<Vec<Candidate>, Failure> {
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        // One whose id cannot be read stays where it is.
        if let Some(session_id) = cell::key(row, 0)? {
            found.push(Candidate { session_id, events: cell::whole(row, 1)? });
        }
    }
    Ok(found)
}

/// Moves those of `ids` that the rule means.
pub(super) fn archive(
    connection: &Connection,
    ids: &[String],
    rule: &ArchiveRule,
    now: &str,
) -> Result<Amount, Failure> {
    let mut amount = Amount::default();
    for id in ids {
        // Asked again: since the list was made, the session may have gone on.
        let moved = connection
            .prepare_cached(&format!(
                "INSERT INTO archived_sessions ({SESSION_COLUMNS}, archived_at)
                 SELECT {SESSION_COLUMNS}, ?2 FROM sessions WHERE session_id = ?3 AND {OLD}"
            ))?
            .execute((rule.before.to_string(), now, id))?;
        if moved > 0 {
            amount += follow(connection, id)?;
        }
    }
    count(connection, amount, 1.0)?;
    Ok(amount)
}

/// Moves the finished ones that have all of their events and were not captured here, with the time at which they were
/// archived elsewhere.
pub(super) fn put_away(connection: &Connection, sessions: &[ArchivedElsewhere]) -> Result<Amount, Failure> {
    let mut amount = Amount::default();
    for ArchivedElsewhere { session, at, brought } in sessions {
        let moved = connection
            .prepare_cached(&format!(
                "INSERT INTO archived_sessions ({SESSION_COLUMNS}, archived_at) SELECT {SESSION_COLUMNS}, ?1 FROM sessions
                 WHERE session_id = ?2 AND status <> 'active' AND event_count = ?3
                    AND (?4 OR (created_at > ?1 AND coalesce(end_time, last_event_time, start_time) <= ?1))"
            ))?
            .execute((
                at.to_string(),
                &session.session_id,
                i64::try_from(session.events).unwrap_or(i64::MAX),
                brought,
            ))?;
        if moved > 0 {
            amount += follow(connection, &session.session_id)?;
        }
    }
    count(connection, amount, 1.0)?;
    Ok(amount)
}

/// The events of a session whose row is in the archive by now.
fn follow(connection: &Connection, id: &str) -> Result<Amount, Failure> {
    let events = shift(connection, "session_events", "archived_events", id)?;
    connection.prepare_cached("DELETE FROM sessions WHERE session_id = ?1")?.execute([id])?;
    Ok(Amount { sessions: 1, events })
}

/// Whether a session is in the archive.
pub(super) fn holds(connection: &Connection, id: &str) -> Result<bool, Failure> {
    Ok(connection.prepare_cached("SELECT 1 FROM archived_sessions WHERE session_id = ?1")?.exists([id])?)
}

/// Whether the archive holds anything.
pub(super) fn in_use(connection: &Connection) -> Result<bool, Failure> {
    Ok(connection.prepare_cached("SELECT 1 FROM archived_sessions LIMIT 1")?.exists([])?)
}

/// The archived session that an event belongs to.
pub(super) fn owner(connection: &Connection, event_id: &str) -> Result<Option<String>, Failure> {
    Ok(connection
        .prepare_cached("SELECT session_id FROM archived_events WHERE event_id = ?1")?
        .query_row([event_id], |row| cell::id(row, 0))
        .optional()?)
}

/// Whether all of these events are stored with that archived session.
pub(super) fn holds_all<'e>(
    connection: &Connection,
    session: &str,
    mut events: impl Iterator<Item = &'e str>,
) -> Result<bool, Failure> {
    events.try_fold(true, |all, event| Ok(all && owner(connection, event)?.as_deref() == Some(session)))
}

/// Moves one archived session back; `false` when there is none.
pub(super) fn bring_back(connection: &Connection, id: &str) -> Result<bool, Failure> {
    let amount = bring(connection, id)?;
    count(connection, amount, -1.0)?;
    Ok(amount.sessions > 0)
}

fn bring(connection: &Connection, id: &str) -> Result<Amount, Failure> {
    let moved = connection
        .prepare_cached(&format!(
            "INSERT INTO sessions ({SESSION_COLUMNS}) SELECT {SESSION_COLUMNS} FROM archived_sessions WHERE session_id = ?1"
        ))?
        .execute([id])?;
    if moved == 0 {
        return Ok(Amount::default());
    }
    let events = shift(connection, "archived_events", "session_events", id)?;
    connection.prepare_cached("DELETE FROM archived_sessions WHERE session_id = ?1")?.execute([id])?;
    Ok(Amount { sessions: 1, events })
}

/// Moves the archived ones of `ids` back.
pub(super) fn restore(connection: &Connection, ids: &[String]) -> Result<Amount, Failure> {
    let mut amount = Amount::default();
    for id in ids {
        amount += bring(connection, id)?;
    }
    count(connection, amount, -1.0)?;
    Ok(amount)
}

fn shift(connection: &Connection, from: &str, to: &str, session: &str) -> Result<u64, Failure> {
    let sql = format!("INSERT INTO {to} ({EVENT_COLUMNS}) SELECT {EVENT_COLUMNS} FROM {from} WHERE session_id = ?1");
    let moved = connection.prepare_cached(&sql)?.execute([session])?;
    connection.prepare_cached(&format!("DELETE FROM {from} WHERE session_id = ?1"))?.execute([session])?;
    Ok(moved as u64)
}

fn count(connection: &Connection, amount: Amount, sign: f64) -> Result<(), Failure> {
    let mut changes = Changes::default();
    changes.add(counters::ARCHIVED_SESSIONS, "", "", sign * amount.sessions as f64);
    changes.add(counters::ARCHIVED_EVENTS, "", "", sign * amount.events as f64);
    Ok(changes.save(connection)?)
}

pub(super) fn restorable(connection: &Connection, rule: &RestoreRule) -> Result<Vec<Candidate>, Failure> {
    if rule.ids.is_empty() {
        let mut sql = "SELECT session_id, event_count FROM archived_sessions WHERE 1".to_owned();
        let mut values = Vec::new();
        let mut narrow = |condition: &str, value: Option<String>| {
            if let Some(value) = value {
                sql.push_str(&format!(" AND {condition} ?"));
                values.push(Value::from(value));
            }
        };
        narrow("project =", rule.project.clone());
        narrow("start_time >=", rule.since.map(|at| at.to_string()));
        narrow("start_time <", rule.until.map(|at| at.to_string()));
        sql.push_str(" ORDER BY start_time, rowid");
        return listed(connection, &sql, values);
    }
    let mut found: Vec<Candidate> = Vec::with_capacity(rule.ids.len());
    let mut named = BTreeSet::new();
    for wanted in &rule.ids {
        let id = sessions::resolve(connection, wanted)?;
        let session = sessions::get(connection, id.as_str())?;
        if session.archived_at.is_none() {
            let fault = oneiric::fault::Fault::not_found(format!("session {id} is not in the archive"));
            return Err(fault.hint("see which ones are: session-buddy list-sessions --archived").into());
        }
        // Two beginnings of one id name it once.
        if named.insert(session.session_id.clone()) {
            found.push(Candidate { session_id: session.session_id, events: session.event_count });
        }
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use oneiric::clock::Timestamp;

    use super::*;
    use crate::sqlite::migrations::migrate;

    /// What a column added to a live table and forgotten in the archive would lose.
    #[test]
    fn the_archive_keeps_every_column_of_the_live_tables() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Timestamp::from_micros(0)).unwrap();
        let columns = |table: &str| -> Vec<String> {
            let mut select = connection.prepare("SELECT name FROM pragma_table_info(?1)").unwrap();
            let names = select.query_map([table], |row| row.get(0)).unwrap();
            names.collect::<rusqlite::Result<_>>().unwrap()
        };
        for (live, archived, listed, own) in [
            ("sessions", "archived_sessions", SESSION_COLUMNS, &["archived_at"][..]),
            ("session_events", "archived_events", EVENT_COLUMNS, &[]),
        ] {
            let listed: Vec<&str> = listed.split(',').map(str::trim).collect();
            assert_eq!(columns(live), listed, "the list of columns and {live}");
            assert_eq!(columns(archived), [&listed[..], own].concat(), "{archived} and {live}");
        }
    }
}
