//! Reads exports: line by line, in bounded memory, a transaction for some thousand events.
//!
//! A line that cannot be taken is told with its number and its reason, and the others are stored. Ended at any point, an
//! import is made whole by running it again: each event is stored once.

use std::io::{BufRead, ErrorKind};

use oneiric::clock::Timestamp;
use oneiric::event::{Event, EventBatch, EventType};
use oneiric::fault::{Fault, Result};
use oneiric::id::SessionId;

use super::{EventLine, FORMAT, Header, Line, MAX_LINE_BYTES, SessionLine, VERSION, shown};
use crate::model::SessionStatus;
use crate::store::{Store, Unknown};
use crate::upkeep::Candidate;

/// Events, and bytes of their lines, that one transaction takes.
const GROUP_EVENTS: usize = 5_000;
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// A line that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Its number, from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that were read.
    pub bytes: u64,
    /// Events that were stored or known.
    pub events: u64,
}

/// What became of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Session lines.
    pub sessions: u64,
    /// Events stored now.
    pub stored: u64,
    /// Events that were stored before.
    pub duplicates: u64,
    /// Lines that were not taken.
    pub rejected: u64,
    /// What the first line promised; `None` when there was none.
    pub header: Option<Header>,
}

impl Report {
    /// Whether as much came as the first line promised.
    #[must_use]
    pub fn complete(&self) -> bool {
        let events = self.stored + self.duplicates;
        self.header.as_ref().is_none_or(|header| header.sessions == self.sessions && header.events <= events)
    }
}

/// An import under way.
pub struct Import<'s> {
    store: &'s dyn Store,
    told: &'s mut dyn FnMut(Trouble),
    report: Report,
    number: u64,
    /// The session whose events come now.
    session: Option<SessionLine>,
    batches: Vec<EventBatch>,
    /// Line number of each event that waits, in order.
    waiting: Vec<u64>,
    bytes: usize,
    /// Sessions whose process was gone, with the time they count as ended and their events.
    stale: Vec<(SessionId, Timestamp, u64)>,
    /// Sessions that were archived, and when.
    archived: Vec<(Candidate, Timestamp)>,
}

impl<'s> Import<'s> {
    /// Into `store`; each line that is not taken goes to `told`.
    #[must_use]
    pub fn new(store: &'s dyn Store, told: &'s mut dyn FnMut(Trouble)) -> Self {
        Self {
            store,
            told,
            report: Report::default(),
            number: 0,
            session: None,
            batches: Vec::new(),
            waiting: Vec::new(),
            bytes: 0,
            stale: Vec::new(),
            archived: Vec::new(),
        }
    }

    /// Reads all of `input`; `progress` hears from time to time how far it is.
    ///
    /// # Errors
    /// `Config` when a newer program wrote it, `Unavailable` when it cannot be read or the store cannot be written; what
    /// was stored until then stays.
    pub fn run(mut self, input: &mut dyn BufRead, progress: &mut dyn FnMut(Progress)) -> Result<Report> {
        let mut bytes = 0;
        let mut line = Vec::new();
        loop {
            line.clear();
            let (length, whole) = next_line(input, &mut line).map_err(|error| {
                Fault::unavailable(format!("cannot read line {}: {}", self.number + 1, oneiric::paths::plain(&error)))
            })?;
            if length == 0 {
                break;
            }
            self.number += 1;
            bytes += length;
            if whole {
                self.line(&line)?;
            } else {
                self.reject(self.number, format!("it has more than {MAX_LINE_BYTES} bytes"));
            }
            if self.waiting.len() >= GROUP_EVENTS || self.bytes >= GROUP_BYTES {
                self.flush()?;
                progress(Progress { bytes, events: self.report.stored + self.report.duplicates });
            }
        }
        self.close_session();
        self.flush()?;
        progress(Progress { bytes, events: self.report.stored + self.report.duplicates });
        Ok(self.report)
    }

    fn reject(&mut self, line: u64, reason: impl Into<String>) {
        self.report.rejected += 1;
        (self.told)(Trouble { line, reason: reason.into() });
    }

    fn line(&mut self, bytes: &[u8]) -> Result<()> {
        let Ok(text) = std::str::from_utf8(bytes) else {
            self.reject(self.number, "it is not UTF-8");
            return Ok(());
        };
        let text = text.trim();
        if text.is_empty() {
            return Ok(());
        }
        match Line::parse(text) {
            Ok(Line::Header(header)) => self.header(header)?,
            Ok(Line::Session(session)) => {
                self.close_session();
                self.report.sessions += 1;
                self.session = Some(session);
            }
            Ok(Line::Event(event)) => self.event(event, bytes.len()),
            Err(reason) => self.reject(self.number, reason),
        }
        Ok(())
    }

