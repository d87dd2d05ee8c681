//! Tools about workflows.

use std::path::PathBuf;

use oneiric::fault::Fault;
use oneiric_server::mcp::ToolError;
use orchestrator::engine::output_path;
use orchestrator::run::read_output;
use orchestrator::workflows::fact::{Decision, StepState};
use orchestrator::workflows::file::PlanFile;
use orchestrator::workflows::{NewWorkflow, Request, Which, Workflow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::rows::rows;
use crate::cli::workflow::{machine, whole_value};
use crate::drive;
use crate::sweeps::SweepRequest;
use crate::world::World;

/// Most bytes of printed text in an answer.
const MAX_TEXT: usize = 64 * 1024;
/// Most bytes of a plan.
const MAX_PLAN: usize = 1024 * 1024;

/// Answer of tools that begin, steer or end a workflow.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Course {
    pub(crate) workflow_id: String,
    pub(crate) status: String,
    pub(crate) steps: u32,
    pub(crate) completed: u32,
    pub(crate) failed: u32,
    pub(crate) waiting_for_someone: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// Whether the key was known
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) existing: Option<bool>,
}

impl Course {
    /// How a workflow stands.
    pub(crate) fn of(workflow: &Workflow) -> Self {
        Self {
            workflow_id: workflow.id.clone(),
            status: workflow.status.to_string(),
            steps: workflow.steps,
            completed: workflow.completed,
            failed: workflow.failed,
            waiting_for_someone: workflow.waiting_for_someone,
            error: workflow.error.clone(),
            existing: None,
        }
    }
}

fn told(course: &Course) -> Result<Value, ToolError> {
    serde_json::to_value(course).map_err(|error| Fault::internal(error.to_string()).into())
}

fn begun(world: &World, new: &NewWorkflow, title: &str) -> Result<Value, ToolError> {
    let submitted = drive::submit_as(world, new, title)?;
    let course = Course::of(&world.workflows().get(&submitted.id)?);
    told(&Course { existing: Some(submitted.existing), ..course })
}

impl SweepRequest {
    pub(crate) fn run(self, world: &World, by: String) -> Result<Value, ToolError> {
        let plan = self.plan(world)?;
        let title = plan.title();
        begun(world, &NewWorkflow { plan, key: self.key, asked_by: by, schedule: None }, &title)
    }
}

/// Arguments of `run_plan`: one of file and plan.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunPlan {
    /// Path of a plan (YAML) on the server's machine
    #[serde(default)]
    file: Option<PathBuf>,
    /// Or its text: name, repos {tag, role, names}, tasks [{name, run | approve, after, once, retries, timeout}]
    #[serde(default)]
    plan: Option<String>,
    /// Asking twice with one key makes one workflow
    #[serde(default)]
    key: Option<String>,
}

impl RunPlan {
    pub(crate) fn run(self, world: &World, by: String) -> Result<Value, ToolError> {
        let cwd = &world.surroundings.cwd;
        let file = match (&self.file, &self.plan) {
            (Some(file), None) => PlanFile::read(&cwd.join(file))?,
            (None, Some(text)) if text.len() > MAX_PLAN => {
                return Err(Fault::user(format!("the plan has more than {MAX_PLAN} bytes")).into());
            }
            (None, Some(text)) => PlanFile::parse(text, &cwd.join("plan"))?,
            _ => return Err(Fault::user("a plan comes by 'file' or by 'plan'").hint("give one of them").into()),
        };
        let plan = file.plan(&world.manifest()?)?;
        begun(world, &NewWorkflow { plan, key: self.key, asked_by: by, schedule: None }, &file.title())
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
        let limit = rows("limit", self.limit, 20)?;
        Ok(json!({ "workflows": world.workflows().list(which, limit)? }))
    }
}

/// Arguments of `get_workflow`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GetWorkflow {
    /// Id or unambiguous prefix
    workflow_id: String,
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
        let workflow = world.workflows().get(&self.workflow_id)?;
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

impl CancelWorkflow {
    pub(crate) fn run(self, world: &World, by: String) -> Result<Value, ToolError> {
        let workflow = world.workflows().get(&self.workflow_id)?;
        world.workflows().ask(&workflow, &Request::Cancel { by }, world.clock.now())?;
        told(&Course::of(&workflow))
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
        standing(world, &workflow.id)
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
    /// Leaves word for the engine.
    pub(crate) fn run(self, world: &World, by: String) -> Result<Answer, ToolError> {
        let workflow = world.workflows().get(&self.workflow_id)?;
        let step = self.step;
        let settle = |decision| Request::Settle { step, decision, by: by.clone() };
        let request = match self.decision {
            Word::Approve => Request::Answer { step, yes: true, by: by.clone() },
            Word::Refuse => Request::Answer { step, yes: false, by: by.clone() },
            Word::Retry => settle(Decision::Retry),
            Word::Done => settle(Decision::Done),
            Word::Failed => settle(Decision::Failed),
        };
        let request = world.workflows().ask(&workflow, &request, world.clock.now())?;
        Ok(Answer::Asked { workflow: workflow.id, request })
    }
}

/// How the workflow with this id stands.
pub(super) fn standing(world: &World, id: &str) -> Result<Value, ToolError> {
    told(&Course::of(&world.workflows().get(id)?))
}

fn shape(world: &World, workflow: &Workflow) -> Result<Value, ToolError> {
    let mut value = whole_value(world, workflow)?;
    let waiting = |row: &&Value| {
        let state = row["state"].as_str().unwrap_or_default();
        state == StepState::Asking.as_str() || state == StepState::Unknown.as_str()
    };
    let steps = value["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    value["waits_for_you"] = steps.iter().filter(waiting).map(|row| row["step"].clone()).collect::<Vec<_>>().into();
    Ok(value)
}
