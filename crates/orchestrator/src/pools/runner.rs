//! Steps of workflows that workers of pools do.

use std::path::PathBuf;
use std::sync::Arc;

use oneiric::fault::FaultKind;

use super::task::{Ask, Step};
use super::{Pools, TICK};
use crate::engine::{Job, Runner};
use crate::run::Stop;
use crate::workflows::fact::{Ending, Outcome};
use crate::workflows::plan::Work;

/// Gives steps to pools.
pub struct PoolRunner {
    pools: Arc<Pools>,
}

impl PoolRunner {
    /// A runner over these pools.
    #[must_use]
    pub const fn new(pools: Arc<Pools>) -> Self {
        Self { pools }
    }
}

impl Runner for PoolRunner {
    fn run(&self, job: &Job, stop: &Stop, bound: &dyn Fn(&str)) -> Ending {
        let Work::Worker { pool, prompt, worktree } = &job.work else {
            return Ending::because(Outcome::Crashed, "pools do work of workers only");
        };
        let inner = &self.pools.inner;
        let pool = match inner.find_or_make(pool) {
            Ok(pool) => pool,
            Err(fault) => {
                let hint = fault.advice().map(|hint| format!("; {hint}")).unwrap_or_default();
                return Ending::because(Outcome::Crashed, format!("{}{hint}", fault.message()));
            }
        };
        let ask = Ask {
            prompt: prompt.clone(),
            repo: job.repo.clone(),
            dir: job.dir.clone().unwrap_or_else(|| PathBuf::from("/")),
            worktree: *worktree,
            limit: job.policy.limit(),
            grace: job.policy.grace(),
            key: Some(job.repo.clone()).filter(|repo| !repo.is_empty()),
            max_usd: None,
            max_tokens: None,
            step: Some(Step {
                workflow: job.workflow.clone(),
                step: job.step,
                attempt: job.attempt,
                mark: job.mark.clone(),
                output: job.output.clone(),
                run: job.run.clone(),
            }),
        };
        // A step that cannot be written down yet waits, as its engine does when the disk is full.
        let ticket = loop {
            match inner.submit(Arc::clone(&pool), ask.clone(), stop.clone()) {
                Ok(ticket) => break ticket,
                Err(_) if stop.is_raised() => return Ending::because(Outcome::Cancelled, "stopped before it began"),
                Err(fault) if fault.kind() == FaultKind::Unavailable => std::thread::sleep(TICK),
                Err(fault) => return Ending::because(Outcome::Crashed, fault.message()),
            }
        };
        match ticket.wait(inner, stop, None, bound) {
            Some(done) => done.ending,
            None => Ending::because(Outcome::Crashed, "its end was not waited for"),
        }
    }
}
