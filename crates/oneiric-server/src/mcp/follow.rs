//! Calls of tools about lasting work, as every door makes them: the call, and the wait that it asks for. No thread waits.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::lasting::{Lasting, Standing, Works};
use super::tool::{Arguments, Effect, ToolDescription, ToolError, ToolSet};

/// The argument by which a caller waits for the end of work.
pub(crate) const WAIT: &str = "wait";
/// Longest wait in seconds; a request may take a little longer.
pub(super) const MAX_WAIT: f64 = 50.0;

/// The first and the longest time between two looks at work.
const LOOKS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// The schema of that argument.
pub(super) fn wait_schema() -> Value {
    json!({ "type": "number", "description": "Seconds to wait for its end, at most 50" })
}

/// Takes the wait out of the arguments of a tool that knows it.
///
/// # Errors
/// Code `invalid_arguments`.
pub(super) fn wait_of(lasting: Lasting, arguments: &mut Map<String, Value>) -> Result<Duration, ToolError> {
    if lasting == Lasting::Ends {
        return Ok(Duration::from_secs_f64(MAX_WAIT));
    }
    let wrong = || ToolError::new("invalid_arguments", format!("{WAIT} is 0 to {MAX_WAIT}")).with("field", WAIT);
    match arguments.remove(WAIT) {
        None | Some(Value::Null) => Ok(Duration::ZERO),
        Some(value) => match value.as_f64() {
            Some(seconds) if (0.0..=MAX_WAIT).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
            _ => Err(wrong()),
        },
    }
}

/// Looks at work again and again, less and less often while nothing happens.
pub(super) struct Pace(Duration);

impl Pace {
    pub(super) const fn new() -> Self {
        Self(LOOKS.0)
    }

    /// Waits until the next look, which comes at once when the server ends. Something happened: the one after it comes soon.
    pub(super) async fn next(&mut self, moved: bool, left: Duration, end: &CancellationToken) {
        self.0 = if moved { LOOKS.0 } else { (self.0 * 3 / 2).min(LOOKS.1) };
        let _ = tokio::time::timeout(self.0.min(left), end.cancelled()).await;
    }
}

/// The id of the work that a tool's answer names.
pub(super) fn named<'a>(works: &dyn Works, answer: &'a Value) -> Option<&'a str> {
    answer.get(works.named()).or_else(|| answer.get("id"))?.as_str()
}

/// A tool's answer, once it is known how the work stands: what only tells is asked anew, the rest gains what is known now.
///
/// # Errors
/// As the tool's.
pub(super) async fn settled(
    tools: &dyn ToolSet,
    tool: &ToolDescription,
    arguments: &Map<String, Value>,
    who: &str,
    answer: Value,
    standing: Standing,
) -> Result<Value, ToolError> {
    if tool.effect == Effect::Reads {
        return tools.call(tool.name, Arguments::Parsed(arguments.clone()), who).await;
    }
    Ok(with(answer, standing))
}

/// `answer` and how the work stands.
pub(super) fn with(mut answer: Value, standing: Standing) -> Value {
    if let Value::Object(map) = &mut answer {
        map.extend(standing.told);
    }
    answer
}

/// Calls a tool in the name of `who` for a door that cannot say anything before the answer. Tools about lasting work are waited for
/// as they are asked to, and not beyond `end`.
///
/// # Errors
/// As the tool's.
pub(crate) async fn call(
    tools: &dyn ToolSet,
    tool: &ToolDescription,
    arguments: Arguments<'_>,
    who: &str,
    end: &CancellationToken,
) -> Result<Value, ToolError> {
    let (Some(lasting), Some(works)) = (tool.lasting, tools.works()) else {
        return tools.call(tool.name, arguments, who).await;
    };
    let mut arguments: Map<String, Value> = arguments.parse()?;
    let wait = wait_of(lasting, &mut arguments)?;
    let answer = tools.call(tool.name, Arguments::Parsed(arguments.clone()), who).await?;
    let Some(id) = named(works, &answer).map(str::to_owned).filter(|_| !wait.is_zero()) else { return Ok(answer) };
    let until = tokio::time::Instant::now() + wait;
    let mut pace = Pace::new();
    let mut last = None;
    loop {
        let standing = works.look(&id).await?;
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        if standing.stage.is_final()
            || left.is_zero()
            || end.is_cancelled()
            || (standing.stage == super::Stage::Rests && lasting != Lasting::Ends)
        {
            return settled(tools, tool, &arguments, who, answer, standing).await;
        }
        let now = Some((standing.done, standing.stage));
        pace.next(now != last, left, end).await;
        last = now;
    }
}
