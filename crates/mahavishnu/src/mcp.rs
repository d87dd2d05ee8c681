//! The MCP door: which tools there are, what they take and answer.

pub(crate) mod answer;
pub(crate) mod pools;
pub(crate) mod repos;
mod rows;
pub(crate) mod schedules;
pub(crate) mod workflows;

use std::sync::Arc;

use oneiric::token::Scope;
use oneiric_server::mcp::{
    Arguments, Effect, Handler, Lasting, Profile, ServerCard, ToolDescription, ToolFuture, ToolSet, Works, blocking,
};

use crate::desk::{Desk, Request};
use crate::who;
use crate::works::LastingWorkflows;

/// How the server presents itself to clients.
pub(crate) const CARD: ServerCard = ServerCard {
    name: crate::log::PRODUCT,
    version: env!("CARGO_PKG_VERSION"),
    instructions: "Runs work over many git repositories. Use list_repos to find them and sweep to run a command in those with \
                   a tag or role; sweep answers at once with a workflow_id, or as a task with that id, or after its argument wait. \
                   get_workflow tells how far it is (state unknown: it may or may not have finished), workflow_logs what was \
                   printed, cancel_workflow stops it for certain.",
};

/// The tools of Mahavishnu.
pub(crate) struct Tools {
    desk: Arc<Desk>,
    works: LastingWorkflows,
    described: Vec<ToolDescription>,
    profile: Profile,
}

impl Tools {
    /// The tools, answered by `desk`, with those of `profile` in the list.
    pub(crate) fn new(desk: Arc<Desk>, profile: Profile) -> Self {
        let works = LastingWorkflows::of(desk.world());
        Self { desk, works, described: descriptions(), profile }
    }

    /// A protocol handler over `desk`.
    pub(crate) fn handler(desk: Arc<Desk>, profile: Profile) -> Handler {
        Handler::new(CARD, Arc::new(Self::new(desk, profile)))
    }
}

/// All tools.
pub(crate) fn descriptions() -> Vec<ToolDescription> {
    vec![
        ToolDescription::of::<repos::ListRepos, repos::RepoList>(
            "list_repos",
            "Repositories, by tag or role.",
            Effect::Reads,
        )
        .in_profile(Profile::Minimal),
        ToolDescription::of::<repos::RepoStatus, repos::RepoStatusList>(
            "repo_status",
            "How repositories stand: branch, ahead and behind, changes, last commit.",
            Effect::Reads,
        ),
        ToolDescription::of::<repos::ListRoles, repos::RoleList>("list_roles", "Roles of repositories.", Effect::Reads)
            .in_profile(Profile::Full),
        ToolDescription::of::<crate::sweeps::SweepRequest, workflows::Course>(
            "sweep",
            "Run a command in selected repositories, in dependency order. Answers at once unless told to wait.",
            Effect::Adds,
        )
        .lasting(Lasting::Begins)
        .in_profile(Profile::Minimal),
        ToolDescription::of::<workflows::RunPlan, workflows::Course>(
            "run_plan",
            "Run a plan of several tasks over repositories.",
            Effect::Adds,
        )
        .lasting(Lasting::Begins)
        .in_profile(Profile::Full),
        ToolDescription::of::<workflows::ListWorkflows, workflows::WorkflowList>(
            "list_workflows",
            "Workflows, newest first.",
            Effect::Reads,
        )
        .in_profile(Profile::Minimal),
        ToolDescription::of::<workflows::GetWorkflow, workflows::WorkflowShape>(
            "get_workflow",
            "One workflow with its steps.",
            Effect::Reads,
        )
        .lasting(Lasting::Tells)
        .in_profile(Profile::Minimal),
        ToolDescription::of::<workflows::WorkflowLogs, workflows::LogText>(
            "workflow_logs",
            "The end of what a workflow's steps printed.",
            Effect::Reads,
        ),
        ToolDescription::of::<workflows::CancelWorkflow, workflows::Course>(
            "cancel_workflow",
            "Stop a workflow; answers when its work has stopped.",
            Effect::AddsOnce,
        )
        .lasting(Lasting::Ends),
        ToolDescription::of::<workflows::RetryWorkflow, workflows::Course>(
            "retry_workflow",
            "Run again what did not end well.",
            Effect::Adds,
        )
        .lasting(Lasting::Begins),
        ToolDescription::of::<workflows::DecideWorkflow, workflows::Course>(
            "decide_workflow",
            "Approve or refuse, or decide about steps that may or may not have finished.",
            Effect::AddsOnce,
        )
        .needing(Scope::Admin),
        ToolDescription::of::<schedules::ListSchedules, schedules::ScheduleList>(
            "list_schedules",
            "Schedules of sweeps and plans; of one also when it is due next and how it went.",
            Effect::Reads,
        ),
        ToolDescription::of::<schedules::ScheduleCall, schedules::ScheduleList>(
            "schedule",
            "Add a schedule, let it rest or go on, or remove it.",
            Effect::AddsOnce,
        ),
        ToolDescription::of::<pools::ListPools, pools::PoolAnswer>(
            "list_pools",
            "Pools with their workers and queues.",
            Effect::Reads,
        )
        .in_profile(Profile::Full),
        ToolDescription::of::<pools::PoolCall, pools::PoolAnswer>(
            crate::pools::TOOL,
            "Pools of workers: shells, terminals, agent programs. execute and route do a task and wait up to 45 s.",
            Effect::Adds,
        ),
        ToolDescription::of::<repos::ListWorktrees, repos::WorktreeList>(
            "list_worktrees",
            "Worktrees of tasks, and what keeps them.",
            Effect::Reads,
        )
        .in_profile(Profile::Full),
        ToolDescription::of::<repos::ReclaimWorktrees, repos::WorktreeList>(
            "reclaim_worktrees",
            "Remove worktrees that nobody uses and that hold nothing of their own.",
            Effect::AddsOnce,
        )
        .in_profile(Profile::Full),
        ToolDescription::of::<repos::ListSessions, repos::SessionList>(
            "list_sessions",
            "Newest sessions that Session-Buddy keeps.",
            Effect::Reads,
        )
        .in_profile(Profile::Full),
        ToolDescription::of::<repos::HealthCheck, oneiric_server::health::Report>(
            "health_check",
            "State of the server and its parts.",
            Effect::Reads,
        ),
    ]
}

impl ToolSet for Tools {
    fn tools(&self) -> &[ToolDescription] {
        &self.described
    }

    fn profile(&self) -> Profile {
        self.profile
    }

    fn works(&self) -> Option<&dyn Works> {
        Some(&self.works)
    }

    fn call<'a>(&'a self, name: &'a str, arguments: Arguments<'a>, who: &'a str) -> ToolFuture<'a> {
        let request = Request::read(name, arguments);
        let desk = Arc::clone(&self.desk);
        let by = who::asker(&desk.world().surroundings, who);
        Box::pin(async move {
            let request = request?;
            let world = Arc::clone(desk.world());
            blocking(move || desk.answer(request, by)).await?.settle(world).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens of the tools that a client sees, three and a half bytes each.
    #[test]
    fn the_usual_list_of_tools_costs_a_client_at_most_three_thousand_tokens() {
        let listed: usize = descriptions()
            .iter()
            .filter(|tool| tool.profile <= Profile::Standard)
            .map(|tool| {
                let schema = |map| serde_json::to_string(map).unwrap().len();
                tool.name.len() + tool.description.len() + schema(&*tool.input) + schema(&*tool.output) + 120
            })
            .sum();
        assert!(listed <= 10_500, "{listed} bytes");
    }
}
