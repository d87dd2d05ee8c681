//! `GET /export` and `POST /import`: whole sessions as lines of JSON.

use std::io::BufRead;
use std::sync::Arc;

use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, FaultKind};
use oneiric::token::Scope;
use oneiric_server::mcp::{Arguments, Effect, ToolDescription, ToolError};
use oneiric_server::rest::{Bulk, Show};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use session_store::SessionFilter;
use session_store::transfer::{Import, Selection};

use crate::desk::{Desk, to_value};
use crate::mcp::keeping::Nothing;
use crate::mcp::times;

/// Lines that were not taken and are told one by one.
const TOLD: usize = 50;

/// Name of what exports.
pub const EXPORT: &str = "export_sessions";
/// Name of what imports.
pub const IMPORT: &str = "import_sessions";

/// What to export; nothing means everything that is not archived.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Wish {
    /// Only these, by ids or unambiguous beginnings
    session: Vec<String>,
    project: Option<String>,
    component: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// Archived sessions too
    archived: bool,
}

/// What became of an import.
#[derive(Debug, Serialize, JsonSchema)]
struct Imported {
    /// Session lines.
    sessions: u64,
    /// Events stored now.
    stored: u64,
    /// Events that were stored before.
    duplicates: u64,
    /// Lines that were not taken.
    rejected: u64,
    /// Whether as much came as the first line promised.
    complete: bool,
    /// The first of the lines that were not taken.
    troubles: Vec<Told>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Told {
    /// Number of the line, from 1.
    line: u64,
    reason: String,
}

/// What these routes take and answer.
#[must_use]
pub fn descriptions() -> Vec<ToolDescription> {
    vec![
        ToolDescription::of::<Wish, Nothing>(EXPORT, "Whole sessions as lines of JSON.", Effect::Reads),
        ToolDescription::of::<Nothing, Imported>(IMPORT, "Take in what an export gave.", Effect::AddsOnce)
            .needing(Scope::Write),
    ]
}

/// Exports from and imports into the store of a desk.
pub struct Lines(pub Arc<Desk>);

impl Bulk for Lines {
    fn give(&self, _tool: &str, arguments: Map<String, Value>, show: Show<'_>) -> Result<(), ToolError> {
        let wish: Wish = Arguments::Parsed(arguments).parse()?;
        times::in_order(wish.since, wish.until)?;
        let selection = Selection {
            sessions: wish.session,
            filter: SessionFilter {
                project: wish.project,
                component: wish.component,
                since: wish.since,
                until: wish.until,
                ..SessionFilter::default()
            },
            archived: wish.archived,
        };
        let mut each = |line: session_store::transfer::Line| {
            let text = line.text().map_err(|error| Fault::internal(format!("cannot write JSON: {error}")))?;
            show(&text)
        };
        Ok(self.0.store()?.export(&selection, &mut each)?)
    }

    fn take(&self, _tool: &str, lines: &mut dyn BufRead) -> Result<Value, ToolError> {
        let store = self.0.store()?;
        let mut troubles = Vec::new();
        let mut told = |trouble: session_store::transfer::Trouble| {
            if troubles.len() < TOLD {
                troubles.push(Told { line: trouble.line, reason: trouble.reason });
            }
        };
        let report =
            Import::new(store.as_ref(), &mut told).run(lines, &mut |_| {}).map_err(|fault| match fault.kind() {
                // A newer program's export: nothing here is wrong, what was sent is.
                FaultKind::Config => Fault::user(fault.message()).hint(fault.advice().unwrap_or_default()),
                _ => fault,
            })?;
        if report.header.is_none() && report.sessions == 0 {
            return Err(Fault::user("this is no export of Session-Buddy").hint("GET /api/v1/export gives one").into());
        }
        to_value(&Imported {
            sessions: report.sessions,
            stored: report.stored,
            duplicates: report.duplicates,
            rejected: report.rejected,
            complete: report.complete(),
            troubles,
        })
    }
}
