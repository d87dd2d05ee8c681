//! Lasting work as tasks (extension `io.modelcontextprotocol/tasks`). A task is the work itself under the work's own id, so it
//! outlives the client, its connection and this process, and work that was begun by another door is a task, too.

use rmcp::RoleServer;
use rmcp::model::{
    DetailedTask, ErrorData, GetTaskResult, InputRequest, InputResponses, JsonObject, Task, TaskPayload, TaskStatus,
};
use rmcp::service::RequestContext;

use super::lasting::{answered, caller, can_answer, form, result};
use super::reading::refusal;
use crate::mcp::lasting::{Stage, Standing, Works};

/// How often a client should ask, in milliseconds.
const POLL_MS: u64 = 1_000;

/// A task. It needs input when its client `can_answer` what is asked.
pub(super) fn task(standing: &Standing, can_answer: bool) -> Task {
    let status = match standing.stage {
        Stage::AtWork | Stage::Rests if can_answer && !standing.questions.is_empty() => TaskStatus::InputRequired,
        Stage::AtWork | Stage::Rests => TaskStatus::Working,
        Stage::Done | Stage::Failed => TaskStatus::Completed,
        Stage::Cancelled => TaskStatus::Cancelled,
    };
    let (created, updated) = (standing.created_at.to_string(), standing.updated_at.to_string());
    let task = Task::new(&standing.id, status, created, updated)
        .with_status_message(&standing.message)
        .with_poll_interval_ms(POLL_MS);
    match standing.kept_until {
        Some(until) => {
            let kept = until.since(standing.created_at).as_millis();
            task.with_ttl_ms(u64::try_from(kept).unwrap_or(u64::MAX))
        }
        None => task,
    }
}

pub(super) async fn get(
    works: &dyn Works,
    id: &str,
    context: &RequestContext<RoleServer>,
) -> Result<GetTaskResult, ErrorData> {
    let standing = works.look(id).await.map_err(|error| refusal(&error))?;
    let task = task(&standing, can_answer(works, context));
    let payload = match task.status {
        TaskStatus::InputRequired => {
            let requests: Result<_, ErrorData> = standing
                .questions
                .iter()
                .map(|question| Ok((question.key.clone(), InputRequest::Elicitation(form(question)?))))
                .collect();
            TaskPayload::InputRequired { input_requests: requests? }
        }
        TaskStatus::Completed => TaskPayload::Completed { result: object(&result(works, standing))? },
        TaskStatus::Cancelled => TaskPayload::Cancelled,
        _ => TaskPayload::Working,
    };
    Ok(GetTaskResult::new(DetailedTask::new(task, payload)))
}

pub(super) async fn update(
    works: &dyn Works,
    id: &str,
    answers: InputResponses,
    context: &RequestContext<RoleServer>,
) -> Result<(), ErrorData> {
    let standing = works.look(id).await.map_err(|error| refusal(&error))?;
    for (key, given) in answers {
        // What is not asked, or not any more, is nobody's mistake.
        if standing.questions.iter().any(|question| question.key == key) {
            answered(works, id, &key, given, caller(context)).await?;
        }
    }
    Ok(())
}

pub(super) async fn cancel(works: &dyn Works, id: &str, context: &RequestContext<RoleServer>) -> Result<(), ErrorData> {
    works.stop(id, caller(context)).await.map_err(|error| refusal(&error))
}

fn object(result: &rmcp::model::CallToolResult) -> Result<JsonObject, ErrorData> {
    match serde_json::to_value(result) {
        Ok(serde_json::Value::Object(map)) => Ok(map),
        Ok(_) => Err(ErrorData::internal_error("a result that is no object", None)),
        Err(error) => Err(ErrorData::internal_error(error.to_string(), None)),
    }
}
