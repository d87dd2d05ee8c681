//! What follows from a step's end: for those that wait for it, and for the whole.

use std::sync::Arc;

use oneiric::clock::Timestamp;
use oneiric::count::counted;

use super::Machine;
use crate::workflows::Status;
use crate::workflows::fact::{Decision, Fact, StepState};
use crate::workflows::machine::Step;
use crate::workflows::plan::StepIndex;

impl Machine {
    pub(super) fn settle_one(
        &mut self,
        step: StepIndex,
        decision: Decision,
        by: &str,
        now: Timestamp,
        facts: &mut Vec<Fact>,
    ) {
        facts.extend(self.tell(vec![Fact::Settled { step, decision, by: by.to_owned() }], now));
        self.follow(step, now, facts);
    }

    /// What a step's end means for those that wait for it.
    pub(super) fn follow(&mut self, step: StepIndex, now: Timestamp, facts: &mut Vec<Fact>) {
        let state = self.steps[step as usize].state;
        if !state.is_final() || state == StepState::Completed {
            return;
        }
        let graph = Arc::clone(&self.graph);
        let mut open = vec![step];
        while let Some(bad) = open.pop() {
            for &dependent in &graph.dependents[bad as usize] {
                if matches!(self.steps[dependent as usize].state, StepState::Waiting | StepState::Delayed) {
                    let because = format!("{} did not end well", self.label(bad));
                    facts.extend(
                        self.tell(vec![Fact::Dropped { step: dependent, state: StepState::Skipped, because }], now),
                    );
                    open.push(dependent);
                }
            }
        }
        if self.plan.fail_fast && state != StepState::Cancelled {
            let because = format!("{} failed, and the first failure ends this workflow", self.label(step));
            self.drop_all(StepState::Skipped, &because, now, facts);
        }
    }

    /// Drops whatever has not begun.
    pub(super) fn drop_all(&mut self, state: StepState, because: &str, now: Timestamp, facts: &mut Vec<Fact>) {
        let open = |step: &Step| {
            matches!(step.state, StepState::Waiting | StepState::Delayed | StepState::Asking)
                || (self.is_stopping() && step.state == StepState::Unknown)
        };
        let dropped: Vec<Fact> = (0_u32..)
            .zip(&self.steps)
            .filter(|(_, step)| open(step))
            .map(|(step, _)| Fact::Dropped { step, state, because: because.to_owned() })
            .collect();
        facts.extend(self.tell(dropped, now));
    }

    /// Says so when nothing is left to do.
    pub(super) fn conclude(&mut self, now: Timestamp, facts: &mut Vec<Fact>) {
        let left: usize =
            StepState::ALL.into_iter().filter(|state| !state.is_final()).map(|state| self.count(state)).sum();
        if left > 0 || self.status.is_final() {
            return;
        }
        let [failed, timeout, skipped, cancelled] =
            [StepState::Failed, StepState::Timeout, StepState::Skipped, StepState::Cancelled]
                .map(|state| self.count(state));
        let status = match () {
            () if failed > 0 => Status::Failed,
            () if self.out_of_time || timeout > 0 => Status::Timeout,
            () if self.cancel || cancelled > 0 => Status::Cancelled,
            () if skipped > 0 => Status::Failed,
            () => Status::Completed,
        };
        // Someone who cancelled wants to read that; failures of stopped work are part of it.
        let status = if self.cancel && status != Status::Completed { Status::Cancelled } else { status };
        let error = (status != Status::Completed).then(|| {
            let named =
                [(failed, "failed"), (timeout, "ran out of time"), (skipped, "skipped"), (cancelled, "cancelled")];
            let parts: Vec<String> =
                named.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
            let first = (0_u32..)
                .zip(&self.steps)
                .find(|(_, step)| matches!(step.state, StepState::Failed | StepState::Timeout));
            let first = first.map(|(number, step)| {
                let note = step.ending.as_ref().and_then(|ending| ending.note.clone());
                format!("; {}: {}", self.label(number), note.unwrap_or_else(|| step.state.to_string()))
            });
            format!(
                "{} of {}{}",
                parts.join(", "),
                counted(self.steps.len(), "step", "steps"),
                first.unwrap_or_default()
            )
        });
        facts.extend(self.tell(vec![Fact::Finished { status, error }], now));
    }
}
