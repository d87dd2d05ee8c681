//! Tools about workflows.

use std::time::Duration;

use oneiric::fault::Fault;
use oneiric_server::mcp::ToolError;
use orchestrator::engine::output_path;
use orchestrator::run::read_output;
use orchestrator::workflows::fact::{Decision, StepState};
use orchestrator::workflows::{NewWorkflow, Request, Which, Workflow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::cli::workflow::{machine, steps_value};
use crate::drive;
use crate::sweeps::SweepRequest;
use crate::who;
use crate::world::World;

/// Most rows of a list.
const MAX_ROWS: u32 = 1_000;
/// Most bytes of printed text in an answer.
const MAX_TEXT: usize = 64 * 1024;
/// Longest wait for an end, in seconds.
const MAX_WAIT: f64 = 50.0;
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Answer of `sweep`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Begun {
    pub(crate) workflow_id: String,
    /// Whether the key was known
    pub(crate) existing: bool,
}

impl SweepRequest {
    pub(crate) fn run(self, world: &World) -> Result<Value, ToolError> {
        let plan = self.plan(world)?;
        let asked_by = who::username(&world.surroundings);
        let new = NewWorkflow { plan, key: self.key, asked_by, schedule: None };
        let submitted = drive::submit(world, &new)?;
        Ok(json!({ "workflow_id": submitted.id, "existing": submitted.existing }))
    }
}

/// Arguments of `list_workflows`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListWorkflows {
    #[serde(default)]
    which: Kind,
    /// 1 to 1000, default 20
    #[serde(default)]
    limit: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    All,
    Active,
    Failed,
}

/// Answer of `list_workflows`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct WorkflowList {
    /// id, task, repo, status, progress, steps, error
    pub(crate) workflows: Vec<Map<String, Value>>,
}

impl ListWorkflows {
    pub(crate) fn run(self, world: &World) -> Result<Value, ToolError> {
        let which = match self.which {
            Kind::All => Which::All,
            Kind::Active => Which::Active,
            Kind::Failed => Which::Failed,
        };
        let limit = self.limit.unwrap_or(20).clamp(1, MAX_ROWS);
        Ok(json!({ "workflows": world.workflows().list(which, limit as usize)? }))
    }
}

/// Arguments of `get_workflow`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GetWorkflow {
    /// Id or unambiguous prefix
    workflow_id: String,
    /// Seconds to wait for its end, at most 50
    #[serde(default)]
    wait: Option<f64>,
}

/// Answer of `get_workflow`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct WorkflowShape {
    pub(crate) id: String,
    pub(crate) status: String,
    /// step, task, repo, state, attempt, exit_code, note
    pub(crate) steps: Vec<Map<String, Value>>,
}

impl GetWorkflow {
    pub(crate) fn run(self, world: &World) -> Result<Value, ToolError> {
        let wait = self.wait.unwrap_or(0.0);
        if !wait.is_finite() || !(0.0..=MAX_WAIT).contains(&wait) {
            return Err(ToolError::new("invalid_arguments", format!("wait is 0 to {MAX_WAIT}")).with("field", "wait"));
        }
        let workflow = until(world, &self.workflow_id, wait, |workflow| workflow.status.is_final() || workflow.stuck)?;
        shape(world, &workflow)
    }
}

/// Arguments of `workflow_logs`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkflowLogs {
    /// Id or unambiguous prefix
    workflow_id: String,
    /// Number of a step
    #[serde(default)]
    step: Option<u32>,
    #[serde(default)]
    repo: Option<String>,
}

/// Answer of `workflow_logs`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LogText {
    pub(crate) text: String,
    /// Whether more was printed
    pub(crate) cut: bool,
}

