//! `link_sessions`, `session_links`: which session goes on with which.

use oneiric::clock::Timestamp;
use oneiric_server::mcp::ToolError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use session_store::Store;
use session_store::links::{self, Link, LinkKind};

use crate::desk::to_value;

/// Arguments of `link_sessions`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkSessions {
    /// Id or unambiguous prefix
    pub(crate) from: String,
    pub(crate) to: String,
    #[serde(default)]
    pub(crate) kind: LinkKind,
    /// Take the link away
    #[serde(default)]
    pub(crate) remove: bool,
}

/// Answer of `link_sessions`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Linked {
    /// The first session.
    pub from: String,
    /// The second.
    pub to: String,
    /// The kind.
    pub kind: LinkKind,
    /// Whether anything changed.
    pub changed: bool,
}

impl LinkSessions {
    pub(crate) fn run(self, store: &dyn Store, now: Timestamp) -> Result<Value, ToolError> {
        let (from, to, changed) = links::set(store, &self.from, &self.to, self.kind, !self.remove, now)?;
        to_value(&Linked { from: from.to_string(), to: to.to_string(), kind: self.kind, changed })
    }
}

/// Arguments of `session_links`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionLinks {
    /// Id or unambiguous prefix
    pub(crate) session_id: String,
}

/// Answer of `session_links`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct LinkList {
    /// Oldest first.
    pub links: Vec<Link>,
}

impl SessionLinks {
    pub(crate) fn run(self, store: &dyn Store) -> Result<Value, ToolError> {
        to_value(&LinkList { links: links::of(store, &self.session_id)? })
    }
}
