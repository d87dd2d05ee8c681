//! Reads events: of one session in their order, or of all, the newest first.

use std::borrow::Cow;

use oneiric::clock::Timestamp;
use rusqlite::{Connection, Row, Rows};
use serde_json::{Map, Value};

use super::cell::{borrowed, event_type, id, time, whole_or_none};
use super::failure::Failure;
use super::session_row::{SCOPE_EVENT_TYPE, scope};
use super::sessions;
use crate::model::{EventFilter, EventPlace, EventRow, Page};

pub(super) const OF_SESSION: &str =
    "SELECT event_id, session_id, event_type, timestamp, sequence, received_at, data, seq FROM session_events
     WHERE session_id = ?1 AND (?2 IS NULL OR event_type = ?2)
     AND timestamp >= ?5 AND (timestamp > ?5 OR (coalesce(sequence, -1), seq) > (?6, ?7))
     ORDER BY timestamp, sequence, seq LIMIT ?3 OFFSET ?4";
/// The same behind an event that is still there. Its time is compared as it is stored, which may be no time that can be read.
pub(super) const OF_SESSION_BEHIND: &str =
    "SELECT event_id, session_id, event_type, timestamp, sequence, received_at, data, seq FROM session_events
     WHERE session_id = ?1 AND (?2 IS NULL OR event_type = ?2)
     AND timestamp >= (SELECT timestamp FROM session_events WHERE seq = ?5)
     AND (timestamp > (SELECT timestamp FROM session_events WHERE seq = ?5)
       OR (coalesce(sequence, -1), seq) > ((SELECT coalesce(sequence, -1) FROM session_events WHERE seq = ?5), ?5))
     ORDER BY timestamp, sequence, seq LIMIT ?3 OFFSET ?4";
pub(super) const OF_ALL: &str =
    "SELECT event_id, session_id, event_type, timestamp, sequence, received_at, data, seq FROM session_events
     WHERE seq < ?3 ORDER BY seq DESC LIMIT ?1 OFFSET ?2";
/// The search index knows which events have a type, newest first; the check is for a hash that two types share.
pub(super) const OF_TYPE: &str =
    "SELECT e.event_id, e.session_id, e.event_type, e.timestamp, e.sequence, e.received_at, e.data, e.seq
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

/// The statement over the archive, when that is meant.
pub(super) fn in_table(sql: &'static str, archived: bool) -> Cow<'static, str> {
    if archived { sql.replace("session_events", "archived_events").into() } else { sql.into() }
}

/// Events of a list up to the first that `fits` refuses, and where the last one stands when the list goes on behind it.
pub(super) fn list(
    connection: &Connection,
    filter: &EventFilter,
    page: Page,
    fits: &mut dyn FnMut(&EventRow) -> bool,
) -> Result<(Vec<EventRow>, Option<EventPlace>), Failure> {
    let most = page.limit.min(Page::MAX_LIMIT + 1);
    // One more says whether the list goes on.
    let limit = i64::try_from(most.saturating_add(1)).unwrap_or(i64::MAX);
    let offset = i64::try_from(page.offset).unwrap_or(i64::MAX);
    let event_type = filter.event_type.as_deref();
    let from = filter.after.map_or(i64::MAX, |place| place.seq);
    let reading = Reading { events: Vec::new(), last: None, most, fits };
    match (&filter.session, event_type) {
        (Some(session), _) => {
            let id = sessions::resolve(connection, session)?;
            let archived = sessions::archived(connection, id.as_str())?;
            let is_there = "SELECT 1 FROM session_events WHERE seq = ?1 AND session_id = ?2";
            let is_there = match filter.after {
                Some(place) => {
                    connection.prepare_cached(&in_table(is_there, archived))?.exists((place.seq, id.as_str()))?
                }
                None => false,
            };
            if is_there {
                let mut select = connection.prepare_cached(&in_table(OF_SESSION_BEHIND, archived))?;
                return reading.all(select.query((id.as_str(), event_type, limit, offset, from))?);
            }
            let (time, sequence, seq) = match filter.after {
                Some(EventPlace { timestamp, sequence, seq }) => (timestamp.to_string(), order(sequence), seq),
                None => (String::new(), -1, i64::MIN),
            };
            let mut select = connection.prepare_cached(&in_table(OF_SESSION, archived))?;
            reading.all(select.query((id.as_str(), event_type, limit, offset, time, sequence, seq))?)
        }
        (None, Some(event_type)) => {
            let term = format!("\"{}\"", scope(SCOPE_EVENT_TYPE, event_type));
            let mut select = connection.prepare_cached(&in_table(OF_TYPE, filter.archived))?;
            reading.all(select.query((term, event_type, limit, offset, from))?)
        }
        (None, None) => {
            let mut select = connection.prepare_cached(&in_table(OF_ALL, filter.archived))?;
            reading.all(select.query((limit, offset, from))?)
        }
    }
}

/// A list that is being read.
struct Reading<'f> {
    events: Vec<EventRow>,
    /// Where the last of them stands.
    last: Option<EventPlace>,
    most: usize,
    fits: &'f mut dyn FnMut(&EventRow) -> bool,
}

impl Reading<'_> {
    fn all(mut self, mut rows: Rows<'_>) -> Result<(Vec<EventRow>, Option<EventPlace>), Failure> {
        while let Some(row) = rows.next()? {
            if self.events.len() == self.most {
                return Ok((self.events, self.last));
            }
            let event = event(row)?;
            if !(self.fits)(&event) {
                return Ok((self.events, self.last));
            }
            self.last = Some(EventPlace { timestamp: event.timestamp, sequence: event.sequence, seq: row.get(7)? });
            self.events.push(event);
        }
        Ok((self.events, None))
    }
}
