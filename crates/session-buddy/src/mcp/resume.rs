//! `resume_context`: a brief to go on from.

use oneiric_server::mcp::ToolError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use session_store::Store;
use session_store::brief::{self, Brief, DEFAULT_TOKENS};

use super::remember::tree_of;
use crate::desk::to_value;

const fn default_tokens() -> usize {
    DEFAULT_TOKENS
}

/// Arguments of `resume_context`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeContext {
    pub(crate) session_id: String,
    #[serde(default = "default_tokens")]
    pub(crate) max_tokens: usize,
}

impl ResumeContext {
    pub(crate) fn run(self, store: &dyn Store) -> Result<Value, ToolError> {
        to_value(&brief_of(store, &self.session_id, self.max_tokens)?)
    }
}

/// The brief of the session that `id` names, with the state of its working tree when that is on this machine.
///
/// # Errors
/// As [`brief::compose`].
pub fn brief_of(store: &dyn Store, id: &str, max_tokens: usize) -> oneiric::fault::Result<Brief> {
    let session = store.session(id)?;
    brief::compose(store, &session.session_id, tree_of(&session).as_ref(), max_tokens)
}
