//! Which runs of events can lie in a time range.

use oneiric::clock::Timestamp;
use rusqlite::Connection;

use crate::sqlite::failure::Failure;
use crate::sqlite::ingest::BLOCK_BITS;

/// Events from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Range {
    pub(super) fn length(&self) -> i64 {
        self.last - self.first + 1
    }
}

/// The runs, newest first, that hold events between `since` and `until`; neighbours are joined.
pub(super) fn ranges(
    connection: &Connection,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Result<Vec<Range>, Failure> {
    let newest: Option<i64> =
        connection.prepare_cached("SELECT max(seq) FROM session_events")?.query_row([], |row| row.get(0))?;
    let Some(newest) = newest else { return Ok(Vec::new()) };
    if since.is_none() && until.is_none() {
        let first: i64 = connection
            .prepare_cached("SELECT min(seq) FROM session_events")?
            .query_row([], |row| row.get::<_, Option<i64>>(0))?
            .unwrap_or(1);
        return Ok(vec![Range { first, last: newest }]);
    }
    let mut select = connection.prepare_cached(
        "SELECT block FROM event_blocks
         WHERE (?1 IS NULL OR last_time >= ?1) AND (?2 IS NULL OR first_time < ?2) ORDER BY block DESC",
    )?;
    let bound = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let mut rows = select.query((bound(since), bound(until)))?;
    let mut found: Vec<Range> = Vec::new();
    while let Some(row) = rows.next()? {
        let block: i64 = row.get(0)?;
        let one = Range { first: block << BLOCK_BITS, last: (((block + 1) << BLOCK_BITS) - 1).min(newest) };
        match found.last_mut() {
            Some(later) if later.first == one.last + 1 => later.first = one.first,
            _ => found.push(one),
        }
    }
    Ok(found)
}
