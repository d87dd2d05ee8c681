//! The state of a pool: which workers there are, who does what, what waits. It does no input or output: words come in, deeds
//! come out, and whoever drives it does them and tells what became of them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use oneiric::count::counted;

use super::selector::{Choice, Chooser, Selector};
use crate::workers::Spent;

/// A worker of a pool; numbers are not used twice.
pub(super) type WorkerId = u64;
/// A task; numbers are not used twice.
pub(super) type TaskId = u64;

/// Starts that fail in a row until waiting tasks are refused.
const HOPELESS: u32 = 3;
/// Tasks that crash in a row until their worker is replaced.
const BROKEN: u32 = 3;
/// Longest time between two tries to get a worker.
const LONGEST: Duration = Duration::from_secs(60);

/// Bounds of a pool.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Limits {
    /// Workers that are there even without work.
    pub(super) min: u32,
    /// Most workers.
    pub(super) max: u32,
    /// Most tasks that wait.
    pub(super) queue: usize,
    /// How long a worker beyond `min` may be idle.
    pub(super) idle: Duration,
    /// Which worker a task goes to.
    pub(super) selector: Selector,
    /// Most that all tasks together may cost, in US dollars.
    pub(super) max_usd: Option<f64>,
    /// Most tokens of all tasks together.
    pub(super) max_tokens: Option<u64>,
}

/// What happened.
#[derive(Clone, Debug)]
pub(super) enum Word {
    /// Someone wants this done.
    Submit { task: TaskId, key: Option<String> },
    /// Nobody wants it any more.
    Withdraw { task: TaskId },
    /// A worker is ready for work.
    Ready { worker: WorkerId },
    /// A worker could not start, or broke.
    Lost { worker: WorkerId, why: String },
    /// A worker that was dismissed is gone.
    Gone { worker: WorkerId },
    /// A worker has done its task; `crashed` when the fault was not the task's.
    Finished { worker: WorkerId, task: TaskId, crashed: bool, spent: Spent },
    /// Other bounds.
    Scale { min: u32, max: u32 },
    /// Take nothing more; what is there is done first, unless it has to end `now`.
    Close { now: bool },
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Deed {
    /// Get a worker.
    Hire { worker: WorkerId },
    /// Give a worker a task.
    Assign { worker: WorkerId, task: TaskId },
    /// End what a task does; its end is told as usual.
    Stop { task: TaskId },
    /// Let a worker go.
    Dismiss { worker: WorkerId },
    /// Tell who wanted a task that it will not be done.
    Refuse { task: TaskId, why: String },
    /// Nothing is left of the pool.
    Closed,
}

/// What a worker does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seat {
    Starting,
    Idle { since: Duration },
    Busy { task: TaskId },
    Leaving,
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) seat: Seat,
    pub(super) done: u64,
    pub(super) crashed: u64,
    /// Crashes since the last task that did not.
    in_row: u32,
    key: Option<String>,
    next_key: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Open,
    Draining,
    Closed,
}

#[derive(Clone, Debug)]
pub(super) struct Machine {
    limits: Limits,
    life: Life,
    workers: BTreeMap<WorkerId, Row>,
    waiting: VecDeque<(TaskId, Option<String>)>,
    next: WorkerId,
    chooser: Chooser,
    /// Starts that failed in a row, why the last did, and when the next is tried.
    failed_starts: u32,
    trouble: Option<String>,
    not_before: Duration,
    spent: Spent,
    done: u64,
    refused: u64,
}

impl Machine {
    pub(super) fn new(limits: Limits, seed: u64) -> Self {
        Self {
            limits,
            life: Life::Open,
            workers: BTreeMap::new(),
            waiting: VecDeque::new(),
            next: 1,
            chooser: Chooser::new(seed),
            failed_starts: 0,
            trouble: None,
            not_before: Duration::ZERO,
            spent: Spent::default(),
            done: 0,
            refused: 0,
        }
    }

    /// One that has done so much already.
    pub(super) fn after(self, spent: Spent, done: u64) -> Self {
        Self { spent, done, ..self }
    }

