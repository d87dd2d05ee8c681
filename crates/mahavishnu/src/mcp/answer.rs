//! What a request comes to, and the waits for it, which hold no thread: the server has few of those that may block.

use std::sync::Arc;
use std::time::Duration;

use oneiric::fault::Fault;
use oneiric_server::mcp::{ToolError, blocking};
use orchestrator::pools::PoolRequest;
use serde_json::Value;
use tokio::time::Instant;

use super::pools::asked;
use super::workflows::standing;
use crate::world::World;

/// How long an engine may take to answer a request.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// What a request comes to.
#[derive(Debug)]
pub(crate) enum Answer {
    /// This.
    Now(Value),
    /// How this workflow stands, once the engine that drives it has done what request number `request` wants.
    Asked { workflow: String, request: i64 },
    /// How this task of a pool stands, once it is over or so much time has passed.
    Given { task: u64, wait: Duration },
}

impl Answer {
    /// Waits for it.
    ///
    /// # Errors
    /// What the caller should read.
    pub(crate) async fn settle(self, world: Arc<World>) -> Result<Value, ToolError> {
        match self {
            Self::Now(answer) => Ok(answer),
            Self::Asked { workflow, request } => {
                heard(&world, request).await?.map_err(Fault::conflict)?;
                blocking(move || standing(&world, &workflow)).await
            }
            Self::Given { task, wait } => {
                let until = Instant::now() + wait;
                loop {
                    // Told from memory.
                    let report = asked(&world, PoolRequest::Task { task })?;
                    if !report["ended_at"].is_null() || Instant::now() >= until {
                        return Ok(report);
                    }
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }
}

/// What the engine that drives a workflow says to a request: done, or why not.
///
/// # Errors
/// Unavailable when it does not answer; when the database cannot be read.
pub(crate) async fn heard(world: &Arc<World>, request: i64) -> Result<Result<(), String>, ToolError> {
    let until = Instant::now() + PATIENCE;
    loop {
        let looked = Arc::clone(world);
        match blocking(move || Ok(looked.workflows().answer(request)?)).await? {
            Some(reply) => return Ok(reply),
            None if Instant::now() >= until => {
                return Err(Fault::unavailable("the engine that drives it does not answer").hint("try again").into());
            }
            None => tokio::time::sleep(LOOK).await,
        }
    }
}
