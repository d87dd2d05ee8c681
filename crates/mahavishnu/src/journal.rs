//! The shell's journal: every command goes to the recorder, and its failures stay at hand for `errors()`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oneiric::clock::{Clock, Timestamp};
use oneiric::recorder::{Captured, CloseReport, Outcome, Recorder, SyncReport};
use oneiric_shell::program::{CommandKind, Finished, Journal};
use serde_json::{Value, json};

/// Failures of this session that `errors()` can show.
const FAILURES: usize = 1_000;

/// Bytes beyond the kept excerpt, so that a secret at its end is seen whole and redacted.
const MARGIN: usize = 4_096;

/// A command of this session that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) at: Timestamp,
    pub(crate) command: String,
    pub(crate) error: String,
}

/// Records a session's commands.
pub(crate) struct SessionJournal {
    /// Taken out when the session is closed, by whoever closes it first.
    recorder: Mutex<Option<Recorder>>,
    session: String,
    failures: Mutex<VecDeque<Failure>>,
    notes: Mutex<Vec<String>>,
    output_cap: usize,
    trace: bool,
    clock: Arc<dyn Clock>,
}

impl SessionJournal {
    pub(crate) fn new(recorder: Recorder, output_cap: usize, trace: bool, clock: Arc<dyn Clock>) -> Self {
        let journal = Self {
            session: recorder.session_id().as_str().to_owned(),
            recorder: Mutex::new(Some(recorder)),
            failures: Mutex::default(),
            notes: Mutex::default(),
            output_cap,
            trace,
            clock,
        };
        let (session_id, component) = (journal.session.as_str(), "mahavishnu");
        tracing::info!(session_id, component, "session_started");
        journal
    }

    /// The session's id.
    pub(crate) fn session(&self) -> &str {
        &self.session
    }

    /// The newest failures first.
    pub(crate) fn failures(&self) -> Vec<Failure> {
        lock(&self.failures).iter().rev().cloned().collect()
    }

    /// Something to tell the person at the next prompt.
    pub(crate) fn note(&self, text: String) {
        lock(&self.notes).push(text);
    }

    /// Delivers what waits. `None` after the end.
    pub(crate) fn sync(&self, deadline: Duration) -> Option<SyncReport> {
        lock(&self.recorder).as_ref().map(|recorder| recorder.sync(deadline))
    }

    /// Counts of the session, for `%status`.
    pub(crate) fn stats(&self) -> Value {
        lock(&self.recorder).as_ref().map_or(Value::Null, |recorder| {
            let stats = recorder.stats();
            json!({
                "commands": stats.commands,
                "accepted": stats.accepted,
                "delivered": stats.delivered,
                "pending": stats.pending,
                "dropped": stats.dropped,
                "recorded": recorder.enabled(),
            })
        })
    }

    /// Ends the session. The second call does nothing.
    pub(crate) fn close(&self, reason: &str, status: &str, exit_code: i32) -> Option<CloseReport> {
        let recorder = lock(&self.recorder).take()?;
        let report = recorder.close(reason, status, exit_code);
        let (session_id, pending, lost) = (self.session.as_str(), report.pending, report.lost);
        tracing::info!(session_id, component = "mahavishnu", reason, exit_code, pending, lost, "session_ended");
        if lost > 0 {
            tracing::error!(session_id, lost, error = report.error.as_deref().unwrap_or_default(), "events_lost");
        }
        self.trace("recorder_closed");
        Some(report)
    }

    fn trace(&self, step: &str) {
        if self.trace {
            tracing::trace!(session_id = self.session.as_str(), component = "mahavishnu", "{step}");
        }
    }
}

impl Journal for SessionJournal {
    fn excerpt(&self) -> usize {
        self.output_cap + MARGIN
    }

    fn record(&self, text: &str, kind: CommandKind, work: &mut dyn FnMut() -> Finished) -> Finished {
        let at = self.clock.now();
        self.trace("command_begins");
        // Not held while the command runs: a signal must be able to close the session meanwhile.
        let pending = lock(&self.recorder).as_ref().map(|recorder| recorder.begin(text, kind.as_str()));
        let finished = work();
        if finished.outcome == "failed" {
            let mut failures = lock(&self.failures);
            if failures.len() >= FAILURES {
                failures.pop_front();
            }
            let error = finished.error.clone().unwrap_or_else(|| format!("exit code {}", finished.exit_code));
            failures.push_back(Failure { at, command: text.to_owned(), error });
        }
        if let (Some(pending), Some(recorder)) = (pending, lock(&self.recorder).as_ref()) {
            recorder.finish(
                pending,
                Outcome {
                    exit_code: Some(finished.exit_code),
                    outcome: finished.outcome,
                    error: finished.error.clone(),
                    output: Captured {
                        excerpt: finished.output.text.clone(),
                        total_bytes: finished.output.total_bytes,
                    },
                    cwd: None,
                },
            );
        }
        if self.trace {
            let (session_id, kind, outcome) = (self.session.as_str(), kind.as_str(), finished.outcome);
            tracing::trace!(session_id, kind, outcome, exit_code = finished.exit_code, "command_executed");
        }
        finished
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = std::mem::take(&mut *lock(&self.notes));
        if let Some(recorder) = lock(&self.recorder).as_ref() {
            warnings.extend(recorder.take_warnings());
        }
        warnings
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
