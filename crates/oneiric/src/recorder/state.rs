//! What a recorder knows: the spool file, how far it is acknowledged, and what waits in memory instead.

use std::collections::VecDeque;
use std::fs::File;
use std::time::Duration;

use super::{RecorderConfig, Stats};
use crate::clock::Timestamp;
use crate::count::counted;
use crate::event::Event;
use crate::id::SessionId;
use crate::paths::{ensure_private_dir, plain, private_file};
use crate::spool::{DeliveryError, Entry, EntryKind, SpoolFile};

/// A file that holds nothing unacknowledged is emptied from this size on.
const CLEAR_BYTES: u64 = 256 * 1024;
/// Name of the mark that somebody's delivery ran into its time limit.
const SLOW_MARK: &str = ".receiver-slow";
/// How long the mark counts.
const SLOW_FOR: Duration = Duration::from_secs(30);
/// Exit deadline while it counts.
const SLOW_DEADLINE: Duration = Duration::from_millis(20);

pub(crate) struct State {
    pub(crate) header: Event,
    spool: Option<SpoolFile>,
    reader: Option<File>,
    /// Offset up to which the file is acknowledged.
    pub(crate) acknowledged: u64,
    /// Events that found no place on disk, oldest first.
    pub(crate) memory: VecDeque<Event>,
    pub(crate) stats: Stats,
    pub(crate) warnings: Vec<String>,
    warned_spool: bool,
    sequence: u64,
    last: Timestamp,
    pub(crate) errors: u64,
    /// The command that runs, as it is known if it is never seen to end.
    pub(crate) open_command: Option<Event>,
    pub(crate) commands_since_checkpoint: u64,
    /// Monotonic time at which the oldest undelivered event came; `None` when none waits.
    pub(crate) waiting_since: Option<Duration>,
    pub(crate) flush_wanted: u64,
    pub(crate) flush_done: u64,
    pub(crate) closing: bool,
    pub(crate) last_error: Option<DeliveryError>,
    slow: bool,
}

impl State {
    pub(crate) fn open(config: &RecorderConfig, session: &SessionId, header: Event, now: Duration) -> Self {
        let mut state = Self {
            last: header.timestamp,
            header: header.clone(),
            spool: None,
            reader: None,
            acknowledged: 0,
            memory: VecDeque::new(),
            stats: Stats::default(),
            warnings: Vec::new(),
            warned_spool: false,
            sequence: 0,
            errors: 0,
            open_command: None,
            commands_since_checkpoint: 0,
            waiting_since: None,
            flush_wanted: 0,
            flush_done: 0,
            closing: false,
            last_error: None,
            slow: false,
        };
        if !config.enabled {
            return state;
        }
        match SpoolFile::create(&config.spool_dir, session).and_then(|file| Ok((file.handle()?, file))) {
            Ok((reader, file)) => {
                state.reader = Some(reader);
                state.spool = Some(file);
                state.slow = slow_mark_counts(config);
            }
            Err(error) => state.warn_spool(config, &error),
        }
        state.append(config, header, now);
        state
    }

    /// Time and sequence of the next event. Time never runs backwards within a session, whatever the clock does.
    pub(crate) fn stamp(&mut self, now: Timestamp) -> (Timestamp, u64) {
        self.last = self.last.max(now);
        self.sequence += 1;
        (self.last, self.sequence)
    }

    pub(crate) fn append_begin(&mut self, entry: Entry) {
        self.open_command = Some(entry.event.clone());
        if let Some(spool) = &mut self.spool {
            // Should this fail, the event itself will fail too and is told then.
            let _ = spool.append(&entry);
        }
    }

    /// Accepts an event: on the spool, else in memory, else it is counted as dropped and told.
    pub(crate) fn append(&mut self, config: &RecorderConfig, event: Event, now: Duration) {
        self.waiting_since.get_or_insert(now);
        let entry = Entry { kind: EntryKind::Event, event };
        let written = match &mut self.spool {
            Some(spool) => spool.append(&entry),
            None => Err(std::io::ErrorKind::NotFound.into()),
        };
        match written {
            Ok(()) => self.stats.accepted += 1,
            Err(error) => {
                if self.spool.is_some() {
                    self.warn_spool(config, &error);
                }
                if self.memory.len() < config.max_size {
                    self.stats.accepted += 1;
                    self.memory.push_back(entry.event);
                } else {
                    self.stats.dropped += 1;
                    if self.stats.dropped.is_power_of_two() {
                        self.warnings.push(format!(
                            "{} not recorded: the spool cannot be written and memory holds its {} already; free some space in {}",
                            counted(self.stats.dropped, "event is", "events are"),
                            config.max_size,
                            config.spool_dir.display()
                        ));
                    }
                }
            }
        }
    }