    fn header(&mut self, header: Header) -> Result<()> {
        if header.format != FORMAT {
            self.reject(self.number, format!("format '{}' is not {FORMAT}", shown(&header.format)));
        } else if header.version > VERSION {
            return Err(Fault::config(format!(
                "this export has version {}, and this program reads up to {VERSION}",
                header.version
            ))
            .hint("import it with the program that wrote it, or a newer one"));
        } else if let Some(promised) = &mut self.report.header {
            // Exports one after the other are one import.
            promised.sessions = promised.sessions.saturating_add(header.sessions);
            promised.events = promised.events.saturating_add(header.events);
        } else {
            self.report.header = Some(header);
        }
        Ok(())
    }

    fn event(&mut self, event: EventLine, bytes: usize) {
        // An event must not slip into a session that its export does not hold.
        if self.session.as_ref().is_none_or(|session| session.session_id != event.session_id) {
            let reason = format!("it is an event of session {}, whose line does not stand before it", event.session_id);
            return self.reject(self.number, reason);
        }
        let starts = event.event_type.as_str() == EventType::SESSION_START;
        let stored = Event {
            event_id: event.event_id,
            event_type: event.event_type,
            timestamp: event.timestamp,
            sequence: event.sequence,
            data: event.data,
        };
        match self.batches.last_mut() {
            // A start goes in front of its batch; what arrived before it has to stay before it.
            Some(batch) if batch.session_id == event.session_id && !starts => batch.events.push(stored),
            _ => self.batches.push(EventBatch { session_id: event.session_id, events: vec![stored] }),
        }
        self.waiting.push(self.number);
        self.bytes += bytes;
    }

    fn close_session(&mut self) {
        let Some(session) = self.session.take() else { return };
        if let Some(at) = session.archived_at {
            let session_id = session.session_id.as_str().to_owned();
            self.archived.push((Candidate { session_id, events: session.events }, at));
        }
        if let (SessionStatus::Stale, Some(end)) = (session.status, session.end_time) {
            self.stale.push((session.session_id, end, session.events));
        }
    }

    /// Stores what waits.
    fn flush(&mut self) -> Result<()> {
        let (batches, lines) = (std::mem::take(&mut self.batches), std::mem::take(&mut self.waiting));
        self.bytes = 0;
        let receipts = self.store.ingest(&batches, Unknown::Open)?;
        let mut lines = lines.into_iter();
        for (batch, receipt) in batches.iter().zip(receipts) {
            self.report.stored += receipt.accepted as u64;
            self.report.duplicates += receipt.duplicates as u64;
            let numbers: Vec<u64> = lines.by_ref().take(batch.events.len()).collect();
            for rejection in receipt.rejected {
                let at = batch.events.iter().position(|event| event.event_id.as_str() == rejection.event_id);
                let line = at.and_then(|at| numbers.get(at)).copied().unwrap_or(self.number);
                self.reject(line, rejection.reason);
            }
        }
        self.settle()
    }

    /// Sessions that were found without their process, or were archived, are so here too, when this store knows nothing else
    /// of them.
    fn settle(&mut self) -> Result<()> {
        let mut gone = Vec::new();
        for (id, end, events) in std::mem::take(&mut self.stale) {
            if !self.store.session_exists(&id)? {
                continue;
            }
            let here = self.store.session(id.as_str())?;
            if here.status == SessionStatus::Active && here.event_count == events {
                gone.push((id, end));
            }
        }
        self.store.abandon(&gone)?;
        self.store.put_away(&std::mem::take(&mut self.archived)).map(|_| ())
    }
}

/// Reads up to the next line end, which is not kept, or to the end. Gives the bytes that were passed (0 at the end), and
/// whether they are all in `line`: of a line that is too long, the rest is passed over.
fn next_line(input: &mut dyn BufRead, line: &mut Vec<u8>) -> std::io::Result<(u64, bool)> {
    let (mut passed, mut whole) = (0, true);
    loop {
        let available = match input.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            return Ok((passed, whole));
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        if whole && line.len() + part.len() <= MAX_LINE_BYTES {
            line.extend_from_slice(part);
        } else {
            whole = false;
            line.clear();
        }
        let used = part.len() + usize::from(end.is_some());
        passed += used as u64;
        input.consume(used);
        if end.is_some() {
            return Ok((passed, whole));
        }
    }
}
