//! `mahavishnu shell`: a recorded session from its start to its end.

mod functions;
mod live;
mod objects;
mod program;
mod settle;

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use oneiric::count::counted;
use oneiric::fault::{FaultKind, Result};
use oneiric::recorder::{Recorder, RecorderConfig};
use oneiric::repository::{RepositoryIdentity, probe};
use oneiric::secret::Secret;
use oneiric::spool;
use oneiric_shell::interpreter::Limits;
use oneiric_shell::interrupt::{EndingSignal, Interrupts};
use oneiric_shell::output::Output;
use oneiric_shell::program::{Journal, Program};
use oneiric_shell::reader::Reader;
use oneiric_shell::shell::{Ending, Shell};

use crate::journal::SessionJournal;
use crate::who;
use crate::world::World;
pub(crate) use functions::session_table;
use program::ShellProgram;

/// Longest wait for git to name the repository.
const GIT_LIMIT: Duration = Duration::from_millis(400);

/// Runs the shell: `code` as a script, else what standard input says. Its commands may what `token` may, when auth is on.
/// Gives the exit code.
///
/// # Errors
/// When signals cannot be listened to.
pub(crate) fn run(world: &Arc<World>, code: Option<&str>, token: Option<Secret>, output: &Output) -> Result<i32> {
    // Git takes longer than everything else here, so it begins first.
    let repository = {
        let cwd = world.surroundings.cwd.clone();
        std::thread::spawn(move || probe(&cwd, GIT_LIMIT))
    };
    let interactive = code.is_none() && io::stdin().is_terminal() && io::stdout().is_terminal();
    let mode = match (code, interactive) {
        (Some(_), _) => "code",
        (None, true) => "interactive",
        (None, false) => "script",
    };
    let config = recorder_config(world);
    let redactor = world.redactor();
    let peer = world.peer();
    let repository = repository.join().unwrap_or(None);
    let branch = repository.as_ref().and_then(|repository| repository.branch.clone());
    let start = who::session_start(&world.surroundings, repository.clone(), &redactor, mode);
    let (enabled, cap) = (config.enabled, config.output_cap);
    let recorder = Recorder::start(config, start, peer, Arc::clone(&world.clock), Arc::clone(&redactor));
    let trace = world.settings.bool("trace_sessions");
    let journal = Arc::new(SessionJournal::new(recorder, cap, trace, Arc::clone(&world.clock)));
    if !enabled {
        journal.note(off(world));
    }
    let interrupts = listen(world, &journal, output)?;
    let program = Arc::new(ShellProgram::new(Arc::clone(world), Arc::clone(&journal), token));
    let limit = world.settings.int("shell.time_limit");
    let limits = Limits { time: (limit > 0).then(|| Duration::from_secs(limit.unsigned_abs())), ..Limits::default() };
    let mut shell = Shell::new(
        Arc::clone(&program) as Arc<dyn Program>,
        Arc::clone(&journal) as Arc<dyn Journal>,
        limits,
        Arc::clone(&world.clock),
        output.clone(),
        interrupts,
    );
    let ending = if let Some(code) = code {
        shell.run_code(code)
    } else if interactive {
        banner(&*program, &journal, repository.as_ref(), enabled, output);
        let history = world.settings.bool("shell.history").then(|| world.settings.home().root().join("shell_history"));
        let mut reader = Reader::new("mahavishnu", branch.as_deref(), history, redactor, output.terminal());
        shell.run_interactive(&mut reader, pager(world))
    } else {
        shell.run_lines(io::stdin().lock())
    };
    let lost = end(&journal, ending, mode, output);
    // What was said to be recorded and is not must not look like success to a script.
    let told = i32::from(FaultKind::Unavailable.exit_code());
    Ok(if lost > 0 && ending.exit_code == 0 { told } else { ending.exit_code })
}

/// What shows long texts: the user's choice, else `less` where there is one.
fn pager(world: &World) -> Option<String> {
    let vars = &world.surroundings.vars;
    if let Some(chosen) = vars.get("PAGER").filter(|chosen| !chosen.trim().is_empty()) {
        return Some(chosen.clone());
    }
    let folders = vars.get("PATH")?;
    std::env::split_paths(folders).any(|folder| folder.join("less").is_file()).then(|| "less".to_owned())
}

