//! Tools about repositories, sessions and the server itself.

use std::time::Duration;

use oneiric_server::health::Report;
use oneiric_server::mcp::ToolError;
use orchestrator::repos::status::status;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::buddy;
use crate::cli;
use crate::pools::worktrees;
use crate::world::World;

/// Longest time that git gets for a repository.
const GIT_LIMIT: Duration = Duration::from_secs(10);

/// Arguments of `list_repos`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListRepos {
    #[serde(default)]
    tag: Option<String>,
    #[serde(default)]
    role: Option<String>,
}

/// Answer of `list_repos`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RepoList {
    /// name, path, role, tags, description, depends_on
    pub(crate) repos: Vec<Map<String, Value>>,
}

impl ListRepos {
    pub(crate) fn run(self, world: &World) -> Result<Value, ToolError> {
        let manifest = world.manifest()?;
        let repos = manifest.select(self.tag.as_deref(), self.role.as_deref())?;
        Ok(json!({ "repos": repos }))
    }
}

/// Arguments of `repo_status`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RepoStatus {
    #[serde(default)]
    tag: Option<String>,
    #[serde(default)]
    role: Option<String>,
    /// Only those with changes, unpushed or unfetched commits, stashes or something wrong
    #[serde(default)]
    changed: bool,
}

/// Answer of `repo_status`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RepoStatusList {
    /// name, standing, branch, upstream, ahead, behind, staged, changed, untracked, conflicts, stashes, commit, note
    pub(crate) repos: Vec<Map<String, Value>>,
}

impl RepoStatus {
    pub(crate) fn run(self, world: &World) -> Result<Value, ToolError> {
        let manifest = world.manifest()?;
        let repos = manifest.select(self.tag.as_deref(), self.role.as_deref())?;
        let mut found = status(&repos, cli::repos::asking(GIT_LIMIT, false), &|_| {});
        cli::repos::say_where(&manifest, &mut found);
        if self.changed {
            found.retain(|repo| !repo.is_quiet());
        }
        Ok(json!({ "repos": found }))
    }
}

/// Arguments of `list_worktrees`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListWorktrees {}

/// Arguments of `reclaim_worktrees`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReclaimWorktrees {
    /// Only say which would go
    #[serde(default)]
    dry_run: bool,
    /// Only those of this repository
    #[serde(default)]
    repo: Option<String>,
}

/// Answer of tools about worktrees.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct WorktreeList {
    /// repository, path, bytes, state, why; goes
    pub(crate) worktrees: Vec<Map<String, Value>>,
}

impl ListWorktrees {
    pub(crate) fn run(self, world: &World) -> Result<Value, ToolError> {
        Ok(json!({ "worktrees": worktrees(world).list() }))
    }
}

impl ReclaimWorktrees {
    pub(crate) fn run(self, world: &World) -> Result<Value, ToolError> {
        Ok(json!({ "worktrees": worktrees(world).reclaim(self.repo.as_deref(), self.dry_run) }))
    }
}

/// Arguments of `list_roles`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListRoles {}

/// Answer of `list_roles`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RoleList {
    /// name, repositories, capabilities, description
    pub(crate) roles: Vec<Map<String, Value>>,
}

impl ListRoles {
    pub(crate) fn run(self, world: &World) -> Result<Value, ToolError> {
        let manifest = world.manifest()?;
        Ok(json!({ "roles": cli::repos::roles(&manifest) }))
    }
}

/// Arguments of `list_sessions`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListSessions {
    #[serde(default)]
    limit: Option<u16>,
    /// `*` for all
    #[serde(default)]
    component: Option<String>,
}

/// Answer of `list_sessions`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SessionList {
    /// As Session-Buddy tells them
    pub(crate) sessions: Vec<Map<String, Value>>,
}

impl ListSessions {
    pub(crate) fn run(self, world: &World) -> Result<Value, ToolError> {
        let limit = i64::from(self.limit.unwrap_or(20).max(1));
        let sessions = buddy::sessions(world, limit, self.component.as_deref().unwrap_or("*"))?;
        Ok(json!({ "sessions": sessions }))
    }
}

/// Arguments of `health_check`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HealthCheck {}

/// Every part of this program.
pub(crate) fn health(world: &World) -> Report {
    cli::health::report(world)
}
