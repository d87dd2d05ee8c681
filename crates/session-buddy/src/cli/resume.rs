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

/// The newest session of the worktree that this is, else of its repository.
fn newest_here(context: &Context) -> Result<String> {
    let hint = "name a session: 'session-buddy list-sessions' shows them";
    let Some(place) = repository::probe(&context.surroundings.cwd, PROBE_LIMIT) else {
        return Err(Fault::user("this directory is in no git repository, so its session is not known").hint(hint));
    };
    for worktree in [true, false] {
        let mut question = ListSessions::all(1, 0);
        if worktree {
            question.worktree = Some(place.worktree.clone());
        } else {
            question.repository = Some(place.common_dir.clone());
        }
        let found: SessionList = read(context.ask(question)?)?;
        if let Some(session) = found.sessions.into_iter().next() {
            return Ok(session.session_id);
        }
    }
    Err(Fault::not_found("this repository has no sessions yet").hint(hint))
}