impl WorkflowLogs {
    pub(crate) fn run(self, world: &World) -> Result<Value, ToolError> {
        let workflow = world.workflows().get(&self.workflow_id)?;
        let machine = machine(world, &workflow)?;
        let mut text = String::new();
        let mut cut = false;
        // The newest last, as in a terminal; what does not fit is cut from the beginning.
        for (number, step) in (0_u32..).zip(machine.steps()) {
            let place = machine.plan().place(&machine.graph().cells[number as usize]);
            let wanted = self.step.is_none_or(|wanted| wanted == number)
                && self.repo.as_deref().is_none_or(|repo| place.is_some_and(|place| place.name == repo));
            if !wanted || step.attempt == 0 {
                continue;
            }
            let path = output_path(world.settings.home(), &workflow.id, number, step.attempt);
            let (printed, _) = read_output(&path, 0)
                .map_err(|error| Fault::unavailable(format!("cannot read {}: {error}", path.display())))?;
            if !printed.is_empty() {
                text.push_str(&format!("── {}\n{}", machine.label(number), printed));
            }
            if text.len() > MAX_TEXT {
                let mut from = text.len() - MAX_TEXT;
                while !text.is_char_boundary(from) {
                    from += 1;
                }
                text.drain(..from);
                cut = true;
            }
        }
        Ok(json!({ "text": text, "cut": cut }))
    }
}

/// Arguments of `cancel_workflow`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelWorkflow {
    /// Id or unambiguous prefix
    workflow_id: String,
}

/// Answer of tools that steer a workflow.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Told {
    pub(crate) workflow_id: String,
    pub(crate) status: String,
}

impl CancelWorkflow {
    pub(crate) fn run(self, world: &World) -> Result<Value, ToolError> {
        let workflow = world.workflows().get(&self.workflow_id)?;
        let by = who::username(&world.surroundings);
        world.workflows().ask(&workflow, &Request::Cancel { by }, world.clock.now())?;
        told(&until(world, &workflow.id, MAX_WAIT, |workflow| workflow.status.is_final())?)
    }
}

/// Arguments of `retry_workflow`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryWorkflow {
    /// Id or unambiguous prefix
    workflow_id: String,
}

impl RetryWorkflow {
    pub(crate) fn run(self, world: &World) -> Result<Value, ToolError> {
        let workflow = world.workflows().get(&self.workflow_id)?;
        world.workflows().retry(&workflow, world.clock.now())?;
        told(&world.workflows().get(&workflow.id)?)
    }
}

/// Arguments of `decide_workflow`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecideWorkflow {
    /// Id or unambiguous prefix
    workflow_id: String,
    decision: Word,
    /// Number of a step; all that wait when left out
    #[serde(default)]
    step: Option<u32>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Word {
    Approve,
    Refuse,
    Retry,
    Done,
    Failed,
}

impl DecideWorkflow {
    pub(crate) fn run(self, world: &World) -> Result<Value, ToolError> {
        let workflow = world.workflows().get(&self.workflow_id)?;
        let by = who::username(&world.surroundings);
        let step = self.step;
        let settle = |decision| Request::Settle { step, decision, by: by.clone() };
        let request = match self.decision {
            Word::Approve => Request::Answer { step, yes: true, by: by.clone() },
            Word::Refuse => Request::Answer { step, yes: false, by: by.clone() },
            Word::Retry => settle(Decision::Retry),
            Word::Done => settle(Decision::Done),
            Word::Failed => settle(Decision::Failed),
        };
        let number = world.workflows().ask(&workflow, &request, world.clock.now())?;
        drive::await_answer(world, number)?;
        told(&world.workflows().get(&workflow.id)?)
    }
}

fn told(workflow: &Workflow) -> Result<Value, ToolError> {
    Ok(json!({ "workflow_id": workflow.id, "status": workflow.status }))
}

fn shape(world: &World, workflow: &Workflow) -> Result<Value, ToolError> {
    let mut value = serde_json::to_value(workflow).map_err(|error| Fault::internal(error.to_string()))?;
    let steps = steps_value(world, workflow)?;
    let waiting = |row: &&Value| {
        let state = row["state"].as_str().unwrap_or_default();
        state == StepState::Asking.as_str() || state == StepState::Unknown.as_str()
    };
    value["waits_for_you"] = steps.iter().filter(waiting).map(|row| row["step"].clone()).collect::<Vec<_>>().into();
    value["steps"] = steps.into();
    Ok(value)
}

/// The workflow once `is`, or after so many seconds.
fn until(world: &World, id: &str, seconds: f64, is: impl Fn(&Workflow) -> bool) -> Result<Workflow, ToolError> {
    let limit = world.clock.monotonic() + Duration::try_from_secs_f64(seconds).unwrap_or_default();
    loop {
        let workflow = world.workflows().get(id)?;
        if is(&workflow) || world.clock.monotonic() >= limit {
            return Ok(workflow);
        }
        std::thread::sleep(LOOK);
    }
}
