//! Interrupted workflows whose work is at other engines: what became of it while nobody watched.

use std::time::Duration;

use oneiric::fault::Result;
use orchestrator::adapters::{Seen, Trouble};
use orchestrator::engine::{Engine, Takes};
use orchestrator::workflows::Workflow;
use orchestrator::workflows::fact::StepState;
use orchestrator::workflows::plan::Work;

use crate::cli::workflow::machine;
use crate::drive;
use crate::world::World;

/// Most workflows that are looked after at once.
const MOST: usize = 50;
/// How long the engines are asked.
const ASKING: Duration = Duration::from_secs(3);
/// How long what has ended may take to be written down: a log is read to its end, which may arrive late.
const WRITING: Duration = Duration::from_secs(10);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// What became of interrupted workflows.
#[derive(Default)]
pub(super) struct Settled {
    /// Their runs had ended, and so have they now.
    pub(super) ended: Vec<Workflow>,
    /// Their runs go on over there.
    pub(super) working: Vec<Workflow>,
    /// Their engines do not tell, and why.
    pub(super) unheard: Vec<(Workflow, String)>,
    /// They wait for somebody to go on with them here.
    pub(super) waiting: Vec<Workflow>,
}

/// Asks the engines that have runs of these workflows, and writes down what has ended. Nothing is begun.
pub(super) fn settle(world: &World, interrupted: Vec<Workflow>) -> Settled {
    let mut settled = Settled::default();
    let deadline = world.clock.monotonic() + ASKING;
    for (count, workflow) in interrupted.into_iter().enumerate() {
        let Some(runs) = runs(world, &workflow).filter(|_| count < MOST) else {
            settled.waiting.push(workflow);
            continue;
        };
        if world.clock.monotonic() >= deadline {
            settled.unheard.push((workflow, "there was no time to ask for it".to_owned()));
            continue;
        }
        match have_ended(world, &runs) {
            Ok(false) => settled.working.push(workflow),
            Err(why) => settled.unheard.push((workflow, why)),
            Ok(true) => match write_down(world, &workflow) {
                Ok(after) if after.status.is_final() => settled.ended.push(after),
                Ok(after) => settled.working.push(after),
                Err(fault) => settled.unheard.push((workflow, fault.message().to_owned())),
            },
        }
    }
    settled
}

/// The runs at other engines, when they are all that is left of a workflow: engine and id.
fn runs(world: &World, workflow: &Workflow) -> Option<Vec<(String, String)>> {
    let machine = machine(world, workflow).ok()?;
    let mut runs = Vec::new();
    for (number, step) in machine.steps().iter().enumerate().filter(|(_, step)| !step.state.is_final()) {
        let Work::Adapter { adapter, .. } = &machine.plan().task(&machine.graph().cells[number]).work else {
            return None;
        };
        runs.push((adapter.clone(), step.run.clone().filter(|_| step.state == StepState::Running)?));
    }
    (!runs.is_empty()).then_some(runs)
}

/// Whether all of them have ended; why that is not known otherwise.
fn have_ended(world: &World, runs: &[(String, String)]) -> std::result::Result<bool, String> {
    let adapters = world.adapters();
    for (adapter, run) in runs {
        let (_, remote) = adapters.get(adapter).map_err(|fault| fault.message().to_owned())?;
        match remote.look(run) {
            Ok(Seen::Ended { .. }) => {}
            // One that the engine does not know any more has ended too, and its step says how.
            Err(Trouble::NotFound(_)) => {}
            Ok(_) => return Ok(false),
            Err(trouble) => return Err(format!("{adapter}: {}", trouble.text())),
        }
    }
    Ok(true)
}

/// Drives the workflow as long as it takes to learn how its runs ended.
fn write_down(world: &World, workflow: &Workflow) -> Result<Workflow> {
    let engine = Engine::start(drive::engine_config(world, Takes::Only(workflow.number)))?;
    engine.wake();
    let deadline = world.clock.monotonic() + WRITING;
    let after = loop {
        let now = world.workflows().get(&workflow.id)?;
        if now.status.is_final() || world.clock.monotonic() >= deadline {
            break now;
        }
        std::thread::sleep(LOOK);
    };
    // What still runs over there goes on without it.
    engine.end(Duration::ZERO);
    Ok(after)
}
