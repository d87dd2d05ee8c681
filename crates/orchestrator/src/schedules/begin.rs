//! Asks for what is due: workflows of schedules, each once, whoever looks and whoever is killed meanwhile.

use oneiric::clock::Timestamp;
use oneiric::fault::{FaultKind, Result};
use rusqlite::params;

use super::due::{Due, SET_BACK};
use super::{Schedule, Schedules};
use crate::workflows::plan::Plan;
use crate::workflows::{Begun, NewWorkflow, Submitted, Workflows, schema};

/// Longest text that is kept about the last look.
const MAX_NOTE: usize = 500;

/// What one look did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Workflows that were asked for.
    pub begun: Vec<String>,
    /// How many missed runs were left out.
    pub left_out: usize,
    /// How many runs were skipped because an earlier one had not ended.
    pub skipped: usize,
    /// When something is due next.
    pub next: Option<Timestamp>,
}

/// What became of the runs of one schedule that were due.
#[derive(Debug, Default)]
struct Done {
    /// The last one that began, and its workflow.
    last: Option<(Timestamp, String)>,
    skipped: usize,
    /// The last one that was skipped, and the workflow that was in its way.
    last_skipped: Option<(Timestamp, String)>,
    /// Why the last one that could not begin could not.
    error: Option<String>,
}

impl Schedules {
    /// Asks for what is due. `plan` makes a schedule's work into a plan with its title; when it cannot, that is written
    /// down and the run is left out.
    ///
    /// # Errors
    /// When the database cannot be read or written; the next look then goes on.
    pub fn look(&self, now: Timestamp, plan: &dyn Fn(&Schedule) -> Result<(Plan, String)>) -> Result<Look> {
        let mut look = Look::default();
        let (now_text, wrong) = (now.to_string(), now.plus(SET_BACK).to_string());
        for schedule in self.select("paused = 0 AND (next <= ?1 OR cursor > ?2)", &[&now_text, &wrong])? {
            self.begin(&schedule, now, plan, &mut look)?;
        }
        look.next = self.next()?;
        Ok(look)
    }

    fn begin(
        &self,
        schedule: &Schedule,
        now: Timestamp,
        plan: &dyn Fn(&Schedule) -> Result<(Plan, String)>,
        look: &mut Look,
    ) -> Result<()> {
        let mut found = match schedule.due(now) {
            Ok(found) => found,
            Err(fault) => {
                let done = Done { error: Some(fault.to_string()), ..Done::default() };
                return self.advance(schedule, &Due::nothing(now), &done);
            }
        };
        let mut done = Done::default();
        // Whoever began one of these and was killed before the cursor moved.
        let mut begun_before = match found.left_out {
            0 => 0,
            _ => Workflows::at(&self.path).count_keys(&schedule.key(schedule.cursor), &schedule.key(now))?,
        };
        for at in &found.fire {
            match self.run(schedule, *at, now, plan) {
                Ok(Begun::Submitted(Submitted { id, existing, .. })) => {
                    if existing {
                        begun_before = begun_before.saturating_sub(1);
                    } else {
                        tracing::info!(schedule = schedule.name, due = %at, workflow = id, "began by schedule");
                        look.begun.push(id.clone());
                    }
                    done.last = Some((*at, id));
                }
                Ok(Begun::Skipped { workflow }) => {
                    tracing::warn!(schedule = schedule.name, due = %at, workflow, "skipped: an earlier run has not ended");
                    look.skipped += 1;
                    done.skipped += 1;
                    done.last_skipped = Some((*at, workflow));
                }
                Err(fault) if fault.kind() == FaultKind::Unavailable => return Err(fault),
                Err(fault) => {
                    tracing::warn!(schedule = schedule.name, due = %at, %fault, "could not begin");
                    done.error = Some(fault.to_string());
                }
            }
        }
        found.left_out = found.left_out.saturating_sub(begun_before);
        if found.left_out > 0 {
            let policy = schedule.misfire.as_str();
            tracing::warn!(schedule = schedule.name, runs = found.left_out, policy, "missed runs are left out");
            look.left_out += found.left_out;
        }
        self.advance(schedule, &found, &done)
    }

