//! The REST door: which routes there are, and the tool behind each (`oneiric_server::rest`).

use oneiric_server::rest::{Asker, Route};
use serde_json::{Map, Value};

/// Where workflows are, each under its id.
const WORKFLOWS: &str = "/workflows/";

/// Every route below `/api/v1`, but those that every program has (`/version`, `/openapi.json`).
pub(crate) const ROUTES: &[Route] = &[
    Route::get("/repos", "list_repos", "list_repos", "Repositories"),
    Route::get("/repos/status", "repo_status", "repo_status", "How the repositories stand"),
    Route::get("/roles", "list_roles", "list_roles", "Roles of repositories"),
    Route {
        fill: Some(key),
        makes: Some(("workflow_id", WORKFLOWS)),
        ..Route::post("/sweeps", "sweep", "sweep", "Run a command in selected repositories")
    },
    Route {
        fill: Some(key),
        makes: Some(("workflow_id", WORKFLOWS)),
        ..Route::post("/plans", "run_plan", "run_plan", "Run a plan of several tasks over repositories")
    },
    Route::get("/workflows", "list_workflows", "list_workflows", "Workflows, newest first"),
    Route::get("/workflows/{workflow_id}", "get_workflow", "get_workflow", "One workflow with its steps"),
    Route::get("/workflows/{workflow_id}/logs", "workflow_logs", "workflow_logs", "The end of what its steps printed"),
    Route::post(
        "/workflows/{workflow_id}/cancel",
        "cancel_workflow",
        "cancel_workflow",
        "Stop it; answers when its work has stopped",
    ),
    Route::post(
        "/workflows/{workflow_id}/retry",
        "retry_workflow",
        "retry_workflow",
        "Run again what did not end well",
    ),
    Route::post(
        "/workflows/{workflow_id}/decision",
        "decide_workflow",
        "decide_workflow",
        "Approve or refuse, or decide about steps that may or may not have finished",
    ),
    Route::get(
        "/schedules",
        "list_schedules",
        "list_schedules",
        "Schedules; of one also its next times and latest runs",
    ),
    Route { fixed: &[("action", "add")], ..Route::post("/schedules", "schedule", "add_schedule", "Add a schedule") },
    Route {
        fixed: &[("action", "pause")],
        ..Route::post("/schedules/{name}/pause", "schedule", "pause_schedule", "Let it rest")
    },
    Route {
        fixed: &[("action", "resume")],
        ..Route::post("/schedules/{name}/resume", "schedule", "resume_schedule", "Let it go on")
    },
    Route {
        fixed: &[("action", "remove")],
        ..Route::post("/schedules/{name}/remove", "schedule", "remove_schedule", "Remove it; its workflows go on")
    },
    Route::get("/pools", "list_pools", "list_pools", "Pools with their workers and queues"),
    Route {
        open: true,
        ..Route::post(
            "/pools",
            "pool",
            "pool",
            "Spawn, scale or close a pool, or give it a task: what the tool 'pool' takes",
        )
    },
    Route::get("/worktrees", "list_worktrees", "list_worktrees", "Worktrees of tasks, and what keeps them"),
    Route::post("/worktrees/reclaim", "reclaim_worktrees", "reclaim_worktrees", "Remove worktrees that hold nothing"),
    Route::get("/sessions", "list_sessions", "list_sessions", "Newest sessions that Session-Buddy keeps"),
    Route::get("/health", "health_check", "health", "State of the server and its parts"),
];

/// The header `Idempotency-Key` is the workflow's key.
fn key(given: &mut Map<String, Value>, asker: &Asker<'_>) {
    if let Some(key) = asker.idempotency_key {
        given.entry("key").or_insert_with(|| key.into());
    }
}
