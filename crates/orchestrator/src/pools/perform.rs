//! How a worker does a task: at a seat of this machine, or by another engine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;

use serde_json::json;

use super::Inner;
use super::pool::Pool;
use super::task::{Order, Reply};
use crate::engine::{Job, Runner};
use crate::workers::{Answer, Done, Errand, Seat};
use crate::workflows::fact::{Ending, Outcome};
use crate::workflows::plan::{Policy, Work, seconds};
use crate::worktrees::Lease;

/// Where a worker does its tasks.
pub(super) enum Place {
    Here(Box<Seat>),
    Elsewhere { runner: Arc<dyn Runner>, engine: String, target: String },
}

/// The place of a new worker.
pub(super) fn place(inner: &Inner, pool: &Pool, name: &str) -> Result<Place, String> {
    if let Some(profile) = &pool.profile {
        let seat = Seat::take(Arc::clone(&inner.shop), profile.clone(), name.to_owned())?;
        return Ok(Place::Here(Box::new(seat)));
    }
    let runner = inner.config.remote.clone().ok_or("its engine's adapter is not active")?;
    let engine = pool.spec.engine.clone().unwrap_or_default();
    Ok(Place::Elsewhere { runner, engine, target: pool.spec.target.clone().unwrap_or_default() })
}

impl Place {
    pub(super) fn attach_line(&self) -> Option<String> {
        match self {
            Self::Here(seat) => seat.attach_line(),
            Self::Elsewhere { .. } => None,
        }
    }

    /// Does a task, in a worktree if it wants one.
    pub(super) fn perform(&self, inner: &Inner, pool: &Pool, order: &Order) -> Done {
        if order.stop.is_raised() {
            return Done { ending: Ending::because(Outcome::Cancelled, "stopped"), answer: Answer::default() };
        }
        let lease = match lease(inner, order) {
            Ok(lease) => lease,
            Err(why) => return Done { ending: Ending::because(Outcome::Failed, why), answer: Answer::default() },
        };
        let dir = lease.as_ref().map_or(order.ask.dir.as_path(), |lease| lease.path.as_path());
        let output = match &order.ask.step {
            Some(step) => step.output.clone(),
            None => inner.instance.outputs().join(format!("{}.log", order.task)),
        };
        let _ = inner.reports.change(order.task, |report| {
            report.output = Some(output.clone());
            if let Some(lease) = &lease {
                (report.worktree, report.branch) = (Some(lease.path.clone()), Some(lease.branch.clone()));
            }
        });
        let mut done = match self {
            Self::Here(seat) => {
                let errand = errand(inner, pool, order, dir, lease.as_ref(), output);
                seat.perform(&errand, &order.stop)
            }
            Self::Elsewhere { runner, engine, target } => {
                elsewhere(inner, runner.as_ref(), (engine, target), order, dir, output)
            }
        };
        if let Some(lease) = lease {
            let changes = lease.changes();
            if let Some(result) = &mut done.ending.result {
                result["worktree"] = lease.path.display().to_string().into();
                result["branch"] = lease.branch.clone().into();
                result["changes"] = changes.clone().unwrap_or_else(|| "none".to_owned()).into();
            }
            if let (Some(changes), None) = (&changes, &done.ending.note) {
                done.ending.note = Some(format!("left {changes} in {}", lease.path.display()));
            }
            let _ = inner.reports.change(order.task, |report| report.changes = changes);
        }
        done
    }
}

fn lease(inner: &Inner, order: &Order) -> Result<Option<Lease>, String> {
    if !order.ask.worktree {
        return Ok(None);
    }
    let name = match order.ask.repo.as_str() {
        "" => order.ask.dir.file_name().map_or_else(|| "repository".into(), |name| name.to_string_lossy().into_owned()),
        name => name.to_owned(),
    };
    inner.worktrees.take(&name, &order.ask.dir, inner.shop.clock.now()).map(Some).map_err(|fault| {
        let hint = fault.advice().map(|hint| format!("; {hint}")).unwrap_or_default();
        format!("{}{hint}", fault.message())
    })
}

fn errand(inner: &Inner, pool: &Pool, order: &Order, dir: &Path, lease: Option<&Lease>, output: PathBuf) -> Errand {
    let mut env = BTreeMap::from([
        ("MAHAVISHNU_POOL".to_owned(), pool.name().to_owned()),
        ("MAHAVISHNU_TASK".to_owned(), order.task.to_string()),
        ("MAHAVISHNU_REPO".to_owned(), order.ask.repo.clone()),
    ]);
    if let Some(step) = &order.ask.step {
        env.insert("MAHAVISHNU_WORKFLOW_ID".into(), step.workflow.clone());
        env.insert("MAHAVISHNU_ATTEMPT".into(), step.attempt.to_string());
    }
    if let Some(lease) = lease {
        env.insert("MAHAVISHNU_WORKTREE".into(), lease.path.display().to_string());
    }
    let smaller = |one: Option<f64>, other: Option<f64>| one.into_iter().chain(other).reduce(f64::min);
    Errand {
        prompt: order.ask.prompt.clone(),
        dir: dir.to_path_buf(),
        env,
        mark: match &order.ask.step {
            Some(step) => step.mark.clone(),
            None => inner.instance.mark(order.task),
        },
        output,
        limit: order.ask.limit.or_else(|| pool.spec.timeout_seconds.map(seconds)),
        grace: order.ask.grace,
        max_usd: smaller(order.ask.max_usd, pool.spec.task_usd),
        max_tokens: order.ask.max_tokens.into_iter().chain(pool.spec.task_tokens).min(),
    }
}

/// The task as a run of another engine. Its id there is told to whoever wants the task before anything else is done.
fn elsewhere(
    inner: &Inner,
    runner: &dyn Runner,
    (engine, target): (&str, &str),
    order: &Order,
    dir: &Path,
    output: PathBuf,
) -> Done {
    let ask = &order.ask;
    let parameters = json!({ "prompt": ask.prompt, "repo": ask.repo, "path": dir.display().to_string() });
    let work = Work::Adapter { adapter: engine.to_owned(), target: target.to_owned(), parameters };
    let policy = Policy {
        timeout: ask.limit.map(|limit| limit.as_secs_f64()),
        grace: ask.grace.as_secs_f64(),
        ..Policy::default()
    };
    let (workflow, step, attempt, mark, run) = match &ask.step {
        Some(step) => (step.workflow.clone(), step.step, step.attempt, step.mark.clone(), step.run.clone()),
        None => (inner.instance.mark(order.task).replace('/', "-"), 0, 1, inner.instance.mark(order.task), None),
    };
    let repo = ask.repo.clone();
    let job = Job { workflow, step, attempt, work, repo, dir: Some(dir.to_path_buf()), policy, mark, output, run };
    let bound = |run: &str| {
        let (written, done) = channel();
        if order.reply.send(Reply::Bound(run.to_owned(), written)).is_ok() {
            let _ = done.recv();
        }
    };
    let ending = runner.run(&job, &order.stop, &bound);
    let text = ending.result.as_ref().map(ToString::to_string).unwrap_or_default();
    let text = inner.shop.redactor.text(&text).into_owned();
    Done { ending, answer: Answer { text, ..Answer::default() } }
}
