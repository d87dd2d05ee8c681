//! Reads events: of one session in their order, or of all, the newest first.

use std::borrow::Cow;

use oneiric::clock::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};
use serde_json::{Map, Value};

use super::cell::{borrowed, event_type, id, time, whole_or_none};
use super::failure::Failure;
use super::session_row::{SCOPE_EVENT_TYPE, scope};
use super::sessions;
use crate::model::{EventFilter, EventPlace, EventRow, Page};

pub(super) const OF_SESSION: &str =
    "SELECT event_id, session_id, event_type, timestamp, sequence, received_at, data FROM session_events
     WHERE session_id = ?1 AND (?2 IS NULL OR event_type = ?2)
     AND timestamp >= ?5 AND (timestamp > ?5 OR (coalesce(sequence, -1), seq) > (?6, ?7))
     ORDER BY timestamp, sequence, seq LIMIT ?3 OFFSET ?4";
pub(super) const OF_ALL: &str =
    "SELECT event_id, session_id, event_type, timestamp, sequence, received_at, data FROM session_events
     WHERE seq < ?3 ORDER BY seq DESC LIMIT ?1 OFFSET ?2";
/// The search index knows which events have a type, newest first; the check is for a hash that two types share.
pub(super) const OF_TYPE: &str =
    "SELECT e.event_id, e.session_id, e.event_type, e.timestamp, e.sequence, e.received_at, e.data
     FROM event_search s CROSS JOIN session_events e ON e.seq = s.rowid
     WHERE s.event_search MATCH ?1 AND e.event_type = ?2 AND s.rowid < ?5 ORDER BY s.rowid DESC LIMIT ?3 OFFSET ?4";

pub(super) fn event(row: &Row<'_>) -> rusqlite::Result<EventRow> {
    let epoch = Timestamp::from_micros(0);
    Ok(EventRow {
        event_id: id(row, 0)?,
        session_id: id(row, 1)?,
        event_type: event_type(row, 2)?,
        timestamp: time(row, 3)?.unwrap_or(epoch),
        sequence: whole_or_none(row, 4)?.and_then(|sequence| u64::try_from(sequence).ok()),
        received_at: time(row, 5)?.unwrap_or(epoch),
        data: borrowed(row, 6)?.map(|text| data(&text)).unwrap_or_default(),
    })
}

/// Data that somebody changed to something else than an object is shown as it is.
fn data(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_else(|_| Map::from_iter([("text".to_owned(), text.into())]))
}

/// A sequence as the order has it: events without one come first.
fn order(sequence: Option<u64>) -> i64 {
    sequence.map_or(-1, |sequence| i64::try_from(sequence).unwrap_or(i64::MAX))
}

/// Where an event stands, in the archive or not.
pub(super) fn place(connection: &Connection, event_id: &str) -> Result<Option<EventPlace>, Failure> {
    let mut select = connection.prepare_cached(
        "SELECT timestamp, sequence, seq FROM session_events WHERE event_id = ?1
         UNION ALL SELECT timestamp, sequence, seq FROM archived_events WHERE event_id = ?1 LIMIT 1",
    )?;
    let found = select.query_row([event_id], |row| {
        Ok(EventPlace {
            timestamp: time(row, 0)?.unwrap_or_else(|| Timestamp::from_micros(0)),
            sequence: whole_or_none(row, 1)?.and_then(|sequence| u64::try_from(sequence).ok()),
            seq: row.get(2)?,
        })
    });
    Ok(found.optional()?)
}

/// The statement over the archive, when that is meant.
pub(super) fn in_table(sql: &'static str, archived: bool) -> Cow<'static, str> {
    if archived { sql.replace("session_events", "archived_events").into() } else { sql.into() }
}

pub(super) fn list(connection: &Connection, filter: &EventFilter, page: Page) -> Result<Vec<EventRow>, Failure> {
    let limit = i64::try_from(page.limit.min(Page::MAX_LIMIT + 1)).unwrap_or(0);
    let offset = i64::try_from(page.offset).unwrap_or(i64::MAX);
    let event_type = filter.event_type.as_deref();
    let from = filter.after.map_or(i64::MAX, |place| place.seq);
    let found = match (&filter.session, event_type) {
        (Some(session), _) => {
            let id = sessions::resolve(connection, session)?;
            let sql = in_table(OF_SESSION, sessions::archived(connection, id.as_str())?);
            let (time, sequence, seq) = match filter.after {
                Some(EventPlace { timestamp, sequence, seq }) => (timestamp.to_string(), order(sequence), seq),
                None => (String::new(), -1, i64::MIN),
            };
            connection
                .prepare_cached(&sql)?
                .query_map((id.as_str(), event_type, limit, offset, time, sequence, seq), event)?
                .collect::<rusqlite::Result<_>>()?
        }
        (None, Some(event_type)) => connection
            .prepare_cached(&in_table(OF_TYPE, filter.archived))?
            .query_map(
                (format!("\"{}\"", scope(SCOPE_EVENT_TYPE, event_type)), event_type, limit, offset, from),
                event,
            )?
            .collect::<rusqlite::Result<_>>()?,
        (None, None) => {
            let sql = in_table(OF_ALL, filter.archived);
            connection
                .prepare_cached(&sql)?
                .query_map((limit, offset, from), event)?
                .collect::<rusqlite::Result<_>>()?
        }
    };
    Ok(found)
}
