//! The tool about pools.

use oneiric_server::mcp::ToolError;
use orchestrator::pools::PoolRequest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::world::World;

/// Arguments of `pool`: what belongs to an action stands beside it, and is checked by the pools.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct PoolCall {
    action: Action,
    /// spawn: name, profile, min, max, selector, timeout_seconds, task_usd, max_usd, max_tokens; execute: pool (or profile),
    /// prompt, repo, dir, worktree, timeout_seconds, wait_seconds; route: the same with selector, pools; scale: pool, min,
    /// max; close: pool, now; health, tasks: pool; task, cancel: task
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
        PoolCall { action: Action::List, rest: Map::new() }.run(world)
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
    pub(crate) fn run(self, world: &World) -> Result<Value, ToolError> {
        let pools =
            world.served_pools().ok_or_else(|| ToolError::new("unavailable", "this process serves no pools"))?;
        let mut request = self.rest;
        request.insert("action".to_owned(), serde_json::to_value(self.action).unwrap_or_default());
        Ok(pools.answer(PoolRequest::read(Value::Object(request))?)?)
    }
}
