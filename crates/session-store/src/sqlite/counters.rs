//! Totals that are kept in the transaction that changes them, so that reading them costs the same at any size.

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;

use super::failure::Failure;
use crate::model::{Counts, DURATION_BOUNDS, DurationHistogram, EventCount, SessionCount, SessionStatus};

/// Sessions by component and status.
pub(super) const SESSIONS: &str = "sessions";
/// Finished sessions by component and duration bucket.
pub(super) const DURATIONS: &str = "durations";
/// Sum of durations by component.
pub(super) const DURATION_SUM: &str = "duration_seconds";
/// Events by type.
pub(super) const EVENTS: &str = "events";
/// Words of all events, for their average.
pub(super) const WORDS: &str = "words";
/// Secrets replaced at ingestion.
pub(super) const REDACTIONS: &str = "redactions";
/// Sessions and events in the archive; both are part of the other totals as well.
pub(super) const ARCHIVED_SESSIONS: &str = "archived_sessions";
pub(super) const ARCHIVED_EVENTS: &str = "archived_events";
/// Sessions by component and status, and events by type, that retention deleted: totals of what ever was do not fall.
pub(super) const DELETED_SESSIONS: &str = "deleted_sessions";
pub(super) const DELETED_EVENTS: &str = "deleted_events";
/// The highest seq that was ever given, so that none is given twice.
pub(super) const LAST_SEQ: &str = "last_seq";
/// Up to which event the words are learnt, by which way of making them, and how many events had been deleted then.
pub(super) const WORDS_THROUGH: &str = "words_through";
pub(super) const WORDS_SHAPE: &str = "words_shape";
pub(super) const WORDS_DELETED: &str = "words_deleted";

/// What a session's row adds to the totals.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Contribution {
    pub(super) component: String,
    pub(super) status: SessionStatus,
    pub(super) duration_seconds: Option<f64>,
}

/// Changes of one transaction.
#[derive(Default)]
pub(super) struct Changes(HashMap<(&'static str, String, String), f64>);

impl Changes {
    pub(super) fn add(&mut self, name: &'static str, component: &str, label: &str, by: f64) {
        if by != 0.0 {
            *self.0.entry((name, component.to_owned(), label.to_owned())).or_default() += by;
        }
    }

    /// Replaces what a session's row added by what it adds now.
    pub(super) fn replace(&mut self, before: Option<&Contribution>, after: Option<&Contribution>) {
        if before == after {
            return;
        }
        for (one, sign) in [(before, -1.0), (after, 1.0)] {
            let Some(one) = one else { continue };
            self.add(SESSIONS, &one.component, one.status.as_str(), sign);
            if let Some(seconds) = one.duration_seconds {
                let bucket =
                    DURATION_BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(DURATION_BOUNDS.len());
                self.add(DURATIONS, &one.component, &format!("{bucket:02}"), sign);
                self.add(DURATION_SUM, &one.component, "", sign * seconds);
            }
        }
    }

    /// Writes them.
    pub(super) fn save(self, connection: &Connection) -> rusqlite::Result<()> {
        let mut upsert = connection.prepare_cached(
            "INSERT INTO counters (name, component, label, value) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (name, component, label) DO UPDATE SET value = value + excluded.value",
        )?;
        for ((name, component, label), by) in self.0 {
            if by != 0.0 {
                upsert.execute((name, component, label, by))?;
            }
        }
        Ok(())
    }
}

/// One value; 0 when it was never counted.
pub(super) fn value(connection: &Connection, name: &str) -> rusqlite::Result<f64> {
    connection
        .prepare_cached("SELECT coalesce(sum(value), 0.0) FROM counters WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
}

/// Sets a value that is no sum.
pub(super) fn set(connection: &Connection, name: &str, value: f64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO counters (name, component, label, value) VALUES (?1, '', '', ?2)
             ON CONFLICT (name, component, label) DO UPDATE SET value = excluded.value",
        )?
        .execute((name, value))?;
    Ok(())
}

fn whole(value: f64) -> u64 {
    // Sums of whole numbers below 2^53, which f64 holds exactly.
    value.max(0.0).round() as u64
}

fn histogram<'h>(all: &'h mut BTreeMap<String, DurationHistogram>, component: &str) -> &'h mut DurationHistogram {
    all.entry(component.to_owned()).or_insert_with(|| DurationHistogram {
        component: component.to_owned(),
        buckets: vec![0; DURATION_BOUNDS.len() + 1],
        sum_seconds: 0.0,
    })
}

/// All totals but the size.
pub(super) fn read(connection: &Connection) -> Result<Counts, Failure> {
    let mut counts = Counts::default();
    let mut durations: BTreeMap<String, DurationHistogram> = BTreeMap::new();
    let mut select = connection.prepare_cached("SELECT name, component, label, value FROM counters")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (name, component, label): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let value: f64 = row.get(3)?;
        match name.as_str() {
            SESSIONS => {
                if let Some(status) = SessionStatus::parse(&label).filter(|_| whole(value) > 0) {
                    counts.sessions.push(SessionCount { component, status, count: whole(value) });
                }
            }
            DURATIONS => {
                if let Some(bucket) =
                    label.parse().ok().and_then(|at: usize| histogram(&mut durations, &component).buckets.get_mut(at))
                {
                    *bucket = whole(value);
                }
            }
            DURATION_SUM => histogram(&mut durations, &component).sum_seconds = value.max(0.0),
            EVENTS if whole(value) > 0 => counts.events.push(EventCount { event_type: label, count: whole(value) }),
            ARCHIVED_SESSIONS => counts.archived_sessions = whole(value),
            ARCHIVED_EVENTS => counts.archived_events = whole(value),
            DELETED_SESSIONS => {
                if let Some(status) = SessionStatus::parse(&label) {
                    counts.deleted_sessions.push(SessionCount { component, status, count: whole(value) });
                }
            }
            DELETED_EVENTS => counts.deleted_events.push(EventCount { event_type: label, count: whole(value) }),
            REDACTIONS => counts.redactions = whole(value),
            _ => {}
        }
    }
    counts.durations = durations.into_values().filter(|one| one.count() > 0).collect();
    Ok(counts)
}
