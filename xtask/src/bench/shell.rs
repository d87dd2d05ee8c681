//! `mahavishnu shell -c "exit"` in a git repository, with its session delivered.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rusqlite::{Connection, OpenFlags};

use super::database::database;
use super::figures::{At, Figure, Limit, Spread, Unit};
use super::{Bench, timed};
use crate::Result;
use crate::program::{Sandbox, Server};
use crate::workspace::stdout;

/// Files of the repository that the shell starts in.
const FILES: usize = 200;

/// Runs the shell many times beside a running server, and counts what arrived.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let sandbox = Sandbox::fresh(bench.folder.join("shell-home"))?;
    let repository = repository(sandbox.root())?;
    let server = Server::start(&bench.built, &sandbox)?;
    let runs = bench.runs(200, 20);
    let warm_up = 5;
    let (mut shells, mut probes, mut nothings) = (Vec::new(), Vec::new(), Vec::new());
    let mut late = 0;
    for run in 0..runs + warm_up {
        let mut shell = sandbox.command(&bench.built, "mahavishnu");
        shell.args(["shell", "-c", "exit"]).current_dir(&repository).stdout(Stdio::null());
        let (shell_time, output) = timed(|| shell.output());
        let output = output?;
        if !output.status.success() {
            return Err(format!("the shell failed: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        // What is still spooled now was not delivered by the shell itself.
        late += usize::from(spooled(&sandbox) > 0);
        let (probe_time, _) = timed(|| git(&repository, &["status", "--porcelain", "--branch"]));
        let (nothing_time, _) = timed(|| Command::new("true").status());
        if run >= warm_up {
            shells.push(shell_time);
            probes.push(probe_time);
            nothings.push(nothing_time);
        }
    }
    server.stop()?;
    let all = runs + warm_up;
    let stored = stored(&database(&sandbox))?;
    let work = format!("{runs} runs, {stored} of {all} sessions stored, {late} left spooled");
    let figure =
        Figure::new("mahavishnu shell -c exit, delivered", work, Unit::Milliseconds, Spread::of_times(&shells))
            .limit(Limit::most(At::P50, 25.0))
            .limit(Limit::most(At::P95, 50.0))
            .failed_if(stored != all || late > 0, || {
                format!("{stored} of {all} sessions stored, {late} left to others")
            });
    let git =
        Figure::new("for comparison: one git status", "same repository", Unit::Milliseconds, Spread::of_times(&probes));
    let nothing =
        Figure::new("for comparison: the program 'true'", "", Unit::Milliseconds, Spread::of_times(&nothings));
    Ok(vec![figure, git, nothing])
}

/// A repository with a commit and some files.
fn repository(below: &Path) -> Result<PathBuf> {
    let repository = below.join("billing");
    for number in 0..FILES {
        let path = repository.join(format!("src/part{}/file{number}.txt", number % 10));
        fs::create_dir_all(path.parent().unwrap_or(&repository))?;
        fs::write(path, format!("line {number}\n"))?;
    }
    git(&repository, &["init", "-q", "-b", "main"])?;
    git(&repository, &["add", "."])?;
    git(&repository, &["-c", "user.name=Bench", "-c", "user.email=bench@example.invalid", "commit", "-qm", "Start"])?;
    Ok(repository)
}

fn git(repository: &Path, arguments: &[&str]) -> Result<String> {
    stdout(Command::new("git").args(arguments).current_dir(repository))
}

/// Files in the shell's spool.
fn spooled(sandbox: &Sandbox) -> usize {
    fs::read_dir(sandbox.home("mahavishnu").join("spool")).map_or(0, |entries| {
        let spool = |entry: &fs::DirEntry| entry.path().extension().is_some_and(|end| end == "spool");
        entries.flatten().filter(spool).count()
    })
}

/// Sessions that began and ended in the repository, by the documented tables.
fn stored(database: &Path) -> Result<usize> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let complete = "SELECT count(*) FROM sessions WHERE status = 'ended' AND branch = 'main' AND 2 = (SELECT count(*) \
                    FROM session_events e WHERE e.session_id = sessions.session_id AND e.event_type IN ('session_start', 'session_end'))";
    Ok(connection.query_row(complete, [], |row| row.get::<_, i64>(0))?.try_into()?)
}
