//! The engine's thread: turns, and what follows from them.

mod crew;
mod turns;
mod wishes;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, FaultKind, Result};

use self::crew::Crew;
use super::alive::EngineLock;
use super::{EngineConfig, Takes, Trouble};
use crate::run::{Stop, end_survivors};
use crate::workflows::Number;
use crate::workflows::fact::Ending;
use crate::workflows::journal::{Claimed, Journal};
use crate::workflows::machine::Machine;
use crate::workflows::plan::StepIndex;

/// Time between two looks at what others wrote.
const LOOK: Duration = Duration::from_millis(25);
/// Time between two searches for workflows whose engine was killed.
const ADOPT: Duration = Duration::from_secs(1);
/// Most inputs of a turn, so that a turn stays short.
const TURN: usize = 512;
/// Longest time that a loss of power can cost.
const DURABLE: Duration = Duration::from_millis(250);
/// A clock that moves so far from the time that passes was set, or the machine slept. Less is how clocks are kept right.
const LEAP: i64 = 1_000_000;
/// Time until a turn that could not be written is tried again.
const AGAIN: Duration = Duration::from_millis(250);
/// Time between two looks at what ended steps have left behind.
const REAP: Duration = Duration::from_secs(10);
/// Time between two removals of what is too old.
const PRUNE: Duration = Duration::from_secs(3600);
/// Longest time between asking steps to end and killing them, when the engine ends.
const LAST_GRACE: Duration = Duration::from_secs(10);
/// How long what became of killed steps may take to be written.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Time between asking and killing processes that a killed engine left behind.
const SURVIVORS: Duration = Duration::from_secs(2);

/// What comes to the engine.
#[derive(Debug)]
pub(super) enum Input {
    /// Look at the journal.
    Look,
    /// Take this workflow.
    Take(Number),
    /// An attempt ended, then by the monotonic clock: that may be long before it can be written.
    Ended { number: Number, step: StepIndex, attempt: u32, ending: Ending, at: Duration },
    /// Another engine gave an attempt an id; say when it is written.
    Bound { number: Number, step: StepIndex, attempt: u32, run: String, written: Sender<()> },
    /// End within this time.
    End(Duration),
}

/// A workflow that is driven here.
struct Live {
    id: String,
    machine: Machine,
    /// When something happens to it by itself.
    wake: Option<Timestamp>,
}

/// A step at work.
struct AtWork {
    attempt: u32,
    stop: Stop,
    /// The folder that it has leased.
    dir: Option<PathBuf>,
    local: bool,
    /// Whether the next engine can attach to it.
    attachable: bool,
}

pub(super) struct Driver {
    config: EngineConfig,
    id: String,
    journal: Journal,
    outbox: Receiver<Input>,
    crew: Crew,
    live: BTreeMap<Number, Live>,
    /// Those that may have something to start.
    runnable: BTreeSet<Number>,
    timers: BTreeSet<(Timestamp, Number)>,
    at_work: HashMap<(Number, StepIndex), AtWork>,
    local: usize,
    remote: usize,
    /// Folders that somebody works in here.
    busy: HashMap<PathBuf, (Number, StepIndex)>,
    /// Folders that another engine has leased, and when to ask again.
    foreign: HashMap<PathBuf, Timestamp>,
    /// Workflows that this engine may take beside those of its configuration.
    take: BTreeSet<Number>,
    /// Workflows that are this engine's already and not driven yet, because the turn that took them failed.
    claimed: Vec<Claimed>,
    /// When the last turn was, by both clocks, and how far time has leapt since the last turn that was written.
    seen: (Timestamp, Duration),
    leapt: i64,
    version: Option<i64>,
    adopted_at: Option<Duration>,
    pruned_at: Option<Duration>,
    reaped_at: Duration,
    durable_at: Duration,
    dirty: bool,
    /// Whether the machines are ahead of the journal, since a turn could not be written.
    ahead: bool,
    /// Whether machines were read anew, so that some of their steps may be at work nowhere.
    reloaded: bool,
    ending: Option<Duration>,
    /// What was at work when the time for that was over, and was asked to end.
    interrupted: HashSet<(Number, StepIndex, u32)>,
    /// Until when that may take before it is killed.
    kill_at: Option<Duration>,
    killed: bool,
    trouble: Trouble,
    /// Whether somebody does not want to wait.
    hasty: bool,
    _lock: EngineLock,
}

impl Driver {
    pub(super) fn open(
        config: EngineConfig,
        id: String,
        lock: EngineLock,
        inbox: Sender<Input>,
        outbox: Receiver<Input>,
    ) -> Result<Self> {
        let journal = Journal::open(&config.database(), &id)?;
        let crew = Crew::new(std::sync::Arc::clone(&config.runner), std::sync::Arc::clone(&config.clock), inbox);
        let take = match config.takes {
            Takes::Only(number) => BTreeSet::from([number]),
            Takes::All | Takes::Nothing => BTreeSet::new(),
        };
        let durable_at = config.clock.monotonic();
        let seen = (config.clock.now(), durable_at);
        Ok(Self {
            config,
            id,
            journal,
            outbox,
            crew,
            live: BTreeMap::new(),
            runnable: BTreeSet::new(),
            timers: BTreeSet::new(),
            at_work: HashMap::new(),
            local: 0,
            remote: 0,
            busy: HashMap::new(),
            foreign: HashMap::new(),
            take,
            claimed: Vec::new(),
            seen,
            leapt: 0,
            version: None,
            adopted_at: None,
            pruned_at: None,
            reaped_at: durable_at,
            durable_at,
            dirty: false,
            ahead: false,
            reloaded: false,
            ending: None,
            interrupted: HashSet::new(),
            kill_at: None,
            killed: false,
            trouble: Trouble::default(),
            hasty: false,
            _lock: lock,
        })
    }

