//! The workflow engine: how fast it runs very short steps, how soon it goes on after a kill, what waiting steps weigh.

mod past;
mod restart;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use oneiric::clock::Timestamp;
use rusqlite::{Connection, OpenFlags};

use super::database::grouped;
use super::figures::{At, Figure, Limit, Spread, Unit};
use super::{Bench, timed};
use crate::Result;
use crate::program::{Sandbox, Server};

const REPOSITORIES: usize = 100;
/// Steps of a plan: tasks times repositories.
const STEPS: usize = 10_000;
const STEPS_QUICK: usize = 500;
/// Steps that go one after the other.
const CHAIN: usize = 500;
const CHAIN_QUICK: usize = 50;
/// Percent of what xargs runs in the same time.
const LEAST_RATE: f64 = 50.0;
/// Milliseconds that the engine may add to a step.
const MOST_ADDED: f64 = 5.0;
/// MiB of a server with a full queue.
const MOST_MEMORY: f64 = 60.0;

/// Runs plans with the real program.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let mut figures = rate(bench)?;
    figures.extend(added(bench)?);
    figures.push(memory(bench)?);
    figures.extend(restart::measure(bench)?);
    figures.extend(past::measure(bench)?);
    Ok(figures)
}

/// How many steps run at the same time when nothing else is said.
fn parallel() -> usize {
    2 * std::thread::available_parallelism().map_or(2, usize::from)
}

/// A home with repositories.
fn home(bench: &Bench, name: &str) -> Result<Sandbox> {
    let sandbox = Sandbox::fresh(bench.folder.join(name))?;
    let mut manifest = String::from("repos:\n");
    for number in 0..REPOSITORIES {
        let folder = sandbox.root().join(format!("src/repo{number}"));
        fs::create_dir_all(&folder)?;
        let made = Command::new("git").args(["init", "-q"]).arg(&folder).status()?;
        if !made.success() {
            return Err("git init failed".into());
        }
        writeln!(manifest, "  - {{name: repo{number}, path: {}, role: code, tags: [all]}}", folder.display())?;
    }
    let settings = sandbox.home("mahavishnu");
    fs::create_dir_all(&settings)?;
    fs::write(settings.join("repos.yaml"), manifest)?;
    Ok(sandbox)
}

/// A plan file of so many tasks, each in every repository.
fn plan(sandbox: &Sandbox, name: &str, tasks: usize, run: &str, more: &str) -> Result<String> {
    let mut plan = format!("name: {name}\n{more}tasks:\n");
    for task in 0..tasks {
        writeln!(plan, "  - {{name: t{task}, run: {run}}}")?;
    }
    let path = sandbox.root().join(format!("{name}.yaml"));
    fs::write(&path, plan)?;
    Ok(path.to_string_lossy().into_owned())
}

fn finished(output: &std::process::Output) -> Result {
    if output.status.success() {
        return Ok(());
    }
    Err(format!("the workflow failed: {}", String::from_utf8_lossy(&output.stderr)).into())
}

fn journal(sandbox: &Sandbox) -> Result<Connection> {
    let path = sandbox.home("mahavishnu").join("mahavishnu.db");
    Ok(Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?)
}

/// Very many steps of `true`, beside xargs, in turns.
fn rate(bench: &Bench) -> Result<Vec<Figure>> {
    let sandbox = home(bench, "workflows-rate")?;
    let steps = bench.runs(STEPS, STEPS_QUICK);
    let file = plan(&sandbox, "rate", steps / REPOSITORIES, "[\"true\"]", "")?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut shares = Vec::new();
    for _ in 0..bench.runs(3, 1) {
        let (time, output) =
            timed(|| sandbox.command(&bench.built, "mahavishnu").args(["workflow", "run", &file]).output());
        finished(&output?)?;
        let (xargs, done) = timed(|| xargs(steps));
        done?;
        ours.push(steps as f64 / time.as_secs_f64());
        theirs.push(steps as f64 / xargs.as_secs_f64());
        shares.push(100.0 * xargs.as_secs_f64() / time.as_secs_f64());
    }
    let rounds = shares.len();
    let completed: i64 = journal(&sandbox)?.query_row("SELECT sum(completed) FROM workflows", [], |row| row.get(0))?;
    let wanted = (steps * rounds) as i64;
    let work = format!("{} steps of true, {REPOSITORIES} repositories, {} at once", grouped(steps as u64), parallel());
    Ok(vec![
        Figure::new("steps a second", &work, Unit::StepRate, Spread::of(ours)),
        Figure::new("for comparison: xargs -P", &work, Unit::StepRate, Spread::of(theirs)),
        Figure::new("steps: share of xargs", &work, Unit::Percent, Spread::of(shares))
            .limit(Limit::least(At::P50, LEAST_RATE))
            .failed_if(completed != wanted, || format!("{completed} of {wanted} steps completed")),
    ])
}

