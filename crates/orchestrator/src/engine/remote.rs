//! Runs steps in other engines: begins a run there or attaches to it, watches it, keeps what it writes.

use std::sync::Arc;
use std::time::Duration;

use oneiric::clock::Clock;
use oneiric::fault::Fault;
use oneiric::redact::Redactor;
use serde_json::{Map, Value};

use super::runner::{Job, Runner};
use crate::adapters::watch::{Move, Watch};
use crate::adapters::{Adapters, Order, Reading, Remote, State, Subscription, Trouble};
use crate::run::{OutputKeeper, Stop};
use crate::workflows::fact::{Ending, Outcome};
use crate::workflows::plan::Work;

/// Longest sleep while a run is being stopped, and between two readings at its end.
const NAP: Duration = Duration::from_millis(250);
/// Pieces of a log that are read between two looks, and after the end.
const PIECES: usize = 10;
/// How long a log is waited for after the end, which it may arrive later than; and when it may have no end.
const LAST: Duration = Duration::from_secs(5);
const LAST_OF_KILLED: Duration = Duration::from_secs(1);
/// How long it is asked whether an engine is there.
const PROBE: Duration = Duration::from_secs(2);
/// Bytes of a result that are kept.
const RESULT: usize = 16 * 1024;

/// Hands steps to other engines.
pub struct AdapterRunner {
    /// The engines.
    pub adapters: Arc<Adapters>,
    /// What hides secrets in what they write.
    pub redactor: Arc<Redactor>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// A step in the hands of an engine.
struct Errand<'a> {
    remote: &'a dyn Remote,
    order: Order<'a>,
    run: Option<String>,
    watch: Watch,
    keeper: OutputKeeper<'a>,
    reading: Reading,
    /// When its log was last read, how long until it is read again, and the shortest and longest time between two readings.
    read_at: Option<Duration>,
    pace: Duration,
    paces: (Duration, Duration),
    /// Hints about it.
    hints: Option<Subscription>,
    /// Whether the last look was answered.
    well: bool,
    clock: &'a dyn Clock,
}

impl Runner for AdapterRunner {
    fn run(&self, job: &Job, stop: &Stop, bound: &dyn Fn(&str)) -> Ending {
        let Work::Adapter { adapter, target, parameters } = &job.work else {
            return Ending::because(Outcome::Crashed, "this runner hands work to other engines only");
        };
        // An engine that was disabled meanwhile is asked about what it has already.
        let found = if job.run.is_some() { self.adapters.get(adapter) } else { self.adapters.enabled(adapter) };
        let (settings, remote) = match found {
            Ok(found) => found,
            Err(fault) => return Ending::because(Outcome::Failed, fault.to_string()),
        };
        let empty = Map::new();
        let parameters = match parameters {
            Value::Object(map) => map,
            Value::Null => &empty,
            _ => return Ending::because(Outcome::Failed, "the parameters are no JSON object"),
        };
        let key = job.idempotency_key();
        let order =
            Order { key: &key, workflow: &job.workflow, repo: &job.repo, dir: job.dir.as_deref(), target, parameters };
        let rules = Adapters::rules(settings, job.policy.limit(), job.policy.grace());
        let paces = (rules.poll, rules.rare);
        let mut errand = Errand {
            remote: remote.as_ref(),
            order,
            run: None,
            watch: Watch::new(rules, job.run.is_some(), self.clock.monotonic()),
            keeper: OutputKeeper::new(job.output.clone(), &self.redactor),
            reading: Reading::default(),
            read_at: None,
            pace: paces.0,
            paces,
            hints: None,
            well: false,
            clock: self.clock.as_ref(),
        };
        if let Some(run) = &job.run {
            errand.name(run);
        }
        let mut ending = errand.go(stop, bound);
        ending.note = ending.note.map(|note| self.redactor.text(&note).into_owned());
        if let Some(result) = &mut ending.result {
            self.redactor.value(result);
            if result.to_string().len() > RESULT {
                *result = Value::String("[larger than is kept here; the engine has it]".to_owned());
            }
        }
        ending
    }

    fn reaches(&self, engine: &str) -> Result<(), String> {
        let (settings, _) = self.adapters.enabled(engine).map_err(|fault| fault.message().to_owned())?;
        match self.adapters.states(PROBE).into_iter().find(|(kind, _)| *kind == settings.kind) {
            Some((_, State::Unreachable(trouble, since))) => {
                Err(format!("unreachable ({}, since {})", trouble.text(), since.local()))
            }
            _ => Ok(()),
        }
    }

    fn offers(&self, engine: &str, target: &str) -> Result<Option<String>, Fault> {
        self.adapters.offer(engine, target, PROBE).map(|(_, found)| found.waits)
    }
}

