//! Which runs of events can lie in a time range.

use oneiric::clock::Timestamp;
use rusqlite::Connection;

use crate::model::SearchFilter;
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

/// The runs up to `through`, newest first, that hold events of the filter's time; neighbours are joined.
pub(super) fn ranges(connection: &Connection, filter: &SearchFilter, through: i64) -> Result<Vec<Range>, Failure> {
    let (since, until) = (filter.since, filter.until);
    let bound = |sql: &str| connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, Option<i64>>(0));
    let (mut oldest, mut newest) =
        (bound("SELECT min(seq) FROM session_events")?, bound("SELECT max(seq) FROM session_events")?);
    if filter.archived {
        oldest = oldest.into_iter().chain(bound("SELECT min(seq) FROM archived_events")?).min();
        newest = newest.max(bound("SELECT max(seq) FROM archived_events")?);
    }
    let (Some(first), Some(newest)) = (oldest, newest.map(|newest: i64| newest.min(through))) else {
        return Ok(Vec::new());
    };
    if since.is_none() && until.is_none() {
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
        if block << BLOCK_BITS > newest {
            continue;
        }
        let one = Range { first: block << BLOCK_BITS, last: (((block + 1) << BLOCK_BITS) - 1).min(newest) };
        match found.last_mut() {
            Some(later) if later.first == one.last + 1 => later.first = one.first,
            _ => found.push(one),
        }
    }
    Ok(found)
}