    /// Takes a word at a time since an arbitrary point, and says what follows.
    pub(super) fn apply(&mut self, word: Word, now: Duration) -> Vec<Deed> {
        let mut deeds = Vec::new();
        match word {
            Word::Submit { task, key } => match self.refusal() {
                Some(why) => self.refuse(task, why, &mut deeds),
                None => self.waiting.push_back((task, key)),
            },
            Word::Withdraw { task } => {
                let before = self.waiting.len();
                self.waiting.retain(|(waiting, _)| *waiting != task);
                if before > self.waiting.len() {
                    self.refuse(task, "it was withdrawn".into(), &mut deeds);
                } else if self.workers.values().any(|row| row.seat == Seat::Busy { task }) {
                    deeds.push(Deed::Stop { task });
                }
            }
            Word::Ready { worker } => {
                if let Some(row) = self.workers.get_mut(&worker)
                    && row.seat == Seat::Starting
                {
                    row.seat = Seat::Idle { since: now };
                    (self.failed_starts, self.trouble, self.not_before) = (0, None, Duration::ZERO);
                }
            }
            Word::Lost { worker, why } => self.lost(worker, why, now, &mut deeds),
            Word::Gone { worker } => {
                self.workers.remove(&worker);
            }
            Word::Finished { worker, task, crashed, spent } => self.finished(worker, task, crashed, spent, now),
            Word::Scale { min, max } => {
                self.limits.max = max;
                self.limits.min = min.min(max);
            }
            Word::Close { now: at_once } => self.close(at_once, &mut deeds),
            Word::Tick => {}
        }
        self.settle(now, &mut deeds);
        deeds
    }

    /// Why nothing more is taken.
    fn refusal(&self) -> Option<String> {
        if self.life != Life::Open {
            return Some("the pool is closing".into());
        }
        if let Some(over) = self.over_budget() {
            return Some(format!("the pool's budget is used up: {over}"));
        }
        if self.limits.max == 0 {
            return Some("the pool is scaled to no worker".into());
        }
        (self.waiting.len() >= self.limits.queue)
            .then(|| counted(self.waiting.len(), "task waits", "tasks wait"))
            .map(|waiting| format!("{waiting} already, which is as many as the pool takes"))
    }

    fn over_budget(&self) -> Option<String> {
        self.spent.over(self.limits.max_usd, self.limits.max_tokens)
    }

    fn refuse(&mut self, task: TaskId, why: String, deeds: &mut Vec<Deed>) {
        self.refused += 1;
        deeds.push(Deed::Refuse { task, why });
    }

    fn refuse_all(&mut self, why: &str, deeds: &mut Vec<Deed>) {
        for (task, _) in std::mem::take(&mut self.waiting) {
            self.refuse(task, why.to_owned(), deeds);
        }
    }

    fn lost(&mut self, worker: WorkerId, why: String, now: Duration, deeds: &mut Vec<Deed>) {
        let Some(row) = self.workers.remove(&worker) else { return };
        if let Seat::Busy { task } = row.seat {
            self.refuse(task, format!("its worker broke: {why}"), deeds);
        }
        if row.seat != Seat::Leaving {
            self.failed_starts = self.failed_starts.saturating_add(1);
            let wait = Duration::from_secs(1).saturating_mul(1 << self.failed_starts.saturating_sub(1).min(6));
            self.not_before = now.saturating_add(wait.min(LONGEST));
            self.trouble = Some(why);
        }
    }

    fn finished(&mut self, worker: WorkerId, task: TaskId, crashed: bool, spent: Spent, now: Duration) {
        self.spent = self.spent.plus(spent);
        self.done += 1;
        let Some(row) = self.workers.get_mut(&worker) else { return };
        if row.seat != (Seat::Busy { task }) {
            return;
        }
        row.done += 1;
        row.crashed += u64::from(crashed);
        row.in_row = if crashed { row.in_row + 1 } else { 0 };
        row.key = row.next_key.take();
        row.seat = Seat::Idle { since: now };
    }

    fn close(&mut self, at_once: bool, deeds: &mut Vec<Deed>) {
        if self.life == Life::Open {
            self.life = Life::Draining;
        }
        if at_once {
            self.refuse_all("the pool was closed", deeds);
            let busy = self.workers.values().filter_map(|row| match row.seat {
                Seat::Busy { task } => Some(Deed::Stop { task }),
                _ => None,
            });
            deeds.extend(busy);
        }
    }

    /// What follows from the state as it is.
    fn settle(&mut self, now: Duration, deeds: &mut Vec<Deed>) {
        if let Some(over) = self.over_budget() {
            self.refuse_all(&format!("the pool's budget is used up: {over}"), deeds);
        }
        if self.limits.max == 0 {
            self.refuse_all("the pool is scaled to no worker", deeds);
        }
        if self.failed_starts >= HOPELESS && !self.workers.values().any(|row| row.seat != Seat::Leaving) {
            let why = format!("no worker can be had: {}", self.trouble.as_deref().unwrap_or("it is not known why"));
            self.refuse_all(&why, deeds);
        }
        self.replace_broken(deeds);
        self.assign(deeds);
        self.hire(now, deeds);
        self.dismiss(now, deeds);
        if self.life == Life::Draining && self.workers.is_empty() && self.waiting.is_empty() {
            self.life = Life::Closed;
            deeds.push(Deed::Closed);
        }
    }