impl Errand<'_> {
    fn go(mut self, stop: &Stop, bound: &dyn Fn(&str)) -> Ending {
        loop {
            if stop.is_released() {
                // The run goes on without us; whoever drives the workflow next attaches to it.
                return Ending::of(Outcome::Crashed);
            }
            match self.watch.next(self.now(), stop.is_raised()) {
                Move::Begin => {
                    let answer = self.remote.begin(&self.order);
                    let answer = self.take(answer, bound);
                    self.watch.begun(answer, self.now());
                }
                Move::Find => {
                    let answer = self.remote.find(&self.order);
                    let answer = match answer {
                        Ok(Some(run)) => self.take(Ok(run), bound).map(|()| true),
                        Ok(None) => Ok(false),
                        Err(trouble) => Err(trouble),
                    };
                    self.watch.found(answer, self.now());
                }
                Move::Look => {
                    let answer = self.with_run(|remote, run| remote.look(run));
                    self.well = answer.is_ok();
                    self.watch.seen(answer, self.now());
                    self.read_now_and_then();
                }
                Move::Cancel => {
                    let answer = self.with_run(|remote, run| remote.cancel(run));
                    self.watch.cancelled(answer, self.now());
                }
                Move::Wait(wait) => self.wait(wait, stop),
                Move::End(ending) => return self.end(ending),
            }
        }
    }

    fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Keeps the run's id: written down before anything else is done with it.
    fn take(&mut self, begun: Result<String, Trouble>, bound: &dyn Fn(&str)) -> Result<(), Trouble> {
        let run = begun?;
        bound(&run);
        self.name(&run);
        Ok(())
    }

    fn name(&mut self, run: &str) {
        self.run = Some(run.to_owned());
        self.hints = self.remote.hints().and_then(|hints| hints.subscribe(run));
    }

    /// Waits for the sign or a hint, at most so long.
    fn wait(&mut self, limit: Duration, stop: &Stop) {
        // A raised sign would end every wait at once.
        let (sign, limit) = if stop.is_raised() { (None, limit.min(NAP)) } else { (Some(stop), limit) };
        match (&self.hints, sign) {
            (Some(hints), sign) => {
                if hints.wait(sign, limit) {
                    self.watch.hinted(self.clock.monotonic());
                }
                let listening = hints.is_up();
                self.watch.listening(listening, self.clock.monotonic());
                // Hints say nothing of its log, which others may follow.
                if listening && self.well {
                    self.read_now_and_then();
                }
            }
            (None, Some(sign)) => drop(sign.wait(limit)),
            (None, None) => std::thread::sleep(limit),
        }
    }

    fn with_run<T>(&self, ask: impl Fn(&dyn Remote, &str) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let run = self.run.as_deref().ok_or_else(|| Trouble::Refused("the run has no id".to_owned()))?;
        ask(self.remote, run)
    }

    fn read_now_and_then(&mut self) {
        let now = self.now();
        if self.read_at.is_some_and(|at| now < at + self.pace) {
            return;
        }
        self.read_at = Some(now);
        let (shortest, longest) = self.paces;
        let any = self.read(PIECES);
        if any {
            self.watch.heard(now);
        }
        let hints = self.hints.as_ref().is_some_and(Subscription::is_up);
        self.pace = if any || !hints { shortest } else { (self.pace * 2).min(longest) };
    }

    /// Reads what the run has written; gives whether there was anything. A log that cannot be read stops nothing.
    fn read(&mut self, pieces: usize) -> bool {
        let Some(run) = self.run.clone() else { return false };
        let mut any = false;
        for _ in 0..pieces {
            match self.remote.read(&run, &mut self.reading) {
                Ok(text) if !text.is_empty() => {
                    any = true;
                    self.keeper.take(text.as_bytes());
                }
                Ok(_) | Err(_) => break,
            }
        }
        any
    }

    fn end(mut self, ending: Ending) -> Ending {
        let until = self.now()
            + match ending.outcome {
                Outcome::Succeeded | Outcome::Failed => LAST,
                Outcome::Cancelled | Outcome::Crashed | Outcome::TimedOut => LAST_OF_KILLED,
            };
        while self.run.is_some() {
            self.read(PIECES);
            if self.reading.complete || self.now() >= until {
                break;
            }
            std::thread::sleep(NAP);
        }
        let (bytes, _, trouble) = self.keeper.close();
        let note = match (ending.note, trouble) {
            (Some(note), Some(trouble)) => Some(format!("{note}; {trouble}")),
            (note, trouble) => note.or(trouble),
        };
        Ending { note, output_bytes: bytes, ..ending }
    }
}

/// Gives each kind of work to the runner that is made for it.
pub struct Runners {
    /// Processes of this machine.
    pub commands: Arc<dyn Runner>,
    /// Other engines.
    pub adapters: Option<Arc<dyn Runner>>,
    /// Workers of pools.
    pub workers: Option<Arc<dyn Runner>>,
}

impl Runner for Runners {
    fn run(&self, job: &Job, stop: &Stop, bound: &dyn Fn(&str)) -> Ending {
        let (runner, who) = match &job.work {
            Work::Command { .. } => (Some(&self.commands), "commands"),
            Work::Adapter { .. } => (self.adapters.as_ref(), "other engines"),
            Work::Worker { .. } => (self.workers.as_ref(), "workers: pools belong to the running server"),
            Work::Approval { .. } => (None, "approvals"),
        };
        match runner {
            Some(runner) => runner.run(job, stop, bound),
            None => Ending::because(Outcome::Crashed, format!("this engine has nothing for {who}")),
        }
    }
}

#[cfg(test)]
mod tests;
