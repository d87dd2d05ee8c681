//! Tasks of pools: asked for, followed and shown.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oneiric::count::counted;
use oneiric::fault::{Fault, Result};
use oneiric_shell::output::Output;
use oneiric_shell::table::Table;
use orchestrator::pools::{Execute, PoolRequest};
use orchestrator::workflows::plan::command_line;
use serde_json::Value;

use super::super::format::{Format, json};
use super::super::sweep::span;
use crate::world::World;

/// Time between two looks at a task.
const LOOK: Duration = Duration::from_millis(100);
/// Longest prompt that is read.
const MAX_PROMPT: u64 = 1024 * 1024;

#[derive(clap::Args, Debug)]
pub(super) struct TaskArgs {
    /// The repository in which it is done, by name or nickname
    #[arg(long, value_name = "NAME", conflicts_with = "dir")]
    repo: Option<String>,
    /// Else the folder; by default this one
    #[arg(long, value_name = "PATH")]
    dir: Option<PathBuf>,
    /// Give it a worktree of its own
    #[arg(long)]
    worktree: bool,
    /// Longest time; its whole process group is ended then
    #[arg(long, value_name = "TIME", value_parser = span)]
    timeout: Option<Duration>,
    /// What tasks have in common that the same worker or pool should do; by default the repository
    #[arg(long, value_name = "KEY")]
    affinity: Option<String>,
    /// Most that it may cost, in US dollars
    #[arg(long, value_name = "USD")]
    max_usd: Option<f64>,
    /// Most tokens
    #[arg(long, value_name = "N")]
    max_tokens: Option<u64>,
    /// Print the task's number and return at once
    #[arg(long)]
    detach: bool,
    /// A command line or a prompt; - reads it from standard input
    #[arg(last = true, required = true, value_name = "PROMPT")]
    prompt: Vec<String>,
}

impl TaskArgs {
    pub(super) fn request(&self, pool: Option<String>) -> Result<Execute> {
        let prompt = match self.prompt.as_slice() {
            [word] if word == "-" => {
                let mut text = String::new();
                let read = std::io::stdin().take(MAX_PROMPT).read_to_string(&mut text);
                read.map_err(|error| Fault::user(format!("the prompt cannot be read: {error}")))?;
                text
            }
            [word] => word.clone(),
            words => command_line(words),
        };
        let dir = match (&self.repo, &self.dir) {
            (Some(_), _) => None,
            (None, dir) => {
                let dir = dir.clone().unwrap_or_else(|| PathBuf::from("."));
                let found = dir.canonicalize();
                Some(found.map_err(|_| Fault::user(format!("{} is no folder", dir.display())))?)
            }
        };
        Ok(Execute {
            pool,
            prompt,
            repo: self.repo.clone(),
            dir,
            worktree: self.worktree,
            timeout_seconds: self.timeout.map(|timeout| timeout.as_secs_f64()),
            affinity: self.affinity.clone(),
            max_usd: self.max_usd,
            max_tokens: self.max_tokens,
            // It is looked at again and again, so that Ctrl-C can stop it.
            wait_seconds: Some(0.0),
        })
    }

    /// Gives a task and follows it to its end. Ctrl-C stops it; a second one does not wait.
    pub(super) fn follow(
        &self,
        ask: &dyn Fn(PoolRequest) -> Result<Value>,
        request: PoolRequest,
        format: Format,
        output: &Output,
    ) -> Result<i32> {
        let interrupts = Arc::new(AtomicUsize::new(0));
        let listening = (!self.detach).then(|| crate::drive::listen(&interrupts));
        let mut report = ask(request)?;
        let number = report["task"].as_u64().unwrap_or_default();
        if self.detach {
            output.line(&number.to_string());
            return Ok(0);
        }
        let mut cancelled = false;
        while is_open(&report) {
            match interrupts.load(Ordering::Relaxed) {
                0 => {}
                1 if !cancelled => {
                    cancelled = true;
                    output.error_line("stopping; Ctrl-C again does not wait");
                    ask(PoolRequest::Cancel { task: number, wait_seconds: Some(0.0) })?;
                }
                1 => {}
                _ => return Ok(130),
            }
            std::thread::sleep(LOOK);
            report = ask(PoolRequest::Task { task: number })?;
        }
        drop(listening);
        show(&report, format, output)
    }
}

