//! Events by `seq` for the search by meaning.

use std::collections::HashMap;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::blocks;
use super::read::in_time;
use crate::model::SearchFilter;
use crate::scope::{EventText, Texts};
use crate::search::embedding_text::{EVENTS_BEFORE, embedding_text};
use crate::sqlite::cell::{self, borrowed, text, time};
use crate::sqlite::failure::Failure;
use crate::sqlite::sessions;

/// Runs of events that a filter by time alone may touch, in events for each one that is wanted.
const TOUCHED: i64 = 4;

pub(in crate::sqlite) fn seqs(
    connection: &Connection,
    filter: &SearchFilter,
    cap: usize,
) -> Result<Option<Vec<i64>>, Failure> {
    let mut found = Vec::new();
    for (events, owners) in tables(filter) {
        let Some(sql) = narrow(connection, filter, events, owners, cap)? else { return Ok(None) };
        let mut select = connection.prepare_cached(&sql.0)?;
        let mut rows = select.query(params_from_iter(sql.1))?;
        let mut read = 0;
        while let Some(row) = rows.next()? {
            read += 1;
            if read > cap {
                return Ok(None);
            }
            if in_time(filter, time(row, 1)?) {
                found.push(row.get(0)?);
            }
        }
    }
    found.sort_unstable();
    Ok((found.len() <= cap).then_some(found))
}

fn tables(filter: &SearchFilter) -> Vec<(&'static str, &'static str)> {
    let mut tables = vec![("session_events", "sessions")];
    if filter.archived {
        tables.push(("archived_events", "archived_sessions"));
    }
    tables
}

/// The statement that reads what the filter lets pass, and no more than about `cap` rows.
fn narrow(
    connection: &Connection,
    filter: &SearchFilter,
    events: &str,
    owners: &str,
    cap: usize,
) -> Result<Option<(String, Vec<Value>)>, Failure> {
    let mut values = Vec::new();
    let mut place = |value: &str| {
        values.push(Value::from(value.to_owned()));
        values.len()
    };
    let event_type = |at: Option<usize>| at.map_or_else(String::new, |at| format!(" AND events.event_type = ?{at}"));
    if let Some(session) = &filter.session {
        let id = sessions::resolve(connection, session)?;
        let at = place(id.as_str());
        let kind = event_type(filter.event_type.as_deref().map(&mut place));
        let owned = owned(filter, &mut place);
        let sql = format!(
            "SELECT seq, timestamp FROM {events} events WHERE session_id = ?{at}{kind} AND EXISTS
             (SELECT 1 FROM {owners} owners WHERE owners.session_id = events.session_id{owned}) LIMIT {}",
            cap + 1
        );
        return Ok(Some((sql, values)));
    }
    if filter.project.is_some() || filter.component.is_some() || filter.session_type.is_some() {
        let owned = owned(filter, &mut place);
        // The sessions' own counts say whether it is worth reading; of many sessions, the first of them.
        let count = format!("SELECT event_count FROM {owners} owners WHERE 1{owned} LIMIT {}", cap + 1);
        let mut expected = 0;
        let mut counts = connection.prepare_cached(&count)?;
        let mut rows = counts.query(params_from_iter(values.clone()))?;
        while let Some(row) = rows.next()? {
            expected += cell::whole_or_none(row, 0)?.unwrap_or(0).max(1);
            if expected > cap as i64 {
                return Ok(None);
            }
        }
        let mut place = |value: &str| {
            values.push(Value::from(value.to_owned()));
            values.len()
        };
        let kind = event_type(filter.event_type.as_deref().map(&mut place));
        let sql = format!(
            "SELECT events.seq, events.timestamp FROM {owners} owners CROSS JOIN {events} events
             ON events.session_id = owners.session_id WHERE 1{owned}{kind} LIMIT {}",
            cap + 1
        );
        return Ok(Some((sql, values)));
    }
    if filter.since.is_some() || filter.until.is_some() {
        let ranges = blocks::ranges(connection, filter, i64::MAX)?;
        let length: i64 = ranges.iter().map(blocks::Range::length).sum();
        if length > cap as i64 * TOUCHED || ranges.len() > 100 {
            return Ok(None);
        }
        let within: Vec<String> =
            ranges.iter().map(|range| format!("seq BETWEEN {} AND {}", range.first, range.last)).collect();
        let within = if within.is_empty() { "0".to_owned() } else { within.join(" OR ") };
        let kind = event_type(filter.event_type.as_deref().map(&mut place));
        let sql = format!("SELECT seq, timestamp FROM {events} events WHERE ({within}){kind} LIMIT {}", length + 1);
        return Ok(Some((sql, values)));
    }
    Ok(None)
}

/// Conditions on the session.
fn owned(filter: &SearchFilter, place: &mut impl FnMut(&str) -> usize) -> String {
    let mut sql = String::new();
    for (column, value) in
        [("project", &filter.project), ("component", &filter.component), ("session_type", &filter.session_type)]
    {
        if let Some(value) = value {
            sql.push_str(&format!(" AND owners.{column} = ?{}", place(value)));
        }
    }
    sql
}

