//! Records one session: redacts, spools at once, delivers in the background.
//!
//! Nothing here makes its caller wait for the network except [`Recorder::sync`] and [`Recorder::close`], which have a
//! deadline. Without a spool that can be written, events wait in memory, at most `max_size` of them.

mod sender;
mod state;

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::clock::Clock;
use crate::event::{CommandData, Event, EventType, SessionEnd, SessionStart};
use crate::id::{EventId, SessionId};
use crate::redact::Redactor;
use crate::spool::{Entry, EntryKind, EventSink};
use state::State;

/// How a session is recorded.
#[derive(Clone, Debug)]
pub struct RecorderConfig {
    /// Off: nothing is recorded, and everything here does nothing.
    pub enabled: bool,
    /// Folder of the spool.
    pub spool_dir: PathBuf,
    /// Waiting events at which delivery starts without waiting for the interval; also how many memory holds when
    /// the spool cannot be written.
    pub max_size: usize,
    /// Longest time that an event waits for its first delivery.
    pub flush_interval: Duration,
    /// Longest time that [`Recorder::close`] waits for delivery.
    pub exit_deadline: Duration,
    /// Time between checkpoints while commands run.
    pub checkpoint_interval: Duration,
    /// Bytes of output that a command event keeps.
    pub output_cap: usize,
}

/// A command that runs.
#[derive(Debug)]
#[must_use = "a command that began is finished by Recorder::finish"]
pub struct Pending {
    event_id: EventId,
    timestamp: crate::clock::Timestamp,
    sequence: u64,
    command: String,
    kind: String,
    started: Duration,
}

/// What a command printed.
#[derive(Debug, Default, Clone)]
pub struct Captured {
    /// Its beginning, unredacted; give more than `output_cap`, so that a secret at the cap is seen whole.
    pub excerpt: String,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Exit code, when there is one.
    pub exit_code: Option<i32>,
    /// `completed`, `failed` or `interrupted`.
    pub outcome: &'static str,
    /// The error's text.
    pub error: Option<String>,
    /// What it printed.
    pub output: Captured,
    /// Working directory, when it is not the session's.
    pub cwd: Option<String>,
}

/// Counts of one recorder.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Events on the spool or in memory, ever.
    pub accepted: u64,
    /// Acknowledged.
    pub delivered: u64,
    /// Accepted and not yet acknowledged.
    pub pending: u64,
    /// Given up, because neither disk nor memory had room. Each was told by a warning.
    pub dropped: u64,
    /// Commands finished.
    pub commands: u64,
}

/// What a [`Recorder::sync`] came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncReport {
    /// Events acknowledged during it.
    pub delivered: u64,
    /// Events that still wait.
    pub pending: u64,
    /// Why, when some do.
    pub error: Option<String>,
}

/// What a [`Recorder::close`] came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseReport {
    /// Events that still wait on the spool; others will deliver them.
    pub pending: u64,
    /// Events lost with this process, because the spool could not be written and nobody took them in time.
    pub lost: u64,
    /// Why, when some wait or are lost.
    pub error: Option<String>,
}

pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    pub(crate) wake: Condvar,
    pub(crate) sink: Arc<dyn EventSink>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: RecorderConfig,
    pub(crate) session: SessionId,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records one session from its start to its end.
pub struct Recorder {
    shared: Arc<Shared>,
    redactor: Arc<Redactor>,
    sender: Option<JoinHandle<()>>,
    started: Duration,
}

