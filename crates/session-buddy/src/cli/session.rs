//! `session start`, `session end`, `session link`, `session links`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use oneiric::fault::{Fault, FaultKind, Result};
use oneiric::id::SessionId;
use oneiric::repository;

use super::ask::{Context, read};
use super::links::{self, LinkArgs, LinksArgs};
use super::output;
use crate::mcp::sessions::{GetSession, TrackSessionEnd, TrackSessionStart, Tracked};

/// Longest time for git to tell where a session begins.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// What can be done with sessions as a whole.
#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// Open a session by hand; it lasts until 'session end'
    Start(StartArgs),
    /// Say that a session has ended, and how
    End(EndArgs),
    /// Say that a session continues, relates to or was caused by another
    Link(LinkArgs),
    /// List the sessions that a session is linked to
    Links(LinksArgs),
}

/// Arguments of `session start`.
#[derive(Debug, Args)]
pub(super) struct StartArgs {
    /// Id to give it, instead of a new one
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Project; by default the repository of this directory
    #[arg(long)]
    project: Option<String>,
    /// Program that the work is done with
    #[arg(long, value_name = "NAME", default_value = "session-buddy")]
    component: String,
    /// What the session is for
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Outcome {
    /// The work is done
    #[default]
    Completed,
    /// It could not be done
    Failed,
    /// It was given up
    Cancelled,
}

/// Arguments of `session end`.
#[derive(Debug, Args)]
pub(super) struct EndArgs {
    /// Session by its id or a beginning of it
    #[arg(value_name = "ID")]
    session_id: String,
    /// How it ended
    #[arg(long, value_enum, default_value_t)]
    status: Outcome,
    /// What to know about its end
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Runs one of them.
pub(super) fn run(command: &SessionCommand, context: &Context) -> Result<ExitCode> {
    match command {
        SessionCommand::Start(args) => start(args, context),
        SessionCommand::End(args) => end(args, context),
        SessionCommand::Link(args) => links::link(args, context),
        SessionCommand::Links(args) => links::links(args, context),
    }
}

fn start(args: &StartArgs, context: &Context) -> Result<ExitCode> {
    let cwd = context.surroundings.cwd.to_string_lossy().into_owned();
    let id = match &args.id {
        Some(id) => SessionId::parse(id.as_str()).map_err(|error| Fault::user(format!("--id: {error}")))?,
        None => SessionId::generate(context.now()),
    };
    if args.id.is_some() {
        match context.ask(GetSession { session_id: id.to_string() }) {
            Ok(known) if known["session_id"].as_str() == Some(id.as_str()) => {
                return Err(Fault::conflict(format!("session {id} exists already"))
                    .hint("give another --id, or none: each new session gets an id of its own"));
            }
            Ok(_) => {}
            // A beginning of several ids, or of none.
            Err(fault) if matches!(fault.kind(), FaultKind::NotFound | FaultKind::User) => {}
            Err(fault) => return Err(fault),
        }
    }
    let found = repository::probe(Path::new(&cwd), PROBE_LIMIT);
    let mut wish = TrackSessionStart::by_hand(
        id,
        context.now(),
        &crate::hand::of_process(&context.surroundings),
        &cwd,
        found.as_ref(),
    );
    wish.component_name.clone_from(&args.component);
    wish.project = args.project.clone().or(wish.project);
    wish.note(args.note.as_deref());
    let answer = context.ask(wish)?;
    if args.json {
        return output::emit_json(&answer);
    }
    let done: Tracked = read(answer)?;
    output::emit(&format!("Session {} started\n", output::plain(&done.session_id)))
}

fn end(args: &EndArgs, context: &Context) -> Result<ExitCode> {
    let word = match args.status {
        Outcome::Completed => "completed",
        Outcome::Failed => "failed",
        Outcome::Cancelled => "cancelled",
    };
    let wish = TrackSessionEnd::by_hand(&args.session_id, context.now(), word, args.note.as_deref());
    let answer = context.ask(wish)?;
    if args.json {
        return output::emit_json(&answer);
    }
    let done: Tracked = read(answer)?;
    let already = if done.already { " had ended already" } else { " ended" };
    output::emit(&format!("Session {}{already}\n", output::plain(&done.session_id)))
}
