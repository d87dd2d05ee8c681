//! Reads exports: line by line, in bounded memory, a transaction for some thousand events.
//!
//! A line that cannot be taken is told with its number and its reason, and the others are stored. Ended at any point, an
//! import is made whole by running it again: each event is stored once.

use std::io::{BufRead, ErrorKind};

use oneiric::clock::Timestamp;
use oneiric::event::{Event, EventBatch, EventType};
use oneiric::fault::{Fault, Result};
use oneiric::id::SessionId;

use super::{EventLine, FORMAT, Header, Line, MAX_LINE_BYTES, SessionLine, VERSION, shown, wrong};
use crate::model::SessionStatus;
use crate::store::{Store, Unknown};
use crate::upkeep::{ArchivedElsewhere, Candidate};

/// Events, and bytes of their lines, that one transaction takes.
const GROUP_EVENTS: usize = 5_000;
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// Lines that are not understood before any that is, after which a file counts as something else.
const FOREIGN_LINES: usize = 50;
/// Longest line that is looked at as a header.
const MAX_HEADER_BYTES: usize = 4_096;

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
    /// Whether as much came as the first line promised, or more: a file that others were appended to.
    #[must_use]
    pub fn complete(&self) -> bool {
        let events = self.stored + self.duplicates;
        self.header.as_ref().is_none_or(|header| header.sessions <= self.sessions && header.events <= events)
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
    archived: Vec<ArchivedElsewhere>,
    /// Whether the session whose events come now was not known before.
    brought: bool,
    /// What was wrong with lines before the first that is one of an export's: until it comes, this may be no export at all.
    held: Option<Vec<Trouble>>,
}

/// Looks through a file for headers that an import of it would be refused for, so that nothing of it is stored then.
///
/// # Errors
/// As [`Import::run`] says it of a header; `Unavailable` when the file cannot be read.
pub fn check_headers(input: &mut dyn BufRead) -> Result<()> {
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        number += 1;
        let (length, whole) = next_line(input, &mut line).map_err(|error| unreadable(number, &error))?;
        if length == 0 {
            return Ok(());
        }
        let short = whole && line.len() <= MAX_HEADER_BYTES;
        if short
            && let Ok(text) = std::str::from_utf8(&line)
            && text.contains("\"header\"")
        {
            refused(number, trimmed(text)).map_or(Ok(()), |fault| {
                Err(with_hint(&fault, &format!("{}; nothing was imported", fault.message())))
            })?;
        }
    }
}

/// A line's text without a line end, blanks, and the mark with which some programs begin a file in UTF-8.
fn trimmed(text: &str) -> &str {
    text.trim().trim_start_matches('\u{feff}').trim_start()
}

fn with_hint(fault: &Fault, message: &str) -> Fault {
    let told = Fault::new(fault.kind(), message);
    fault.advice().map_or(told.clone(), |hint| told.hint(hint))
}

fn unreadable(number: u64, error: &std::io::Error) -> Fault {
    Fault::unavailable(format!("cannot read line {number}: {}", oneiric::paths::plain(error)))
}

/// Why nothing from this header on can be taken.
fn refused(number: u64, text: &str) -> Option<Fault> {
    if let Some(format) = wrong::other_format(text) {
        let format = shown(&format);
        return Some(
            Fault::user(format!(
                "this is no export of Session-Buddy: line {number} says format '{format}', not {FORMAT}"
            ))
            .hint("import what 'session-buddy export' wrote, and nothing else with it"),
        );
    }
    match Line::parse(text) {
        Ok(Line::Header(header)) if header.version > VERSION => Some(
            Fault::config(format!(
                "this export has version {}, and this program reads up to {VERSION}",
                header.version
            ))
            .hint("import it with the program that wrote it, or a newer one"),
        ),
        _ => None,
    }
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
            brought: false,
            held: Some(Vec::new()),
        }
    }

    /// Reads all of `input`; `progress` hears from time to time how far it is.
    ///
    /// # Errors
    /// `User` when it is something else than an export, `Config` when a newer program wrote it, `Unavailable` when it
    /// cannot be read or the store cannot be written; what was stored until then stays.
    pub fn run(mut self, input: &mut dyn BufRead, progress: &mut dyn FnMut(Progress)) -> Result<Report> {
        let mut bytes = 0;
        let mut line = Vec::new();
        loop {
            line.clear();
            let (length, whole) = next_line(input, &mut line).map_err(|error| unreadable(self.number + 1, &error))?;
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
            if self.held.as_ref().is_some_and(|held| held.len() >= FOREIGN_LINES) {
                break;
            }
            if self.waiting.len() >= GROUP_EVENTS || self.bytes >= GROUP_BYTES {
                self.flush()?;
                progress(Progress { bytes, events: self.report.stored + self.report.duplicates });
            }
        }
        if let Some(first) = self.held.iter().flatten().next() {
            return Err(Fault::user(format!(
                "this is no export of Session-Buddy: line {}: {}",
                first.line, first.reason
            ))
            .hint("import what 'session-buddy export' wrote"));
        }
        self.close_session();
        self.flush()?;
        progress(Progress { bytes, events: self.report.stored + self.report.duplicates });
        Ok(self.report)
    }

    fn reject(&mut self, line: u64, reason: impl Into<String>) {
        self.report.rejected += 1;
        let trouble = Trouble { line, reason: reason.into() };
        match &mut self.held {
            Some(held) => held.push(trouble),
            None => (self.told)(trouble),
        }
    }

    /// This is an export, whatever came before.
    fn release(&mut self) {
        self.held.take().into_iter().flatten().for_each(|trouble| (self.told)(trouble));
    }

    fn line(&mut self, bytes: &[u8]) -> Result<()> {
        let Ok(text) = std::str::from_utf8(bytes) else {
            self.reject(self.number, "it is not UTF-8");
            return Ok(());
        };
        let text = trimmed(text);
        if text.is_empty() {
            return Ok(());
        }
        let line = Line::parse(text);
        if let Err(_) | Ok(Line::Header(_)) = line
            && let Some(fault) = refused(self.number, text)
        {
            return Err(fault);
        }
        if line.is_ok() {
            self.release();
        }
        match line {
            Ok(Line::Header(header)) => self.header(header),
            Ok(Line::Session(session)) => {
                self.close_session();
                self.report.sessions += 1;
                self.brought = session.archived_at.is_some() && !self.store.session_exists(&session.session_id)?;
                self.session = Some(session);
            }
            Ok(Line::Event(event)) => self.event(event, bytes.len()),
            Err(reason) => self.reject(self.number, reason),
        }
        Ok(())
    }

    fn header(&mut self, header: Header) {
        if let Some(promised) = &mut self.report.header {
            // Exports one after the other are one import.
            promised.sessions = promised.sessions.saturating_add(header.sessions);
            promised.events = promised.events.saturating_add(header.events);
        } else {
            self.report.header = Some(header);
        }
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
            let session = Candidate { session_id, events: session.events };
            self.archived.push(ArchivedElsewhere { session, at, brought: self.brought });
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
