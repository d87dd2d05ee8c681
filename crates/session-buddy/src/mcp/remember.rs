//! `add_message`, `store_test_result`, `checkpoint`: what is written into a session by hand.

use std::path::Path;
use std::time::Duration;

use oneiric::process::hostname;
use oneiric::repository::{self, RepositoryIdentity};
use oneiric_server::mcp::ToolError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use session_store::remember::{Checkpoint, Here, Recorded, Scribe, TestOutcome, TestResult};
use session_store::{Session, Store};

use crate::desk::to_value;

/// Longest time for git to tell the state of a working tree.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// Arguments of `add_message`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddMessage {
    /// Id, prefix, or a project's name
    pub(crate) session_id: String,
    pub(crate) text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub(crate) role: Option<String>,
    /// Where the caller stands: a session that has to be opened begins there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub(crate) cwd: Option<String>,
}

impl AddMessage {
    pub(crate) fn run(self, scribe: &Scribe<'_>) -> Result<Value, ToolError> {
        let here = Here { repository: self.cwd.as_deref().and_then(tree_at), cwd: self.cwd };
        to_value(&scribe.message(&self.session_id, &self.text, self.role.as_deref(), &here)?)
    }
}

/// Arguments of `store_test_result`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreTestResult {
    /// Id or unambiguous prefix
    pub(crate) session_id: String,
    pub(crate) test_file: String,
    pub(crate) result: TestOutcome,
    /// Percent
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) coverage: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) duration_ms: Option<f64>,
    /// Such as the failed assertion
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

/// Answer of `store_test_result`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct TestStored {
    /// Always true: what cannot be stored is an error.
    pub stored: bool,
    /// The event.
    pub event_id: String,
    /// Its session.
    pub session_id: String,
}

impl StoreTestResult {
    pub(crate) fn run(self, scribe: &Scribe<'_>) -> Result<Value, ToolError> {
        let result = TestResult {
            test_file: self.test_file,
            result: self.result,
            coverage: self.coverage,
            duration_ms: self.duration_ms,
            message: self.message,
        };
        let Recorded { session_id, event_id, .. } = scribe.test_result(&self.session_id, result)?;
        to_value(&TestStored { stored: true, event_id, session_id })
    }
}

/// Arguments of `checkpoint`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MakeCheckpoint {
    #[schemars(required)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) todos: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) files: Option<Vec<String>>,
    /// Where the caller stands: the tree whose state is kept, and, without a session, the place whose session is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub(crate) cwd: Option<String>,
}

/// Answer of `checkpoint`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CheckpointMade {
    /// The session.
    pub session_id: String,
    /// The event.
    pub event_id: String,
    /// Whether the session was opened for it.
    #[schemars(skip)]
    pub opened: bool,
    /// Git's state, when the session has a working tree here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub git: Option<RepositoryIdentity>,
}

impl MakeCheckpoint {
    pub(crate) fn run(self, store: &dyn Store, scribe: &Scribe<'_>) -> Result<Value, ToolError> {
        let there = self.cwd.as_deref().and_then(tree_at);
        let (session, git) = match &self.session_id {
            Some(id) => {
                let session = store.session(id)?;
                // The caller's directory, when it is a tree of the session's repository; else the session's own.
                let own =
                    there.clone().filter(|tree| session.repository.as_deref().is_none_or(|one| one == tree.common_dir));
                let git = own.or_else(|| tree_of(&session));
                (Some(session.session_id), git)
            }
            None => (None, there.clone()),
        };
        let checkpoint = Checkpoint { note: self.note, todos: self.todos, files: self.files, git: git.clone() };
        let recorded = match session {
            Some(id) => scribe.checkpoint(&id, checkpoint)?,
            None if self.cwd.is_some() => {
                scribe.checkpoint_here(&Here { cwd: self.cwd, repository: there }, checkpoint)?
            }
            None => {
                return Err(
                    ToolError::new("invalid_arguments", "missing field `session_id`").with("field", "session_id")
                );
            }
        };
        let Recorded { session_id, event_id, opened } = recorded;
        to_value(&CheckpointMade { session_id, event_id, opened, git })
    }
}

/// The working tree that `folder` is in, as it is now. Only a whole path is a place: anything else, such as the empty one of a
/// client whose folder is not known, would be taken from where this process works.
fn tree_at(folder: &str) -> Option<RepositoryIdentity> {
    let folder = Path::new(folder);
    folder.is_absolute().then(|| repository::probe(folder, PROBE_LIMIT)).flatten()
}

/// The working tree of a session of this machine, as it is now. `None` when it is elsewhere, gone, or no git tree.
pub(crate) fn tree_of(session: &Session) -> Option<RepositoryIdentity> {
    if session.hostname.as_deref() != Some(hostname().as_str()) {
        return None;
    }
    let folder = session.worktree.as_deref().or(session.cwd.as_deref())?;
    let tree = tree_at(folder)?;
    // Another repository may have taken the folder's place.
    session.repository.as_deref().is_none_or(|one| one == tree.common_dir).then_some(tree)
}
