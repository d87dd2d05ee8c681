//! What steps that could begin wait for: who works in their repository, and what a person is asked.

use std::collections::BTreeMap;
use std::path::PathBuf;

use orchestrator::engine::is_alive;
use orchestrator::run::survivors;
use orchestrator::workflows::fact::StepState;
use orchestrator::workflows::machine::{Machine, Room};
use orchestrator::workflows::plan::{StepIndex, Work};
use orchestrator::workflows::{Holder, Workflow};

use crate::world::World;

/// What is said of steps that have not begun: a question for a person, or who holds the repository that they wait for.
pub(crate) fn notes(world: &World, workflow: &Workflow, machine: &Machine) -> BTreeMap<StepIndex, String> {
    let mut notes = BTreeMap::new();
    let steps = || (0_u32..).zip(machine.steps());
    for (number, _) in steps().filter(|(_, step)| step.state == StepState::Asking) {
        if let Work::Approval { question } = &machine.plan().task(&machine.graph().cells[number as usize]).work {
            notes.insert(number, question.clone());
        }
    }
    if workflow.status.is_final() || steps().all(|(_, step)| step.state != StepState::Waiting) {
        return notes;
    }
    let holders = world.workflows().holders().unwrap_or_default();
    let holders: BTreeMap<PathBuf, Holder> = holders.into_iter().map(|held| (held.dir.clone(), held)).collect();
    let mut told: BTreeMap<PathBuf, String> = BTreeMap::new();
    let now = world.clock.now();
    for number in Room::ALL.into_iter().flat_map(|room| machine.startable(room, now)) {
        let cell = &machine.graph().cells[number as usize];
        let task = machine.plan().task(cell);
        let place = machine.plan().place(cell).filter(|_| task.policy.exclusive && task.work.is_in_folder());
        let Some(holder) = place.and_then(|place| holders.get(&place.dir)) else { continue };
        let words = told.entry(holder.dir.clone()).or_insert_with(|| words(world, workflow, machine, holder));
        notes.insert(number, words.clone());
    }
    notes
}

fn words(world: &World, workflow: &Workflow, machine: &Machine, holder: &Holder) -> String {
    if holder.number == workflow.number {
        return format!("waits for its repository: {} is at work there", machine.label(holder.step));
    }
    let (id, since) = (&holder.workflow, holder.since.local());
    if is_alive(world.settings.home(), &holder.engine) {
        return format!("waits for its repository: workflow {id} is at work there since {since}");
    }
    let left = survivors(&format!("{}/", holder.engine));
    let pids: Vec<String> = left.iter().take(5).map(|pid| pid.as_raw_nonzero().to_string()).collect();
    match pids.as_slice() {
        [] => format!("waits for its repository: workflow {id} was at work there and was killed"),
        pids => format!(
            "waits for its repository: workflow {id} was killed, and what it began there still runs (process {}); \
             'mahavishnu workflow cancel {id}' ends it, 'workflow resume {id}' goes on",
            pids.join(", ")
        ),
    }
}
