//! Requests answered.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use oneiric::fault::{Fault, FaultKind, Result};
use serde_json::{Value, json};

use super::machine::{TaskId, Word};
use super::pool::Pool;
use super::request::{Execute, PoolRequest, PoolSpec, Route, TASK_WAIT};
use super::task::{Ask, TaskReport};
use super::{CLOSING, Inner, Origin, Pools, lock, saved};
use crate::run::Stop;
use crate::workers::Profiles;
use crate::workflows::plan::seconds;

/// How long the end of a task that is cancelled is waited for: more than asking and killing take.
const STOPPING: Duration = Duration::from_secs(20);
/// Time between asking a task to end and killing it.
const GRACE: Duration = Duration::from_secs(5);

impl Pools {
    /// Answers a request. May take as long as a task that is waited for, so it is called where waiting does no harm.
    ///
    /// Shapes: `list` gives `{"pools": […]}`, `health` the same with their workers, `spawn`, `scale` and `close` give a pool;
    /// `execute`, `route`, `task` and `cancel` give a [`TaskReport`]; `tasks` gives `{"tasks": […]}`, `profiles` gives
    /// `{"profiles": […]}`.
    ///
    /// # Errors
    /// User, not found, conflict or unavailable, as the request's fault is. A task that fails is no error.
    pub fn answer(&self, request: PoolRequest) -> Result<Value> {
        let inner = &self.inner;
        match request {
            PoolRequest::Spawn(spec) => {
                let warning = inner.doubt(&spec)?;
                let mut row = inner.change(|| inner.add(*spec, Origin::Made))?.row();
                if let Some(warning) = warning {
                    row["warning"] = warning.into();
                }
                Ok(row)
            }
            PoolRequest::List => {
                let rows: Vec<Value> = inner.all().iter().map(|pool| pool.row()).collect();
                Ok(json!({ "pools": rows }))
            }
            PoolRequest::Execute(task) => {
                let name = task.pool.clone().ok_or_else(|| {
                    Fault::user("which pool is to do it?").hint("name a pool or a profile, or use route")
                })?;
                let pool = inner.find_or_make(&name)?;
                inner.execute(pool, task)
            }
            PoolRequest::Route(Route { task, selector, pools, profile }) => {
                let key = task.affinity.clone().or_else(|| task.repo.clone());
                let among = inner.among(&pools, profile.as_deref())?;
                let pool = inner.route(selector.unwrap_or_default(), key.as_deref(), among)?;
                inner.execute(pool, task)
            }
            PoolRequest::Scale { pool, min, max } => inner.scale(&pool, min, max),
            PoolRequest::Health { pool } => {
                let pools = match pool {
                    Some(name) => vec![inner.find(&name)?],
                    None => inner.all(),
                };
                let rows: Vec<Value> = pools.iter().map(|pool| pool.health(inner)).collect();
                Ok(json!({ "pools": rows }))
            }
            PoolRequest::Close { pool, now } => {
                let pool = inner.find(&pool)?;
                inner.close(&[pool], now).map(|mut rows| rows.pop().unwrap_or_default())
            }
            PoolRequest::CloseAll { now } => Ok(json!({ "pools": inner.close(&inner.all(), now)? })),
            PoolRequest::Profiles => inner.profiles(),
            PoolRequest::Task { task } => inner.report(task),
            PoolRequest::Tasks { pool, limit } => Ok(json!({ "tasks": inner.reports.newest(pool.as_deref(), limit) })),
            PoolRequest::Cancel { task, wait_seconds } => {
                let report = inner.reports.get(task).ok_or_else(|| unknown(task))?;
                if !report.is_over() {
                    let pool = inner.find(&report.pool)?;
                    pool.word(inner, Word::Withdraw { task });
                    inner.reports.await_end(task, wait_seconds.map_or(STOPPING, seconds).min(STOPPING));
                }
                inner.report(task)
            }
        }
    }

    /// Whether there is a pool, or one could be made, under this name.
    ///
    /// # Errors
    /// Not found, unavailable, or configuration.
    pub fn check(&self, pool: &str) -> Result<()> {
        self.inner.find_or_make(pool).map(drop)
    }
}

impl Inner {
    /// Why a pool of another engine may not do anything yet; that the engine is away may pass, and is no reason to refuse it.
    fn doubt(&self, spec: &PoolSpec) -> Result<Option<String>> {
        spec.check()?;
        let (Some(engine), Some(target), Some(remote)) = (&spec.engine, &spec.target, &self.config.remote) else {
            return Ok(None);
        };
        match remote.offers(engine, target) {
            Err(fault) if fault.kind() == FaultKind::Unavailable => {
                Ok(Some(format!("whether {engine} has {target} is not known: {fault}")))
            }
            offered => Ok(offered?.map(|why| format!("its tasks wait for now: {why}"))),
        }
    }

    /// Changes the list of pools, and writes it down if it is a server's.
    fn change<T>(&self, change: impl FnOnce() -> Result<T>) -> Result<T> {
        let _held = lock(&self.changing);
        let changed = change()?;
        if self.config.serves {
            let specs: Vec<PoolSpec> = self
                .all()
                .iter()
                .filter(|pool| pool.origin != Origin::Passing)
                .filter(|pool| pool.load().is_some() || pool.spec_now().max == 0)
                .map(|pool| pool.spec_now())
                .collect();
            saved::write(&self.config.home, &specs)?;
        }
        Ok(changed)
    }

