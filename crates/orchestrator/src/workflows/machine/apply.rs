//! The one way from state to state.

use std::sync::Arc;

use oneiric::clock::Timestamp;

use super::{Machine, Step};
use crate::workflows::Status;
use crate::workflows::fact::{Decision, Ending, Fact, Outcome, StepState};
use crate::workflows::plan::StepIndex;

/// What is said of a step that its engine ended because it ended itself.
const STOPPED: &str = "ended by the stop of its engine";

impl Machine {
    /// A fact is true from now on. The one way from state to state, for new facts and for those of the journal.
    pub fn apply(&mut self, fact: &Fact, at: Timestamp) {
        let mut row = fact.step().map(|step| self.steps[step as usize].clone()).unwrap_or_default();
        match fact {
            Fact::Started { attempt, .. } => {
                self.status = Status::Running;
                self.started_at.get_or_insert(at);
                row = Step {
                    state: StepState::Running,
                    attempt: *attempt,
                    started_at: Some(at),
                    forgiven: row.forgiven,
                    ..Step::default()
                };
            }
            Fact::Bound { run, .. } => row.run = Some(run.clone()),
            Fact::Ended { ending, again, .. } => {
                row.state = match (again, ending.outcome) {
                    (Some(_), _) => StepState::Delayed,
                    (None, Outcome::Succeeded) => StepState::Completed,
                    (None, Outcome::Failed | Outcome::Crashed) => StepState::Failed,
                    (None, Outcome::TimedOut) => StepState::Timeout,
                    (None, Outcome::Cancelled) => StepState::Cancelled,
                };
                (row.ended_at, row.until, row.ending) = (Some(at), *again, Some(ending.clone()));
            }
            Fact::Dropped { state, because, .. } => {
                (row.state, row.ended_at, row.until) = (*state, Some(at), None);
                row.ending = Some(Ending::because(Outcome::Cancelled, because.clone()));
            }
            Fact::Asked { .. } => {
                self.status = Status::Running;
                self.started_at.get_or_insert(at);
                (row.state, row.started_at) = (StepState::Asking, Some(at));
            }
            Fact::Answered { yes, by, .. } => {
                let (state, outcome, word) = match yes {
                    true => (StepState::Completed, Outcome::Succeeded, "approved"),
                    false => (StepState::Failed, Outcome::Failed, "refused"),
                };
                (row.state, row.ended_at) = (state, Some(at));
                row.ending = Some(Ending::because(outcome, format!("{word} by {by}")));
            }
            Fact::Lost { .. } => (row.state, row.ended_at) = (StepState::Unknown, Some(at)),
            Fact::Interrupted { ending, .. } => {
                (row.state, row.ended_at) = (StepState::Waiting, Some(at));
                // What the engine did to it is no failure of its own.
                row.forgiven += 1;
                row.ending = Some(Ending { note: Some(STOPPED.to_owned()), ..ending.clone() });
            }
            Fact::Settled { decision, by, .. } => {
                let why = match row.state {
                    StepState::Unknown => "may or may not have finished",
                    _ => STOPPED,
                };
                let (state, outcome) = match decision {
                    Decision::Retry => (StepState::Waiting, Outcome::Crashed),
                    Decision::Done => (StepState::Completed, Outcome::Succeeded),
                    Decision::Failed => (StepState::Failed, Outcome::Crashed),
                };
                row.state = state;
                row.ending = Some(Ending::because(outcome, format!("{why}; settled by {by}")));
            }
            Fact::Reopened { .. } => {
                (self.status, self.cancel, self.out_of_time) = (Status::Running, false, false);
                self.started_at = None;
                row = Step { attempt: row.attempt, forgiven: row.attempt, ..Step::default() };
            }
            Fact::CancelAsked { .. } => self.cancel = true,
            Fact::OutOfTime => self.out_of_time = true,
            Fact::ClockSet { by } => self.shift(*by),
            Fact::Finished { status, .. } => self.status = *status,
        }
        if let Some(step) = fact.step() {
            self.enter(step, row);
        }
    }

    /// Moves the times that something is reckoned from: when it began, when what is at work began, until when it waits.
    fn shift(&mut self, by: i64) {
        let moved =
            |at: &mut Option<Timestamp>| *at = at.map(|at| Timestamp::from_micros(at.as_micros().saturating_add(by)));
        moved(&mut self.started_at);
        let timed: Vec<StepIndex> = self.timed().collect();
        for step in timed {
            let mut row = self.steps[step as usize].clone();
            [&mut row.started_at, &mut row.ended_at, &mut row.until].into_iter().for_each(moved);
            self.enter(step, row);
        }
    }

    /// Puts a step into a state and keeps every index true.
    pub(super) fn enter(&mut self, step: StepIndex, row: Step) {
        let old = &self.steps[step as usize];
        let (was, is) = (old.state, row.state);
        let room = self.room_of(step) as usize;
        if let Some(until) = old.until {
            self.delayed[room].remove(&(until, step));
        }
        self.ready[room].remove(&step);
        self.running.remove(&step);
        let coded = row.state != StepState::Completed && row.ending.as_ref().is_some_and(|end| end.exit_code.is_some());
        match coded {
            true => self.coded.insert(step),
            false => self.coded.remove(&step),
        };
        self.counts[was as usize] -= 1;
        self.counts[is as usize] += 1;
        let done = |state| state == StepState::Completed;
        let until = row.until;
        self.steps[step as usize] = row;
        if done(was) != done(is) {
            let graph = Arc::clone(&self.graph);
            for &dependent in &graph.dependents[step as usize] {
                let room = self.room_of(dependent) as usize;
                let open = &mut self.open_needs[dependent as usize];
                *open = if done(is) { open.saturating_sub(1) } else { *open + 1 };
                if self.steps[dependent as usize].state == StepState::Waiting {
                    match *open {
                        0 => self.ready[room].insert(dependent),
                        _ => self.ready[room].remove(&dependent),
                    };
                }
            }
        }
        match (is, until) {
            (StepState::Waiting, _) if self.open_needs[step as usize] == 0 => self.ready[room].insert(step),
            (StepState::Delayed, Some(until)) => self.delayed[room].insert((until, step)),
            (StepState::Running, _) => self.running.insert(step),
            _ => false,
        };
    }
}
