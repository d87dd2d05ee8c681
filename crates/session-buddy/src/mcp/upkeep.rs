//! `archive_sessions`, `restore_sessions`.

use oneiric::clock::{Clock, Timestamp};
use oneiric::fault::Fault;
use oneiric_server::mcp::ToolError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use session_store::Store;
use session_store::upkeep::{self, Amount, ArchiveRule, Progress, RestoreRule};

use super::times;
use crate::desk::to_value;

/// Days after which sessions are old, when nobody says.
pub(crate) const DEFAULT_DAYS: u32 = 30;

const fn default_days() -> u32 {
    DEFAULT_DAYS
}

/// Arguments of `archive_sessions`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArchiveSessions {
    #[serde(default = "default_days")]
    pub(crate) days: u32,
    #[serde(default)]
    pub(crate) project: Option<String>,
    #[serde(default)]
    pub(crate) dry_run: bool,
}

/// Arguments of `restore_sessions`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RestoreSessions {
    /// Ids or unambiguous prefixes
    pub(crate) session_ids: Vec<String>,
    pub(crate) project: Option<String>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    /// Needed when nothing narrows it
    pub(crate) all: bool,
    pub(crate) dry_run: bool,
}

/// Answer of both: what was moved, or would be.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Moved {
    pub sessions: u64,
    pub events: u64,
    pub dry_run: bool,
}

impl Moved {
    const fn of(amount: Amount, dry_run: bool) -> Self {
        Self { sessions: amount.sessions, events: amount.events, dry_run }
    }
}

impl ArchiveSessions {
    pub(crate) fn run(self, store: &dyn Store, clock: &dyn Clock) -> Result<Value, ToolError> {
        to_value(&self.apply(store, clock, &mut |_, _| {})?)
    }

    /// Does it; `progress` is told after each batch.
    pub(crate) fn apply(self, store: &dyn Store, clock: &dyn Clock, progress: Progress<'_>) -> Result<Moved, Fault> {
        let rule = ArchiveRule { before: upkeep::days_before(clock.now(), self.days)?, project: self.project };
        let amount = if self.dry_run {
            upkeep::amount(&store.archivable(&rule)?)
        } else {
            upkeep::archive(store, &rule, progress)?
        };
        Ok(Moved::of(amount, self.dry_run))
    }
}

impl RestoreSessions {
    pub(crate) fn run(self, store: &dyn Store) -> Result<Value, ToolError> {
        times::in_order(self.since, self.until)?;
        to_value(&self.apply(store, &mut |_, _| {})?)
    }

    /// Does it; `progress` is told after each batch.
    pub(crate) fn apply(self, store: &dyn Store, progress: Progress<'_>) -> Result<Moved, Fault> {
        let narrowed = self.project.is_some() || self.since.is_some() || self.until.is_some();
        if self.session_ids.is_empty() && !narrowed && !self.all {
            return Err(Fault::user("which sessions to restore was not said")
                .hint("name their ids, narrow them by project or time, or ask for all"));
        }
        if !self.session_ids.is_empty() && (narrowed || self.all) {
            return Err(Fault::user("ids name the sessions already").hint("leave out the ids, or all other conditions"));
        }
        let rule = RestoreRule { ids: self.session_ids, project: self.project, since: self.since, until: self.until };
        let amount = if self.dry_run {
            upkeep::amount(&store.restorable(&rule)?)
        } else {
            upkeep::restore(store, &rule, progress)?
        };
        Ok(Moved::of(amount, self.dry_run))
    }
}