    /// Asks for the run that was due then.
    pub(super) fn run(
        &self,
        schedule: &Schedule,
        at: Timestamp,
        now: Timestamp,
        plan: &dyn Fn(&Schedule) -> Result<(Plan, String)>,
    ) -> Result<Begun> {
        let workflows = Workflows::at(&self.path);
        let key = schedule.key(at);
        // The manifest may have changed since, so that the plan is another one: the run has begun all the same.
        if let Some(known) = workflows.of_key(&key)? {
            return Ok(Begun::Submitted(known));
        }
        let (plan, title) = plan(schedule)?;
        let new = NewWorkflow {
            plan,
            key: Some(key.clone()),
            asked_by: schedule.asked_by.clone(),
            schedule: Some(schedule.name.clone()),
        };
        match workflows.submit_unless(&new, &title, None, schedule.overlap, now) {
            Ok(begun) => Ok(begun),
            Err(fault) => workflows.of_key(&key)?.map(Begun::Submitted).ok_or(fault),
        }
    }

    fn advance(&self, schedule: &Schedule, due: &Due, done: &Done) -> Result<()> {
        let told = |pair: &Option<(Timestamp, String)>| {
            pair.as_ref().map_or((None, None), |(at, id)| (Some(at.to_string()), Some(id.clone())))
        };
        let ((at, workflow), (skipped_due, skipped_for)) = (told(&done.last), told(&done.last_skipped));
        let error: Option<String> = done.error.as_ref().map(|error| error.chars().take(MAX_NOTE).collect());
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.write(|sql| {
            // From where it was looked at: another server may have dealt with the same meanwhile, or somebody paused it.
            sql.execute(
                "UPDATE schedules SET cursor = ?2, next = CASE WHEN paused THEN NULL ELSE ?3 END,
                        last_due = coalesce(?4, last_due), last_workflow = coalesce(?5, last_workflow),
                        left_out = left_out + ?6, error = CASE WHEN ?5 IS NULL AND ?7 IS NULL THEN error ELSE ?7 END,
                        skipped = skipped + ?8, skipped_due = coalesce(?9, skipped_due),
                        skipped_for = coalesce(?10, skipped_for)
                 WHERE id = ?1 AND cursor = ?11",
                params![
                    schedule.id,
                    due.cursor.to_string(),
                    due.next.map(|next| next.to_string()),
                    at,
                    workflow,
                    count(due.left_out),
                    error,
                    count(done.skipped),
                    skipped_due,
                    skipped_for,
                    schedule.cursor.to_string()
                ],
            )
        })
        .map(drop)
    }

    /// Reckons anew when everything is due: the rules of time zones change.
    pub(crate) fn reckon(&self) -> Result<()> {
        for schedule in self.select("paused = 0", &[])? {
            let Ok((cron, zone)) = schedule.times() else { continue };
            let next = cron.next(schedule.cursor, zone.rules());
            if next != schedule.next {
                let next = next.map(|next| next.to_string());
                self.write(|sql| {
                    sql.execute(
                        "UPDATE schedules SET next = ?3 WHERE id = ?1 AND cursor = ?2 AND paused = 0",
                        params![schedule.id, schedule.cursor.to_string(), next],
                    )
                })?;
            }
        }
        Ok(())
    }

    fn next(&self) -> Result<Option<Timestamp>> {
        let Some(sql) = schema::open_current(&self.path)? else { return Ok(None) };
        let next: Option<String> = sql
            .query_row("SELECT min(next) FROM schedules WHERE paused = 0", [], |row| row.get(0))
            .map_err(|error| schema::fault(&self.path, "read", &error))?;
        Ok(next.and_then(|next| Timestamp::parse(&next)))
    }
}
