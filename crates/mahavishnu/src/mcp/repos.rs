//! Tools about repositories, sessions and the server itself.

use oneiric_server::health::Report;
use oneiric_server::mcp::ToolError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::buddy;
use crate::cli;
use crate::world::World;

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
