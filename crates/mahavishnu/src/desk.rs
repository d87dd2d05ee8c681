//! The desk: requests that any door may bring, and the answers. A request is a type; its answer is JSON.

use std::sync::Arc;

use oneiric_server::mcp::{Arguments, ToolError};
use serde_json::{Map, Value};

use crate::mcp::answer::Answer;
use crate::mcp::{pools, repos, schedules, workflows};
use crate::sweeps::SweepRequest;
use crate::world::World;

/// What can be asked, by tool.
#[derive(Debug)]
pub(crate) enum Request {
    ListRepos(repos::ListRepos),
    RepoStatus(repos::RepoStatus),
    ListRoles(repos::ListRoles),
    Sweep(Box<SweepRequest>),
    RunPlan(workflows::RunPlan),
    ListWorkflows(workflows::ListWorkflows),
    GetWorkflow(workflows::GetWorkflow),
    WorkflowLogs(workflows::WorkflowLogs),
    CancelWorkflow(workflows::CancelWorkflow),
    RetryWorkflow(workflows::RetryWorkflow),
    DecideWorkflow(workflows::DecideWorkflow),
    ListSchedules(schedules::ListSchedules),
    Schedule(Box<schedules::ScheduleCall>),
    ListPools(pools::ListPools),
    Pool(pools::PoolCall),
    ListWorktrees(repos::ListWorktrees),
    ReclaimWorktrees(repos::ReclaimWorktrees),
    ListSessions(repos::ListSessions),
    HealthCheck(repos::HealthCheck),
}

impl Request {
    /// Reads the arguments of the tool `name`.
    ///
    /// # Errors
    /// Code `invalid_arguments`, naming the field.
    pub(crate) fn read(name: &str, arguments: Arguments<'_>) -> Result<Self, ToolError> {
        // Any call may carry its token as an argument; it has been judged before.
        let mut map: Map<String, Value> = arguments.parse()?;
        map.remove("token");
        let plain = Arguments::Parsed(map);
        Ok(match name {
            "list_repos" => Self::ListRepos(plain.parse()?),
            "repo_status" => Self::RepoStatus(plain.parse()?),
            "list_roles" => Self::ListRoles(plain.parse()?),
            "sweep" => Self::Sweep(plain.parse()?),
            "run_plan" => Self::RunPlan(plain.parse()?),
            "list_workflows" => Self::ListWorkflows(plain.parse()?),
            "get_workflow" => Self::GetWorkflow(plain.parse()?),
            "workflow_logs" => Self::WorkflowLogs(plain.parse()?),
            "cancel_workflow" => Self::CancelWorkflow(plain.parse()?),
            "retry_workflow" => Self::RetryWorkflow(plain.parse()?),
            "decide_workflow" => Self::DecideWorkflow(plain.parse()?),
            "list_schedules" => Self::ListSchedules(plain.parse()?),
            "schedule" => Self::Schedule(plain.parse()?),
            "list_worktrees" => Self::ListWorktrees(plain.parse()?),
            "reclaim_worktrees" => Self::ReclaimWorktrees(plain.parse()?),
            "list_pools" => Self::ListPools(plain.parse()?),
            "pool" => Self::Pool(plain.parse()?),
            "list_sessions" => Self::ListSessions(plain.parse()?),
            "health_check" => Self::HealthCheck(plain.parse()?),
            other => return Err(ToolError::new("invalid_request", format!("no tool '{other}'"))),
        })
    }
}

/// Answers requests. Calls block, but none waits for what somebody else does.
pub(crate) struct Desk {
    world: Arc<World>,
}

impl Desk {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self { world }
    }

    /// What it works with.
    pub(crate) fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Answers a request of this person.
    ///
    /// # Errors
    /// What the caller should read.
    pub(crate) fn answer(&self, request: Request, by: String) -> Result<Answer, ToolError> {
        let world = &*self.world;
        let answer = match request {
            Request::ListRepos(request) => request.run(world),
            Request::RepoStatus(request) => request.run(world),
            Request::ListRoles(request) => request.run(world),
            Request::Sweep(request) => request.run(world, by),
            Request::RunPlan(request) => request.run(world, by),
            Request::ListWorkflows(request) => request.run(world),
            Request::GetWorkflow(request) => request.run(world),
            Request::WorkflowLogs(request) => request.run(world),
            Request::CancelWorkflow(request) => request.run(world, by),
            Request::RetryWorkflow(request) => request.run(world),
            Request::DecideWorkflow(request) => return request.run(world, by),
            Request::ListSchedules(request) => request.run(world),
            Request::Schedule(request) => request.run(world, by),
            Request::ListWorktrees(request) => request.run(world),
            Request::ReclaimWorktrees(request) => request.run(world),
            Request::ListPools(request) => request.run(world),
            Request::Pool(request) => return request.run(world),
            Request::ListSessions(request) => request.run(world),
            Request::HealthCheck(_) => serde_json::to_value(repos::health(world))
                .map_err(|error| ToolError::new("internal", error.to_string())),
        };
        answer.map(Answer::Now)
    }
}