    fn warn_spool(&mut self, config: &RecorderConfig, error: &std::io::Error) {
        if !self.warned_spool {
            self.warned_spool = true;
            self.warnings.push(format!(
                "cannot write the spool {}: {}; mend that or make room: until then up to {} in memory, and are lost if nobody takes them before the end",
                config.spool_dir.display(),
                plain(error),
                counted(config.max_size, "event waits", "events wait")
            ));
        }
    }

    /// Accepted events that are not acknowledged.
    pub(crate) fn pending(&self) -> u64 {
        self.stats.accepted - self.stats.delivered
    }

    pub(crate) fn why_pending(&self) -> String {
        self.last_error.as_ref().map_or_else(|| "no answer in time".to_owned(), ToString::to_string)
    }

    /// End of the spool file and a handle to read it.
    pub(crate) fn spooled(&self) -> Option<(u64, std::io::Result<File>)> {
        Some((self.spool.as_ref()?.len(), self.reader.as_ref()?.try_clone()))
    }

    /// A delivery was acknowledged.
    pub(crate) fn acknowledge(&mut self, upto: Option<u64>, from_memory: usize, events: u64, now: Duration) {
        if let Some(upto) = upto {
            self.acknowledged = upto;
        }
        self.memory.drain(..from_memory.min(self.memory.len()));
        self.stats.delivered += events;
        self.last_error = None;
        self.waiting_since = (self.pending() > 0).then_some(now);
        let quiet = self.pending() == 0 && self.open_command.is_none();
        if quiet
            && let Some(spool) = &mut self.spool
            && spool.len() > CLEAR_BYTES
            && spool.clear().is_ok()
        {
            self.acknowledged = 0;
            // Stands in front of what comes, for whoever delivers the file should this process die.
            let header = Entry { kind: EntryKind::Event, event: self.header.clone() };
            if spool.append(&header).is_ok() {
                self.acknowledged = spool.len();
            }
        }
    }

    /// How long the end may take: short when somebody found the receiver slow a moment ago.
    pub(crate) fn closing_deadline(&self, config: &RecorderConfig) -> Duration {
        if self.slow { SLOW_DEADLINE.min(config.exit_deadline) } else { config.exit_deadline }
    }

    /// Events that memory holds get a last chance to reach the disk, which may have room again.
    pub(crate) fn rescue(&mut self, config: &RecorderConfig, session: &SessionId) {
        if self.memory.is_empty() {
            return;
        }
        if self.spool.is_none() {
            self.spool = SpoolFile::create(&config.spool_dir, session).ok();
            if let Some(spool) = &mut self.spool {
                let _ = spool.append(&Entry { kind: EntryKind::Event, event: self.header.clone() });
            }
        }
        let Some(spool) = &mut self.spool else { return };
        while let Some(event) = self.memory.pop_front() {
            let entry = Entry { kind: EntryKind::Event, event };
            if spool.append(&entry).is_err() {
                self.memory.push_front(entry.event);
                return;
            }
        }
    }

    /// Leaves the spool as the next one should find it: no file when nothing waits, on disk when something does.
    pub(crate) fn retire(&mut self, config: &RecorderConfig) {
        let pending = self.pending() > 0;
        let mark = config.spool_dir.join(SLOW_MARK);
        if pending && matches!(self.last_error, None | Some(DeliveryError::TimedOut(_))) {
            let _ = private_file().write(true).create(true).truncate(true).open(&mark);
        } else if self.slow && !pending {
            let _ = std::fs::remove_file(&mark);
        }
        self.reader = None;
        if let Some(spool) = self.spool.take() {
            if pending {
                let _ = spool.handle().and_then(|file| file.sync_data());
            } else {
                let _ = spool.remove();
            }
        }
    }
}

fn slow_mark_counts(config: &RecorderConfig) -> bool {
    let _ = ensure_private_dir(&config.spool_dir);
    let age = std::fs::metadata(config.spool_dir.join(SLOW_MARK)).and_then(|meta| meta.modified());
    // A clock that went back makes the mark young for ever; then it does not count.
    age.is_ok_and(|at| at.elapsed().is_ok_and(|age| age < SLOW_FOR))
}
