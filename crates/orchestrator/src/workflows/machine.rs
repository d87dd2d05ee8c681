//! One workflow as a state machine without input or output: facts lead from state to state, questions tell what to do next.
//!
//! Whoever drives it writes the facts to the journal before it acts on them. Replaying the journal gives the same machine,
//! so a killed driver loses nothing but the knowledge of what ran at that moment, and the machine says so.

mod apply;
mod follow;
mod room;

use std::collections::BTreeSet;
use std::sync::Arc;

use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, Result};

use super::Status;
use super::fact::{Decision, Ending, Fact, Outcome, StepState};
use super::plan::{Graph, OnUnknown, Plan, StepIndex, Work, seconds};

pub use self::room::Room;

/// What is known of a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// Its state.
    pub state: StepState,
    /// Attempts that began.
    pub attempt: u32,
    /// When the newest attempt began.
    pub started_at: Option<Timestamp>,
    /// When the newest attempt ended, or it was given up.
    pub ended_at: Option<Timestamp>,
    /// When it is tried again.
    pub until: Option<Timestamp>,
    /// The other engine's id of the newest attempt.
    pub run: Option<String>,
    /// How the newest attempt ended.
    pub ending: Option<Ending>,
    /// Attempts that were made before it was reopened: they do not count against its limit.
    pub forgiven: u32,
}

/// A workflow in memory.
#[derive(Clone, Debug)]
pub struct Machine {
    plan: Arc<Plan>,
    graph: Arc<Graph>,
    seed: u64,
    steps: Vec<Step>,
    open_needs: Vec<u32>,
    /// By the room that they take: those that may begin, and those that may when their time has come.
    ready: [BTreeSet<StepIndex>; Room::ALL.len()],
    delayed: [BTreeSet<(Timestamp, StepIndex)>; Room::ALL.len()],
    running: BTreeSet<StepIndex>,
    /// Those that did not end well and have an exit code.
    coded: BTreeSet<StepIndex>,
    counts: [usize; StepState::ALL.len()],
    started_at: Option<Timestamp>,
    cancel: bool,
    out_of_time: bool,
    status: Status,
}

impl Machine {
    /// A workflow that has not begun. `seed` makes its chances its own; the same seed gives the same ones.
    ///
    /// # Errors
    /// As [`Plan::graph`].
    pub fn new(plan: Plan, seed: u64) -> Result<Self> {
        let graph = plan.graph()?;
        let open_needs =
            graph.needs.iter().map(|needs| u32::try_from(needs.len()).unwrap_or(u32::MAX)).collect::<Vec<_>>();
        let steps = vec![Step::default(); graph.cells.len()];
        let mut counts = [0; StepState::ALL.len()];
        counts[StepState::Waiting as usize] = steps.len();
        let mut machine = Self {
            plan: Arc::new(plan),
            graph: Arc::new(graph),
            seed,
            steps,
            open_needs,
            ready: Default::default(),
            delayed: Default::default(),
            running: BTreeSet::new(),
            coded: BTreeSet::new(),
            counts,
            started_at: None,
            cancel: false,
            out_of_time: false,
            status: Status::Pending,
        };
        for (step, _) in (0_u32..).zip(&machine.open_needs).filter(|(_, open)| **open == 0) {
            machine.ready[machine.room_of(step) as usize].insert(step);
        }
        Ok(machine)
    }

    fn room_of(&self, step: StepIndex) -> Room {
        Room::of(&self.plan.task(&self.graph.cells[step as usize]).work)
    }

    /// A workflow as its rows tell: the steps that are not waiting, when it began, and whether it is to stop.
    ///
    /// # Errors
    /// As [`Plan::graph`]; when a row is about a step that the plan does not have.
    pub fn restore(
        plan: Plan,
        seed: u64,
        rows: impl IntoIterator<Item = (StepIndex, Step)>,
        standing: Standing,
    ) -> Result<Self> {
        let mut machine = Self::new(plan, seed)?;
        for (step, row) in rows {
            if step as usize >= machine.steps.len() {
                return Err(Fault::internal(format!("the journal has a step {step} that the plan has not")));
            }
            machine.enter(step, row);
        }
        machine.started_at = standing.started_at;
        machine.cancel = standing.cancel;
        machine.out_of_time = standing.out_of_time;
        machine.status = standing.status;
        Ok(machine)
    }

    /// What is to be done.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Its steps and their order.
    #[must_use]
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// All steps.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// State of the whole.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// How many steps are in this state.
    #[must_use]
    pub const fn count(&self, state: StepState) -> usize {
        self.counts[state as usize]
    }