    fn replace_broken(&mut self, deeds: &mut Vec<Deed>) {
        for (worker, row) in &mut self.workers {
            if matches!(row.seat, Seat::Idle { .. }) && row.in_row >= BROKEN {
                row.seat = Seat::Leaving;
                deeds.push(Deed::Dismiss { worker: *worker });
            }
        }
    }

    fn assign(&mut self, deeds: &mut Vec<Deed>) {
        let mut present = self.workers.values().filter(|row| row.seat != Seat::Leaving).count();
        while let Some((_, key)) = self.waiting.front() {
            if present > self.limits.max as usize {
                // Scaled down: those who are too many go first.
                let idle = self.workers.iter_mut().rev().find(|(_, row)| matches!(row.seat, Seat::Idle { .. }));
                let Some((worker, row)) = idle else { break };
                row.seat = Seat::Leaving;
                deeds.push(Deed::Dismiss { worker: *worker });
                present -= 1;
                continue;
            }
            let idle = self.workers.iter().filter(|(_, row)| matches!(row.seat, Seat::Idle { .. }));
            let among: Vec<Choice<'_>> =
                idle.map(|(id, row)| Choice { id: *id, load: 0.0, done: row.done, key: row.key.as_deref() }).collect();
            let Some(worker) = self.chooser.choose(self.limits.selector, key.as_deref(), &among) else { break };
            let Some((task, key)) = self.waiting.pop_front() else { break };
            if let Some(row) = self.workers.get_mut(&worker) {
                row.seat = Seat::Busy { task };
                row.next_key = key;
            }
            deeds.push(Deed::Assign { worker, task });
        }
    }

    fn count(&self, what: impl Fn(&Seat) -> bool) -> usize {
        self.workers.values().filter(|row| what(&row.seat)).count()
    }

    /// As many as there is work for, within the bounds.
    fn wanted(&self) -> usize {
        let work = self.count(|seat| matches!(seat, Seat::Busy { .. })) + self.waiting.len();
        let least = if self.life == Life::Open { self.limits.min as usize } else { 0 };
        work.max(least).min(self.limits.max as usize)
    }

    fn hire(&mut self, now: Duration, deeds: &mut Vec<Deed>) {
        // Those who leave still hold what they have, so they count until they are gone.
        while now >= self.not_before
            && self.count(|seat| *seat != Seat::Leaving) < self.wanted()
            && self.workers.len() < self.limits.max as usize
        {
            // While it is not known whether workers can be had, one at a time is tried.
            if self.failed_starts > 0 && self.count(|seat| *seat == Seat::Starting) > 0 {
                break;
            }
            let worker = self.next;
            self.next += 1;
            let row = Row { seat: Seat::Starting, done: 0, crashed: 0, in_row: 0, key: None, next_key: None };
            self.workers.insert(worker, row);
            deeds.push(Deed::Hire { worker });
        }
    }

    fn dismiss(&mut self, now: Duration, deeds: &mut Vec<Deed>) {
        let mut present = self.count(|seat| *seat != Seat::Leaving);
        let (wanted, max) = (self.wanted(), self.limits.max as usize);
        let draining = self.life != Life::Open;
        for (worker, row) in self.workers.iter_mut().rev() {
            let Seat::Idle { since } = row.seat else { continue };
            let rested = draining || now.saturating_sub(since) >= self.limits.idle;
            if present > max || (present > wanted && rested) {
                row.seat = Seat::Leaving;
                present -= 1;
                deeds.push(Deed::Dismiss { worker: *worker });
            }
        }
    }

    /// When it wants to be told that time has passed: a rest ends, or a worker may be tried again.
    pub(super) fn wake(&self) -> Option<Duration> {
        let present = self.count(|seat| *seat != Seat::Leaving);
        let hire =
            (present < self.wanted() && self.workers.len() < self.limits.max as usize).then_some(self.not_before);
        let rests = self.workers.values().filter_map(|row| match row.seat {
            Seat::Idle { since } if present > self.wanted() => Some(since.saturating_add(self.limits.idle)),
            _ => None,
        });
        hire.into_iter().chain(rests).min()
    }

    pub(super) const fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) const fn life(&self) -> Life {
        self.life
    }

    pub(super) const fn workers(&self) -> &BTreeMap<WorkerId, Row> {
        &self.workers
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// What was spent, and how many tasks were done and refused.
    pub(super) const fn totals(&self) -> (Spent, u64, u64) {
        (self.spent, self.done, self.refused)
    }

    pub(super) fn busy(&self) -> usize {
        self.count(|seat| matches!(seat, Seat::Busy { .. }))
    }
}

#[cfg(test)]
mod simulation;
