//! Stores prepared batches inside the writer's transaction.

use std::collections::HashMap;

use oneiric::clock::Timestamp;
use oneiric::event::{BatchReceipt, Rejection};
use oneiric::fault::Fault;
use rusqlite::{CachedStatement, Connection, OptionalExtension};

use super::archive;
use super::cell;
use super::counters::{self, Changes};
use super::failure::Failure;
use super::prepare::{Batch, Effect, Ready};
use super::session_row::{SCOPE_EVENT_TYPE, SessionRow, scope};
use super::sessions;
use crate::model::{Page, Session, SessionFilter};
use crate::store::{STARTED_ALREADY, Unknown};

/// Events of one row of `event_blocks`: 2 to this power.
pub(super) const BLOCK_BITS: u32 = 10;

/// One transaction's work.
pub(super) struct Ingest<'c> {
    connection: &'c Connection,
    insert: CachedStatement<'c>,
    index: CachedStatement<'c>,
    sessions: HashMap<String, SessionRow>,
    changes: Changes,
    /// Earliest and latest time of each block's new events.
    blocks: HashMap<i64, (String, String)>,
    /// Event types: their search term and the new events of each.
    types: HashMap<String, (String, f64)>,
    words: usize,
    /// Whether the archive holds anything.
    archive: bool,
    next_seq: i64,
    first_seq: i64,
    now: String,
    line: String,
}

enum Stored {
    New(i64),
    Duplicate,
    Elsewhere,
}

impl<'c> Ingest<'c> {
    pub(super) fn begin(connection: &'c Connection, now: &str) -> Result<Self, Failure> {
        // Counted as well, so that a number is not given again after its row was deleted.
        let highest: i64 = connection
            .prepare_cached("SELECT coalesce(max(seq), 0) FROM session_events")?
            .query_row([], |row| row.get(0))?;
        let given = counters::value(connection, counters::LAST_SEQ)? as i64;
        let next_seq = highest.max(given) + 1;
        Ok(Self {
            connection,
            insert: connection.prepare_cached(
                "INSERT INTO session_events (seq, event_id, session_id, event_type, timestamp, data, sequence, received_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (event_id) DO NOTHING",
            )?,
            index: connection.prepare_cached("INSERT INTO event_search (rowid, terms) VALUES (?1, ?2)")?,
            sessions: HashMap::new(),
            changes: Changes::default(),
            blocks: HashMap::new(),
            types: HashMap::new(),
            words: 0,
            archive: archive::in_use(connection)?,
            next_seq,
            first_seq: next_seq,
            now: now.to_owned(),
            line: String::new(),
        })
    }

    /// Stores the batches of one call; refuses the call whole when it names an unknown session and may not open one.
    pub(super) fn call(&mut self, batches: &[Batch], unknown: Unknown) -> Result<Vec<BatchReceipt>, Failure> {
        if unknown == Unknown::Refuse {
            for batch in batches {
                let starts = batch.events.iter().any(|event| matches!(event.effect, Effect::Start(_)));
                // What of it was refused already says why.
                let nothing = batch.events.is_empty() && !batch.rejected.is_empty();
                if !starts && !nothing && !self.load(&batch.session_id)? && !self.archived(&batch.session_id)? {
                    return Err(sessions::unknown(self.connection, &batch.session_id)?.into());
                }
            }
        }
        batches.iter().map(|batch| self.batch(batch)).collect()
    }

    /// Whether the session is known; it is in `sessions` then.
    fn load(&mut self, id: &str) -> Result<bool, Failure> {
        if self.sessions.contains_key(id) {
            return Ok(true);
        }
        let Some(row) = SessionRow::load(self.connection, id)? else { return Ok(false) };
        self.sessions.insert(id.to_owned(), row);
        Ok(true)
    }

    fn archived(&self, id: &str) -> Result<bool, Failure> {
        Ok(self.archive && sessions::archived(self.connection, id)?)
    }

