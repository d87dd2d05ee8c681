//! One pool: its state, and the threads that are its workers.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use oneiric::fault::FaultKind;
use serde_json::{Value, json};

use super::ledger::Past;
use super::machine::{Deed, Life, Limits, Machine, Seat as At, TaskId, Word, WorkerId};
use super::perform::{Place, place};
use super::request::PoolSpec;
use super::task::{Order, Reply, TaskState};
use super::{Inner, Origin, lock};
use crate::engine::Runner;
use crate::run::Stop;
use crate::workers::{Done, Profile, Spent};
use crate::workflows::fact::{Ending, Outcome};
use crate::workflows::plan::seconds;

pub(super) struct Pool {
    /// Later pools have greater ones.
    pub(super) number: u64,
    pub(super) spec: PoolSpec,
    pub(super) origin: Origin,
    /// `None` for a pool of another engine.
    pub(super) profile: Option<Profile>,
    state: Mutex<State>,
    closed: Condvar,
}

struct State {
    machine: Machine,
    waiting: HashMap<TaskId, Order>,
    running: HashMap<TaskId, (Stop, Sender<Reply>)>,
    workers: HashMap<WorkerId, Worker>,
}

struct Worker {
    orders: Sender<Order>,
    attach: Option<String>,
}

impl Pool {
    pub(super) fn new(spec: PoolSpec, profile: Option<Profile>, number: u64, origin: Origin, past: Past) -> Self {
        let limits = Limits {
            min: spec.min,
            max: spec.max,
            queue: spec.queue,
            idle: seconds(spec.idle_seconds),
            selector: spec.selector,
            max_usd: spec.max_usd,
            max_tokens: spec.max_tokens,
        };
        let state = State {
            machine: Machine::new(limits, number).after(past.spent, past.done),
            waiting: HashMap::new(),
            running: HashMap::new(),
            workers: HashMap::new(),
        };
        Self { number, spec, origin, profile, state: Mutex::new(state), closed: Condvar::new() }
    }

    pub(super) fn name(&self) -> &str {
        &self.spec.name
    }

    /// What its workers are.
    pub(super) fn works_as(&self) -> &str {
        self.spec.target.as_deref().unwrap_or(&self.spec.profile)
    }

    /// The spec with the bounds as they are now.
    pub(super) fn spec_now(&self) -> PoolSpec {
        let state = lock(&self.state);
        let limits = state.machine.limits();
        PoolSpec { min: limits.min, max: limits.max, ..self.spec.clone() }
    }

    pub(super) fn submit(self: &Arc<Self>, inner: &Arc<Inner>, order: Order) {
        let mut state = lock(&self.state);
        let word = Word::Submit { task: order.task, key: order.ask.key.clone() };
        state.waiting.insert(order.task, order);
        self.apply(inner, state, word);
    }

    /// Tells the pool that something happened, and does what follows.
    pub(super) fn word(self: &Arc<Self>, inner: &Arc<Inner>, word: Word) {
        let state = lock(&self.state);
        self.apply(inner, state, word);
    }

    fn apply(self: &Arc<Self>, inner: &Arc<Inner>, mut state: std::sync::MutexGuard<'_, State>, word: Word) {
        let mut words = vec![word];
        while let Some(word) = words.pop() {
            if let Word::Finished { task, .. } = &word {
                state.running.remove(task);
            }
            if let Word::Withdraw { task } = &word
                && let Some(order) = state.waiting.get(task)
            {
                order.stop.raise();
            }
            if let Word::Gone { worker } | Word::Lost { worker, .. } = &word {
                state.workers.remove(worker);
            }
            for deed in state.machine.apply(word, inner.shop.clock.monotonic()) {
                match deed {
                    Deed::Hire { worker } => {
                        if let Err(why) = self.hire(inner, &mut state, worker) {
                            words.push(Word::Lost { worker, why });
                        }
                    }
                    Deed::Assign { worker, task } => {
                        let Some(order) = state.waiting.remove(&task) else { continue };
                        state.running.insert(task, (order.stop.clone(), order.reply.clone()));
                        let sent = state.workers.get(&worker).is_some_and(|worker| worker.orders.send(order).is_ok());
                        if !sent {
                            words.push(Word::Lost { worker, why: "its thread has ended".into() });
                        }
                    }
                    Deed::Stop { task } => {
                        if let Some((stop, _)) = state.running.get(&task) {
                            stop.raise();
                        }
                    }
                    Deed::Dismiss { worker } => {
                        // Its thread ends, and says so, when there are no more orders to come.
                        state.workers.remove(&worker);
                    }
                    Deed::Refuse { task, why } => refuse(inner, &mut state, task, why),
                    Deed::Closed => {
                        inner.forget(self);
                        self.closed.notify_all();
                    }
                }
            }
        }
    }