pub(in crate::sqlite) fn admitted(
    connection: &Connection,
    filter: &SearchFilter,
    seqs: &[i64],
) -> Result<Vec<Option<String>>, Failure> {
    let session = filter.session.as_deref().map(|wanted| sessions::resolve(connection, wanted)).transpose()?;
    let any_owner = filter.project.is_none() && filter.component.is_none() && filter.session_type.is_none();
    let mut owners: HashMap<String, bool> = HashMap::new();
    let mut admitted = vec![None; seqs.len()];
    for (events, sessions) in tables(filter) {
        let mut select = connection.prepare_cached(&format!(
            "SELECT timestamp, session_id, event_type, event_id FROM {events} WHERE seq = ?1"
        ))?;
        let mut owner = connection.prepare_cached(&format!(
            "SELECT component, session_type, project FROM {sessions} WHERE session_id = ?1"
        ))?;
        owners.clear();
        for (seq, admitted) in seqs.iter().zip(&mut admitted) {
            let mut rows = select.query([seq])?;
            let Some(row) = rows.next()? else { continue };
            let id = cell::id(row, 1)?;
            let kind = cell::event_type(row, 2)?;
            if !in_time(filter, time(row, 0)?)
                || filter.event_type.as_deref().is_some_and(|wanted| wanted != kind)
                || session.as_ref().is_some_and(|wanted| wanted.as_str() != id)
            {
                continue;
            }
            let passes = match owners.get(&id) {
                _ if any_owner => true,
                Some(known) => *known,
                None => {
                    let passes = owner.query_row([&id], |row| passes(filter, row)).optional()? == Some(true);
                    owners.insert(id, passes);
                    passes
                }
            };
            if passes {
                *admitted = Some(cell::id(row, 3)?);
            }
        }
    }
    Ok(admitted)
}

fn passes(filter: &SearchFilter, row: &Row<'_>) -> rusqlite::Result<bool> {
    for (column, wanted) in [&filter.component, &filter.session_type, &filter.project].into_iter().enumerate() {
        if let Some(wanted) = wanted
            && borrowed(row, column)?.as_deref() != Some(wanted)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(in crate::sqlite) fn event_ids(connection: &Connection, seqs: &[i64]) -> Result<Vec<Option<String>>, Failure> {
    let mut live = connection.prepare_cached("SELECT event_id FROM session_events WHERE seq = ?1")?;
    let mut archived = connection.prepare_cached("SELECT event_id FROM archived_events WHERE seq = ?1")?;
    let mut ids = Vec::with_capacity(seqs.len());
    for seq in seqs {
        let id = match live.query_row([seq], |row| cell::id(row, 0)).optional()? {
            Some(id) => Some(id),
            None => archived.query_row([seq], |row| cell::id(row, 0)).optional()?,
        };
        ids.push(id);
    }
    Ok(ids)
}

pub(in crate::sqlite) fn texts_after(
    connection: &Connection,
    seq: i64,
    rows: usize,
    bytes: usize,
) -> Result<Texts, Failure> {
    let mut select = connection.prepare_cached(
        "SELECT * FROM (SELECT seq, event_id, event_type, data, session_id, timestamp, sequence, 0
            FROM session_events WHERE seq > ?1 ORDER BY seq LIMIT ?2)
         UNION ALL
         SELECT * FROM (SELECT seq, event_id, event_type, data, session_id, timestamp, sequence, 1
            FROM archived_events WHERE seq > ?1 ORDER BY seq LIMIT ?2)
         ORDER BY 1 LIMIT ?2",
    )?;
    let mut texts = Texts { texts: Vec::new(), through: seq };
    let mut read = 0;
    let mut found = select.query((seq, rows as i64))?;
    while let Some(row) = found.next()? {
        if read > bytes {
            break;
        }
        texts.through = row.get(0)?;
        let Some(data) = borrowed(row, 3)? else { continue };
        read += data.len();
        let event_type = cell::event_type(row, 2)?;
        let before = before(connection, row)?;
        let before: Vec<(&str, &str)> = before.iter().map(|(kind, data)| (kind.as_str(), data.as_str())).collect();
        if let Some(text) = embedding_text(&event_type, &data, &before) {
            texts.texts.push(EventText { seq: texts.through, event_id: cell::id(row, 1)?, text });
        }
    }
    Ok(texts)
}

/// Type and data of the events just before this one in its session, the nearest last.
fn before(connection: &Connection, row: &Row<'_>) -> Result<Vec<(String, String)>, Failure> {
    let archived: bool = row.get(7)?;
    let table = if archived { "archived_events" } else { "session_events" };
    let mut select = connection.prepare_cached(&format!(
        "SELECT event_type, coalesce(data, '') FROM {table}
         WHERE session_id = ?1 AND (timestamp, coalesce(sequence, -1), seq) < (?2, coalesce(?3, -1), ?4)
           AND timestamp <= ?2
         ORDER BY timestamp DESC, sequence DESC, seq DESC LIMIT {EVENTS_BEFORE}"
    ))?;
    let values = (text(row, 4)?, text(row, 5)?, cell::whole_or_none(row, 6)?, row.get::<_, i64>(0)?);
    let mut found = select
        .query_map(values, |row| Ok((cell::event_type(row, 0)?, text(row, 1)?)))?
        .collect::<rusqlite::Result<Vec<(String, String)>>>()?;
    found.reverse();
    Ok(found)
}

pub(in crate::sqlite) fn newest(connection: &Connection) -> Result<i64, Failure> {
    Ok(connection
        .prepare_cached(
            "SELECT max(coalesce((SELECT max(seq) FROM session_events), 0), coalesce((SELECT max(seq) FROM archived_events), 0))",
        )?
        .query_row([], |row| row.get(0))?)
}
