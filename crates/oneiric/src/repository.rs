//! Which repository a directory belongs to: its common git directory, worktree, branch, commit and dirty flag.

use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Identity and state of a git working tree.
///
/// Two worktrees of one repository have the same `common_dir` and different `worktree`s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepositoryIdentity {
    /// Absolute, resolved path of the git directory that all worktrees share.
    pub common_dir: String,
    /// Absolute, resolved path of the working tree; the git directory itself for a bare repository.
    pub worktree: String,
    /// Branch; absent when the head is detached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Commit; absent before the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Whether tracked files changed or untracked ones exist; absent when git did not answer in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dirty: Option<bool>,
}
