//! Deletes what rules of retention mean: rows, their entries in the search index, and what they add to the totals.

use std::collections::BTreeMap;

use oneiric::clock::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use serde_json::Map;

use super::archive::OLD;
use super::cell::{self, event_type, id, text, text_or_none, whole};
use super::counters::{self, Changes};
use super::failure::Failure;
use super::prepare::{self, Effect, Terms};
use super::session_row::{SCOPE_COMPONENT, SCOPE_EVENT_TYPE, SCOPE_PROJECT, SCOPE_SESSION_TYPE, scope};
use super::words;
use crate::model::SessionStatus;
use crate::retention::{Cursor, RetentionRules, RuleEffect};
use crate::upkeep::{Amount, days_before};

/// Events of one batch; a session is never parted.
const BATCH_EVENTS: u64 = 1_000;

/// One rule, over the live tables or over the archive.
struct Part {
    rule: String,
    sessions: &'static str,
    events: &'static str,
    /// Rows that are meant: of the sessions' table, or of the events' table as `e` with its session as `s`.
    condition: String,
    values: Vec<Value>,
    whole: bool,
}

const TABLES: [(&str, &str); 2] = [("sessions", "session_events"), ("archived_sessions", "archived_events")];

fn parts(rules: &RetentionRules, now: Timestamp) -> Result<Vec<Part>, Failure> {
    let mut parts = Vec::new();
    let before = |days: u32| Ok::<_, Failure>(Value::from(days_before(now, days)?.to_string()));
    let mut add = |rule: String, condition: String, values: Vec<Value>, whole: bool| {
        for (sessions, events) in TABLES {
            let (condition, values) = (condition.clone(), values.clone());
            parts.push(Part { rule: rule.clone(), sessions, events, condition, values, whole });
        }
    };
    for (project, days) in &rules.projects {
        if let Some(days) = days {
            let values = vec![before(*days)?, Value::from(project.clone())];
            add(format!("retention.projects {project}={days}"), format!("{OLD} AND project = ?2"), values, true);
        }
    }
    let unless = |column: &str, names: &[&String]| match names.len() {
        0 => String::new(),
        count => {
            let places: Vec<String> = (0..count).map(|at| format!("?{}", at + 3)).collect();
            format!(" AND ({column} IS NULL OR {column} NOT IN ({}))", places.join(", "))
        }
    };
    if let Some(days) = rules.sessions {
        let named: Vec<&String> = rules.projects.keys().collect();
        // The second place is not used: the others count from the third.
        let mut values = vec![before(days)?, Value::Null];
        values.extend(named.iter().map(|name| Value::from((*name).clone())));
        let condition = format!("{OLD} AND ?2 IS NULL{}", unless("project", &named));
        add(format!("retention.days {days}"), condition, values, true);
    }
    let kept: Vec<&String> = rules.projects.iter().filter(|(_, days)| days.is_none()).map(|(name, _)| name).collect();
    for (event_type, days) in &rules.events {
        let mut values = vec![before(*days)?, Value::from(event_type.clone())];
        values.extend(kept.iter().map(|name| Value::from((*name).clone())));
        let condition =
            format!("e.timestamp < ?1 AND e.event_type = ?2 AND s.status <> 'active'{}", unless("s.project", &kept));
        add(format!("retention.events {event_type}={days}"), condition, values, false);
    }
    Ok(parts)
}

impl Part {
    fn joined(&self) -> String {
        format!("{} e JOIN {} s ON s.session_id = e.session_id WHERE {}", self.events, self.sessions, self.condition)
    }
}

/// The condition that session `s` stays, whatever the rules for whole sessions delete; its places count from `first`.
/// Those rules come first, and none of them means a session that another one means.
fn session_stays(rules: &RetentionRules, now: Timestamp, first: usize) -> Result<(String, Vec<Value>), Failure> {
    let mut values = Vec::new();
    let mut place = |value: Value| {
        values.push(value);
        format!("?{}", first + values.len() - 1)
    };
    let mut before = |days: Option<u32>| match days {
        Some(days) => Ok::<_, Failure>(place(Value::from(days_before(now, days)?.to_string()))),
        None => Ok("NULL".to_owned()),
    };
    let others = before(rules.sessions)?;
    let mut bounds = Vec::new();
    for days in rules.projects.values() {
        bounds.push(before(*days)?);
    }
    let mut cases = String::new();
    for (project, bound) in rules.projects.keys().zip(bounds) {
        cases.push_str(&format!(" WHEN {} THEN {bound}", place(Value::from(project.clone()))));
    }
    let bound = if cases.is_empty() { others } else { format!("CASE s.project{cases} ELSE {others} END") };
    // Without a bound nothing is older than it.
    Ok((format!("({}) IS NOT TRUE", OLD.replace("?1", &bound)), values))
}

