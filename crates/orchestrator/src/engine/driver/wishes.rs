//! What people want from the one who drives a workflow.

use oneiric::clock::Timestamp;

use crate::workflows::fact::{Fact, StepState};
use crate::workflows::journal::Request;
use crate::workflows::machine::Machine;
use crate::workflows::plan::StepIndex;

/// What someone wants, done to the machine.
pub(super) fn wish(machine: &mut Machine, request: &Request, now: Timestamp) -> std::result::Result<Vec<Fact>, String> {
    let in_state = |machine: &Machine, step: Option<StepIndex>, state: StepState| -> Vec<StepIndex> {
        match step {
            Some(step) => vec![step],
            None => {
                (0_u32..).zip(machine.steps()).filter(|(_, row)| row.state == state).map(|(step, _)| step).collect()
            }
        }
    };
    let mut facts = Vec::new();
    match request {
        Request::Cancel { by } => facts = machine.cancel(by, now),
        Request::Settle { step, decision, by } => {
            let steps = in_state(machine, *step, StepState::Unknown);
            if steps.is_empty() {
                return Err("no step of it is unknown".into());
            }
            for step in steps {
                facts.extend(machine.settle(step, *decision, by, now).map_err(|fault| fault.to_string())?);
            }
        }
        Request::Answer { step, yes, by } => {
            let steps = in_state(machine, *step, StepState::Asking);
            if steps.is_empty() {
                return Err("no step of it asks for approval".into());
            }
            for step in steps {
                facts.extend(machine.answer(step, *yes, by, now).map_err(|fault| fault.to_string())?);
            }
        }
    }
    Ok(facts)
}