    /// What keeps it from writing, from now on.
    pub(super) fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }

    pub(super) fn run(mut self) {
        let mut backlog: Vec<Input> = Vec::new();
        loop {
            self.receive(&mut backlog);
            if self.must_end(&mut backlog) {
                break;
            }
            if self.ahead && !self.reload_all() {
                std::thread::sleep(AGAIN);
                continue;
            }
            match self.turn(&backlog) {
                Ok(()) => {
                    if self.trouble.ends() {
                        tracing::warn!("the journal is written again");
                    }
                    for input in backlog.drain(..) {
                        if let Input::Bound { written, .. } = input {
                            let _ = written.send(());
                        }
                    }
                }
                Err(fault) => {
                    // Nothing was acted on; what came in is kept until it can be written.
                    let now = self.config.clock.monotonic();
                    if self.trouble.begins(now, fault.message()) {
                        tracing::error!(%fault, "the journal cannot be written; trying again");
                    }
                    self.ahead = true;
                    std::thread::sleep(AGAIN);
                }
            }
        }
        self.crew.dismiss();
    }

    fn receive(&self, backlog: &mut Vec<Input>) {
        // What could not be written is tried again with what came since, which may be word to end.
        if !backlog.is_empty() {
            backlog.extend(self.outbox.try_iter());
            return;
        }
        let now = self.config.clock.now();
        let timer = self.timers.first().map(|(at, _)| at.since(now));
        let wait = timer.into_iter().chain([LOOK]).min().unwrap_or(LOOK);
        match self.outbox.recv_timeout(wait) {
            Ok(input) => backlog.push(input),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => backlog.push(Input::End(Duration::ZERO)),
        }
        while backlog.len() < TURN
            && let Ok(input) = self.outbox.try_recv()
        {
            backlog.push(input);
        }
    }

    /// Whether it is time to go. What runs is given its time, then ended, and what became of it is written.
    fn must_end(&mut self, backlog: &mut Vec<Input>) -> bool {
        let now = self.config.clock.monotonic();
        backlog.retain(|input| {
            if let Input::End(patience) = input {
                let end = now + *patience;
                if self.ending.is_none() && !self.at_work.is_empty() {
                    let (steps, seconds) = (self.at_work.len(), patience.as_secs_f64());
                    tracing::info!(steps, seconds, "steps at work may end within this time");
                }
                self.ending = Some(self.ending.map_or(end, |earlier| earlier.min(end)));
                self.hasty |= patience.is_zero();
            }
            !matches!(input, Input::End(_))
        });
        let Some(end) = self.ending else { return false };
        // What other engines run goes on without this one.
        if self.at_work.values().all(|step| step.attachable) && backlog.is_empty() {
            self.at_work.values().for_each(|step| step.stop.release());
            return true;
        }
        if now < end {
            return false;
        }
        let Some(kill_at) = self.kill_at else {
            for (&(number, step), work) in self.at_work.iter().filter(|(_, work)| !work.attachable) {
                work.stop.raise();
                self.interrupted.insert((number, step, work.attempt));
            }
            self.kill_at = Some(now + if self.hasty { SURVIVORS } else { LAST_GRACE });
            return false;
        };
        if now >= kill_at && !self.killed {
            end_survivors(&format!("{}/", self.id), Duration::ZERO, self.config.clock.as_ref());
            self.killed = true;
        }
        if now < kill_at + LAST_WORDS {
            return false;
        }
        // The journal cannot be written: the next engine finds them as those of a killed one.
        self.at_work.values().for_each(|work| {
            if work.attachable {
                work.stop.release()
            }
        });
        true
    }

    /// The machines are ahead of the journal; the journal is what is true. Gives whether all of them could be read: with one
    /// that is ahead, the end of a step would be taken for known and never be written.
    fn reload_all(&mut self) -> bool {
        (self.version, self.reloaded) = (None, true);
        let mut broken = Vec::new();
        for (number, live) in &mut self.live {
            match self.journal.reload(*number) {
                Ok(machine) => live.machine = machine,
                Err(fault) if fault.kind() == FaultKind::Internal => broken.push((*number, live.id.clone(), fault)),
                Err(fault) => {
                    tracing::error!(workflow = live.id, %fault, "the journal cannot be read; trying again");
                    return false;
                }
            }
        }
        self.ahead = !broken.into_iter().all(|(number, id, why)| self.abandon(number, &id, &why));
        !self.ahead
    }

    /// Lets a workflow go whose rows cannot be understood, so that the others go on. What it runs is stopped, since nobody
    /// could write what becomes of it. Gives whether that is written.
    fn abandon(&mut self, number: Number, id: &str, why: &Fault) -> bool {
        tracing::error!(workflow = id, fault = %why, "it cannot be driven any more and has failed");
        if let Err(fault) = self.journal.abandon(number, id, why, self.config.clock.now()) {
            tracing::error!(workflow = id, %fault, "the journal cannot be written; trying again");
            return false;
        }
        self.live.remove(&number);
        self.runnable.remove(&number);
        for (_, work) in self.at_work.iter().filter(|((of, _), _)| *of == number) {
            work.stop.raise();
        }
        true
    }
}
