//! Calls of tools about lasting work by MCP clients: as a task for those that know tasks, else with progress and questions
//! for as long as the client wants to wait.
//!
//! A question goes to the client as a request of its own (revision 2025-11-25) or as an answer that says what is missing
//! (revision 2026-07-28): then the client calls again with the answer and a sealed state, and the work is not begun again.

use std::collections::BTreeSet;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CreateTaskResult, ElicitRequest, ElicitResult,
    ElicitationAction, ErrorData, InputRequest, InputRequests, InputRequiredResult, ProgressNotificationParam,
    ServerRequest,
};
use rmcp::service::RequestContext;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{is_current, parts, reading};
use crate::http::Caller;
use crate::mcp::follow::{Pace, named, settled, wait_of, with};
use crate::mcp::lasting::{Lasting, Question, Reply, Stage, Standing, Works};
use crate::mcp::seal::Seal;
use crate::mcp::tool::{Arguments, ToolDescription, ToolError, ToolSet};

/// Longest time that a person is given for an answer while the client's call stays open.
const ASKING_LIMIT: Duration = Duration::from_secs(600);
/// Time between two looks whether a question has been answered elsewhere meanwhile.
const ANSWERED_ELSEWHERE: Duration = Duration::from_secs(1);

/// Why a call gives no answer of the tool.
pub(super) enum Unanswered {
    /// The tool says why.
    Tool(ToolError),
    /// The request is wrong.
    Request(ErrorData),
}

impl Unanswered {
    /// A word for the audit log.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Tool(error) => error.code(),
            Self::Request(_) => "invalid_request",
        }
    }
}

impl From<ToolError> for Unanswered {
    fn from(error: ToolError) -> Self {
        Self::Tool(error)
    }
}

impl From<ErrorData> for Unanswered {
    fn from(error: ErrorData) -> Self {
        Self::Request(error)
    }
}

/// How a client can be asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asking {
    Not,
    ByRequest,
    ByAnswer,
}

/// The name that a request's caller goes by; empty while nobody is asked for a token.
pub(super) fn caller(context: &RequestContext<RoleServer>) -> &str {
    parts(context).and_then(|parts| parts.extensions.get::<Caller>()).map_or("", |caller| &caller.subject)
}

/// Whether a request's caller may answer questions and the client can show them.
pub(super) fn can_answer(works: &dyn Works, context: &RequestContext<RoleServer>) -> bool {
    // Without auth, and over standard input, there is no caller to judge.
    let may = parts(context)
        .and_then(|parts| parts.extensions.get::<Caller>())
        .is_none_or(|caller| caller.may(works.answering()));
    let shows = context.client_capabilities().and_then(|declared| declared.elicitation);
    may && shows.is_some_and(|forms| forms.form.is_some() || forms.url.is_none())
}

/// One call of a tool about lasting work.
pub(super) struct Call<'a> {
    pub(super) tools: &'a dyn ToolSet,
    pub(super) works: &'a dyn Works,
    pub(super) tool: &'a ToolDescription,
    pub(super) lasting: Lasting,
    pub(super) seal: &'a Seal,
    pub(super) context: &'a RequestContext<RoleServer>,
    /// The end of the server, beyond which nothing is waited for.
    pub(super) end: &'a CancellationToken,
}