fn recorder_config(world: &World) -> RecorderConfig {
    let number = |name: &str| usize::try_from(world.settings.int(name)).unwrap_or(0);
    let enabled = world.settings.bool("session.enabled") && world.shared.bool("event_buffer.enabled");
    RecorderConfig {
        enabled,
        spool_dir: world.settings.home().spool(),
        max_size: usize::try_from(world.shared.int("event_buffer.max_size")).unwrap_or(1000),
        flush_interval: Duration::from_secs(world.shared.int("event_buffer.flush_interval").unsigned_abs()),
        exit_deadline: Duration::from_millis(number("session.exit_deadline_ms") as u64),
        checkpoint_interval: Duration::from_secs(number("session.checkpoint_interval") as u64),
        output_cap: number("session.output_bytes"),
    }
}

/// Why nothing is recorded.
fn off(world: &World) -> String {
    let (name, source) = if world.settings.bool("session.enabled") {
        ("oneiric's event_buffer_enabled", world.shared.source("event_buffer.enabled"))
    } else {
        ("session_enabled", world.settings.source("session.enabled"))
    };
    format!("this session is not recorded: {name} = false ({source})")
}

/// A signal that ends the process ends the steps that run in it and closes the session first; delivery has its deadline, the
/// spool has the rest.
fn listen(world: &Arc<World>, journal: &Arc<SessionJournal>, output: &Output) -> Result<Interrupts> {
    let (world, journal) = (Arc::clone(world), Arc::clone(journal));
    let output = output.clone();
    let terminal = rustix::termios::tcgetattr(io::stdin()).ok();
    Interrupts::listen(move |signal: EndingSignal| {
        output.mute();
        world.end_steps();
        let _ = journal.close(signal.name, "ended", signal.exit_code);
        if let Some(terminal) = terminal {
            let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, &terminal);
        }
        std::process::exit(signal.exit_code);
    })
    .map_err(|error| oneiric::fault::Fault::internal(format!("cannot listen to signals: {error}")))
}

fn banner(
    program: &dyn Program,
    journal: &SessionJournal,
    repository: Option<&RepositoryIdentity>,
    enabled: bool,
    output: &Output,
) {
    let terminal = output.terminal();
    let session = if enabled { format!("session {}", begin(journal.session())) } else { "not recorded".to_owned() };
    let place = repository.map_or_else(String::new, |repository| {
        let name = oneiric::repository::project_name(repository);
        let dirty = if repository.dirty == Some(true) { ", changed" } else { "" };
        format!(" · {name}{dirty}")
    });
    let title = terminal.strong(&format!("Mahavishnu {}", env!("CARGO_PKG_VERSION")));
    output.line(&format!("{title} · {session}{place}"));
    let functions: Vec<String> = program.functions().iter().map(|function| format!("{}()", function.name())).collect();
    let magics: Vec<String> = program.magics().iter().map(|magic| format!("%{}", magic.name)).collect();
    output.line(&terminal.faint(&format!("{}  {}  !cmd  ?  exit", functions.join(" "), magics.join(" "))));
}

/// A session's id as its banner says it: the time of its beginning.
fn begin(id: &str) -> &str {
    id.get(..13).unwrap_or(id)
}

/// A workflow's id as lists show it. The beginning of an id is a time, which what begins together shares; the end is random.
pub(crate) fn short(id: &str) -> &str {
    id.get(id.len().saturating_sub(12)..).unwrap_or(id)
}

/// Ends the session. Gives how many of its events are lost.
fn end(journal: &SessionJournal, ending: Ending, mode: &str, output: &Output) -> u64 {
    let failed = ending.exit_code != 0 && ending.reason == "error" && mode != "interactive";
    let status = if failed { "failed" } else { "ended" };
    let Some(report) = journal.close(ending.reason, status, ending.exit_code) else { return 0 };
    if report.lost > 0 {
        let why = report.error.unwrap_or_default();
        output.error_line(&format!(
            "warning: {}, since neither the spool nor Session-Buddy took what was told ({why}); \
             make room in the home, or start Session-Buddy with 'session-buddy mcp start'",
            counted(report.lost, "event of this session is lost", "events of this session are lost")
        ));
    } else if report.pending > 0 && mode == "interactive" {
        let why = report.error.unwrap_or_default();
        output.error_line(&format!(
            "note: {} on the spool and will be delivered later: {why}",
            counted(report.pending, "event waits", "events wait")
        ));
    }
    for warning in journal.warnings() {
        output.error_line(&format!("warning: {warning}"));
    }
    report.lost
}

/// Delivers what other sessions left on the spool.
pub(crate) fn drain(world: &World, limit: Duration) -> spool::DrainReport {
    spool::drain(&world.settings.home().spool(), &*world.peer(), &*world.clock, limit)
}

#[cfg(test)]
mod tests;