fn xargs(steps: usize) -> Result {
    let mut child =
        Command::new("xargs").args(["-P", &parallel().to_string(), "-n", "1", "true"]).stdin(Stdio::piped()).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all("x\n".repeat(steps).as_bytes())?;
    }
    if child.wait()?.success() { Ok(()) } else { Err("xargs failed".into()) }
}

/// Steps one after the other: the time from one's start to the next one's, less that of the bare process.
fn added(bench: &Bench) -> Result<Vec<Figure>> {
    let sandbox = home(bench, "workflows-chain")?;
    let steps = bench.runs(CHAIN, CHAIN_QUICK);
    let only = "repos: {names: [repo0]}\n";
    let file = plan(&sandbox, "chain", steps, "[\"true\"]", only)?;
    let mut bare = Vec::new();
    for _ in 0..steps {
        let (time, status) = timed(|| Command::new("true").stdin(Stdio::null()).status());
        status?;
        bare.push(time);
    }
    let bare = Spread::of_times(&bare);
    finished(&sandbox.command(&bench.built, "mahavishnu").args(["workflow", "run", &file]).output()?)?;
    let journal = journal(&sandbox)?;
    let mut select = journal.prepare("SELECT started_at FROM steps ORDER BY started_at")?;
    let begun = select.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    let begun = begun
        .iter()
        .map(|at| Timestamp::parse(at).ok_or("a step without start"))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let cycles: Vec<Duration> = begun.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    let median = bare.median();
    let added = cycles.iter().map(|cycle| (cycle.as_secs_f64() * 1e3 - median).max(0.0)).collect();
    let work = format!("{steps} steps of true, one after the other");
    Ok(vec![
        Figure::new("for comparison: the bare process", &work, Unit::Milliseconds, bare),
        Figure::new("a step, from its start to the next one's", &work, Unit::Milliseconds, Spread::of_times(&cycles)),
        Figure::new("time that the engine adds to a step", &work, Unit::Milliseconds, Spread::of(added))
            .limit(Limit::most(At::P95, MOST_ADDED))
            .failed_if(begun.len() != steps, || format!("{} of {steps} steps began", begun.len())),
    ])
}

/// A server that holds very many waiting steps.
fn memory(bench: &Bench) -> Result<Figure> {
    let sandbox = home(bench, "workflows-queue")?;
    let steps = bench.runs(STEPS, STEPS_QUICK);
    let server = Server::start_program(&bench.built, &sandbox, "mahavishnu", &["start"], &[])?;
    let file = plan(&sandbox, "queue", steps / REPOSITORIES, "[sleep, \"600\"]", "")?;
    let mut ask = sandbox.command(&bench.built, "mahavishnu");
    finished(&ask.args(["workflow", "run", "--detach", &file]).output()?)?;
    let running = || -> Result<i64> {
        Ok(journal(&sandbox)?.query_row("SELECT coalesce(sum(running), 0) FROM workflows", [], |row| row.get(0))?)
    };
    let begin = super::now();
    while running()? == 0 {
        if super::now().saturating_sub(begin) > Duration::from_secs(30) {
            return Err("no step began within 30 s".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_secs(1));
    let memory = server.memory()? as f64 / 1_048_576.0;
    let mut cancel = sandbox.command(&bench.built, "mahavishnu");
    let id: String = journal(&sandbox)?.query_row("SELECT id FROM workflows", [], |row| row.get(0))?;
    cancel.args(["workflow", "cancel", &id]).output()?;
    server.stop()?;
    let work = format!("{} steps wait, {} run", grouped((steps - parallel()) as u64), parallel());
    Ok(Figure::new("server: memory with a full queue", work, Unit::Mebibytes, Spread::of(vec![memory]))
        .limit(Limit::most(At::P50, MOST_MEMORY)))
}
