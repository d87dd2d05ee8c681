//! Delivers spool files whose owner is gone.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::line::{Entry, EntryKind, Line, decode};
use super::{BATCH_BYTES, BATCH_EVENTS, DeliveryError, EXTENSION, EventSink, QUARANTINE};
use crate::clock::Clock;
use crate::event::{BatchReceipt, Event, EventBatch};
use crate::id::{EventId, SessionId};
use crate::paths::{ensure_private_dir, plain, private_file};

/// Longest line that is read; a longer one is damaged by definition.
const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;

/// What [`drain`] did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct DrainReport {
    /// Files delivered whole and removed.
    pub sessions: usize,
    /// Events stored by this.
    pub events: usize,
    /// Events that were stored before.
    pub duplicates: usize,
    /// Events that the sink will never take; they are in the quarantine.
    pub rejected: usize,
    /// Files in the quarantine that this added to.
    pub quarantined: Vec<PathBuf>,
    /// Orphans that remain.
    pub left: usize,
    /// What stopped it, when something did.
    pub error: Option<DeliveryError>,
}

/// How much waits.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Spool files, of living sessions and of orphans.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Files and bytes in the spool. A folder that does not exist is empty.
#[must_use]
pub fn depth(dir: &Path) -> Depth {
    let mut depth = Depth::default();
    for path in spool_files(dir) {
        if let Ok(meta) = fs::metadata(&path) {
            depth.files += 1;
            depth.bytes += meta.len();
        }
    }
    depth
}

/// Sessions whose spool files have no living owner.
#[must_use]
pub fn orphans(dir: &Path) -> Vec<SessionId> {
    spool_files(dir)
        .iter()
        .filter(|path| adopt(path).is_ok_and(|file| file.is_some()))
        .filter_map(|path| session_of(path))
        .collect()
}

/// Delivers orphans, oldest session first, until all are done, `limit` is over or the sink fails.
///
/// A file leaves only after every event in it was acknowledged or put into the quarantine, so a crash at any point
/// costs a second delivery and nothing else.
pub fn drain(dir: &Path, sink: &dyn EventSink, clock: &dyn Clock, limit: Duration) -> DrainReport {
    let mut report = DrainReport::default();
    let end = clock.monotonic() + limit;
    for path in spool_files(dir) {
        let Some(session) = session_of(&path) else { continue };
        // Somebody lives in it, or another process is faster, or it cannot be read: not ours now.
        let Ok(Some(file)) = adopt(&path) else { continue };
        let left = end.saturating_sub(clock.monotonic());
        if left.is_zero() || report.error.as_ref().is_some_and(|error| !matches!(error, DeliveryError::Refused(_))) {
            report.left += 1;
            continue;
        }
        let mut delivery = Delivery { dir, session: &session, sink, clock, end, report: &mut report };
        match delivery.file(&file) {
            Ok(()) => match fs::remove_file(&path) {
                Ok(()) => report.sessions += 1,
                Err(error) => fail(&mut report, &path, &error),
            },
            Err(Stop::Sink(error)) => {
                report.left += 1;
                report.error = Some(error);
            }
            Err(Stop::File(error)) => fail(&mut report, &path, &error),
        }
    }
    report
}

fn fail(report: &mut DrainReport, path: &Path, error: &io::Error) {
    report.left += 1;
    report.error = Some(DeliveryError::Failed(format!("cannot finish {}: {}", path.display(), plain(error))));
}

enum Stop {
    Sink(DeliveryError),
    File(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

struct Delivery<'a> {
    dir: &'a Path,
    session: &'a SessionId,
    sink: &'a dyn EventSink,
    clock: &'a dyn Clock,
    end: Duration,
    report: &'a mut DrainReport,
}

impl Delivery<'_> {
    fn file(&mut self, file: &File) -> Result<(), Stop> {
        let mut reader = BufReader::new(file);
        // What began and has not been seen to end. A shell runs one command at a time, so this stays small.
        let mut begun: BTreeMap<EventId, Event> = BTreeMap::new();
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = io::Read::take(&mut reader, MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            let whole = line.strip_suffix(b"\n");
            match whole.map_or(Line::Damaged, decode) {
                Line::Entry(entry) => {
                    let Entry { kind, event } = *entry;
                    if kind == EntryKind::Begin {
                        begun.insert(event.event_id.clone(), event);
                        continue;
                    }
                    begun.remove(&event.event_id);
                    batch.push(event);
                    bytes += read;
                }
                Line::Damaged => self.quarantine(&line)?,
            }
            if batch.len() >= BATCH_EVENTS || bytes >= BATCH_BYTES {
                self.send(std::mem::take(&mut batch))?;
                bytes = 0;
            }
        }
        batch.extend(begun.into_values());
        self.send(batch)
    }

    fn send(&mut self, events: Vec<Event>) -> Result<(), Stop> {
        if events.is_empty() {
            return Ok(());
        }
        let left = self.end.saturating_sub(self.clock.monotonic());
        if left.is_zero() {
            return Err(Stop::Sink(DeliveryError::TimedOut(
                "the time for delivery is over; the rest follows later".into(),
            )));
        }
        let batch = EventBatch { session_id: self.session.clone(), events };
        let receipt = self.sink.deliver(&batch, left).map_err(Stop::Sink)?;
        self.report.events += receipt.accepted;
        self.report.duplicates += receipt.duplicates;
        self.report.rejected += receipt.rejected.len();
        for line in rejected_lines(&batch, &receipt) {
            self.quarantine(&line)?;
        }
        Ok(())
    }

    fn quarantine(&mut self, line: &[u8]) -> io::Result<()> {
        let path = quarantine(self.dir, self.session, line)?;
        if !self.report.quarantined.contains(&path) {
            self.report.quarantined.push(path);
        }
        Ok(())
    }
}

/// One JSON line for each event that the sink will never take, with its reason.
pub(crate) fn rejected_lines(batch: &EventBatch, receipt: &BatchReceipt) -> Vec<Vec<u8>> {
    let line = |rejection: &crate::event::Rejection| {
        let event = batch.events.iter().find(|event| event.event_id.as_str() == rejection.event_id)?;
        serde_json::to_vec(&serde_json::json!({ "rejected": rejection.reason, "event": event })).ok()
    };
    receipt.rejected.iter().filter_map(line).collect()
}

/// Keeps what cannot be delivered where a person can look at it; returns the file.
pub(crate) fn quarantine(dir: &Path, session: &SessionId, line: &[u8]) -> io::Result<PathBuf> {
    let folder = dir.join(QUARANTINE);
    ensure_private_dir(&folder)?;
    let path = folder.join(format!("{session}.lines"));
    let mut file = private_file().append(true).create(true).open(&path)?;
    file.write_all(line)?;
    if line.last() != Some(&b'\n') {
        file.write_all(b"\n")?;
    }
    file.sync_data()?;
    Ok(path)
}

/// Locks an orphan. `None` when it has an owner or is no longer there.
fn adopt(path: &Path) -> io::Result<Option<File>> {
    let file = private_file().read(true).open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    // Between opening and locking another process may have delivered and removed it.
    let same = fs::metadata(path).is_ok_and(|there| file.metadata().is_ok_and(|here| there.ino() == here.ino()));
    Ok(same.then_some(file))
}

fn session_of(path: &Path) -> Option<SessionId> {
    SessionId::parse(path.file_stem()?.to_str()?).ok()
}

/// Spool files by name, which is by age: ids sort by time.
fn spool_files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == EXTENSION))
        .collect();
    files.sort();
    files
}
