//! The number of events that each session says it has, against the events there are.

use std::path::Path;

use oneiric::fault::Result;
use rusqlite::{Connection, TransactionBehavior};

use super::place;
use crate::sqlite::cell::whole;
use crate::sqlite::failure::Failure;
use crate::sqlite::stray;

const TABLES: [(&str, &str); 2] = [("sessions", "session_events"), ("archived_sessions", "archived_events")];

/// Sessions that say another number of events than there are. The events are counted in the order of an index.
fn of(what: &str, sessions: &str, events: &str) -> String {
    format!(
        "SELECT {what} FROM {sessions} s
         LEFT JOIN (SELECT session_id, count(*) AS number FROM {events} GROUP BY session_id) e USING (session_id)
         WHERE s.event_count <> coalesce(e.number, 0)"
    )
}

/// How many sessions count wrong.
pub(super) fn wrong(connection: &Connection) -> Result<u64, Failure> {
    let mut all = 0;
    for (sessions, events) in TABLES {
        all += connection.query_row(&of("count(*)", sessions, events), [], |row| whole(row, 0))?;
    }
    Ok(all)
}

/// Sets the number of events of sessions that count wrong; how many there were.
///
/// # Errors
/// What the store says.
pub fn recount_sessions(path: &Path) -> Result<u64> {
    let place = place(path);
    let done = (|| {
        let mut connection = place.writer(None)?;
        let mut all = 0;
        for (sessions, events) in TABLES {
            // Found before the transaction, which capture waits for; what is written is counted within it.
            let found = connection
                .prepare(&of("s.session_id", sessions, events))?
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<String>>>()?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut set = transaction.prepare(&format!(
                "UPDATE {sessions} SET event_count = (SELECT count(*) FROM {events} WHERE session_id = ?1)
                 WHERE session_id = ?1"
            ))?;
            for id in &found {
                all += set.execute([id])? as u64;
            }
            drop(set);
            stray::advance(&transaction)?;
            transaction.commit()?;
        }
        Ok(all)
    })();
    done.map_err(|failure: Failure| failure.tell(&place))
}
