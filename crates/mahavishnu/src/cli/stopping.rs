//! What the stop of a server does to the steps that it runs, as the command that stops it tells.

use oneiric_shell::output::Output;
use oneiric_shell::terminal::printable;
use orchestrator::engine::process_of;
use orchestrator::workflows::fact::StepState;
use orchestrator::workflows::plan::StepIndex;
use orchestrator::workflows::{Which, Workflow};

use super::workflow::machine;
use crate::server::PATIENCE;
use crate::world::World;

/// Most workflows that are looked at.
const MAX_WORKFLOWS: usize = 1_000;
/// Most steps that are named.
const NAMED: usize = 10;

/// Steps that a server runs.
pub(super) struct AtWork(Vec<Step>);

struct Step {
    workflow: Workflow,
    step: StepIndex,
    attempt: u32,
    label: String,
}

impl AtWork {
    /// Those of the server in this process. Where the database cannot be read, nothing is known of them.
    pub(super) fn of(world: &World, pid: u32) -> Self {
        let active = world.workflows().list(Which::Active, MAX_WORKFLOWS).unwrap_or_default();
        let driven = |workflow: &Workflow| {
            let engine = workflow.engine.as_deref().filter(|_| workflow.running > 0);
            engine.is_some_and(|engine| process_of(world.settings.home(), engine) == Some(pid))
        };
        let mut steps = Vec::new();
        for workflow in active.into_iter().filter(driven) {
            let Ok(machine) = machine(world, &workflow) else { continue };
            steps.extend(machine.running().map(|step| Step {
                workflow: workflow.clone(),
                step,
                attempt: machine.steps()[step as usize].attempt,
                label: printable(&machine.label(step)),
            }));
        }
        Self(steps)
    }

    /// Says that they are waited for.
    pub(super) fn announce(&self, output: &Output) {
        if self.0.is_empty() {
            return;
        }
        let names: Vec<&str> = self.0.iter().take(NAMED).map(|step| step.label.as_str()).collect();
        let more = if self.0.len() > NAMED { format!(" and {} more", self.0.len() - NAMED) } else { String::new() };
        output.error_line(&format!(
            "Running: {}{more}; up to {} s for them to end",
            names.join(", "),
            PATIENCE.as_secs()
        ));
    }

    /// Says what became of them.
    pub(super) fn tell(&self, world: &World, output: &Output) {
        let mut ended = 0;
        for (count, step) in self.0.iter().enumerate() {
            let now = world.workflows().get(&step.workflow.id).and_then(|workflow| machine(world, &workflow));
            let Ok(now) = now else { continue };
            let row = &now.steps()[step.step as usize];
            let again = row.attempt == step.attempt;
            let Step { label, workflow: Workflow { id, .. }, .. } = step;
            let what = match row.state {
                StepState::Waiting if again => {
                    "was ended and has not finished; it runs again when its workflow goes on"
                }
                StepState::Failed if again && row.ending.as_ref().is_some_and(|ending| ending.exit_code.is_none()) => {
                    "was ended and counts as failed, as its policy says"
                }
                StepState::Running if again => "goes on in its engine",
                StepState::Unknown => "may or may not have finished",
                _ => {
                    ended += 1;
                    continue;
                }
            };
            if count < NAMED {
                output.error_line(&format!("{label} {what} (workflow {id})"));
            }
        }
        if ended > 0 {
            output.error_line(&format!("{ended} of {} ended by itself meanwhile", self.0.len()));
        }
    }
}
