//! Reads sessions: one by its id or a part of it, many by a filter.

use oneiric::clock::Timestamp;
use oneiric::fault::Fault;
use oneiric::id::SessionId;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::cell::{self, number_or_none, text, text_or_none, time, whole, whole_or_none};
use super::failure::Failure;
use crate::model::{Page, Session, SessionFilter, SessionStatus};

const COLUMNS: &str =
    "session_id, component, session_type, status, start_time, end_time, duration_seconds, command_count,
    event_count, error_count, last_event_time, project, repository, worktree, branch, commit_id, dirty, hostname,
    username, pid, process, cwd, shell_type, metadata, created_at, updated_at";

/// Candidates that an ambiguous beginning names.
const SHOWN_CANDIDATES: usize = 5;
/// Ids that an unknown one is compared with: its neighbours and the newest.
const NEIGHBOURS: usize = 4;
const NEWEST: usize = 50;
/// Ids that are named as nearest.
const NEAREST: usize = 3;

fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    let status = text(row, 3)?;
    let process = text_or_none(row, 20)?;
    let metadata = text_or_none(row, 23)?;
    let epoch = Timestamp::from_micros(0);
    Ok(Session {
        archived_at: time(row, 26)?,
        session_id: cell::id(row, 0)?,
        component: text(row, 1)?,
        session_type: text(row, 2)?,
        status: SessionStatus::parse(&status).unwrap_or(SessionStatus::Active),
        start_time: time(row, 4)?.unwrap_or(epoch),
        end_time: time(row, 5)?,
        duration_seconds: number_or_none(row, 6)?,
        command_count: whole(row, 7)?,
        event_count: whole(row, 8)?,
        error_count: whole(row, 9)?,
        last_event_time: time(row, 10)?,
        project: text_or_none(row, 11)?,
        repository: text_or_none(row, 12)?,
        worktree: text_or_none(row, 13)?,
        branch: text_or_none(row, 14)?,
        commit: text_or_none(row, 15)?,
        dirty: whole_or_none(row, 16)?.map(|dirty| dirty != 0),
        hostname: text_or_none(row, 17)?,
        username: text_or_none(row, 18)?,
        pid: whole_or_none(row, 19)?.and_then(|pid| u32::try_from(pid).ok()),
        process: process.and_then(|text| serde_json::from_str(&text).ok()),
        cwd: text_or_none(row, 21)?,
        shell_type: text_or_none(row, 22)?,
        metadata: metadata.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
        created_at: time(row, 24)?.unwrap_or(epoch),
        updated_at: time(row, 25)?.unwrap_or(epoch),
    })
}

/// Whether there is a session with exactly this id, in the archive or not.
pub(super) fn exists(connection: &Connection, id: &str) -> Result<bool, Failure> {
    let live = connection.prepare_cached("SELECT 1 FROM sessions WHERE session_id = ?1")?.exists([id])?;
    Ok(live || archived(connection, id)?)
}

/// Whether the archive holds a session with exactly this id.
pub(super) fn archived(connection: &Connection, id: &str) -> Result<bool, Failure> {
    Ok(connection.prepare_cached("SELECT 1 FROM archived_sessions WHERE session_id = ?1")?.exists([id])?)
}

fn from(archived: bool) -> String {
    if archived {
        format!("{COLUMNS}, archived_at FROM archived_sessions")
    } else {
        format!("{COLUMNS}, NULL FROM sessions")
    }
}

pub(super) fn get(connection: &Connection, id: &str) -> Result<Session, Failure> {
    for archived in [false, true] {
        let found = connection
            .prepare_cached(&format!("SELECT {} WHERE session_id = ?1", from(archived)))?
            .query_row([id], session)
            .optional()?;
        if let Some(found) = found {
            return Ok(found);
        }
    }
    Err(unknown(connection, id)?.into())
}

/// The one session that `wanted` names.
pub(super) fn resolve(connection: &Connection, wanted: &str) -> Result<SessionId, Failure> {
    let named = |id: &str| {
        SessionId::parse(id)
            .map_err(|error| Failure::Fault(Fault::internal(format!("a stored session id is unusable: {error}"))))
    };
    if SessionId::parse(wanted).is_err() {
        return Err(unknown(connection, wanted)?.into());
    }
    if exists(connection, wanted)? {
        return named(wanted);
    }
    let found = beginning_with(connection, wanted, SHOWN_CANDIDATES + 1)?;
    match found.as_slice() {
        [] => Err(unknown(connection, wanted)?.into()),
        [only] => named(only),
        several => {
            let more = if several.len() > SHOWN_CANDIDATES { ", …" } else { "" };
            let shown = several[..several.len().min(SHOWN_CANDIDATES)].join(", ");
            Err(Fault::user(format!("'{wanted}' is the beginning of several session ids: {shown}{more}"))
                .hint("give more of the id")
                .into())
        }
    }
}

fn beginning_with(connection: &Connection, prefix: &str, limit: usize) -> Result<Vec<String>, Failure> {
    // Ids are ASCII, so this bound is above every id that begins with the prefix.
    let above = format!("{prefix}\u{7f}");
    let mut select = connection.prepare_cached(
        "SELECT session_id FROM sessions WHERE session_id >= ?1 AND session_id < ?2
         UNION ALL SELECT session_id FROM archived_sessions WHERE session_id >= ?1 AND session_id < ?2
         ORDER BY session_id LIMIT ?3",
    )?;
    Ok(select.query_map((prefix, above, limit as i64), |row| cell::id(row, 0))?.collect::<rusqlite::Result<_>>()?)
}

