//! What workflows amounted to in a span of time: how they and their steps ended, how long steps took, where.

use std::collections::BTreeMap;

use oneiric::clock::Timestamp;
use oneiric::fault::Result;
use rusqlite::params;
use serde::Serialize;

use super::fact::StepState;
use super::plan::Plan;
use super::{Status, Workflows, invalid, journal, status, time};

/// Most workflows that are counted step by step, the newest: a span is a question of a moment.
pub const MAX_WORKFLOWS: usize = 20_000;
/// Days whose bars are told apart.
const DAY: i64 = 86_400_000_000;

/// Figures of a span. Durations are seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Workflows that were asked for in the span, by state.
    pub workflows: BTreeMap<String, u64>,
    /// Their steps, by state.
    pub steps: BTreeMap<String, u64>,
    /// Attempts beyond the first.
    pub retries: u64,
    /// How long the attempts that came last took.
    pub seconds: Seconds,
    /// By repository, the busiest first.
    pub repos: Vec<RepoFigures>,
    /// By day (UTC), the oldest first, days without any left out.
    pub days: Vec<DayFigures>,
    /// Whether older workflows of the span were left out of everything but `workflows`.
    pub bounded: bool,
}

/// How long steps took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Seconds {
    /// How many were measured.
    pub count: u64,
    /// All together.
    pub sum: f64,
    /// Half took at most so long.
    pub p50: f64,
    /// 95 of a hundred took at most so long.
    pub p95: f64,
}

/// Figures of one repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RepoFigures {
    /// Its name.
    pub repo: String,
    /// Steps that began there.
    pub steps: u64,
    /// Those that ended well.
    pub completed: u64,
    /// Those that failed or ran out of time.
    pub failed: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// How long they took.
    pub seconds: Seconds,
}

/// Workflows of one day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DayFigures {
    /// `2026-11-23`.
    pub day: String,
    /// Ended well.
    pub completed: u64,
    /// Failed or ran out of time.
    pub failed: u64,
    /// Cancelled, or not over.
    pub other: u64,
}

#[derive(Default)]
struct Tally {
    steps: u64,
    completed: u64,
    failed: u64,
    retries: u64,
    seconds: Vec<f64>,
}

impl Tally {
    fn add(&mut self, state: StepState, attempt: u32, seconds: Option<f64>) {
        self.steps += 1;
        self.completed += u64::from(state == StepState::Completed);
        self.failed += u64::from(matches!(state, StepState::Failed | StepState::Timeout));
        self.retries += u64::from(attempt.saturating_sub(1));
        self.seconds.extend(seconds);
    }
}

impl Workflows {
    /// The figures of workflows that were asked for from `from` on and before `to`.
    ///
    /// # Errors
    /// When the database exists and cannot be read.
    pub fn figures(&self, from: Timestamp, to: Timestamp) -> Result<Figures> {
        let figures = self.read(|sql| {
            let mut figures = Figures::default();
            let span = params![from.to_string(), to.to_string()];
            let mut days: BTreeMap<i64, DayFigures> = BTreeMap::new();
            let mut counted = sql.prepare(
                "SELECT status, substr(created_at, 1, 10), min(created_at), count(*) FROM workflows
                 WHERE created_at >= ?1 AND created_at < ?2 GROUP BY 1, 2",
            )?;
            let mut rows = counted.query(span)?;
            while let Some(row) = rows.next()? {
                let (status, day, count) = (status(row, 0)?, row.get::<_, String>(1)?, row.get::<_, i64>(3)?);
                let count = u64::try_from(count).unwrap_or(0);
                *figures.workflows.entry(status.to_string()).or_default() += count;
                let at = time(row, 2)?.map_or(0, Timestamp::as_micros) / DAY;
                let entry = days.entry(at).or_insert_with(|| DayFigures { day, ..DayFigures::default() });
                match status {
                    Status::Completed => entry.completed += count,
                    Status::Failed | Status::Timeout => entry.failed += count,
                    Status::Pending | Status::Running | Status::Cancelled => entry.other += count,
                }
            }
            figures.days = days.into_values().collect();
            let mut plans = sql.prepare(
                "SELECT number, plan FROM workflows JOIN plans ON workflow = number
                 WHERE created_at >= ?1 AND created_at < ?2 ORDER BY created_at DESC, id DESC LIMIT ?3",
            )?;
            let limit = i64::try_from(MAX_WORKFLOWS).unwrap_or(i64::MAX) + 1;
            let mut rows = plans.query(params![from.to_string(), to.to_string(), limit])?;
            let mut steps = sql.prepare(
                "SELECT step, state, attempt, forgiven, started_at, ended_at, until, run, ending FROM steps WHERE workflow = ?1",
            )?;
            let mut all = Tally::default();
            let mut repos: BTreeMap<String, Tally> = BTreeMap::new();
            let mut seen = 0;
            while let Some(row) = rows.next()? {
                seen += 1;
                if seen > MAX_WORKFLOWS {
                    figures.bounded = true;
                    break;
                }
                let plan: String = row.get(1)?;
                let plan: Plan = serde_json::from_str(&plan).map_err(|error| invalid(1, error.to_string()))?;
                let Ok(graph) = plan.graph() else { continue };
                let mut told = 0;
                for step in steps.query_map([row.get::<_, i64>(0)?], journal::read_step)? {
                    let (number, step) = step?;
                    told += 1;
                    *figures.steps.entry(step.state.to_string()).or_default() += 1;
                    if step.attempt == 0 {
                        continue;
                    }
                    let over = step.state.is_final().then_some(step.ended_at).flatten();
                    let seconds = step.started_at.and_then(|start| Some(over?.since(start).as_secs_f64()));
                    all.add(step.state, step.attempt, seconds);
                    let place = graph.cells.get(number as usize).and_then(|cell| plan.place(cell));
                    if let Some(place) = place {
                        repos.entry(place.name.clone()).or_default().add(step.state, step.attempt, seconds);
                    }
                }
                let waiting = (graph.cells.len() as u64).saturating_sub(told);
                if waiting > 0 {
                    *figures.steps.entry(StepState::Waiting.to_string()).or_default() += waiting;
                }
            }
            figures.retries = all.retries;
            figures.seconds = Seconds::of(all.seconds);
            figures.repos = repos
                .into_iter()
                .map(|(repo, tally)| RepoFigures {
                    repo,
                    steps: tally.steps,
                    completed: tally.completed,
                    failed: tally.failed,
                    retries: tally.retries,
                    seconds: Seconds::of(tally.seconds),
                })
                .collect();
            figures.repos.sort_by(|left, right| right.steps.cmp(&left.steps).then(left.repo.cmp(&right.repo)));
            Ok(figures)
        })?;
        Ok(figures.unwrap_or_default())
    }
}

impl Seconds {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        // The nearest rank: a value that was measured.
        let at =
            |part: usize| values.get((values.len() * part).div_ceil(100).saturating_sub(1)).copied().unwrap_or(0.0);
        Self { count: values.len() as u64, sum: values.iter().sum(), p50: at(50), p95: at(95) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let seconds = Seconds::of((1..=100).rev().map(f64::from).collect());
        assert_eq!((seconds.count, seconds.p50, seconds.p95), (100, 50.0, 95.0));
        assert_eq!(Seconds::of(vec![3.0]).p95, 3.0);
        assert_eq!(Seconds::of(Vec::new()), Seconds::default());
    }
}
