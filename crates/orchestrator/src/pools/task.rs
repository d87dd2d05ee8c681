//! A task of a pool: what is wanted, and what is known of it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use oneiric::clock::Timestamp;
use serde::{Deserialize, Serialize};

use super::machine::TaskId;
use crate::run::Stop;
use crate::workers::Done;
use crate::workflows::fact::Outcome;

/// Most tasks that are remembered after their end.
pub(super) const REMEMBERED: usize = 1000;

/// What is wanted.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) prompt: String,
    /// Name of its repository; may be empty.
    pub(super) repo: String,
    pub(super) dir: PathBuf,
    pub(super) worktree: bool,
    pub(super) limit: Option<Duration>,
    pub(super) grace: Duration,
    pub(super) key: Option<String>,
    pub(super) max_usd: Option<f64>,
    pub(super) max_tokens: Option<u64>,
    /// The step that it is, when it is one.
    pub(super) step: Option<Step>,
}

/// The step of a workflow that a task is.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) workflow: String,
    pub(super) step: u32,
    pub(super) attempt: u32,
    pub(super) mark: String,
    pub(super) output: PathBuf,
    pub(super) run: Option<String>,
}

/// A task on its way to a worker.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) task: TaskId,
    pub(super) ask: Ask,
    pub(super) stop: Stop,
    pub(super) reply: Sender<Reply>,
}

/// What whoever wants a task hears.
#[derive(Debug)]
pub(super) enum Reply {
    /// Another engine gave it this id; it goes on when that is acknowledged.
    Bound(String, Sender<()>),
    /// It has ended.
    Ended(Box<Done>),
}

/// How a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// No worker has it yet.
    Waiting,
    /// A worker is at it.
    Running,
    /// It ended well.
    Completed,
    /// It ended badly, or was not taken.
    Failed,
    /// It ran out of time.
    Timeout,
    /// It was stopped.
    Cancelled,
    /// Whoever ran it was killed meanwhile, so whether it finished is not known.
    Unknown,
}

/// What is known of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// Its number.
    pub task: TaskId,
    /// Its pool.
    pub pool: String,
    /// How it is.
    pub state: TaskState,
    /// What is wanted, redacted and shortened.
    pub prompt: String,
    /// Name of its repository.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repo: String,
    /// Who does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// When a worker took it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Exit code of its process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Why it ended so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The answer: of an agent what it says, else the end of the output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// What it cost, in US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// How many tokens it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Where its output is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<PathBuf>,
    /// Its worktree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worktree: Option<PathBuf>,
    /// That worktree's branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// What it left there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<String>,
}

impl TaskReport {
    /// A new one, without a number.
    pub(super) fn new(pool: &str, prompt: &str, repo: &str, asked_at: Timestamp) -> Self {
        Self {
            task: 0,
            pool: pool.to_owned(),
            state: TaskState::Waiting,
            prompt: prompt.chars().take(200).collect(),
            repo: repo.to_owned(),
            worker: None,
            asked_at,
            started_at: None,
            ended_at: None,
            exit_code: None,
            note: None,
            answer: None,
            cost_usd: None,
            tokens: None,
            output: None,
            worktree: None,
            branch: None,
            changes: None,
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        !matches!(self.state, TaskState::Waiting | TaskState::Running)
    }

    pub(super) fn ended(&mut self, done: &Done, now: Timestamp) {
        self.state = match done.ending.outcome {
            Outcome::Succeeded => TaskState::Completed,
            Outcome::Failed | Outcome::Crashed => TaskState::Failed,
            Outcome::TimedOut => TaskState::Timeout,
            Outcome::Cancelled => TaskState::Cancelled,
        };
        self.ended_at = Some(now);
        self.exit_code = done.ending.exit_code;
        self.note.clone_from(&done.ending.note);
        self.answer = Some(done.answer.text.clone()).filter(|text| !text.is_empty());
        self.cost_usd = Some(done.answer.spent.usd).filter(|usd| *usd > 0.0);
        self.tokens = Some(done.answer.spent.tokens).filter(|tokens| *tokens > 0);
    }
}

/// The newest tasks.
#[derive(Debug, Default)]
pub(super) struct Reports {
    all: Mutex<VecDeque<TaskReport>>,
    changed: Condvar,
}

impl Reports {
    /// Those of earlier owners, oldest first.
    pub(super) fn begin_with(&self, earlier: impl Iterator<Item = TaskReport>) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(earlier);
    }

    /// A new one. Gives those that are forgotten for it, so that their outputs go, too.
    pub(super) fn add(&self, report: TaskReport) -> Option<TaskReport> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_back(report);
        let over = all.len() > REMEMBERED;
        let oldest = over.then(|| all.iter().position(TaskReport::is_over)).flatten();
        oldest.and_then(|oldest| all.remove(oldest))
    }

    /// Changes one. Gives what it is now.
    pub(super) fn change(&self, task: TaskId, change: impl FnOnce(&mut TaskReport)) -> Option<TaskReport> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let report = all.iter_mut().rev().find(|report| report.task == task)?;
        change(report);
        self.changed.notify_all();
        Some(report.clone())
    }

    /// Waits until one has ended, at most so long.
    pub(super) fn await_end(&self, task: TaskId, limit: Duration) {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let open = |all: &mut VecDeque<TaskReport>| {
            all.iter().rev().find(|report| report.task == task).is_some_and(|report| !report.is_over())
        };
        drop(self.changed.wait_timeout_while(all, limit, open));
    }

    pub(super) fn get(&self, task: TaskId) -> Option<TaskReport> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().rev().find(|report| report.task == task).cloned()
    }

    /// The newest first.
    pub(super) fn newest(&self, pool: Option<&str>, limit: usize) -> Vec<TaskReport> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = all.iter().rev().filter(|report| pool.is_none_or(|pool| report.pool == pool));
        wanted.take(limit).cloned().collect()
    }
}