impl Call<'_> {
    pub(super) async fn make(
        &self,
        request: &CallToolRequestParams,
        mut arguments: Map<String, Value>,
    ) -> Result<CallToolResponse, Unanswered> {
        let wait = wait_of(self.lasting, &mut arguments)?;
        let about = self.about(&arguments);
        let resumed = match &request.request_state {
            Some(sealed) => Some(self.seal.open(sealed, &about)?),
            None => None,
        };
        let (answer, id) = match resumed {
            Some(id) => {
                for (key, given) in request.input_responses.iter().flatten() {
                    self.take(&id, key, given.clone()).await?;
                }
                (json!({ self.works.named(): id.as_str() }), id)
            }
            None => {
                let answer =
                    self.tools.call(self.tool.name, Arguments::Parsed(arguments.clone()), caller(self.context)).await?;
                let Some(id) = named(self.works, &answer).map(str::to_owned) else {
                    return Ok(CallToolResult::structured(answer).into());
                };
                // Revision 2025-11-25 has no word by which a client tells a task from a result.
                let knows = is_current(self.context)
                    && self.context.client_capabilities().is_some_and(|declared| declared.supports_tasks());
                if self.lasting == Lasting::Begins && knows {
                    let standing = self.works.look(&id).await?;
                    return Ok(CreateTaskResult::new(super::tasks::task(&standing, false)).into());
                }
                if wait.is_zero() {
                    return Ok(CallToolResult::structured(answer).into());
                }
                (answer, id)
            }
        };
        let standing = match self.follow(&id, wait).await? {
            Followed::To(standing) => *standing,
            Followed::Question(standing) => {
                let requests: Result<InputRequests, ErrorData> = standing
                    .questions
                    .iter()
                    .map(|question| Ok((question.key.clone(), InputRequest::Elicitation(form(question)?))))
                    .collect();
                return Ok(InputRequiredResult::new(Some(requests?), Some(self.seal.seal(&id, &about))).into());
            }
        };
        let failed = standing.stage == Stage::Failed && self.lasting == Lasting::Begins;
        let answer = settled(self.tools, self.tool, &arguments, caller(self.context), answer, standing).await?;
        Ok(if failed { CallToolResult::structured_error(answer) } else { CallToolResult::structured(answer) }.into())
    }

    /// What a state is good for: this caller's call of this tool with these arguments.
    fn about(&self, arguments: &Map<String, Value>) -> String {
        let mut plain = arguments.clone();
        plain.remove("token");
        json!([caller(self.context), self.tool.name, plain]).to_string()
    }

    fn asking(&self) -> Asking {
        match can_answer(self.works, self.context) {
            _ if self.lasting == Lasting::Ends => Asking::Not,
            false => Asking::Not,
            true if is_current(self.context) => Asking::ByAnswer,
            true => Asking::ByRequest,
        }
    }

    /// Follows the work to its end, or until the wait is over, the server ends, or a question stands in the way.
    async fn follow(&self, id: &str, wait: Duration) -> Result<Followed, Unanswered> {
        let asking = self.asking();
        let mut until = Instant::now() + wait;
        let mut pace = Pace::new();
        let mut dismissed = BTreeSet::new();
        let mut told = None;
        loop {
            let standing = self.works.look(id).await?;
            let moved = told != Some((standing.done, standing.stage));
            self.progress(&standing, told.map(|(done, _)| done)).await;
            told = Some((standing.done, standing.stage));
            if standing.stage.is_final() {
                return Ok(Followed::To(Box::new(standing)));
            }
            let open = standing.questions.iter().find(|question| !dismissed.contains(&question.key));
            match (asking, open) {
                (Asking::ByAnswer, Some(_)) => return Ok(Followed::Question(Box::new(standing))),
                (Asking::ByRequest, Some(question)) => {
                    if !self.ask(id, question).await? {
                        dismissed.insert(question.key.clone());
                    }
                    // The time that a person takes is not the work's.
                    until = Instant::now() + wait;
                    continue;
                }
                (_, _) => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            let over = left.is_zero() || self.end.is_cancelled();
            if over || (standing.stage == Stage::Rests && self.lasting != Lasting::Ends) {
                return Ok(Followed::To(Box::new(standing)));
            }
            pace.next(moved, left, self.end).await;
        }
    }

    /// Tells the client how far it is, if it wants to know and something has happened since.
    async fn progress(&self, standing: &Standing, before: Option<u32>) {
        let Some(token) = self.context.meta.get_progress_token() else { return };
        if before.is_some_and(|before| before >= standing.done) {
            return;
        }
        let step = ProgressNotificationParam::new(token, f64::from(standing.done))
            .with_total(f64::from(standing.total))
            .with_message(standing.message.clone());
        // A client that went away is told nothing.
        let _ = self.context.peer.notify_progress(step).await;
    }

    /// Asks the person at the client. `false` when they leave it open.
    async fn ask(&self, id: &str, question: &Question) -> Result<bool, Unanswered> {
        let request = ServerRequest::ElicitRequest(form(question)?);
        let asked = self.context.peer.send_request(request);
        tokio::pin!(asked);
        let until = Instant::now() + ASKING_LIMIT;
        let answer = loop {
            tokio::select! {
                answer = &mut asked => break answer,
                () = self.end.cancelled() => return Ok(false),
                () = tokio::time::sleep(ANSWERED_ELSEWHERE) => {
                    let open = self.works.look(id).await?.questions.iter().any(|other| other.key == question.key);
                    if !open || Instant::now() >= until {
                        return Ok(!open);
                    }
                }
            }
        };
        match answer {
            Ok(answer) => self.take(id, &question.key, serde_json::to_value(answer).unwrap_or_default()).await,
            Err(error) => {
                tracing::debug!(%error, "the client did not ask its person");
                Ok(false)
            }
        }
    }

    async fn take(&self, id: &str, key: &str, given: Value) -> Result<bool, Unanswered> {
        if !can_answer(self.works, self.context) {
            return Ok(false);
        }
        Ok(answered(self.works, id, key, given, caller(self.context)).await?)
    }
}

/// Where following came to.
enum Followed {
    To(Box<Standing>),
    Question(Box<Standing>),
}

/// Passes a client's answer on. `false` when it leaves the question open.
///
/// # Errors
/// Invalid parameters when it is none; as the work's.
pub(super) async fn answered(
    works: &dyn Works,
    id: &str,
    key: &str,
    given: Value,
    who: &str,
) -> Result<bool, ErrorData> {
    let wrong = |why: String| ErrorData::invalid_params(format!("the answer to '{}' {why}", reading::shown(key)), None);
    let answer: ElicitResult = serde_json::from_value(given).map_err(|error| wrong(format!("is none: {error}")))?;
    let reply = match (answer.action, answer.content) {
        (ElicitationAction::Accept, Some(Value::Object(fields))) => Reply::Given(fields),
        (ElicitationAction::Accept, _) => return Err(wrong("has no content".into())),
        (ElicitationAction::Decline, _) => Reply::Declined,
        _ => return Ok(false),
    };
    works.answer(id, key, reply, who).await.map_err(|error| reading::refusal(&error))?;
    Ok(true)
}

/// A question as the protocol has it.
pub(super) fn form(question: &Question) -> Result<ElicitRequest, ErrorData> {
    let required: Vec<&String> = question.fields.keys().collect();
    let schema = json!({ "type": "object", "properties": question.fields, "required": required });
    let request = json!({ "method": "elicitation/create",
        "params": { "mode": "form", "message": question.message, "requestedSchema": schema } });
    serde_json::from_value(request).map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

/// The result of a task that has ended, as the tool that began it would have given it.
pub(super) fn result(works: &dyn Works, standing: Standing) -> CallToolResult {
    let failed = standing.stage == Stage::Failed;
    let answer = with(json!({ works.named(): standing.id.as_str() }), standing);
    if failed { CallToolResult::structured_error(answer) } else { CallToolResult::structured(answer) }
}
