//! The recorder's background thread: delivers what waits, writes checkpoints, looks after orphans once.

use std::fs::File;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Shared, State};
use crate::event::{Event, EventBatch, EventType};
use crate::id::EventId;
use crate::spool::{self, BATCH_EVENTS, DeliveryError, EntryKind};

/// The start goes out a moment after the shell came up; a shell that ends sooner sends everything at once.
const FIRST_DELIVERY: Duration = Duration::from_millis(100);
/// Longest wait for one answer outside of an exit.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Pause after the first failure; doubles up to the flush interval, so that power loss never costs more than that.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Time for sessions that others left behind.
const ORPHAN_LIMIT: Duration = Duration::from_millis(500);

/// Starts the thread. `None` when the system has none left: then the spool keeps everything.
pub(crate) fn spawn(shared: Arc<Shared>) -> Option<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name("event-sender".into());
    thread
        .spawn(move || Sender { pause: FIRST_PAUSE, not_before: Duration::ZERO, orphans_done: false, shared }.run())
        .ok()
}

struct Sender {
    shared: Arc<Shared>,
    pause: Duration,
    not_before: Duration,
    orphans_done: bool,
}

enum Next {
    Wait(Duration),
    Deliver,
    Checkpoint,
    Orphans,
    End,
}

impl Sender {
    fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let first = shared.clock.monotonic() + FIRST_DELIVERY;
        let mut last_checkpoint = shared.clock.monotonic();
        let mut state = shared.lock();
        loop {
            let now = shared.clock.monotonic();
            match self.next(&state, now, first, last_checkpoint) {
                Next::End => return,
                Next::Wait(time) => {
                    state = shared.wake.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0;
                }
                Next::Checkpoint => {
                    last_checkpoint = now;
                    self.checkpoint(&mut state, now);
                }
                Next::Deliver => {
                    let goal = state.flush_wanted;
                    let unsure = state.last_error.is_some();
                    drop(state);
                    if unsure {
                        // The last attempt failed and this one may take long: what came meanwhile is made safe first.
                        self.make_safe();
                    }
                    let done = self.deliver_all();
                    state = shared.lock();
                    if let Err(error) = done {
                        state.last_error = Some(error);
                        // From the attempt's start on: a slow failure was a pause in itself.
                        self.not_before = now + self.pause;
                        self.pause = (self.pause * 2).min(shared.config.flush_interval);
                    } else {
                        self.pause = FIRST_PAUSE;
                        self.not_before = now;
                    }
                    state.flush_done = state.flush_done.max(goal);
                    shared.wake.notify_all();
                }
                Next::Orphans => {
                    self.orphans_done = true;
                    drop(state);
                    let _ = spool::drain(
                        &shared.config.spool_dir,
                        shared.sink.as_ref(),
                        shared.clock.as_ref(),
                        ORPHAN_LIMIT,
                    );
                    state = shared.lock();
                }
            }
        }
    }

    fn next(&self, state: &State, now: Duration, first: Duration, last_checkpoint: Duration) -> Next {
        if state.closing {
            return Next::End;
        }
        if state.flush_wanted > state.flush_done {
            return Next::Deliver;
        }
        let config = &self.shared.config;
        let checkpoint_at = (state.commands_since_checkpoint > 0).then(|| last_checkpoint + config.checkpoint_interval);
        if checkpoint_at.is_some_and(|at| at <= now) {
            return Next::Checkpoint;
        }
        let full = state.pending() >= config.max_size as u64;
        let deliver_at = state.waiting_since.map(|since| {
            let due = if state.stats.delivered == 0 {
                first
            } else if full {
                now
            } else {
                since + config.flush_interval
            };
            due.max(self.not_before)
        });
        if deliver_at.is_some_and(|at| at <= now) {
            return Next::Deliver;
        }
        if !self.orphans_done && state.stats.delivered > 0 {
            return Next::Orphans;
        }
        let until = [checkpoint_at, deliver_at].into_iter().flatten().min();
        Next::Wait(until.map_or(Duration::from_secs(3600), |at| at.saturating_sub(now)))
    }

    fn checkpoint(&self, state: &mut State, now: Duration) {
        let mut data = Map::new();
        data.insert("command_count".into(), Value::from(state.stats.commands));
        data.insert("error_count".into(), Value::from(state.errors));
        let (timestamp, sequence) = state.stamp(self.shared.clock.now());
        let event = Event {
            event_id: EventId::generate(timestamp),
            event_type: EventType::known(EventType::CHECKPOINT),
            timestamp,
            sequence: Some(sequence),
            data,
        };
        state.commands_since_checkpoint = 0;
        state.append(&self.shared.config, event, now);
    }

    /// Delivers until nothing waits or something fails; then what waits on the spool is made safe against power loss.
    fn deliver_all(&self) -> Result<(), DeliveryError> {
        loop {
            match self.deliver_one() {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => {
                    self.make_safe();
                    return Err(error);
                }
            }
        }
    }

    /// What the spool holds survives a power loss from here on.
    fn make_safe(&self) {
        let handle = self.shared.lock().spooled();
        if let Some((_, Ok(file))) = handle {
            let _ = file.sync_data();
        }
    }

    /// One batch. `false` when nothing waits.
    fn deliver_one(&self) -> Result<bool, DeliveryError> {
        let (header, from, spooled, memory) = {
            let state = self.shared.lock();
            let memory: Vec<Event> = state.memory.iter().take(BATCH_EVENTS).cloned().collect();
            (state.header.clone(), state.acknowledged, state.spooled(), memory)
        };
        if let Some((end, file)) = spooled
            && from < end
        {
            let (events, upto) = self.read(file, from, end)?;
            return self.send(header, events, Some(upto), 0);
        }
        if memory.is_empty() {
            return Ok(false);
        }
        let count = memory.len();
        self.send(header, memory, None, count)
    }

    fn read(&self, file: std::io::Result<File>, from: u64, end: u64) -> Result<(Vec<Event>, u64), DeliveryError> {
        let (entries, upto) = file.and_then(|file| spool::read_batch(&file, from, end)).map_err(|error| {
            let dir = self.shared.config.spool_dir.display();
            DeliveryError::Failed(format!("cannot read the spool in {dir}: {}", crate::paths::plain(&error)))
        })?;
        let events = entries.into_iter().filter(|entry| entry.kind == EntryKind::Event).map(|entry| entry.event);
        Ok((events.collect(), upto))
    }

    fn send(
        &self,
        header: Event,
        mut events: Vec<Event>,
        upto: Option<u64>,
        memory: usize,
    ) -> Result<bool, DeliveryError> {
        let count = events.len() as u64;
        if events.first().is_some_and(|event| event.event_id != header.event_id) {
            events.insert(0, header);
        }
        if count > 0 {
            let batch = EventBatch { session_id: self.shared.session.clone(), events };
            let receipt = self.shared.sink.deliver(&batch, ANSWER_LIMIT)?;
            for line in spool::rejected_lines(&batch, &receipt) {
                let kept = spool::quarantine(&self.shared.config.spool_dir, &self.shared.session, &line);
                let mut state = self.shared.lock();
                state.warnings.push(match kept {
                    Ok(path) => format!("an event was rejected and is kept in {}", path.display()),
                    Err(error) => format!("an event was rejected and cannot be kept: {}", crate::paths::plain(&error)),
                });
            }
        }
        self.shared.lock().acknowledge(upto, memory, count, self.shared.clock.monotonic());
        Ok(true)
    }
}
