//! `workflow explain`: the journal in words, and what it waits for now.

use std::collections::BTreeMap;
use std::time::Duration;

use oneiric::clock::clock_time;
use oneiric::count::counted;
use oneiric::fault::Result;
use oneiric_shell::output::Output;
use oneiric_shell::terminal::printable;
use orchestrator::workflows::Workflow;
use orchestrator::workflows::fact::{Decision, Ending, Fact, Outcome, StepState};
use orchestrator::workflows::machine::Machine;
use orchestrator::workflows::plan::StepIndex;

use super::{machine, notes, status_words};
use crate::world::World;

pub(super) fn explain(world: &World, workflow: &Workflow, output: &Output) -> Result<()> {
    let machine = machine(world, workflow)?;
    output.line(&format!("{}  {}", output.terminal().strong(&workflow.id), printable(&workflow.task)));
    for (at, fact) in world.workflows().facts(workflow)? {
        output.line(&format!("{}  {}", output.terminal().faint(&at.local()), printable(&words(&machine, &fact))));
    }
    output.line(&format!("Now: {}", status_words(workflow, world)));
    for line in waits(&machine, &notes(world, workflow, &machine)) {
        output.line(&format!("  {}", printable(&line)));
    }
    Ok(())
}

fn words(machine: &Machine, fact: &Fact) -> String {
    let label = |step: &u32| machine.label(*step);
    match fact {
        Fact::Started { step, attempt: 1 } => format!("{} began", label(step)),
        Fact::Started { step, attempt } => format!("{} began again (attempt {attempt})", label(step)),
        Fact::Bound { step, run } => format!("{} has the id {run} in its engine", label(step)),
        Fact::Ended { step, ending, again, .. } => {
            let again = again.map(|at| format!("; again at {}", at.local())).unwrap_or_default();
            format!("{} {}{again}", label(step), end(ending))
        }
        Fact::Dropped { step, state, because } => format!("{} is {state}: {because}", label(step)),
        Fact::Asked { step } => format!("{} asks for approval", label(step)),
        Fact::Answered { step, yes, by } => {
            format!("{} was {} by {by}", label(step), if *yes { "approved" } else { "refused" })
        }
        Fact::Lost { step, .. } => format!("{} may or may not have finished: its engine ended meanwhile", label(step)),
        Fact::Interrupted { step, .. } => {
            format!("{} was ended by the stop of its engine: it has not finished and runs again", label(step))
        }
        Fact::Settled { step, decision, by } => {
            let what = match decision {
                Decision::Retry => "runs again",
                Decision::Done => "counts as done",
                Decision::Failed => "counts as failed",
            };
            format!("{} {what}, as {by} decided", label(step))
        }
        Fact::CancelAsked { by } => format!("{by} asked to cancel it"),
        Fact::OutOfTime => "its time is over".to_owned(),
        Fact::ClockSet { by } => {
            let way = if *by < 0 { "back" } else { "forward" };
            format!(
                "time leapt {way} by {}: waits and limits move with it",
                clock_time(Duration::from_micros(by.unsigned_abs()))
            )
        }
        Fact::Reopened { step } => format!("{} gets another chance", label(step)),
        Fact::Finished { status, error } => match error {
            Some(error) => format!("it ended: {status}, {error}"),
            None => format!("it ended: {status}"),
        },
    }
}

fn end(ending: &Ending) -> String {
    let word = match ending.outcome {
        Outcome::Succeeded => "ended well",
        Outcome::Failed => "failed",
        Outcome::Crashed => "crashed",
        Outcome::TimedOut => "ran out of time",
        Outcome::Cancelled => "was stopped",
    };
    ending.note.as_ref().map_or_else(|| word.to_owned(), |note| format!("{word} ({note})"))
}

/// What steps that are not over wait for.
fn waits(machine: &Machine, notes: &BTreeMap<StepIndex, String>) -> Vec<String> {
    let mut ready = 0;
    let mut lines = Vec::new();
    let mut behind: BTreeMap<String, usize> = BTreeMap::new();
    for (number, step) in (0_u32..).zip(machine.steps()) {
        match step.state {
            StepState::Waiting => {
                let open = machine.graph().needs[number as usize]
                    .iter()
                    .find(|need| machine.steps()[**need as usize].state != StepState::Completed);
                match open {
                    Some(need) => *behind.entry(machine.label(*need)).or_default() += 1,
                    None => match notes.get(&number) {
                        Some(note) => lines.push(format!("{} {note}", machine.label(number))),
                        None => ready += 1,
                    },
                }
            }
            StepState::Delayed => {
                let at = step.until.map(|at| at.local()).unwrap_or_default();
                lines.push(format!("{} is tried again at {at}", machine.label(number)));
            }
            StepState::Running => lines.push(format!("{} runs", machine.label(number))),
            StepState::Asking => {
                let question = notes.get(&number).map(|question| format!(": {question}")).unwrap_or_default();
                lines.push(format!("{} asks for approval{question}", machine.label(number)));
            }
            StepState::Unknown => lines.push(format!("{} may or may not have finished", machine.label(number))),
            _ => {}
        }
    }
    lines.extend(
        behind.into_iter().map(|(label, count)| format!("{} for {label}", counted(count, "step waits", "steps wait"))),
    );
    if ready > 0 {
        lines.push(format!("{} for room", counted(ready, "step waits for its turn:", "steps wait for their turn:")));
    }
    lines
}
