//! Which events that the index gives count: those of the filter's time, and none of the archive unless it is searched.

use std::collections::HashSet;

use oneiric::clock::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};

use super::blocks::{self, Range};
use super::expression;
use super::read::{in_time, over};
use crate::model::{SearchFilter, UNKNOWN};
use crate::sqlite::cell::time;
use crate::sqlite::failure::Failure;

/// The time of an event, and the same where its session is of a component and a type.
const TIME: &str = "SELECT timestamp FROM session_events WHERE seq = ?1";
const OWNED: &str = "SELECT timestamp FROM session_events WHERE seq = ?1 AND EXISTS
     (SELECT 1 FROM sessions AS owner WHERE owner.session_id = session_events.session_id
         AND (?2 IS NULL OR owner.component = ?2) AND (?3 IS NULL OR owner.session_type = ?3))";

/// How far a search reaches in time and into the archive.
pub(super) struct Reach<'s> {
    filter: &'s SearchFilter,
    /// Runs of events, the newest first.
    ranges: Vec<Range>,
    timed: bool,
    /// Whether archived events, which do not count, stand among these runs.
    mixed: bool,
    /// Component and type of sessions whose start may not have arrived: of these the index knows neither.
    unknown: [Option<&'s str>; 2],
}

/// Events that match, newest first.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) seqs: Vec<i64>,
    /// Whether there are more.
    pub(super) bounded: bool,
    /// Rows that were looked at.
    pub(super) visited: usize,
    /// Events, matching or not, from the newest to where gathering ended.
    pub(super) passed: i64,
}

impl<'s> Reach<'s> {
    /// Up to the event `through`.
    pub(super) fn of(connection: &Connection, filter: &'s SearchFilter, through: i64) -> Result<Self, Failure> {
        let ranges = blocks::ranges(connection, filter, through)?;
        let mut mixed = false;
        if let (Some(newest), Some(oldest), false) = (ranges.first(), ranges.last(), filter.archived) {
            let sql = "SELECT 1 FROM archived_events WHERE seq BETWEEN ?1 AND ?2 LIMIT 1";
            mixed = connection.prepare_cached(sql)?.exists([oldest.first, newest.last])?;
        }
        let timed = filter.since.is_some() || filter.until.is_some();
        let unknown = [&filter.component, &filter.session_type].map(|one| one.as_deref().filter(|one| *one == UNKNOWN));
        Ok(Self { filter, ranges, timed, mixed, unknown })
    }

    /// Whether only an event's row tells if it counts.
    pub(super) fn looks(&self) -> bool {
        self.timed || self.mixed || self.of_unknown()
    }

    fn of_unknown(&self) -> bool {
        self.unknown.iter().any(Option::is_some)
    }

    /// Events in reach, matching or not.
    pub(super) fn length(&self) -> i64 {
        self.ranges.iter().map(Range::length).sum()
    }

    /// The newest `wanted` events that match and count, but for those that are `known`; at most `visits` are looked at.
    pub(super) fn newest(
        &self,
        connection: &Connection,
        matching: Option<&str>,
        wanted: usize,
        visits: usize,
        known: &HashSet<i64>,
    ) -> Result<Gathered, Failure> {
        let sql = match matching {
            Some(_) => expression::NEWEST,
            None if self.filter.archived => expression::NEWEST_OF_BOTH,
            None => expression::NEWEST_OF_ALL,
        };
        let mut select = connection.prepare_cached(sql)?;
        let mut row_of = connection.prepare_cached(&over(self.filter, if self.of_unknown() { OWNED } else { TIME }))?;
        // What is read from the live table itself is not in the archive.
        let looks = self.timed || self.of_unknown() || (self.mixed && matching.is_some());
        let [component, session_type] = self.unknown;
        let mut counts = |seq: i64| -> Result<bool, Failure> {
            let of_row = |row: &Row<'_>| time(row, 0);
            let at: Option<Option<Timestamp>> = match self.of_unknown() {
                true => row_of.query_row((seq, component, session_type), of_row).optional()?,
                false => row_of.query_row([seq], of_row).optional()?,
            };
            Ok(at.is_some_and(|at| in_time(self.filter, at)))
        };
        let mut gathered = Gathered::default();
        for range in &self.ranges {
            let mut rows = select.query((matching, range.first, range.last, i64::MAX))?;
            while let Some(row) = rows.next()? {
                let seq: i64 = row.get(0)?;
                gathered.visited += 1;
                if gathered.seqs.len() == wanted || gathered.visited > visits {
                    gathered.bounded = true;
                    gathered.passed += range.last - seq;
                    return Ok(gathered);
                }
                if !known.contains(&seq) && (!looks || counts(seq)?) {
                    gathered.seqs.push(seq);
                }
            }
            gathered.passed += range.length();
        }
        Ok(gathered)
    }
}

#[cfg(test)]
#[path = "reach_tests.rs"]
mod tests;