/// Whether a task has not ended.
fn is_open(report: &Value) -> bool {
    matches!(report["state"].as_str(), Some("waiting" | "running"))
}

/// Tasks as they were written down, newest first.
pub(super) fn written(world: &World) -> Result<Vec<Value>> {
    let tasks = orchestrator::pools::written_tasks(world.settings.home())?;
    Ok(tasks.iter().filter_map(|task| serde_json::to_value(task).ok()).collect())
}

/// The task of this number among those.
pub(super) fn find(tasks: Vec<Value>, number: u64) -> Result<Value> {
    tasks.into_iter().find(|task| task["task"] == number).ok_or_else(|| {
        Fault::not_found(format!("no task {number}")).hint("the newest thousand are known: 'mahavishnu pool tasks'")
    })
}

/// Stops a task, and returns when its work has stopped.
pub(super) fn cancel(
    ask: &dyn Fn(PoolRequest) -> Result<Value>,
    task: u64,
    format: Format,
    output: &Output,
) -> Result<i32> {
    let mut report = ask(PoolRequest::Cancel { task, wait_seconds: None })?;
    if is_open(&report) {
        output.error_line("it takes long to stop; still waiting for that");
    }
    while is_open(&report) {
        std::thread::sleep(LOOK);
        report = ask(PoolRequest::Task { task })?;
    }
    show(&report, format, output)?;
    Ok(0)
}

/// Prints a task: its answer, and on standard error how it ended. Gives the exit code.
pub(super) fn show(report: &Value, format: Format, output: &Output) -> Result<i32> {
    let state = report["state"].as_str().unwrap_or_default();
    match format {
        Format::Json => output.line(&json(report)?),
        Format::Csv => return list(std::slice::from_ref(report), format, output),
        Format::Table => {
            if let Some(answer) = report["answer"].as_str() {
                output.line(answer);
            }
            let mut said = format!("task {}", report["task"]);
            if let Some(worker) = report["worker"].as_str() {
                said += &format!(" by {worker}");
            }
            said += &format!(": {state}");
            if let Some(note) = report["note"].as_str() {
                said += &format!(" ({note})");
            }
            let cost = cost(report);
            if !cost.is_empty() {
                said += &format!(", {cost}");
            }
            if let Some(path) = report["worktree"].as_str() {
                let changes = report["changes"].as_str().unwrap_or("nothing new");
                said += &format!("\nworktree {path}: {changes}");
            }
            output.error_line(&said);
        }
    }
    Ok(match state {
        "completed" | "waiting" | "running" => 0,
        "cancelled" => 130,
        _ => 1,
    })
}

/// Prints tasks.
pub(super) fn list(rows: &[Value], format: Format, output: &Output) -> Result<i32> {
    let mut table = Table::new(["Task", "Pool", "State", "Repository", "Asked at", "Cost", "Prompt", "Note"])
        .numeric(0)
        .optional([5, 4, 3, 7]);
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let asked = row["asked_at"].as_str().and_then(oneiric::clock::Timestamp::parse);
        table.row([
            row["task"].to_string(),
            text("pool"),
            text("state"),
            text("repo"),
            asked.map(|at| at.local()).unwrap_or_default(),
            cost(row),
            text("prompt").lines().next().unwrap_or_default().to_owned(),
            text("note"),
        ]);
    }
    format.print(&rows, &table, "There are no tasks.", output)?;
    Ok(0)
}

/// `$0.25, 1200 tokens`, of as much as is known.
pub(super) fn cost(row: &Value) -> String {
    let usd = row["cost_usd"].as_f64().filter(|usd| *usd > 0.0).map(|usd| format!("${usd:.4}"));
    let tokens = row["tokens"].as_u64().filter(|tokens| *tokens > 0).map(|tokens| counted(tokens, "token", "tokens"));
    usd.into_iter().chain(tokens).collect::<Vec<_>>().join(", ")
}