    fn hire(self: &Arc<Self>, inner: &Arc<Inner>, state: &mut State, worker: WorkerId) -> Result<(), String> {
        let (orders, taken) = channel();
        state.workers.insert(worker, Worker { orders, attach: None });
        let (pool, inner) = (Arc::clone(self), Arc::clone(inner));
        std::thread::Builder::new()
            .name("worker".into())
            .stack_size(1024 * 1024)
            .spawn(move || pool.work(&inner, worker, &taken))
            .map(drop)
            .map_err(|error| format!("no thread for it: {error}"))
    }

    /// The life of a worker.
    fn work(self: &Arc<Self>, inner: &Arc<Inner>, worker: WorkerId, orders: &Receiver<Order>) {
        let name = format!("{}-{worker}", self.name());
        let place = match place(inner, self, &name) {
            Ok(place) => place,
            Err(why) => return self.word(inner, Word::Lost { worker, why }),
        };
        if let (Some(line), Some(row)) = (place.attach_line(), lock(&self.state).workers.get_mut(&worker)) {
            row.attach = Some(line);
        }
        self.word(inner, Word::Ready { worker });
        while let Ok(order) = orders.recv() {
            let (task, reply) = (order.task, order.reply.clone());
            let done = self.perform(inner, &place, &name, order);
            let crashed = done.ending.outcome == Outcome::Crashed;
            let spent = done.answer.spent;
            let ended = inner.reports.change(task, |report| {
                report.ended(&done, inner.shop.clock.now());
                if let (TaskState::Cancelled, Some(why)) = (report.state, inner.ended_with_it()) {
                    report.note = Some(why.to_owned());
                }
            });
            if let Some(report) = ended {
                // A pool that nobody finds again has nothing to be counted on.
                let counted = (self.origin != Origin::Passing).then_some((self.name(), spent));
                inner.ledger.put(&report, counted);
            }
            self.word(inner, Word::Finished { worker, task, crashed, spent });
            let _ = reply.send(Reply::Ended(Box::new(done)));
        }
        self.word(inner, Word::Gone { worker });
    }

    fn perform(self: &Arc<Self>, inner: &Arc<Inner>, place: &Place, name: &str, order: Order) -> Done {
        let begun = inner.reports.change(order.task, |report| {
            report.state = TaskState::Running;
            report.started_at = Some(inner.shop.clock.now());
            report.worker = Some(name.to_owned());
        });
        if let Some(report) = begun {
            inner.ledger.put(&report, None);
        }
        let work = std::panic::AssertUnwindSafe(|| place.perform(inner, self, &order));
        std::panic::catch_unwind(work)
            .unwrap_or_else(|_| Done::crashed("the pool failed while it ran; the log has more"))
    }

    pub(super) fn is_due(&self, now: Duration) -> bool {
        lock(&self.state).machine.wake().is_some_and(|wake| wake <= now)
    }

    /// Load from 0 and tasks done so far; `None` when it takes nothing.
    pub(super) fn load(&self) -> Option<(f64, u64)> {
        let state = lock(&self.state);
        let machine = &state.machine;
        #[allow(clippy::cast_precision_loss, reason = "a few thousand tasks")]
        let work = (machine.busy() + machine.waiting()) as f64;
        (machine.life() == Life::Open && machine.limits().max > 0)
            .then(|| (work / f64::from(machine.limits().max), machine.totals().1))
    }

    /// Waits until nothing is left of it, at most so long. Gives whether that is so.
    pub(super) fn await_closed(&self, limit: Duration) -> bool {
        let state = lock(&self.state);
        let open = |state: &mut State| state.machine.life() != Life::Closed;
        let waited = self.closed.wait_timeout_while(state, limit, open).unwrap_or_else(PoisonError::into_inner);
        !waited.1.timed_out()
    }

