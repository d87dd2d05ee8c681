//! Reads what analytics add up. Costs what the range holds: sessions by their start, events of those that had errors.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::cell::{number_or_none, text, time, whole};
use super::events::event;
use super::failure::Failure;
use crate::analytics::{self, Analytics, ErrorTally, Range, SessionFigures, Tally};
use crate::model::SessionStatus;

/// Events of sessions with errors that are read.
pub(super) const MAX_EVENTS: usize = 200_000;

const PLACES: [(&str, &str); 2] = [("sessions", "session_events"), ("archived_sessions", "archived_events")];

pub(super) fn analytics(connection: &Connection, range: &Range) -> Result<Analytics, Failure> {
    let mut tally = Tally::of(range);
    let (condition, values) = condition(range);
    for (sessions, _) in PLACES {
        let mut select = connection.prepare_cached(&format!(
            "SELECT s.component, s.status, s.start_time, s.duration_seconds, s.command_count, s.event_count, s.error_count
             FROM {sessions} s WHERE {condition}"
        ))?;
        let mut rows = select.query(params_from_iter(&values))?;
        while let Some(row) = rows.next()? {
            let status = text(row, 1)?;
            tally.add(&SessionFigures {
                component: text(row, 0)?,
                status: SessionStatus::parse(&status).unwrap_or(SessionStatus::Active),
                start_time: time(row, 2)?.unwrap_or(range.since),
                duration_seconds: number_or_none(row, 3)?,
                commands: whole(row, 4)?,
                events: whole(row, 5)?,
                errors: whole(row, 6)?,
            });
        }
    }
    let mut errors = ErrorTally::default();
    if range.errors {
        let mut left = MAX_EVENTS;
        for (sessions, events) in PLACES {
            left = failures(connection, range, &format!("{sessions} s"), events, left, &mut errors)?;
        }
    }
    Ok(tally.finish(range, active_now(connection, range)?, errors))
}

/// The range's own index or the component's finds the sessions; a project only checks them.
fn condition(range: &Range) -> (String, Vec<Value>) {
    let mut condition = "s.start_time >= ? AND s.start_time < ?".to_owned();
    let mut values = vec![Value::from(range.since.to_string()), Value::from(range.until.to_string())];
    for (column, wanted) in [("component", &range.component), ("project", &range.project)] {
        if let Some(wanted) = wanted {
            condition.push_str(&format!(" AND s.{column} = ?"));
            values.push(Value::from(wanted.clone()));
        }
    }
    (condition, values)
}

/// Looks at events of sessions with errors, the newest sessions first; gives how many more may be looked at.
fn failures(
    connection: &Connection,
    range: &Range,
    sessions: &str,
    events: &str,
    mut left: usize,
    errors: &mut ErrorTally,
) -> Result<usize, Failure> {
    let (condition, mut values) = condition(range);
    values.push(Value::from(i64::try_from(left).unwrap_or(i64::MAX).saturating_add(1)));
    let mut select = connection.prepare_cached(&format!(
        "SELECT e.event_id, e.session_id, e.event_type, e.timestamp, e.sequence, e.received_at, e.data
         FROM {sessions} CROSS JOIN {events} e ON e.session_id = s.session_id
         WHERE {condition} AND s.error_count > 0 AND e.event_type IN ('command', 'error')
         ORDER BY s.start_time DESC LIMIT ?"
    ))?;
    let mut rows = select.query(params_from_iter(&values))?;
    while let Some(row) = rows.next()? {
        if left == 0 {
            errors.bound();
            break;
        }
        left -= 1;
        let row = event(row)?;
        let failure = analytics::Failure::of(&row.event_type, row.session_id, row.event_id, row.timestamp, &row.data);
        if let Some(failure) = failure {
            errors.add(failure);
        }
    }
    Ok(left)
}

fn active_now(connection: &Connection, range: &Range) -> Result<u64, Failure> {
    let mut select = connection.prepare_cached(
        "SELECT count(*) FROM sessions WHERE status = 'active' AND (?1 IS NULL OR component = ?1)
            AND (?2 IS NULL OR project = ?2)",
    )?;
    Ok(select.query_row((&range.component, &range.project), |row| whole(row, 0))?)
}
