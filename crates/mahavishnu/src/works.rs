//! Workflows as lasting work of the protocol: how one stands, what it asks, and answers to that.

use std::sync::Arc;

use oneiric::clock::Timestamp;
use oneiric::count::counted;
use oneiric::fault::{Fault, FaultKind, Result};
use oneiric::token::Scope;
use oneiric_server::mcp::{Question, Reply, Stage, Standing, Told, ToolError, Works, blocking};
use orchestrator::workflows::fact::{Decision, StepState};
use orchestrator::workflows::machine::{Machine, Step};
use orchestrator::workflows::plan::Work;
use orchestrator::workflows::{RETENTION, Request, Status, Workflow};
use serde_json::{Map, Value, json};

use crate::cli::workflow::machine;
use crate::mcp::answer::heard;
use crate::mcp::workflows::Course;
use crate::who;
use crate::world::World;

/// Most questions that are shown at once.
const MAX_QUESTIONS: usize = 16;

/// The workflows of this home.
pub(crate) struct LastingWorkflows(Arc<World>);

impl LastingWorkflows {
    pub(crate) fn of(world: &Arc<World>) -> Self {
        Self(Arc::clone(world))
    }

    /// Does something that waits for the database.
    async fn at<T: Send + 'static>(
        &self,
        work: impl FnOnce(&World) -> std::result::Result<T, ToolError> + Send + 'static,
    ) -> std::result::Result<T, ToolError> {
        let world = Arc::clone(&self.0);
        blocking(move || work(&world)).await
    }
}

impl Works for LastingWorkflows {
    fn named(&self) -> &'static str {
        "workflow_id"
    }

    fn answering(&self) -> Scope {
        Scope::Admin
    }

    fn stopping(&self) -> Scope {
        Scope::Write
    }

    fn look<'a>(&'a self, id: &'a str) -> Told<'a, std::result::Result<Standing, ToolError>> {
        let id = id.to_owned();
        Box::pin(self.at(move |world| Ok(standing(world, &whole(world, &id)?)?)))
    }

    fn answer<'a>(
        &'a self,
        id: &'a str,
        key: &'a str,
        reply: Reply,
        who: &'a str,
    ) -> Told<'a, std::result::Result<(), ToolError>> {
        let (id, key, who) = (id.to_owned(), key.to_owned(), who.to_owned());
        Box::pin(async move {
            let asked = self.at(move |world| Ok(word(world, &whole(world, &id)?, &key, &reply, &who)?)).await?;
            let Some(request) = asked else { return Ok(()) };
            // A refusal says that somebody else was faster.
            heard(&self.0, request).await.map(drop)
        })
    }

    fn stop<'a>(&'a self, id: &'a str, who: &'a str) -> Told<'a, std::result::Result<(), ToolError>> {
        let (id, who) = (id.to_owned(), who.to_owned());
        Box::pin(self.at(move |world| {
            let workflow = whole(world, &id)?;
            if workflow.status.is_final() {
                return Ok(());
            }
            let by = who::asker(&world.surroundings, &who);
            match world.workflows().ask(&workflow, &Request::Cancel { by }, world.clock.now()) {
                // It has ended meanwhile.
                Err(fault) if fault.kind() == FaultKind::Conflict => Ok(()),
                asked => Ok(asked.map(drop)?),
            }
        }))
    }
}

/// The workflow with exactly this id: a handle is no search.
fn whole(world: &World, id: &str) -> Result<Workflow> {
    let missing =
        || Fault::not_found(format!("no workflow {}", id.chars().take(64).collect::<String>().escape_debug()));
    match world.workflows().get(id) {
        Ok(workflow) if workflow.id == id => Ok(workflow),
        Err(fault) if !matches!(fault.kind(), FaultKind::NotFound | FaultKind::Conflict) => Err(fault),
        _ => Err(missing()),
    }
}

fn standing(world: &World, workflow: &Workflow) -> Result<Standing> {
    let questions = match workflow.waiting_for_someone {
        0 => Vec::new(),
        _ if workflow.status.is_final() => Vec::new(),
        _ => questions(&machine(world, workflow)?),
    };
    let stage = match workflow.status {
        Status::Completed => Stage::Done,
        Status::Failed | Status::Timeout => Stage::Failed,
        Status::Cancelled => Stage::Cancelled,
        Status::Pending | Status::Running if workflow.stuck => Stage::Rests,
        Status::Pending | Status::Running => Stage::AtWork,
    };
    let over = workflow.progress * f64::from(workflow.steps);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a u32")]
    let done = over.round() as u32;
    let told = serde_json::to_value(Course::of(workflow)).ok().and_then(|told| told.as_object().cloned());
    Ok(Standing {
        id: workflow.id.clone(),
        stage,
        created_at: workflow.created_at,
        updated_at: world.workflows().changed_at(workflow)?,
        kept_until: workflow.ended_at.map(|ended| ended.plus(RETENTION)),
        done,
        total: workflow.steps,
        message: message(workflow, done, &questions),
        questions,
        told: told.unwrap_or_default(),
    })
}

