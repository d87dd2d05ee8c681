//! A server that is killed in the midst of very many workflows, and the next one.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::{REPOSITORIES, finished, home, journal, plan};
use crate::Result;
use crate::bench::figures::{At, Figure, Limit, Spread, Unit};
use crate::bench::{Bench, now};
use crate::program::{Sandbox, Server};

/// Workflows in flight, each of a step in every repository.
const WORKFLOWS: usize = 1_000;
const WORKFLOWS_QUICK: usize = 20;
/// Steps that are done before the kill.
const BEFORE: usize = 20;
/// Milliseconds until the next server answers, and until a step begins.
const MOST_READY: f64 = 1_000.0;
const MOST_RESUMED: f64 = 2_000.0;
const PATIENCE: Duration = Duration::from_secs(60);

/// Kills and starts.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let sandbox = home(bench, "workflows-restart")?;
    let workflows = bench.runs(WORKFLOWS, WORKFLOWS_QUICK);
    let mark = sandbox.root().join("begun");
    fs::write(&mark, "")?;
    // A line as soon as it begins; long enough to be in the midst of it when the server is killed.
    let line = format!("[sh, -c, \"echo x >> {}; sleep 0.3\"]", mark.display());
    let file = plan(&sandbox, "flight", 1, &line, "")?;
    let mut server = Server::start_program(&bench.built, &sandbox, "mahavishnu", &["start"], &[])?;
    for _ in 0..workflows {
        let mut ask = sandbox.command(&bench.built, "mahavishnu");
        finished(&ask.args(["workflow", "run", "--detach", &file]).output()?)?;
    }
    let (mut ready, mut resumed) = (Vec::new(), Vec::new());
    for _ in 0..bench.runs(5, 1) {
        let before = begun(&mark)?;
        wait(|| Ok(begun(&mark)? >= before + BEFORE))?;
        server.kill()?;
        // What the killed server began writes its line now, if it has not yet; it goes on until the next server ends it.
        std::thread::sleep(Duration::from_millis(50));
        let before = begun(&mark)?;
        let begin = now();
        server = Server::start_program(&bench.built, &sandbox, "mahavishnu", &["start"], &[])?;
        ready.push(server.started_in);
        wait(|| Ok(begun(&mark)? > before))?;
        resumed.push(now().saturating_sub(begin));
    }
    let open: i64 = journal(&sandbox)?.query_row(
        "SELECT count(*) FROM workflows WHERE status IN ('pending', 'running')",
        [],
        |row| row.get(0),
    )?;
    let memory = server.memory()? as f64 / 1_048_576.0;
    server.kill()?;
    leave_nothing(&sandbox)?;
    let work = format!("{open} workflows of {REPOSITORIES} steps in flight");
    Ok(vec![
        Figure::new("start after a kill: ready", &work, Unit::Milliseconds, Spread::of_times(&ready))
            .limit(Limit::most(At::P95, MOST_READY)),
        Figure::new("start after a kill: first step begins", &work, Unit::Milliseconds, Spread::of_times(&resumed))
            .limit(Limit::most(At::P95, MOST_RESUMED))
            .failed_if(open < workflows as i64 / 2, || format!("only {open} of {workflows} were in flight")),
        Figure::new("server: memory with them", &work, Unit::Mebibytes, Spread::of(vec![memory])),
    ])
}

fn begun(mark: &std::path::Path) -> Result<usize> {
    Ok(fs::read(mark)?.len() / 2)
}

fn wait(is: impl Fn() -> Result<bool>) -> Result {
    let begin = now();
    while !is()? {
        if now().saturating_sub(begin) > PATIENCE {
            return Err(format!("nothing happened for {PATIENCE:?}").into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Waits for the steps of the last killed server: they are short.
fn leave_nothing(sandbox: &Sandbox) -> Result {
    let root = sandbox.root().to_string_lossy().into_owned();
    wait(|| Ok(!Command::new("pgrep").args(["-f", &root]).output()?.status.success()))
}
