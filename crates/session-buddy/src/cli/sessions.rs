//! `list-sessions` and `get-session`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use comfy_table::Cell;
use oneiric::fault::Result;
use oneiric::repository;
use serde_json::Value;
use session_store::links::Link;
use session_store::{Page, Session, SessionStatus};

use super::ask::{Context, read};
use super::options::{self, count, rows};
use super::output::{self, Format, cell, note, plain};
use crate::mcp::links::{LinkList, SessionLinks};
use crate::mcp::sessions::{GetSession, ListSessions, SessionLine, SessionList};
use oneiric::clock::{Timestamp, clock_time};

/// Terminal width from which the table has all columns.
const WIDE: u16 = 130;

/// Longest time to find out which repository a path belongs to.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// Arguments of `list-sessions`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only this type, such as admin_shell
    #[arg(long = "type", value_name = "TYPE")]
    session_type: Option<String>,
    /// Only this status: active, ended, failed or stale
    #[arg(long, value_parser = status)]
    status: Option<SessionStatus>,
    /// Only this component, such as mahavishnu
    #[arg(long)]
    component: Option<String>,
    /// Only this project
    #[arg(long)]
    project: Option<String>,
    /// Only this repository with all its worktrees: a path in it
    #[arg(long, value_name = "PATH")]
    repository: Option<String>,
    /// Only this worktree: its path
    #[arg(long, value_name = "PATH")]
    worktree: Option<String>,
    /// Started at or after: 24h, 7d, 2026-11-22 or a time stamp
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Started before
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Those in the archive instead of the others
    #[arg(long)]
    archived: bool,
    /// Rows at most
    #[arg(long, default_value_t = 100, allow_negative_numbers = true, value_parser = count::<{ Page::MAX_LIMIT }>)]
    limit: usize,
    /// Rows to skip
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_parser = rows)]
    offset: usize,
    /// Shape of the output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn status(name: &str) -> std::result::Result<SessionStatus, String> {
    SessionStatus::parse(name).ok_or_else(|| "must be active, ended, failed or stale".into())
}

/// Runs `list-sessions`.
pub(super) fn list(args: &ListArgs, context: &Context) -> Result<ExitCode> {
    let now = context.now();
    let (since, until) = options::times(args.since.as_deref(), args.until.as_deref(), now)?;
    let mut question = ListSessions::all(args.limit, args.offset);
    question.session_type.clone_from(&args.session_type);
    question.component.clone_from(&args.component);
    question.status = args.status;
    question.project.clone_from(&args.project);
    question.repository = args.repository.as_deref().map(|path| common_dir(&context.surroundings.cwd.join(path), path));
    question.worktree = args.worktree.as_deref().map(|path| worktree(&context.surroundings.cwd.join(path), path));
    question.since = since;
    question.until = until;
    question.archived = args.archived;
    let answer = context.ask(question)?;
    if args.format == Format::Json {
        return output::emit_json(answer.get("sessions").unwrap_or(&Value::Null));
    }
    let SessionList { sessions, .. } = read(answer)?;
    if args.format == Format::Csv {
        return output::emit(&as_csv(&sessions));
    }
    if sessions.is_empty() && args.archived {
        note("No archived sessions found. 'session-buddy archive-sessions --days 30' archives old ones.");
        return Ok(ExitCode::SUCCESS);
    }
    if sessions.is_empty() {
        note("No sessions found. Work in 'mahavishnu shell' to record one, or loosen the filters.");
        return Ok(ExitCode::SUCCESS);
    }
    output::emit(&as_table(&sessions, context.screen(), now))
}

/// The shared git directory of the repository that `path` is in; the text as typed when it is in none.
fn common_dir(path: &Path, typed: &str) -> String {
    repository::probe(path, PROBE_LIMIT).map_or_else(|| typed.to_owned(), |found| found.common_dir)
}

fn worktree(path: &Path, typed: &str) -> String {
    repository::probe(path, PROBE_LIMIT).map_or_else(|| typed.to_owned(), |found| found.worktree)
}

fn duration(session: &SessionLine, now: oneiric::clock::Timestamp) -> Duration {
    match session.duration_seconds {
        Some(seconds) if seconds.is_finite() && seconds >= 0.0 => Duration::from_secs_f64(seconds.min(1e12)),
        _ => session.end_time.unwrap_or(now).since(session.start_time),
    }
}

fn as_table(sessions: &[SessionLine], screen: output::Screen, now: oneiric::clock::Timestamp) -> String {
    let wide = screen.width >= WIDE;
    let mut headers = vec!["Session ID", "Component", "Duration", "Events"];
    if wide {
        headers.extend(["Status", "Started", "Project", "Branch"]);
    }
    let rows = sessions.iter().map(|session| {
        let mut row: Vec<Cell> = vec![
            cell(&session.session_id),
            cell(&session.component),
            Cell::new(clock_time(duration(session, now))),
            Cell::new(session.event_count),
        ];
        if wide {
            row.push(screen.status(session.status.as_str()));
            row.push(Cell::new(session.start_time.local()));
            row.push(cell(session.project.as_deref().unwrap_or_default()));
            row.push(cell(session.branch.as_deref().unwrap_or_default()));
        }
        row
    });
    screen.table(&headers, rows.collect())
}

