//! Shows whole sessions in one snapshot, one row at a time.

use oneiric::event::EventType;
use oneiric::fault::{Fault, Result as Told};
use oneiric::id::{EventId, SessionId};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::cell::{self, text, time, whole};
use super::events::{event, in_table};
use super::failure::Failure;
use super::sessions;
use crate::model::{EventRow, SessionStatus};
use crate::transfer::{EventLine, FORMAT, Header, Line, Selection, SessionLine, VERSION};

const BY_NUMBER: &str = "SELECT event_id, session_id, event_type, timestamp, sequence, received_at, data FROM session_events WHERE seq = ?1";

/// Sessions of one place, with the number of their events. A session without events is nothing that could be imported.
fn place(sessions: &str, events: &str, archived_at: &str, condition: &str) -> String {
    format!(
        "SELECT s.session_id, s.component, s.status, s.start_time, s.end_time, {archived_at} AS archived_at,
            (SELECT count(*) FROM {events} e WHERE e.session_id = s.session_id) AS events
         FROM {sessions} s{condition}"
    )
}

pub(super) fn export(
    connection: &Connection,
    selection: &Selection,
    show: &mut dyn FnMut(Line) -> Told<()>,
) -> Result<(), Failure> {
    let (condition, mut values) = condition(connection, selection)?;
    let mut places = place("sessions", "session_events", "NULL", &condition);
    if selection.archived || !selection.sessions.is_empty() {
        places = format!(
            "{places} UNION ALL {}",
            place("archived_sessions", "archived_events", "s.archived_at", &condition)
        );
        values.extend(values.clone());
    }
    let (sessions, events) = connection.query_row(
        &format!("SELECT count(*), coalesce(sum(events), 0) FROM ({places}) WHERE events > 0"),
        params_from_iter(&values),
        |row| Ok((whole(row, 0)?, whole(row, 1)?)),
    )?;
    show(Line::Header(Header { format: FORMAT.to_owned(), version: VERSION, sessions, events }))?;
    let mut select =
        connection.prepare(&format!("SELECT * FROM ({places}) WHERE events > 0 ORDER BY start_time, session_id"))?;
    let mut rows = select.query(params_from_iter(&values))?;
    while let Some(row) = rows.next()? {
        let line = session(row)?;
        let (id, archived) = (line.session_id.clone(), line.archived_at.is_some());
        show(Line::Session(line))?;
        events_of(connection, &id, archived, show)?;
    }
    Ok(())
}

fn condition(connection: &Connection, selection: &Selection) -> Result<(String, Vec<Value>), Failure> {
    let mut parts: Vec<String> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    if !selection.sessions.is_empty() {
        for named in &selection.sessions {
            values.push(Value::from(sessions::resolve(connection, named)?.as_str().to_owned()));
        }
        parts.push(format!("s.session_id IN ({})", vec!["?"; values.len()].join(", ")));
    }
    let filter = &selection.filter;
    for (column, wanted) in [
        ("project", &filter.project),
        ("component", &filter.component),
        ("session_type", &filter.session_type),
        ("repository", &filter.repository),
        ("worktree", &filter.worktree),
    ] {
        if let Some(wanted) = wanted {
            parts.push(format!("s.{column} = ?"));
            values.push(Value::from(wanted.clone()));
        }
    }
    if let Some(status) = filter.status {
        parts.push("s.status = ?".to_owned());
        values.push(Value::from(status.as_str().to_owned()));
    }
    for (operator, bound) in [(">=", filter.since), ("<", filter.until)] {
        if let Some(bound) = bound {
            parts.push(format!("s.start_time {operator} ?"));
            values.push(Value::from(bound.to_string()));
        }
    }
    let condition = if parts.is_empty() { String::new() } else { format!(" WHERE {}", parts.join(" AND ")) };
    Ok((condition, values))
}

fn session(row: &Row<'_>) -> Result<SessionLine, Failure> {
    let status = text(row, 2)?;
    Ok(SessionLine {
        session_id: SessionId::parse(cell::id(row, 0)?).map_err(|error| unusable(&error))?,
        component: text(row, 1)?,
        status: SessionStatus::parse(&status).unwrap_or(SessionStatus::Active),
        start_time: time(row, 3)?.unwrap_or(oneiric::clock::Timestamp::from_micros(0)),
        end_time: time(row, 4)?,
        archived_at: time(row, 5)?,
        events: whole(row, 6)?,
    })
}

/// Events in the order of their arrival. Their numbers are sorted here: a session's texts may be more than memory holds.
fn events_of(
    connection: &Connection,
    id: &SessionId,
    archived: bool,
    show: &mut dyn FnMut(Line) -> Told<()>,
) -> Result<(), Failure> {
    let mut select =
        connection.prepare_cached(&in_table("SELECT seq FROM session_events WHERE session_id = ?1", archived))?;
    let mut numbers =
        select.query_map([id.as_str()], |row| row.get::<_, i64>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    numbers.sort_unstable();
    let mut select = connection.prepare_cached(&in_table(BY_NUMBER, archived))?;
    for number in numbers {
        show(Line::Event(line(select.query_row([number], event)?)?))?;
    }
    Ok(())
}

fn line(row: EventRow) -> Result<EventLine, Failure> {
    Ok(EventLine {
        session_id: SessionId::parse(row.session_id).map_err(|error| unusable(&error))?,
        event_id: EventId::parse(row.event_id).map_err(|error| unusable(&error))?,
        event_type: EventType::parse(row.event_type).map_err(|error| unusable(&error))?,
        timestamp: row.timestamp,
        sequence: row.sequence,
        data: row.data,
    })
}

fn unusable(error: &impl std::fmt::Display) -> Fault {
    Fault::unavailable(format!("the database holds a row that no export can name: {error}"))
        .hint("another program wrote it; mend or delete it")
}
