//! `resume`: a brief to go on from.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use oneiric::count::counted;
use oneiric::fault::{Fault, Result};
use oneiric::repository;
use session_store::brief::{Brief, DEFAULT_TOKENS};

use super::ask::{Context, read};
use super::options::rows;
use super::output::{self, note};
use crate::mcp::resume::ResumeContext;
use crate::mcp::sessions::{ListSessions, SessionList};

/// Longest time to find out which repository the directory belongs to.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// Arguments of `resume`.
#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// Session by its id or a beginning of it; by default the newest of this directory's repository
    session_id: Option<String>,
    /// Size of the brief at most
    #[arg(long, default_value_t = DEFAULT_TOKENS, value_name = "N", allow_negative_numbers = true, value_parser = rows)]
    max_tokens: usize,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `resume`.
pub(super) fn run(args: &ResumeArgs, context: &Context) -> Result<ExitCode> {
    let session_id = match &args.session_id {
        Some(id) => id.clone(),
        None => newest_here(context)?,
    };
    let answer = context.ask(ResumeContext { session_id, max_tokens: args.max_tokens })?;
    if args.json {
        return output::emit_json(&answer);
    }
    let brief: Brief = read(answer)?;
    if brief.omitted > 0 {
        note(&format!(
            "{} did not fit into {} tokens; --max-tokens allows more.",
            counted(brief.omitted, "line", "lines"),
            args.max_tokens
        ));
    }
    output::emit(&output::plain(&brief.brief))
}

/// Newest sessions among which one with something in it is looked for.
const LOOKED_AT: usize = 50;

/// The newest session of the worktree that this is, else of its repository. One in which nothing happened is nothing to go on
/// from, so it is the last choice.
fn newest_here(context: &Context) -> Result<String> {
    let hint = "name a session: 'session-buddy list-sessions' shows them";
    let Some(place) = repository::probe(&context.surroundings.cwd, PROBE_LIMIT) else {
        return Err(Fault::user("this directory is in no git repository, so its session is not known").hint(hint));
    };
    let here = ListSessions { worktree: Some(place.worktree), ..ListSessions::all(LOOKED_AT, 0) };
    let there = ListSessions { repository: Some(place.common_dir), ..ListSessions::all(LOOKED_AT, 0) };
    let archived = ListSessions { archived: true, limit: 1, ..there.clone() };
    let mut empty = None;
    for question in [here, there] {
        let found: SessionList = read(context.ask(question)?)?;
        if let Some(session) = found.sessions.iter().find(|session| session.status.holds_work(session.event_count)) {
            return Ok(session.session_id.clone());
        }
        empty = empty.or_else(|| found.sessions.into_iter().next());
    }
    if let Some(session) = empty {
        return Ok(session.session_id);
    }
    let old: SessionList = read(context.ask(archived)?)?;
    Err(match old.sessions.is_empty() {
        true => Fault::not_found("this repository has no sessions yet").hint(hint),
        false => Fault::not_found("all sessions of this repository are in the archive")
            .hint("name one: 'session-buddy list-sessions --archived' shows them"),
    })
}