/// Says that there is no such session, and which ids are like it.
pub(super) fn unknown(connection: &Connection, wanted: &str) -> Result<Fault, Failure> {
    let shown: String = wanted.chars().take(64).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    let near = nearest(connection, &shown)?;
    let fault = Fault::not_found(format!("Invalid session ID '{shown}'"));
    Ok(match near.as_slice() {
        [] => fault.hint("there are no sessions yet"),
        ids => fault.hint(format!("the nearest {}: {}", if ids.len() == 1 { "is" } else { "are" }, ids.join(", "))),
    })
}

fn nearest(connection: &Connection, wanted: &str) -> Result<Vec<String>, Failure> {
    let mut candidates: Vec<String> = Vec::new();
    for (sql, limit) in [
        ("SELECT session_id FROM sessions WHERE session_id >= ?1 ORDER BY session_id LIMIT ?2", NEIGHBOURS),
        ("SELECT session_id FROM sessions WHERE session_id < ?1 ORDER BY session_id DESC LIMIT ?2", NEIGHBOURS),
        ("SELECT session_id FROM sessions WHERE ?1 IS NOT NULL ORDER BY start_time DESC LIMIT ?2", NEWEST),
    ] {
        let mut select = connection.prepare_cached(sql)?;
        let mut rows = select.query((wanted, limit as i64))?;
        while let Some(row) = rows.next()? {
            let id = cell::id(row, 0)?;
            if !candidates.contains(&id) {
                candidates.push(id);
            }
        }
    }
    candidates.sort_by_cached_key(|id| (distance(wanted.as_bytes(), id.as_bytes()), id.clone()));
    candidates.truncate(NEAREST);
    Ok(candidates)
}

/// Levenshtein distance, where a wanted beginning counts as near.
fn distance(wanted: &[u8], id: &[u8]) -> usize {
    let id = &id[..id.len().min(wanted.len() + 4)];
    let mut row: Vec<usize> = (0..=id.len()).collect();
    for (i, a) in wanted.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in id.iter().enumerate() {
            let next = (diagonal + usize::from(a != b)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[id.len()]
}

/// The list's statement and its parameters.
///
/// One filter decides which index is read; the others only check its rows. The unary `+` keeps SQLite, which
/// knows no statistics here, from choosing another one.
pub(super) fn list_sql(filter: &SessionFilter, page: Page) -> (String, Vec<Value>) {
    let status = filter.status.map(SessionStatus::as_str);
    // Both have an index together.
    let pair = filter.component.is_some() && filter.session_type.is_some();
    // The narrowest first: few sessions are active at a time, and a worktree is part of a repository.
    let narrow = matches!(filter.status, Some(SessionStatus::Active | SessionStatus::Failed | SessionStatus::Stale));
    let columns = [
        ("status", status.filter(|_| narrow)),
        ("worktree", filter.worktree.as_deref()),
        ("repository", filter.repository.as_deref()),
        ("project", filter.project.as_deref()),
        ("component", filter.component.as_deref()),
        ("session_type", filter.session_type.as_deref()),
        ("status", status.filter(|_| !narrow)),
    ];
    let mut sql = format!("SELECT {}", from(filter.archived));
    let mut values: Vec<Value> = Vec::new();
    let mut joint = " WHERE ";
    let mut leading: Option<&str> = None;
    for (column, value) in columns {
        let Some(value) = value else { continue };
        let with_pair = pair && leading == Some("component") && column == "session_type";
        let plus = if leading.is_none() || with_pair { "" } else { "+" };
        leading = leading.or(Some(column));
        sql.push_str(&format!("{joint}{plus}{column} = ?"));
        values.push(Value::from(value.to_owned()));
        joint = " AND ";
    }
    for (operator, bound) in [(">=", filter.since), ("<", filter.until)] {
        if let Some(bound) = bound {
            sql.push_str(&format!("{joint}start_time {operator} ?"));
            values.push(Value::from(bound.to_string()));
            joint = " AND ";
        }
    }
    if let Some(place) = &filter.after {
        // A session that is gone since was among those of its start: none of them is left out for it.
        let table = if filter.archived { "archived_sessions" } else { "sessions" };
        sql.push_str(&format!(
            "{joint}(start_time, rowid) < \
             (?, coalesce((SELECT rowid FROM {table} WHERE session_id = ?), 9223372036854775807))"
        ));
        values.push(Value::from(place.start_time.to_string()));
        values.push(Value::from(place.session_id.clone()));
    }
    sql.push_str(" ORDER BY start_time DESC, rowid DESC LIMIT ? OFFSET ?");
    values.push(Value::from(i64::try_from(page.limit.min(Page::MAX_LIMIT + 1)).unwrap_or(0)));
    values.push(Value::from(i64::try_from(page.offset).unwrap_or(i64::MAX)));
    (sql, values)
}

pub(super) fn list(connection: &Connection, filter: &SessionFilter, page: Page) -> Result<Vec<Session>, Failure> {
    let (sql, values) = list_sql(filter, page);
    let mut select = connection.prepare_cached(&sql)?;
    Ok(select.query_map(params_from_iter(values), session)?.collect::<rusqlite::Result<_>>()?)
}

#[cfg(test)]
#[path = "sessions/tests.rs"]
mod tests;