/// What each rule would delete now, in their order: what an earlier one deletes is not there for a later one.
pub(super) fn preview(
    connection: &Connection,
    rules: &RetentionRules,
    now: Timestamp,
) -> Result<Vec<RuleEffect>, Failure> {
    let mut effects: Vec<RuleEffect> = Vec::new();
    for part in parts(rules, now)? {
        let mut values = part.values.clone();
        let sql = if part.whole {
            format!("SELECT count(*), coalesce(sum(event_count), 0) FROM {} WHERE {}", part.sessions, part.condition)
        } else {
            let (stays, bounds) = session_stays(rules, now, values.len() + 1)?;
            values.extend(bounds);
            format!("SELECT 0, count(*) FROM {} AND {stays}", part.joined())
        };
        let (sessions, events) = connection
            .prepare_cached(&sql)?
            .query_row(params_from_iter(values), |row| Ok((whole(row, 0)?, whole(row, 1)?)))?;
        match effects.iter_mut().find(|effect| effect.rule == part.rule) {
            Some(effect) => {
                effect.sessions += sessions;
                effect.events += events;
            }
            None => effects.push(RuleEffect { rule: part.rule, sessions, events }),
        }
    }
    Ok(effects)
}

/// Deletes a batch, and says where to go on.
pub(super) fn step(
    connection: &Connection,
    rules: &RetentionRules,
    now: Timestamp,
    cursor: Cursor,
) -> Result<(Amount, Option<Cursor>), Failure> {
    let parts = parts(rules, now)?;
    let Some(part) = parts.get(cursor.rule) else { return Ok((Amount::default(), None)) };
    let next = Cursor { rule: cursor.rule + 1, seq: 0 };
    let mut deletion = Deletion::new(connection, part);
    if part.whole {
        let sql = format!("SELECT session_id, event_count FROM {} WHERE {} LIMIT 200", part.sessions, part.condition);
        let mut select = connection.prepare_cached(&sql)?;
        let mut rows = select.query(params_from_iter(&part.values))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            // One whose id cannot be read stays: nothing else of it would be found.
            if let Some(id) = cell::key(row, 0)? {
                found.push((id, whole(row, 1)?));
            }
        }
        for (id, events) in &found {
            if deletion.amount.sessions > 0 && deletion.amount.events + events > BATCH_EVENTS {
                break;
            }
            deletion.session(id)?;
        }
        let amount = deletion.finish()?;
        return Ok((amount, Some(if found.is_empty() { next } else { cursor })));
    }
    let place = part.values.len() + 1;
    let sql = format!("SELECT e.seq FROM {} AND e.seq > ?{place} ORDER BY e.seq LIMIT {BATCH_EVENTS}", part.joined());
    let mut values = part.values.clone();
    values.push(Value::from(cursor.seq));
    let found = connection
        .prepare_cached(&sql)?
        .query_map(params_from_iter(values), |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<i64>>>()?;
    for seq in &found {
        deletion.event(*seq)?;
    }
    let amount = deletion.finish()?;
    Ok((amount, Some(found.last().map_or(next, |seq| Cursor { rule: cursor.rule, seq: *seq }))))
}

/// Deletes within one transaction, and keeps the totals true.
struct Deletion<'c> {
    connection: &'c Connection,
    part: &'c Part,
    terms: Terms,
    /// Search terms of the scope of each session.
    scopes: BTreeMap<String, String>,
    changes: Changes,
    amount: Amount,
}

impl<'c> Deletion<'c> {
    fn new(connection: &'c Connection, part: &'c Part) -> Self {
        let (terms, scopes, changes) = (Terms::default(), BTreeMap::new(), Changes::default());
        Self { connection, part, terms, scopes, changes, amount: Amount::default() }
    }

    fn archived(&self) -> bool {
        self.part.events == "archived_events"
    }

