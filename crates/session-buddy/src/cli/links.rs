//! `session link` and `session links`: what belongs together.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use comfy_table::Cell;
use oneiric::fault::Result;
use serde_json::Value;
use session_store::links::LinkKind;

use super::ask::{Context, read};
use super::output::{self, Format, cell, note};
use crate::mcp::links::{LinkList, LinkSessions, Linked, SessionLinks};

/// How one session belongs to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A goes on with B's work
    Continues,
    /// They have to do with each other
    #[default]
    Relates,
    /// B made A necessary
    CausedBy,
}

impl From<Kind> for LinkKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Continues => Self::Continues,
            Kind::Relates => Self::Relates,
            Kind::CausedBy => Self::CausedBy,
        }
    }
}

/// Arguments of `session link`.
#[derive(Debug, Args)]
pub(super) struct LinkArgs {
    /// Session by its id or a beginning of it
    a: String,
    /// The other one
    b: String,
    /// What A is to B
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,
    /// Take the link away
    #[arg(long)]
    remove: bool,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `session links`.
#[derive(Debug, Args)]
pub(super) struct LinksArgs {
    /// Session by its id or a beginning of it
    session_id: String,
    /// Shape of the output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs `session link`.
pub(super) fn link(args: &LinkArgs, context: &Context) -> Result<ExitCode> {
    let question =
        LinkSessions { from: args.a.clone(), to: args.b.clone(), kind: args.kind.into(), remove: args.remove };
    let answer = context.ask(question)?;
    if args.json {
        return output::emit_json(&answer);
    }
    let done: Linked = read(answer)?;
    let words = format!("{} {} {}", done.from, done.kind.seen(), done.to);
    output::emit(&match (args.remove, done.changed) {
        (false, true) => format!("Linked: {words}\n"),
        (false, false) => format!("Linked already: {words}\n"),
        (true, true) => format!("No longer: {words}\n"),
        (true, false) => format!("There was no such link: {words}\n"),
    })
}

/// Runs `session links`.
pub(super) fn links(args: &LinksArgs, context: &Context) -> Result<ExitCode> {
    let answer = context.ask(SessionLinks { session_id: args.session_id.clone() })?;
    if args.format == Format::Json {
        return output::emit_json(answer.get("links").unwrap_or(&Value::Null));
    }
    let LinkList { links } = read(answer)?;
    if args.format == Format::Csv {
        let rows: Vec<Vec<String>> = links
            .iter()
            .map(|link| {
                vec![link.relation.clone(), link.session_id.clone(), link.since.to_string(), link.event_id.clone()]
            })
            .collect();
        return output::emit(&output::csv(&["relation", "session_id", "since", "event_id"], &rows));
    }
    if links.is_empty() {
        note("No links. 'session-buddy session link A B' makes one.");
        return Ok(ExitCode::SUCCESS);
    }
    let rows =
        links.iter().map(|link| vec![cell(&link.relation), cell(&link.session_id), Cell::new(link.since.local())]);
    output::emit(&context.screen().table(&["Relation", "Session ID", "Since"], rows.collect()))
}
