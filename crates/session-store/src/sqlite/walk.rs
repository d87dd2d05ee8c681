//! Reads a session's events backwards, as far as the reader wants.

use oneiric::id::SessionId;
use rusqlite::Connection;

use super::events::{event, in_table};
use super::failure::Failure;
use super::sessions;
use crate::model::EventRow;

/// Follows the index backwards; nothing is sorted.
pub(super) const BACKWARDS: &str =
    "SELECT event_id, session_id, event_type, timestamp, sequence, received_at, data FROM session_events
     WHERE session_id = ?1 ORDER BY timestamp DESC, sequence DESC, seq DESC LIMIT ?2";

pub(super) fn back(
    connection: &Connection,
    session: &SessionId,
    rows: usize,
    visit: &mut dyn FnMut(EventRow) -> bool,
) -> Result<(), Failure> {
    let archived = sessions::archived(connection, session.as_str())?;
    let mut select = connection.prepare_cached(&in_table(BACKWARDS, archived))?;
    let mut found = select.query((session.as_str(), i64::try_from(rows).unwrap_or(i64::MAX)))?;
    while let Some(row) = found.next()? {
        if !visit(event(row)?) {
            break;
        }
    }
    Ok(())
}