    fn session(&mut self, id: &str) -> Result<(), Failure> {
        let sql = format!("SELECT seq FROM {} WHERE session_id = ?1", self.part.events);
        let seqs = self
            .connection
            .prepare_cached(&sql)?
            .query_map([id], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<i64>>>()?;
        for seq in seqs {
            self.event(seq)?;
        }
        let sql = format!("DELETE FROM {} WHERE session_id = ?1 RETURNING component, status", self.part.sessions);
        let (component, status): (String, String) =
            self.connection.prepare_cached(&sql)?.query_row([id], |row| Ok((text(row, 0)?, text(row, 1)?)))?;
        let status = SessionStatus::parse(&status).unwrap_or(SessionStatus::Ended).as_str();
        // How long it took stays in the histogram, which tells of all sessions that ever were.
        self.changes.add(counters::SESSIONS, &component, status, -1.0);
        self.changes.add(counters::DELETED_SESSIONS, &component, status, 1.0);
        if self.archived() {
            self.changes.add(counters::ARCHIVED_SESSIONS, "", "", -1.0);
        }
        self.amount.sessions += 1;
        Ok(())
    }

    fn event(&mut self, seq: i64) -> Result<(), Failure> {
        let sql = format!("DELETE FROM {} WHERE seq = ?1 RETURNING session_id, event_type, data", self.part.events);
        let (session, event_type, data): (String, String, Option<String>) = self
            .connection
            .prepare_cached(&sql)?
            .query_row([seq], |row| Ok((id(row, 0)?, event_type(row, 1)?, text_or_none(row, 2)?)))?;
        let data = data.unwrap_or_default();
        let (terms, words) = self.terms.of(&data);
        let line = format!("{terms} {} {}", scope(SCOPE_EVENT_TYPE, &event_type), self.scope_of(&session)?);
        // An entry that an older version made of other words may stay; it refers to nothing, and no number is given twice.
        let _ = self
            .connection
            .prepare_cached("INSERT INTO event_search (event_search, rowid, terms) VALUES ('delete', ?1, ?2)")?
            .execute((seq, line));
        let data: Map<String, serde_json::Value> = serde_json::from_str(&data).unwrap_or_default();
        let (commands, errors) = match prepare::effect(&event_type, &data) {
            Ok(Effect::Command { failed }) => (1, i64::from(failed)),
            Ok(Effect::Error) => (0, 1),
            _ => (0, 0),
        };
        let sql = format!(
            "UPDATE {} SET event_count = event_count - 1, command_count = command_count - ?2, error_count = error_count - ?3
             WHERE session_id = ?1",
            self.part.sessions
        );
        self.connection.prepare_cached(&sql)?.execute((&session, commands, errors))?;
        self.changes.add(counters::EVENTS, "", &event_type, -1.0);
        self.changes.add(counters::DELETED_EVENTS, "", &event_type, 1.0);
        self.changes.add(counters::WORDS, "", "", -(words as f64));
        if self.archived() {
            self.changes.add(counters::ARCHIVED_EVENTS, "", "", -1.0);
        }
        self.amount.events += 1;
        Ok(())
    }

    fn scope_of(&mut self, session: &str) -> Result<String, Failure> {
        if let Some(known) = self.scopes.get(session) {
            return Ok(known.clone());
        }
        let sql = format!("SELECT component, session_type, project FROM {} WHERE session_id = ?1", self.part.sessions);
        let (component, kind, project) = self
            .connection
            .prepare_cached(&sql)?
            .query_row([session], |row| Ok((text(row, 0)?, text(row, 1)?, text_or_none(row, 2)?)))?;
        let mut terms = format!("{} {}", scope(SCOPE_COMPONENT, &component), scope(SCOPE_SESSION_TYPE, &kind));
        if let Some(project) = project {
            terms.push(' ');
            terms.push_str(&scope(SCOPE_PROJECT, &project));
        }
        self.scopes.insert(session.to_owned(), terms.clone());
        Ok(terms)
    }

    fn finish(self) -> Result<Amount, Failure> {
        self.changes.save(self.connection)?;
        // Nobody may come to learn the words anew; those of what is deleted do not outlive it, nor get into a backup.
        words::forget_outdated(self.connection)?;
        Ok(self.amount)
    }
}