    fn execute(self: &Arc<Self>, pool: Arc<Pool>, task: Execute) -> Result<Value> {
        if task.prompt.trim().is_empty() {
            return Err(Fault::user("there is nothing to do").hint("give a command line or a prompt"));
        }
        let amounts = [task.timeout_seconds, task.max_usd, task.wait_seconds];
        if amounts.into_iter().flatten().any(|amount| !amount.is_finite() || amount < 0.0) {
            return Err(Fault::user("times and budgets are numbers that are not negative"));
        }
        let (repo, dir) = match (&task.repo, &task.dir) {
            (Some(name), _) => (self.config.repositories)(name)?,
            (None, Some(dir)) if dir.is_dir() && dir.is_absolute() => (String::new(), dir.clone()),
            (None, Some(dir)) => {
                return Err(Fault::user(format!("{} is no folder", dir.display())).hint("give the whole path of one"));
            }
            (None, None) if task.worktree => {
                return Err(Fault::user("a worktree of which repository?").hint("name the repository"));
            }
            (None, None) => (String::new(), PathBuf::from("/")),
        };
        let ask = Ask {
            key: task.affinity.clone().or_else(|| Some(repo.clone()).filter(|repo| !repo.is_empty())),
            prompt: task.prompt,
            repo,
            dir,
            worktree: task.worktree,
            limit: task.timeout_seconds.map(seconds),
            grace: GRACE,
            max_usd: task.max_usd,
            max_tokens: task.max_tokens,
            step: None,
        };
        let stop = Stop::new()?;
        let ticket = self.submit(Arc::clone(&pool), ask, stop)?;
        let refused = self.reports.get(ticket.task).filter(|report| report.is_over() && report.started_at.is_none());
        if let Some(report) = refused {
            let why = report.note.unwrap_or_default();
            return Err(Fault::unavailable(format!("pool {} does not take it: {why}", pool.name()))
                .hint("'mahavishnu pool list' shows what the pools have to do, and what they may spend"));
        }
        // Nobody waits any more when this returns; the stop sign stays with the task for whoever cancels it.
        let wait = task.wait_seconds.map_or(TASK_WAIT, seconds);
        let waiting = Stop::new()?;
        let _ = ticket.wait(self, &waiting, Some(wait), &|_| {});
        self.report(ticket.task)
    }

    fn report(&self, task: TaskId) -> Result<Value> {
        let report: TaskReport = self.reports.get(task).ok_or_else(|| unknown(task))?;
        serde_json::to_value(report).map_err(|error| Fault::internal(error.to_string()))
    }

    fn scale(self: &Arc<Self>, name: &str, min: Option<u32>, max: Option<u32>) -> Result<Value> {
        let pool = self.find(name)?;
        let spec = pool.spec_now();
        let (least, most) = (min, max);
        let max = most.or(least.map(|least| least.max(spec.max))).unwrap_or(spec.max);
        let min = least.unwrap_or_else(|| spec.min.min(max));
        if max > super::MAX_WORKERS || min > max {
            return Err(Fault::user(format!("a pool cannot have {min} to {max} workers"))
                .hint(format!("min is at most max, and max is at most {}", super::MAX_WORKERS)));
        }
        self.change(|| {
            pool.word(self, Word::Scale { min, max });
            Ok(pool.row())
        })
    }

    fn close(self: &Arc<Self>, pools: &[Arc<Pool>], now: bool) -> Result<Vec<Value>> {
        self.change(|| {
            for pool in pools {
                pool.word(self, Word::Close { now });
            }
            let closed = |pool: &Pool| pools.iter().any(|closed| closed.number == pool.number);
            let left = self.all().into_iter().filter(|pool| !closed(pool)).map(|pool| pool.name().to_owned());
            let left: Vec<String> = left.collect();
            self.ledger.keep_only(&left.iter().map(String::as_str).collect::<Vec<_>>())
        })?;
        if now {
            for pool in pools {
                pool.await_closed(CLOSING);
            }
        }
        Ok(pools.iter().map(|pool| pool.row()).collect())
    }

    fn profiles(&self) -> Result<Value> {
        let profiles = Profiles::load(&self.config.home)?;
        let rows: Vec<Value> = profiles
            .iter()
            .map(|(name, profile, built_in)| {
                let state = match self.shop.check(profile) {
                    Ok(()) => "available".to_owned(),
                    Err(why) => format!("unavailable ({why})"),
                };
                json!({
                    "profile": name,
                    "state": state,
                    "about": profile.about,
                    "command": profile.command,
                    "terminal": profile.terminal,
                    "built_in": built_in,
                    "max_usd": profile.max_usd,
                    "max_tokens": profile.max_tokens,
                    "timeout_seconds": profile.timeout,
                })
            })
            .collect();
        Ok(json!({ "profiles": rows, "file": Profiles::file(&self.config.home) }))
    }
}

fn unknown(task: TaskId) -> Fault {
    Fault::not_found(format!("no task {task}")).hint("the newest thousand are known: 'mahavishnu pool tasks'")
}