fn message(workflow: &Workflow, done: u32, questions: &[Question]) -> String {
    let mut message = format!("{}: {done} of {}", workflow.status, counted(workflow.steps, "step", "steps"));
    for (count, what) in [
        (workflow.running, "running"),
        (workflow.failed, "failed"),
        (workflow.waiting_for_someone, "waiting for someone with the right to decide"),
    ] {
        if count > 0 && !(workflow.status.is_final() && what != "failed") {
            message.push_str(&format!(", {count} {what}"));
        }
    }
    if let Some(question) = questions.first() {
        message.push_str(": ");
        message.push_str(&question.message);
    }
    if let Some(error) = &workflow.error {
        message.push_str("; ");
        message.push_str(error);
    }
    message
}

fn questions(machine: &Machine) -> Vec<Question> {
    (0_u32..)
        .zip(machine.steps())
        .filter_map(|(number, step)| question(machine, number, step))
        .take(MAX_QUESTIONS)
        .collect()
}

/// What a step asks. The key tells this time from others, since a step of a workflow that is retried asks again.
fn question(machine: &Machine, number: u32, step: &Step) -> Option<Question> {
    let cell = machine.graph().cells.get(number as usize)?;
    let stamp = |at: Option<Timestamp>| at.map_or(0, Timestamp::as_micros);
    let (key, message, field) = match step.state {
        StepState::Asking => {
            let message = match &machine.plan().task(cell).work {
                Work::Approval { question } => question.clone(),
                _ => machine.label(number),
            };
            let field = json!({ "type": "boolean", "title": "Approve" });
            (format!("approve-{number}-{}", stamp(step.started_at)), message, (APPROVE, field))
        }
        StepState::Unknown => {
            let message = format!(
                "{} may or may not have finished: its engine ended meanwhile. Run it again, or count it as done or failed?",
                machine.label(number)
            );
            let field = json!({ "type": "string", "enum": ["retry", "done", "failed"], "title": "Decision" });
            (format!("decide-{number}-{}", stamp(step.ended_at)), message, (DECISION, field))
        }
        _ => return None,
    };
    Some(Question { key, message, fields: Map::from_iter([(field.0.to_owned(), field.1)]) })
}

/// The field of an answer to an approval.
const APPROVE: &str = "approve";
/// The field of an answer about a step that may or may not have finished.
const DECISION: &str = "decision";

/// Leaves word for the engine, unless `key` is no question any more. Gives the request's number.
fn word(world: &World, workflow: &Workflow, key: &str, reply: &Reply, who: &str) -> Result<Option<i64>> {
    if workflow.status.is_final() {
        return Ok(None);
    }
    let machine = machine(world, workflow)?;
    let asked = key.split('-').nth(1).and_then(|number| number.parse::<u32>().ok());
    let open = asked.and_then(|number| Some((number, machine.steps().get(number as usize)?)));
    let Some((number, step)) =
        open.filter(|(number, step)| question(&machine, *number, step).is_some_and(|question| question.key == key))
    else {
        return Ok(None);
    };
    let by = who::asker(&world.surroundings, who);
    let wrong = |what: &str| Fault::user(format!("the answer to '{}' has no {what}", key.escape_debug()));
    let given = |field: &str| match reply {
        Reply::Given(fields) => fields.get(field).cloned().unwrap_or(Value::Null),
        Reply::Declined => Value::Null,
    };
    let request = match (step.state, reply) {
        (StepState::Asking, Reply::Declined) => Request::Answer { step: Some(number), yes: false, by },
        (StepState::Asking, Reply::Given(_)) => {
            let yes = given(APPROVE).as_bool().ok_or_else(|| wrong("'approve': true or false"))?;
            Request::Answer { step: Some(number), yes, by }
        }
        // Whoever does not want to decide has not decided.
        (_, Reply::Declined) => return Ok(None),
        (_, Reply::Given(_)) => {
            let decision = match given(DECISION).as_str() {
                Some("retry") => Decision::Retry,
                Some("done") => Decision::Done,
                Some("failed") => Decision::Failed,
                _ => return Err(wrong("'decision': retry, done or failed")),
            };
            Request::Settle { step: Some(number), decision, by }
        }
    };
    match world.workflows().ask(workflow, &request, world.clock.now()) {
        Ok(number) => Ok(Some(number)),
        // It has ended meanwhile.
        Err(fault) if fault.kind() == FaultKind::Conflict => Ok(None),
        Err(fault) => Err(fault),
    }
}