fn as_csv(sessions: &[SessionLine]) -> String {
    let headers = [
        "session_id",
        "component",
        "session_type",
        "status",
        "start_time",
        "end_time",
        "duration_seconds",
        "command_count",
        "event_count",
        "error_count",
        "project",
        "repository",
        "worktree",
        "branch",
        "hostname",
        "username",
    ];
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let rows: Vec<Vec<String>> = sessions
        .iter()
        .map(|session| {
            vec![
                session.session_id.clone(),
                session.component.clone(),
                session.session_type.clone(),
                session.status.to_string(),
                session.start_time.to_string(),
                session.end_time.map(|at| at.to_string()).unwrap_or_default(),
                session.duration_seconds.map(|seconds| seconds.to_string()).unwrap_or_default(),
                session.command_count.to_string(),
                session.event_count.to_string(),
                session.error_count.to_string(),
                text(&session.project),
                text(&session.repository),
                text(&session.worktree),
                text(&session.branch),
                text(&session.hostname),
                text(&session.username),
            ]
        })
        .collect();
    output::csv(&headers, &rows)
}

/// Arguments of `get-session`.
#[derive(Debug, Args)]
pub(super) struct GetArgs {
    /// Session id, or an unambiguous beginning of it
    session_id: String,
    /// Shape of the output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs `get-session`.
pub(super) fn get(args: &GetArgs, context: &Context) -> Result<ExitCode> {
    let answer = context.ask(GetSession::by(args.session_id.clone()))?;
    match args.format {
        Format::Json => output::emit_json(&answer),
        Format::Csv => {
            let line: SessionLine = read(answer)?;
            output::emit(&as_csv(&[line]))
        }
        Format::Table => {
            let session: Session = read(answer)?;
            let links: LinkList = read(context.ask(SessionLinks { session_id: session.session_id.clone() })?)?;
            output::emit(&as_text(&session, &links.links, context))
        }
    }
}

fn as_text(session: &Session, links: &[Link], context: &Context) -> String {
    let line = SessionLine::from(session.clone());
    let mut rows: Vec<(&str, String)> = vec![
        ("Session ID", session.session_id.clone()),
        ("Component", session.component.clone()),
        ("Type", session.session_type.clone()),
        ("Status", session.status.to_string()),
        ("Started", session.start_time.local()),
    ];
    let mut add = |name: &'static str, value: Option<String>| {
        if let Some(value) = value {
            rows.push((name, value));
        }
    };
    add("Ended", session.end_time.map(Timestamp::local));
    add("Duration", Some(clock_time(duration(&line, context.now()))));
    add("Commands", Some(session.command_count.to_string()));
    add("Events", Some(session.event_count.to_string()));
    add("Errors", Some(session.error_count.to_string()));
    add("Project", session.project.clone());
    add("Repository", session.repository.clone());
    add("Worktree", session.worktree.clone());
    add("Branch", session.branch.clone());
    add("Commit", session.commit.clone());
    add("Dirty", session.dirty.map(|dirty| if dirty { "yes" } else { "no" }.to_owned()));
    add("Directory", session.cwd.clone());
    add("Shell", session.shell_type.clone());
    add("User", session.username.clone());
    add("Host", session.hostname.clone());
    add("Archived", session.archived_at.map(Timestamp::local));
    add("Process", session.pid.filter(|pid| *pid != 0).map(|pid| pid.to_string()));
    for link in links {
        rows.push(("Link", format!("{} {}", link.relation, link.session_id)));
    }
    let mut text = String::new();
    for (name, value) in rows {
        text.push_str(&format!("{:<12} {}\n", format!("{name}:"), plain(&value)));
    }
    if !session.metadata.is_empty() {
        text.push_str("Metadata:\n");
        for (key, value) in &session.metadata {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            text.push_str(&format!("  {}: {}\n", plain(key), plain(&shown)));
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {

    use super::*;

    fn line() -> SessionLine {
        SessionLine {
            session_id: "abc123".into(),
            component: "mahavishnu".into(),
            session_type: "admin_shell".into(),
            status: SessionStatus::Failed,
            start_time: Timestamp::parse("2026-02-06T10:00:00Z").unwrap(),
            end_time: None,
            duration_seconds: Some(135.0),
            command_count: 3,
            event_count: 12,
            error_count: 0,
            project: Some("web, shop".into()),
            repository: None,
            worktree: None,
            branch: Some("main".into()),
            hostname: None,
            username: None,
            pid: None,
            archived_at: None,
        }
    }

    #[test]
    fn the_table_of_a_narrow_terminal_is_the_guides() {
        let screen = output::Screen { width: 80, colour: false, wrap: true };
        let table = as_table(&[line()], screen, line().start_time);
        let expected = "\
┌────────────┬────────────┬──────────┬────────┐
│ Session ID │ Component  │ Duration │ Events │
├────────────┼────────────┼──────────┼────────┤
│ abc123     │ mahavishnu │ 0:02:15  │ 12     │
└────────────┴────────────┴──────────┴────────┘
";
        assert_eq!(table, expected);
    }

    #[test]
    fn a_wide_terminal_sees_more() {
        let table = as_table(&[line()], output::Screen { width: 140, colour: false, wrap: true }, line().start_time);
        for wanted in ["Status", "failed", "Branch", "main", "web, shop"] {
            assert!(table.contains(wanted), "{table}");
        }
        let coloured = as_table(&[line()], output::Screen { width: 140, colour: true, wrap: true }, line().start_time);
        assert!(coloured.contains("\u{1b}["), "{coloured}");
    }

    #[test]
    fn a_running_session_lasts_until_now() {
        let mut running = line();
        running.duration_seconds = None;
        let now = running.start_time.plus(Duration::from_secs(61));
        assert_eq!(clock_time(duration(&running, now)), "0:01:01");
    }

    #[test]
    fn csv_has_a_header_and_quotes_commas() {
        let csv = as_csv(&[line()]);
        let mut lines = csv.lines();
        assert!(lines.next().unwrap().starts_with("session_id,component,session_type,status"));
        assert!(lines.next().unwrap().contains("\"web, shop\""));
    }
}