    /// How it is, for a table.
    pub(super) fn row(&self) -> Value {
        let state = lock(&self.state);
        let machine = &state.machine;
        let (Spent { usd, tokens }, done, refused) = machine.totals();
        json!({
            "pool": self.name(),
            "kind": self.spec.engine.as_deref().unwrap_or("local"),
            "workers_are": self.works_as(),
            "state": match machine.life() {
                Life::Open => "open",
                Life::Draining => "closing",
                Life::Closed => "closed",
            },
            "selector": self.spec.selector.as_str(),
            "min": machine.limits().min,
            "max": machine.limits().max,
            "workers": machine.workers().len(),
            "busy": machine.busy(),
            "waiting": machine.waiting(),
            "queue": machine.limits().queue,
            "done": done,
            "refused": refused,
            "cost_usd": usd,
            "tokens": tokens,
            "max_usd": self.spec.max_usd,
            "max_tokens": self.spec.max_tokens,
        })
    }

    /// Whether the other engine is there, has what does the tasks, and somebody takes them.
    fn offered(&self, remote: &dyn Runner) -> Result<(), String> {
        let [engine, target] = [&self.spec.engine, &self.spec.target].map(|name| name.as_deref().unwrap_or_default());
        remote.reaches(engine)?;
        match remote.offers(engine, target) {
            Ok(None) => Ok(()),
            Ok(Some(why)) => Err(why),
            Err(fault) if fault.kind() == FaultKind::Unavailable => Err(format!("unreachable ({})", fault.message())),
            Err(fault) => Err(fault.message().to_owned()),
        }
    }

    /// How it is and how its workers are.
    pub(super) fn health(&self, inner: &Inner) -> Value {
        let mut row = self.row();
        let available = match (&self.profile, &inner.config.remote) {
            (Some(profile), _) => inner.shop.check(profile),
            (None, Some(remote)) => self.offered(remote.as_ref()),
            (None, None) => Err("its engine's adapter is not active".to_owned()),
        };
        let state = lock(&self.state);
        let workers: Vec<Value> = state
            .machine
            .workers()
            .iter()
            .map(|(id, worker)| {
                let (at, task) = match &worker.seat {
                    At::Starting => ("starting", None),
                    At::Idle { .. } => ("idle", None),
                    At::Busy { task } => ("busy", Some(*task)),
                    At::Leaving => ("leaving", None),
                };
                let attach = state.workers.get(id).and_then(|worker| worker.attach.clone());
                json!({
                    "worker": format!("{}-{id}", self.name()),
                    "state": at,
                    "task": task,
                    "done": worker.done,
                    "crashed": worker.crashed,
                    "look_in": attach.filter(|_| task.is_some()),
                })
            })
            .collect();
        let over = state.machine.totals().0.over(self.spec.max_usd, self.spec.max_tokens);
        let trouble = available
            .err()
            .or_else(|| over.map(|over| format!("its budget is used up: {over}")))
            .or_else(|| state.machine.trouble().map(|why| format!("workers cannot be had: {why}")));
        row["healthy"] = trouble.is_none().into();
        row["trouble"] = trouble.into();
        row["workers"] = workers.into();
        row
    }
}

/// Tells whoever wanted a task that it will not be done.
fn refuse(inner: &Inner, state: &mut State, task: TaskId, why: String) {
    let running = state.running.remove(&task).map(|(_, reply)| reply);
    let waiting = state.waiting.remove(&task);
    let stopped = waiting.as_ref().is_some_and(|order| order.stop.is_raised());
    let Some(reply) = waiting.map(|order| order.reply).or(running) else { return };
    let outcome = if stopped { Outcome::Cancelled } else { Outcome::Crashed };
    let done = Done { ending: Ending::because(outcome, why), ..Done::crashed("") };
    let ended = inner.reports.change(task, |report| {
        report.ended(&done, inner.shop.clock.now());
        if let Some(why) = inner.ended_with_it() {
            (report.state, report.note) = (TaskState::Cancelled, Some(format!("{why} before it began")));
        }
    });
    if let Some(report) = ended {
        inner.ledger.put(&report, None);
    }
    let _ = reply.send(Reply::Ended(Box::new(done)));
}