impl Recorder {
    /// Opens the session: its start is on the spool when this returns. What goes wrong is told by
    /// [`Recorder::take_warnings`]; a shell that cannot be recorded is still a shell.
    #[must_use]
    pub fn start(
        config: RecorderConfig,
        start: SessionStart,
        sink: Arc<dyn EventSink>,
        clock: Arc<dyn Clock>,
        redactor: Arc<Redactor>,
    ) -> Self {
        let now = clock.now();
        let session = SessionId::generate(now);
        // Names of folders and branches may hold secrets as well as what was typed.
        let mut data = object(&start);
        redactor.map(&mut data);
        let header = Event {
            event_id: EventId::generate(now),
            event_type: EventType::known(EventType::SESSION_START),
            timestamp: now,
            sequence: Some(0),
            data,
        };
        let state = State::open(&config, &session, header, clock.monotonic());
        let started = clock.monotonic();
        let enabled = config.enabled;
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new(), sink, clock, config, session });
        let sender = enabled.then(|| sender::spawn(Arc::clone(&shared))).flatten();
        Self { shared, redactor, sender, started }
    }

    /// The session's id.
    #[must_use]
    pub fn session_id(&self) -> &SessionId {
        &self.shared.session
    }

    /// Whether anything is recorded.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.shared.config.enabled
    }

    /// A command is about to run. Its text is on the spool when this returns, so a command that ends its machine is known.
    pub fn begin(&self, command: &str, kind: &str) -> Pending {
        let command = self.redactor.text(command).into_owned();
        let mut state = self.shared.lock();
        let (timestamp, sequence) = state.stamp(self.shared.clock.now());
        let pending = Pending {
            event_id: EventId::generate(timestamp),
            timestamp,
            sequence,
            command,
            kind: kind.to_owned(),
            started: self.shared.clock.monotonic(),
        };
        if self.enabled() {
            let data = CommandData {
                command: pending.command.clone(),
                kind: pending.kind.clone(),
                exit_code: None,
                outcome: "unknown".into(),
                error: None,
                duration_ms: None,
                output: None,
                output_bytes: None,
                cwd: None,
            };
            state.append_begin(Entry { kind: EntryKind::Begin, event: pending.event(&data) });
        }
        pending
    }

    /// The command ended. Its event is accepted when this returns.
    pub fn finish(&self, pending: Pending, outcome: Outcome) {
        if !self.enabled() {
            return;
        }
        let took = self.shared.clock.monotonic().saturating_sub(pending.started);
        let cap = self.shared.config.output_cap;
        let output = cut(&self.redactor.text(&outcome.output.excerpt), cap).to_owned();
        let data = CommandData {
            command: pending.command.clone(),
            kind: pending.kind.clone(),
            exit_code: outcome.exit_code,
            outcome: outcome.outcome.into(),
            error: outcome.error.map(|text| cut(&self.redactor.text(&text), cap).to_owned()),
            duration_ms: Some((took.as_secs_f64() * 1_000_000.0).round() / 1_000.0),
            output_bytes: (outcome.output.total_bytes > output.len() as u64).then_some(outcome.output.total_bytes),
            output: (!output.is_empty()).then_some(output),
            cwd: outcome.cwd,
        };
        let failed = outcome.outcome == "failed";
        let event = pending.event(&data);
        self.accept(event, |state| {
            state.open_command = None;
            state.stats.commands += 1;
            state.errors += u64::from(failed);
            state.commands_since_checkpoint += 1;
        });
    }

    /// Records anything else. Accepted when this returns.
    pub fn record(&self, event_type: EventType, mut data: Map<String, Value>) {
        if !self.enabled() {
            return;
        }
        self.redactor.map(&mut data);
        let (timestamp, sequence) = self.shared.lock().stamp(self.shared.clock.now());
        let event =
            Event { event_id: EventId::generate(timestamp), event_type, timestamp, sequence: Some(sequence), data };
        self.accept(event, |_| {});
    }

    fn accept(&self, event: Event, note: impl FnOnce(&mut State)) {
        let mut state = self.shared.lock();
        note(&mut state);
        state.append(&self.shared.config, event, self.shared.clock.monotonic());
        if state.pending() >= self.shared.config.max_size as u64 {
            self.shared.wake.notify_all();
        }
    }

    /// Warnings since the last call, each a line for a person.
    #[must_use]
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.lock().warnings)
    }

    /// Counts so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let state = self.shared.lock();
        Stats { pending: state.pending(), ..state.stats }
    }

    /// Delivers what waits now, for at most `deadline`.
    #[must_use]
    pub fn sync(&self, deadline: Duration) -> SyncReport {
        let before = self.shared.lock().stats.delivered;
        self.flush(deadline);
        let state = self.shared.lock();
        SyncReport {
            delivered: state.stats.delivered - before,
            pending: state.pending(),
            error: (state.pending() > 0).then(|| state.why_pending()),
        }
    }

    /// Asks the sender for one attempt and waits for it to end, at most `deadline`.
    fn flush(&self, deadline: Duration) {
        if self.sender.is_none() {
            return;
        }
        let mut state = self.shared.lock();
        state.flush_wanted += 1;
        let goal = state.flush_wanted;
        self.shared.wake.notify_all();
        let end = self.shared.clock.monotonic() + deadline;
        while state.flush_done < goal && state.pending() > 0 {
            let left = end.saturating_sub(self.shared.clock.monotonic());
            if left.is_zero() {
                return;
            }
            state = self.shared.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends the session: its end is on the spool first, then delivery has `exit_deadline`.
    #[must_use]
    pub fn close(mut self, reason: &str, status: &str, exit_code: i32) -> CloseReport {
        if !self.enabled() {
            return CloseReport { pending: 0, lost: 0, error: None };
        }
        // A command that still runs, because it outlives its shell, has no other way to be known.
        let open = self.shared.lock().open_command.take();
        if let Some(event) = open {
            self.accept(event, |_| {});
        }
        let took = self.shared.clock.monotonic().saturating_sub(self.started);
        let end = SessionEnd {
            reason: reason.into(),
            status: status.into(),
            exit_code,
            command_count: self.shared.lock().stats.commands,
            duration_seconds: (took.as_secs_f64() * 1_000_000.0).round() / 1_000_000.0,
        };
        self.record(EventType::known(EventType::SESSION_END), object(&end));
        let deadline = self.shared.lock().closing_deadline(&self.shared.config);
        self.flush(deadline);
        let mut state = self.shared.lock();
        state.closing = true;
        self.shared.wake.notify_all();
        state.rescue(&self.shared.config, &self.shared.session);
        let report = CloseReport {
            pending: state.pending() - state.memory.len() as u64,
            lost: state.memory.len() as u64,
            error: (state.pending() > 0).then(|| state.why_pending()),
        };
        state.retire(&self.shared.config);
        drop(state);
        // A sender that still waits for an answer ends with the process; its batch is on the spool.
        if report.pending == 0
            && report.lost == 0
            && let Some(sender) = self.sender.take()
        {
            let _ = sender.join();
        }
        report
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.wake.notify_all();
    }
}

impl Pending {
    fn event(&self, data: &CommandData) -> Event {
        Event {
            event_id: self.event_id.clone(),
            event_type: EventType::known(EventType::COMMAND),
            timestamp: self.timestamp,
            sequence: Some(self.sequence),
            data: object(data),
        }
    }
}

/// A struct as a JSON object.
fn object(value: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// At most `cap` bytes of `text`, cut between characters.
fn cut(text: &str, cap: usize) -> &str {
    &text[..text.floor_char_boundary(cap)]
}