    fn batch(&mut self, batch: &Batch) -> Result<BatchReceipt, Failure> {
        let mut receipt = BatchReceipt { rejected: batch.rejected.clone(), ..BatchReceipt::default() };
        let Some(first) = batch.events.first() else { return Ok(receipt) };
        let mut known = self.load(&batch.session_id)?;
        if !known && self.archived(&batch.session_id)? {
            let ids = batch.events.iter().map(|event| event.event_id.as_str());
            if archive::holds_all(self.connection, &batch.session_id, ids)? {
                receipt.duplicates = batch.events.len();
                return Ok(receipt);
            }
            // Something new of it: it is no finished matter, and goes on where it was.
            archive::bring_back(self.connection, &batch.session_id)?;
            known = self.load(&batch.session_id)?;
        }
        let mut session = match self.sessions.remove(&batch.session_id) {
            Some(session) => session,
            None => {
                let mut session = SessionRow::provisional(&batch.session_id, first.timestamp);
                session.insert(self.connection, &self.now)?;
                session
            }
        };
        let received = batch.received.to_string();
        let mut scope_terms = session.scope_terms();
        // The start goes first wherever it stands in its batch: then every event has the session's search scope.
        let start = batch.events.iter().position(|event| matches!(event.effect, Effect::Start(_)));
        let order = start.into_iter().chain((0..batch.events.len()).filter(|index| Some(*index) != start));
        for event in order.map(|index| &batch.events[index]) {
            let starts = match &event.effect {
                Effect::Start(data) if session.start_event_id.as_deref() != Some(&event.event_id) => {
                    if session.start_event_id.is_some() {
                        receipt.rejected.push(reject(event, format!("session {} {STARTED_ALREADY}", batch.session_id)));
                        continue;
                    }
                    Some(data)
                }
                _ => None,
            };
            match self.store(event, &batch.session_id, &received)? {
                Stored::Duplicate => receipt.duplicates += 1,
                Stored::Elsewhere => {
                    receipt.rejected.push(reject(event, "event_id belongs to an event of another session"))
                }
                Stored::New(seq) => {
                    receipt.accepted += 1;
                    if let Some(data) = starts {
                        session.begin(event, data);
                        scope_terms = session.scope_terms();
                        if session.event_count > 0 {
                            self.scope_earlier(&batch.session_id, seq, &scope_terms)?;
                        }
                    }
                    session.count(event);
                    self.index(seq, event, &scope_terms)?;
                }
            }
        }
        self.changes.add(
            counters::REDACTIONS,
            "",
            "",
            if receipt.accepted > 0 { batch.redactions as f64 } else { 0.0 },
        );
        if session.is_new() && session.event_count == 0 && !known {
            // Nothing of it was worth keeping.
            self.connection
                .prepare_cached("DELETE FROM sessions WHERE session_id = ?1")?
                .execute([&batch.session_id])?;
        } else {
            self.sessions.insert(batch.session_id.clone(), session);
        }
        Ok(receipt)
    }

    fn store(&mut self, event: &Ready, session_id: &str, received: &str) -> Result<Stored, Failure> {
        if self.archive && archive::owner(self.connection, &event.event_id)?.is_some() {
            return Ok(Stored::Elsewhere);
        }
        let seq = self.next_seq;
        let stored = self.insert.execute((
            seq,
            &event.event_id,
            session_id,
            &event.event_type,
            &event.time_text,
            &event.data,
            event.sequence,
            received,
        ))?;
        if stored == 1 {
            self.next_seq += 1;
            self.words += event.length;
            let block = self.blocks.entry(seq >> BLOCK_BITS);
            let (earliest, latest) = block.or_insert_with(|| (event.time_text.clone(), event.time_text.clone()));
            if event.time_text < *earliest {
                earliest.clone_from(&event.time_text);
            }
            if event.time_text > *latest {
                latest.clone_from(&event.time_text);
            }
            return Ok(Stored::New(seq));
        }
        let owner: Option<String> = self
            .connection
            .prepare_cached("SELECT session_id FROM session_events WHERE event_id = ?1")?
            .query_row([&event.event_id], |row| cell::id(row, 0))
            .optional()?;
        Ok(if owner.as_deref() == Some(session_id) { Stored::Duplicate } else { Stored::Elsewhere })
    }

