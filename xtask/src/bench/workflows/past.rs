//! `ps()` and `workflow list` beside very many workflows that have ended.

use rusqlite::Connection;

use super::{finished, home, plan};
use crate::Result;
use crate::bench::database::grouped;
use crate::bench::figures::{At, Figure, Limit, Spread, Unit};
use crate::bench::{Bench, timed};

const WORKFLOWS: u64 = 100_000;
const WORKFLOWS_QUICK: u64 = 2_000;
/// Milliseconds.
const MOST: f64 = 20.0;

/// Runs one workflow, writes very many like it, and asks.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let sandbox = home(bench, "workflows-past")?;
    let workflows = if bench.quick { WORKFLOWS_QUICK } else { WORKFLOWS };
    let file = plan(&sandbox, "past", 1, "[\"true\"]", "repos: {names: [repo0]}\n")?;
    finished(&sandbox.command(&bench.built, "mahavishnu").args(["workflow", "run", &file]).output()?)?;
    multiply(&sandbox.home("mahavishnu").join("mahavishnu.db"), workflows)?;
    let work = format!("{} ended workflows", grouped(workflows));
    let mut figures = Vec::new();
    for (what, arguments) in [
        ("shell -c 'ps()', whole process", &["shell", "-c", "ps()"][..]),
        ("shell -c exit, for comparison", &["shell", "-c", "exit"]),
        ("workflow list", &["workflow", "list", "--format", "json"]),
        ("metrics", &["metrics"]),
    ] {
        let mut times = Vec::new();
        for _ in 0..bench.runs(60, 5) {
            let (time, output) = timed(|| sandbox.command(&bench.built, "mahavishnu").args(arguments).output());
            let output = output?;
            finished(&output)?;
            times.push(time);
        }
        let figure = Figure::new(what, &work, Unit::Milliseconds, Spread::of_times(&times));
        figures.push(if what.contains("ps()") { figure.limit(Limit::most(At::P95, MOST)) } else { figure });
    }
    Ok(figures)
}

/// Copies the one workflow with its rows, a second between them.
fn multiply(database: &std::path::Path, workflows: u64) -> Result {
    let connection = Connection::open(database)?;
    let columns = "task, repo, status, progress, exit_code, error, digest, asked_by, steps, running, completed, failed";
    connection.execute_batch(&format!(
        "BEGIN;
         CREATE TEMP TABLE n AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {workflows}) SELECT i FROM n;
         CREATE TEMP TABLE one AS SELECT * FROM workflows LIMIT 1;
         INSERT INTO workflows (number, id, created_at, started_at, ended_at, {columns})
             SELECT (SELECT number FROM one) + i, printf('wf-past-%08d', i),
                    strftime('%Y-%m-%dT%H:%M:%S', 'now', -i || ' seconds') || '.000000Z',
                    strftime('%Y-%m-%dT%H:%M:%S', 'now', -i || ' seconds') || '.000000Z',
                    strftime('%Y-%m-%dT%H:%M:%S', 'now', -i || ' seconds') || '.000000Z', {columns}
             FROM one, n;
         INSERT INTO plans SELECT (SELECT number FROM one) + i, plan
             FROM (SELECT * FROM plans WHERE workflow = (SELECT number FROM one)), n;
         INSERT INTO steps SELECT (SELECT number FROM one) + i, step, state, attempt, forgiven, started_at, ended_at, until, run, ending
             FROM (SELECT * FROM steps WHERE workflow = (SELECT number FROM one)), n;
         INSERT INTO facts SELECT (SELECT number FROM one) + i, n, at, fact
             FROM (SELECT * FROM facts WHERE workflow = (SELECT number FROM one)) f, n;
         COMMIT;"
    ))?;
    Ok(())
}