    /// Steps that could begin now and take this room, first in the plan first. The plan's own limit of parallel steps
    /// ([`Machine::room`]) is the caller's to keep, since only it knows which of them have their repository free.
    pub fn startable(&self, room: Room, now: Timestamp) -> impl Iterator<Item = StepIndex> + '_ {
        let open = !(self.status.is_final() || self.is_stopping());
        let due = self.delayed[room as usize].range(..=(now, StepIndex::MAX)).map(|(_, step)| *step);
        self.ready[room as usize].iter().copied().chain(due).filter(move |_| open)
    }

    /// How many more of its steps may run.
    #[must_use]
    pub fn room(&self) -> usize {
        (self.plan.parallel.max(1) as usize).saturating_sub(self.running.len())
    }

    /// What its own row tells beside the steps.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        let Self { status, started_at, cancel, out_of_time, .. } = self;
        Standing { status: *status, started_at: *started_at, cancel: *cancel, out_of_time: *out_of_time }
    }

    /// The exit code that tells most: the first one of a step that did not end well, else 0 once all is over.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        let bad = self.coded.first().and_then(|step| self.steps[*step as usize].ending.as_ref()?.exit_code);
        bad.or((self.status == Status::Completed).then_some(0))
    }

    /// Steps at work.
    pub fn running(&self) -> impl Iterator<Item = StepIndex> + '_ {
        self.running.iter().copied()
    }

    /// Whether nothing happens any more until a person has spoken.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        let waits =
            self.delayed.iter().any(|steps| !steps.is_empty()) || self.ready.iter().any(|steps| !steps.is_empty());
        let idle = self.running.is_empty() && !waits;
        idle && self.count(StepState::Asking) + self.count(StepState::Unknown) > 0
    }

    /// Whether everything that runs is to be stopped.
    #[must_use]
    pub const fn is_stopping(&self) -> bool {
        self.cancel || self.out_of_time
    }

    /// When something happens by itself: a retry is due, or time runs out.
    #[must_use]
    pub fn wake(&self) -> Option<Timestamp> {
        let retry = self.delayed.iter().filter_map(|steps| steps.first()).map(|(at, _)| *at).min();
        let end = self.deadline().filter(|_| !self.status.is_final() && !self.is_stopping());
        retry.into_iter().chain(end).min()
    }

    fn deadline(&self) -> Option<Timestamp> {
        Some(self.started_at?.plus(seconds(self.plan.time_limit?)))
    }

    /// A startable step begins. An approval asks instead.
    pub fn start(&mut self, step: StepIndex, now: Timestamp) -> Fact {
        let approval = matches!(self.plan.task(&self.graph.cells[step as usize]).work, Work::Approval { .. });
        let fact = match approval {
            true => Fact::Asked { step },
            false => Fact::Started { step, attempt: self.steps[step as usize].attempt + 1 },
        };
        self.apply(&fact, now);
        fact
    }

    /// Another engine gave a running attempt an id.
    pub fn bound(&mut self, step: StepIndex, attempt: u32, run: &str, now: Timestamp) -> Vec<Fact> {
        match self.is_at(step, attempt) {
            true => self.tell(vec![Fact::Bound { step, run: run.to_owned() }], now),
            false => Vec::new(),
        }
    }

    /// An attempt ended. Word of an attempt that is not at work any more changes nothing.
    pub fn ended(&mut self, step: StepIndex, attempt: u32, mut ending: Ending, now: Timestamp) -> Vec<Fact> {
        if !self.is_at(step, attempt) {
            return Vec::new();
        }
        let state = &self.steps[step as usize];
        let policy = &self.plan.task(&self.graph.cells[step as usize]).policy;
        if self.out_of_time && ending.outcome == Outcome::Cancelled {
            ending.outcome = Outcome::TimedOut;
        }
        let bad = matches!(ending.outcome, Outcome::Failed | Outcome::Crashed | Outcome::TimedOut);
        let left = attempt.saturating_sub(state.forgiven) < policy.attempts.max(1);
        let again = (bad && left && !self.is_stopping())
            .then(|| now.plus(policy.delay(attempt.saturating_sub(state.forgiven), self.chance(step, attempt))));
        let mut facts = vec![Fact::Ended { step, attempt, ending, again }];
        self.apply(&facts[0], now);
        if again.is_none() {
            self.follow(step, now, &mut facts);
        }
        self.conclude(now, &mut facts);
        facts
    }

    /// An attempt was ended because the engine ends. It has not finished, so it runs again when the workflow goes on, unless
    /// its policy is that it fails. One that says that it ended well all the same may have.
    pub fn interrupted(&mut self, step: StepIndex, attempt: u32, ending: Ending, now: Timestamp) -> Vec<Fact> {
        let by_itself = ending.outcome != Outcome::Cancelled;
        if by_itself || self.is_stopping() || !self.is_at(step, attempt) {
            return self.ended(step, attempt, ending, now);
        }
        if ending.exit_code == Some(0) {
            let mut facts = Vec::new();
            self.lose(step, now, &mut facts);
            self.conclude(now, &mut facts);
            return facts;
        }
        let mut facts = self.tell(vec![Fact::Interrupted { step, attempt, ending }], now);
        let task = self.plan.task(&self.graph.cells[step as usize]);
        if task.policy.on_unknown == OnUnknown::Fail {
            self.settle_one(step, Decision::Failed, "policy", now, &mut facts);
        }
        self.conclude(now, &mut facts);
        facts
    }

    /// Someone wants it to stop.
    pub fn cancel(&mut self, by: &str, now: Timestamp) -> Vec<Fact> {
        if self.cancel || self.status.is_final() {
            return Vec::new();
        }
        let mut facts = self.tell(vec![Fact::CancelAsked { by: by.to_owned() }], now);
        self.drop_all(StepState::Cancelled, "cancelled", now, &mut facts);
        self.conclude(now, &mut facts);
        facts
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Fact> {
        let over = self.deadline().is_some_and(|deadline| deadline <= now);
        if !over || self.status.is_final() || self.is_stopping() {
            return Vec::new();
        }
        let mut facts = self.tell(vec![Fact::OutOfTime], now);
        self.drop_all(StepState::Cancelled, "the workflow ran out of time", now, &mut facts);
        self.conclude(now, &mut facts);
        facts
    }

    /// Steps whose times still count: they have begun and not ended.
    pub(super) fn timed(&self) -> impl Iterator<Item = StepIndex> + '_ {
        let counts = |step: &Step| !step.state.is_final() && step.started_at.is_some();
        (0_u32..).zip(&self.steps).filter(move |(_, step)| counts(step)).map(|(step, _)| step)
    }

    /// Time has leapt by so many microseconds, back when they are less than zero: the clock was set, or the machine slept.
    /// Waits and limits are reckoned by time that passes, so they move with it.
    pub fn clock_set(&mut self, by: i64, now: Timestamp) -> Vec<Fact> {
        if by == 0 || self.status.is_final() || self.started_at.is_none() {
            return Vec::new();
        }
        self.tell(vec![Fact::ClockSet { by }], now)
    }

    /// Somebody else drives it from now on. What is known to have happened happened before now; when it did not, the clock
    /// was set back while nobody looked, and no wait becomes longer by that than it was from its beginning.
    pub fn adopted(&mut self, now: Timestamp) -> Vec<Fact> {
        let steps = self.timed().map(|step| {
            let row = &self.steps[step as usize];
            row.started_at.max(row.ended_at)
        });
        let latest = steps.chain([self.started_at]).flatten().max();
        let back = latest.map_or(0, |latest| now.as_micros().saturating_sub(latest.as_micros()).min(0));
        self.clock_set(back, now)
    }

    /// The driver that ran it was killed. Gives the facts; steps that another engine runs stay running and are to be
    /// attached to anew, and those that are `here` stay as they are.
    pub fn lost(&mut self, now: Timestamp, here: impl Fn(StepIndex) -> bool) -> Vec<Fact> {
        let mut facts = Vec::new();
        for step in self.running.clone() {
            let task = self.plan.task(&self.graph.cells[step as usize]);
            if here(step) || task.work.can_be_attached() {
                continue;
            }
            self.lose(step, now, &mut facts);
        }
        self.conclude(now, &mut facts);
        facts
    }

    /// Nobody can say whether a step finished: its policy decides, or a person.
    fn lose(&mut self, step: StepIndex, now: Timestamp, facts: &mut Vec<Fact>) {
        let decision = match self.plan.task(&self.graph.cells[step as usize]).policy.on_unknown {
            // What was being stopped is stopped now; asking about it would keep the workflow open for nothing.
            _ if self.is_stopping() => Some(Decision::Failed),
            OnUnknown::Ask => None,
            OnUnknown::Retry => Some(Decision::Retry),
            OnUnknown::Fail => Some(Decision::Failed),
        };
        let attempt = self.steps[step as usize].attempt;
        facts.extend(self.tell(vec![Fact::Lost { step, attempt }], now));
        if let Some(decision) = decision {
            self.settle_one(step, decision, "policy", now, facts);
        }
    }

    /// Someone decides about a step that may or may not have finished.
    ///
    /// # Errors
    /// Conflict when the step is in another state.
    pub fn settle(&mut self, step: StepIndex, decision: Decision, by: &str, now: Timestamp) -> Result<Vec<Fact>> {
        self.expect(step, StepState::Unknown, "there is nothing to decide about it")?;
        let mut facts = Vec::new();
        self.settle_one(step, decision, by, now, &mut facts);
        self.conclude(now, &mut facts);
        Ok(facts)
    }

    /// Someone answers a step that asks.
    ///
    /// # Errors
    /// Conflict when the step does not ask.
    pub fn answer(&mut self, step: StepIndex, yes: bool, by: &str, now: Timestamp) -> Result<Vec<Fact>> {
        self.expect(step, StepState::Asking, "it does not ask for approval")?;
        let mut facts = self.tell(vec![Fact::Answered { step, yes, by: by.to_owned() }], now);
        self.follow(step, now, &mut facts);
        self.conclude(now, &mut facts);
        Ok(facts)
    }

    /// Steps that did not end well, and those that were dropped because of them, get another chance.
    ///
    /// # Errors
    /// Conflict when the workflow has not ended, or all of it ended well.
    pub fn retry(&mut self, now: Timestamp) -> Result<Vec<Fact>> {
        if !self.status.is_final() {
            return Err(
                Fault::conflict(format!("the workflow is {}", self.status)).hint("wait for its end or cancel it")
            );
        }
        let again = |state: StepState| state.is_final() && state != StepState::Completed;
        let open: Vec<Fact> = (0_u32..)
            .zip(&self.steps)
            .filter(|(_, step)| again(step.state))
            .map(|(step, _)| Fact::Reopened { step })
            .collect();
        if open.is_empty() {
            return Err(Fault::conflict("every step of the workflow ended well").hint("there is nothing to retry"));
        }
        Ok(self.tell(open, now))
    }

    fn tell(&mut self, facts: Vec<Fact>, now: Timestamp) -> Vec<Fact> {
        for fact in &facts {
            self.apply(fact, now);
        }
        facts
    }

    fn is_at(&self, step: StepIndex, attempt: u32) -> bool {
        self.steps.get(step as usize).is_some_and(|row| row.state == StepState::Running && row.attempt == attempt)
    }

    fn expect(&self, step: StepIndex, state: StepState, otherwise: &str) -> Result<()> {
        match self.steps.get(step as usize) {
            Some(row) if row.state == state => Ok(()),
            Some(row) => Err(Fault::conflict(format!("step {} is {}: {otherwise}", self.label(step), row.state))),
            None => Err(Fault::not_found(format!("the workflow has no step {step}"))),
        }
    }

    /// A step as people say it: `task in repository`.
    #[must_use]
    pub fn label(&self, step: StepIndex) -> String {
        let Some(cell) = self.graph.cells.get(step as usize) else { return format!("step {step}") };
        let task = &self.plan.task(cell).name;
        self.plan.place(cell).map_or_else(|| task.clone(), |place| format!("{task} in {}", place.name))
    }

    /// Share of steps that are over.
    #[must_use]
    pub fn progress(&self) -> f64 {
        let over: usize =
            StepState::ALL.into_iter().filter(|state| state.is_final()).map(|state| self.count(state)).sum();
        #[allow(clippy::cast_precision_loss, reason = "at most a hundred thousand steps")]
        let share = over as f64 / self.steps.len().max(1) as f64;
        share
    }

    /// 0 to 1, the same each time for one attempt (SplitMix64).
    fn chance(&self, step: StepIndex, attempt: u32) -> f64 {
        let mut z =
            self.seed.wrapping_add(u64::from(step) << 32 | u64::from(attempt)).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
        let chance = ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        chance
    }
}

/// What a workflow's own row tells beside its steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// State of the whole.
    pub status: Status,
    /// When its first step began.
    pub started_at: Option<Timestamp>,
    /// Whether someone wants it to stop.
    pub cancel: bool,
    /// Whether its time is over.
    pub out_of_time: bool,
}

#[cfg(test)]
mod tests;