    fn index(&mut self, seq: i64, event: &Ready, scope_terms: &str) -> Result<(), Failure> {
        if !self.types.contains_key(&event.event_type) {
            self.types.insert(event.event_type.clone(), (scope(SCOPE_EVENT_TYPE, &event.event_type), 0.0));
        }
        let mut kind = "";
        if let Some((term, count)) = self.types.get_mut(&event.event_type) {
            *count += 1.0;
            kind = term;
        }
        self.line.clear();
        for (index, part) in [event.terms.as_str(), kind, scope_terms].into_iter().enumerate() {
            if index > 0 {
                self.line.push(' ');
            }
            self.line.push_str(part);
        }
        self.index.execute((seq, &self.line))?;
        Ok(())
    }

    /// Events that came before their session's start get its search scope now.
    fn scope_earlier(&mut self, session_id: &str, before: i64, scope_terms: &str) -> Result<(), Failure> {
        let mut select =
            self.connection.prepare_cached("SELECT seq FROM session_events WHERE session_id = ?1 AND seq < ?2")?;
        let earlier =
            select.query_map((session_id, before), |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
        for seq in earlier {
            self.index.execute((seq, scope_terms))?;
        }
        Ok(())
    }

    /// Marks sessions whose process is gone; gives back those that were still active.
    pub(super) fn abandon(&mut self, ids: &[(String, Timestamp)]) -> Result<Vec<String>, Failure> {
        let mut changed = Vec::new();
        for (id, now) in ids {
            if self.load(id)? && self.sessions.get_mut(id).is_some_and(|session| session.abandon(*now)) {
                changed.push(id.clone());
            }
        }
        Ok(changed)
    }

    /// Writes what was gathered; the transaction can be committed then. Whether there were new events.
    pub(super) fn finish(mut self) -> Result<bool, Failure> {
        for session in self.sessions.values() {
            session.save(self.connection, &self.now)?;
            self.changes.replace(session.stored.as_ref(), Some(&session.contribution()));
        }
        if self.next_seq > self.first_seq {
            counters::set(self.connection, counters::LAST_SEQ, (self.next_seq - 1) as f64)?;
        }
        let mut upsert = self.connection.prepare_cached(
            "INSERT INTO event_blocks (block, first_time, last_time) VALUES (?1, ?2, ?3)
             ON CONFLICT (block) DO UPDATE SET
                first_time = min(first_time, excluded.first_time), last_time = max(last_time, excluded.last_time)",
        )?;
        for (block, (earliest, latest)) in &self.blocks {
            upsert.execute((block, earliest, latest))?;
        }
        for (event_type, (_, count)) in &self.types {
            self.changes.add(counters::EVENTS, "", event_type, *count);
        }
        self.changes.add(counters::WORDS, "", "", self.words as f64);
        self.changes.save(self.connection)?;
        Ok(self.next_seq > self.first_seq)
    }
}

/// Stores whole batches in a transaction of their own, unless there is a session that one of the filters lets pass.
pub(super) fn unless(
    connection: &Connection,
    now: &str,
    batches: &[Batch],
    filters: &[SessionFilter],
) -> Result<Option<Session>, Failure> {
    for filter in filters {
        if let Some(session) = sessions::list(connection, filter, Page::first(1))?.pop() {
            return Ok(Some(session));
        }
    }
    let mut ingest = Ingest::begin(connection, now)?;
    // Of a batch whose start is refused, that is what is to be told, not that its session is unknown.
    let receipts = ingest.call(batches, Unknown::Open)?;
    if let Some(rejection) = receipts.iter().find_map(|receipt| receipt.rejected.first()) {
        return Err(Fault::user(rejection.reason.clone()).into());
    }
    ingest.finish()?;
    Ok(None)
}

fn reject(event: &Ready, reason: impl Into<String>) -> Rejection {
    Rejection { event_id: event.event_id.clone(), reason: reason.into() }
}

/// A call's answer, or why it was refused; anything else fails the transaction.
pub(super) fn answer<T>(done: Result<T, Failure>) -> Result<Result<T, Fault>, Failure> {
    match done {
        Ok(receipts) => Ok(Ok(receipts)),
        Err(Failure::Fault(fault)) => Ok(Err(fault)),
        Err(failure) => Err(failure),
    }
}
