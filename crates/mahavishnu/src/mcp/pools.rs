//! The tool about pools.

use oneiric_server::mcp::ToolError;
use orchestrator::pools::PoolRequest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::answer::Answer;
use crate::world::World;

/// Arguments of `pool`: what belongs to an action stands beside it, and is checked by the pools.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct PoolCall {
    action: Action,
    /// spawn: name, profile, min, max, selector, timeout_seconds, task_usd, max_usd, max_tokens; execute: pool (or profile),
    /// prompt, repo, dir, worktree, timeout_seconds, wait_seconds; route: the same with selector and pools or profile (else
    /// only pools of shells); scale: pool, min, max; close: pool, now; health, tasks: pool; task, cancel: task
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Action {
    Spawn,
    List,
    Execute,
    Route,
    Scale,
    Health,
    Close,
    CloseAll,
    Profiles,
    Task,
    Tasks,
    Cancel,
}

/// Arguments of `list_pools`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListPools {}

impl ListPools {
    pub(crate) fn run(self, world: &World) -> Result<Value, ToolError> {
        asked(world, PoolRequest::List)
    }
}

/// Answer of `pool`
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PoolAnswer {
    /// pools, tasks, profiles; or one pool or task: state, answer, note, cost_usd
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl PoolCall {
    pub(crate) fn run(self, world: &World) -> Result<Answer, ToolError> {
        let mut fields = self.rest;
        fields.insert("action".to_owned(), serde_json::to_value(self.action).unwrap_or_default());
        let (request, wait) = PoolRequest::read(Value::Object(fields))?.without_wait();
        let answer = asked(world, request)?;
        Ok(match (answer["task"].as_u64(), wait) {
            (Some(task), Some(wait)) => Answer::Given { task, wait },
            _ => Answer::Now(answer),
        })
    }
}

/// Asks the pools of this process.
pub(super) fn asked(world: &World, request: PoolRequest) -> Result<Value, ToolError> {
    let pools = world.served_pools().ok_or_else(|| ToolError::new("unavailable", "this process serves no pools"))?;
    Ok(pools.answer(request)?)
}
