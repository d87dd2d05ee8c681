//! Archiving, deleting by retention, compacting and making the search index anew, over a copy of the large database, while
//! a server runs and a client stores events: how long each takes, and how long the client's calls take meanwhile.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oneiric::clock::{Clock, SystemClock};
use session_store::sqlite::checkup::rebuild_index;

use super::corpus::time;
use super::database::{database, filled, grouped};
use super::figures::{At, Figure, Limit, Spread, Unit};
use super::pace::{Client, longest};
use super::{Bench, timed};
use crate::Result;
use crate::program::{Sandbox, Server};

/// Sessions that are archived, then deleted: 300,000 events, about.
const SESSIONS: u64 = 15_000;
const SESSIONS_QUICK: u64 = 1_000;
/// Seconds that archiving, retention and the index may take.
const MOST: f64 = 20_000.0;
const DAY: i64 = 86_400_000_000;
/// Time that the client works alone, to compare.
const ALONE: Duration = Duration::from_secs(5);

/// A piece of work beside the client.
struct Task<'t> {
    what: &'static str,
    run: Box<dyn Fn() -> Result<Vec<u8>> + 't>,
    limited: bool,
}

/// Does one after the other.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let filled = filled(bench)?;
    let sessions = if bench.quick { SESSIONS_QUICK } else { SESSIONS };
    let sandbox = Sandbox::fresh(bench.folder.join("upkeep-home"))?;
    let path = database(&sandbox);
    if let Some(home) = path.parent() {
        fs::create_dir_all(home)?;
    }
    fs::copy(database(&filled.sandbox), &path)?;
    let server = Server::start(&bench.built, &sandbox)?;
    let days = ((SystemClock.now().as_micros() - time(sessions, 0).as_micros()) / DAY).max(1).to_string();
    let program = |arguments: &[&str], settings: &[(&str, &str)]| {
        let mut command = sandbox.command(&bench.built, "session-buddy");
        printed(command.args(arguments).envs(settings.iter().copied()))
    };
    let tasks = [
        Task {
            what: "archive-sessions",
            run: Box::new(|| program(&["archive-sessions", "--days", &days], &[])),
            limited: true,
        },
        Task {
            what: "retention apply",
            run: Box::new(|| program(&["retention", "apply"], &[("SESSION_BUDDY_RETENTION__DAYS", &days)])),
            limited: true,
        },
        Task { what: "vacuum", run: Box::new(|| program(&["vacuum"], &[])), limited: false },
        Task {
            what: "the search index anew",
            run: Box::new(|| Ok(format!("{} events", grouped(rebuild_index(&path, &mut |_, _| ())?)).into_bytes())),
            limited: true,
        },
    ];
    let mut client = Client::new(&bench.corpus, 800)?;
    let begin = SystemClock.monotonic();
    let alone = client.store(&server, &|| SystemClock.monotonic().saturating_sub(begin) > ALONE)?;
    let mut figures = stored("with nothing beside", &alone);
    for task in &tasks {
        let over = AtomicBool::new(false);
        let (done, stored_meanwhile) = std::thread::scope(|scope| {
            let storing =
                scope.spawn(|| client.store(&server, &|| over.load(Ordering::Relaxed)).map_err(|e| e.to_string()));
            let done = timed(|| (task.run)());
            over.store(true, Ordering::Relaxed);
            (done, storing.join())
        });
        let (taken, said) = done;
        let said = String::from_utf8_lossy(&said?).trim().to_owned();
        let times = stored_meanwhile.map_err(|_| "the client panicked")??;
        let figure = Figure::new(task.what, said, Unit::Milliseconds, Spread::of_times(&[taken]));
        figures.push(if task.limited { figure.limit(Limit::most(At::P50, MOST)) } else { figure });
        figures.extend(stored(&format!("during {}", task.what), &times));
    }
    server.stop()?;
    Ok(figures)
}

fn stored(when: &str, times: &[Duration]) -> Vec<Figure> {
    let work = "ten events every 20 ms";
    vec![
        Figure::new(format!("track_events {when}"), work, Unit::Milliseconds, Spread::of_times(times)),
        Figure::new(format!("longest track_events {when}"), work, Unit::Milliseconds, longest(times)),
    ]
}

fn printed(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output()?;
    if output.status.success() { Ok(output.stdout) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
}
