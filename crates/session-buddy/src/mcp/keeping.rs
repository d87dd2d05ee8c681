//! `retention_preview`, `retention_apply`, `list_backups`, `create_backup`: what is kept, and copies of it.

use std::path::PathBuf;

use oneiric::clock::{SystemClock, Timestamp};
use oneiric::fault::{Fault, Result};
use oneiric::settings::Settings;
use oneiric_server::mcp::ToolError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use session_store::Store;
use session_store::backup::{Backups, Entry};
use session_store::retention::{self, RetentionRules, RuleEffect};
use session_store::upkeep::Amount;

use crate::desk::to_value;
use crate::server::archive::Archive;

/// Where backups of an installation are, and the rules by which it deletes.
#[derive(Clone, Debug)]
pub struct Keeping {
    folder: PathBuf,
    database: Option<PathBuf>,
    days: u32,
    projects: Vec<String>,
    events: Vec<String>,
}

impl Keeping {
    /// By `settings`, for the sessions in `archive`.
    #[must_use]
    pub fn new(settings: &Settings, archive: &Archive) -> Self {
        Self {
            folder: settings.home().root().join("backups"),
            database: match archive {
                Archive::File { path, .. } => Some(path.clone()),
                Archive::Memory => None,
            },
            days: u32::try_from(settings.int("retention.days")).unwrap_or(0),
            projects: settings.list("retention.projects"),
            events: settings.list("retention.events"),
        }
    }

    /// The backups.
    #[must_use]
    pub fn backups(&self) -> Backups {
        Backups::in_folder(&self.folder)
    }

    /// Whether nothing is set: no rule deletes nothing, which is an answer and no mistake of the caller's.
    fn has_no_rule(&self) -> bool {
        self.days == 0 && self.projects.is_empty() && self.events.is_empty()
    }

    /// The rules of retention.
    ///
    /// # Errors
    /// Configuration: there is none, or a wrong one.
    pub fn rules(&self) -> Result<RetentionRules> {
        let rules = RetentionRules::parse(self.days, &self.projects, &self.events)?;
        if rules.is_empty() { Err(no_rule()) } else { Ok(rules) }
    }
}

/// What is said where no rule is set.
pub(crate) fn no_rule() -> Fault {
    Fault::config("no rule of retention is set, so nothing is ever deleted")
        .hint("set retention.days, retention.projects (such as scratch=14) or retention.events (such as command=90)")
}

/// Arguments of tools that take none.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Answer of `retention_preview`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Effects {
    /// What each rule would delete now; what an earlier rule deletes is not counted again.
    #[schemars(with = "Vec<EffectShape>")]
    pub(crate) rules: Vec<RuleEffect>,
}

/// One of them, as its schema tells.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct EffectShape {
    rule: String,
    sessions: u64,
    events: u64,
}

/// Answer of `list_backups`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BackupList {
    /// Newest first.
    #[schemars(with = "Vec<BackupShape>")]
    backups: Vec<Entry>,
}

/// A backup, as its schema tells.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
pub struct BackupShape {
    name: String,
    written_at: Timestamp,
    bytes: u64,
}

pub(crate) fn preview(keeping: &Keeping, store: &dyn Store, now: Timestamp) -> Result<Value, ToolError> {
    let rules = if keeping.has_no_rule() { Vec::new() } else { store.retention_preview(&keeping.rules()?, now)? };
    to_value(&Effects { rules })
}

pub(crate) fn apply(keeping: &Keeping, store: &dyn Store, now: Timestamp) -> Result<Value, ToolError> {
    if keeping.has_no_rule() {
        return to_value(&Amount::default());
    }
    to_value(&retention::apply(store, &keeping.rules()?, now, &mut |_, _| {})?)
}

pub(crate) fn list(keeping: &Keeping) -> Result<Value, ToolError> {
    to_value(&BackupList { backups: keeping.backups().list()? })
}

pub(crate) fn create(keeping: &Keeping) -> Result<Value, ToolError> {
    let database = keeping.database.as_deref().ok_or_else(|| {
        Fault::conflict("this server keeps its sessions in its memory: there is no file")
            .hint("start it in standard mode to keep sessions on disk")
    })?;
    to_value(&keeping.backups().create(database, &SystemClock, &mut |_, _| {})?)
}
