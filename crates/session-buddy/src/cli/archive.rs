//! `archive-sessions` and `restore-sessions`.

use std::process::ExitCode;

use clap::Args;
use oneiric::clock::SystemClock;
use oneiric::count::counted;
use oneiric::fault::{Fault, Result};

use super::ask::Context;
use super::options;
use super::output::{self, Format};
use super::progress::Progress;
use crate::mcp::upkeep::{ArchiveSessions, DEFAULT_DAYS, Moved, RestoreSessions};

/// Arguments of `archive-sessions`.
#[derive(Debug, Args)]
pub(super) struct ArchiveArgs {
    /// Archive sessions that ended, and were last heard of, this many days ago or longer
    #[arg(long, value_name = "N", default_value_t = DEFAULT_DAYS, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(0..=36_500))]
    days: u32,
    /// Only sessions of this project
    #[arg(long)]
    project: Option<String>,
    /// Say what would be archived, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Shape of the output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Arguments of `restore-sessions`.
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// Archived sessions, by id or an unambiguous beginning of it
    #[arg(value_name = "ID", conflicts_with_all = ["all", "project", "since", "until"])]
    ids: Vec<String>,
    /// All sessions in the archive
    #[arg(long)]
    all: bool,
    /// Only sessions of this project
    #[arg(long)]
    project: Option<String>,
    /// Started at or after: 90d, 2026-11-22 or a time stamp
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Started before
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Say what would be restored, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Shape of the output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs `archive-sessions`.
pub(super) fn archive(args: &ArchiveArgs, context: &Context) -> Result<ExitCode> {
    let wish = ArchiveSessions { days: args.days, project: args.project.clone(), dry_run: args.dry_run };
    let moved = match context.ask_memory("archive_sessions", &wish)? {
        Some(moved) => moved,
        None => {
            let mut bar = Progress::new("Archiving", "sessions");
            let store = context.own_desk()?.store()?;
            wish.apply(store.as_ref(), &SystemClock, &mut |done, all| bar.tell(done, all))?
        }
    };
    let older = counted(args.days, "day", "days");
    let verb = if moved.dry_run { "Would archive" } else { "Archived" };
    tell(&moved, args.format, &format!("{verb} {} older than {older}", amount(&moved)))
}

/// Runs `restore-sessions`.
pub(super) fn restore(args: &RestoreArgs, context: &Context) -> Result<ExitCode> {
    let (since, until) = options::times(args.since.as_deref(), args.until.as_deref(), context.now())?;
    let wish = RestoreSessions {
        session_ids: args.ids.clone(),
        project: args.project.clone(),
        since,
        until,
        all: args.all,
        dry_run: args.dry_run,
    };
    let moved = match context.ask_memory("restore_sessions", &wish)? {
        Some(moved) => moved,
        None => {
            let mut bar = Progress::new("Restoring", "sessions");
            let store = context.own_desk()?.store()?;
            wish.apply(store.as_ref(), &mut |done, all| bar.tell(done, all)).map_err(|fault| told(fault, args))?
        }
    };
    let verb = if moved.dry_run { "Would restore" } else { "Restored" };
    tell(&moved, args.format, &format!("{verb} {}", amount(&moved)))
}

/// The command's own words for a wish that says nothing.
fn told(fault: Fault, args: &RestoreArgs) -> Fault {
    let nothing = args.ids.is_empty() && args.project.is_none() && args.since.is_none() && args.until.is_none();
    if nothing && !args.all {
        return Fault::user(fault.message())
            .hint("name ids (see list-sessions --archived), --project, --since, or --all");
    }
    fault
}

fn amount(moved: &Moved) -> String {
    let (sessions, events) = (counted(moved.sessions, "session", "sessions"), counted(moved.events, "event", "events"));
    format!("{sessions} with {events}")
}

fn tell(moved: &Moved, format: Format, text: &str) -> Result<ExitCode> {
    match format {
        Format::Json => output::emit_json(moved),
        Format::Csv => output::emit(&output::csv(
            &["sessions", "events", "dry_run"],
            &[vec![moved.sessions.to_string(), moved.events.to_string(), moved.dry_run.to_string()]],
        )),
        Format::Table => output::emit(&format!("{text}\n")),
    }
}
