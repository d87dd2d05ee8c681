//! Schedules: work that is asked for again and again, by the calendar of a time zone.
//!
//! They live in `mahavishnu.db` beside the workflows that come from them. A server drives them ([`Clockwork`]): it looks
//! every second at what is due and asks for workflows. The key of such a workflow is the schedule's id and the due time,
//! so that two servers, or one that was killed half-way, never run anything twice. A schedule stays until it is removed;
//! its workflows go as all workflows do.

mod clockwork;
mod cron;
mod due;

use std::path::PathBuf;

use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, Result};
use oneiric::id::EventId;
use oneiric::zone::Zone;
use rusqlite::{OptionalExtension, Row, TransactionBehavior, params};
use serde::Serialize;
use serde_json::Value;

use crate::workflows::plan::Plan;
use crate::workflows::{NewWorkflow, Workflow, Workflows, schema};

pub use self::clockwork::Clockwork;
pub use self::cron::Cron;
pub use self::due::{Due, LATE, MAX_LATE, Misfire, due};

/// Most schedules.
const MAX_SCHEDULES: i64 = 10_000;
/// Longest text that is kept about the last look.
const MAX_NOTE: usize = 500;

/// A schedule that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSchedule {
    /// One word, unique.
    pub name: String,
    /// When it is due.
    pub cron: String,
    /// In which time zone.
    pub zone: String,
    /// What becomes of missed runs.
    pub misfire: Misfire,
    /// What runs; whoever drives it makes a plan of it each time.
    pub work: Value,
    /// The same in a few words.
    pub title: String,
    /// Who asks.
    pub asked_by: String,
}

/// A schedule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Schedule {
    /// One word, unique.
    pub name: String,
    /// When it is due.
    pub cron: String,
    /// In which time zone.
    pub zone: String,
    /// What becomes of missed runs.
    pub misfire: Misfire,
    /// Whether it rests.
    pub paused: bool,
    /// When it is due next; nothing while it rests.
    pub next: Option<Timestamp>,
    /// What was due until then has been dealt with.
    pub cursor: Timestamp,
    /// When it was last due and begun.
    pub last_due: Option<Timestamp>,
    /// The workflow of that.
    pub last_workflow: Option<String>,
    /// How many runs were left out so far.
    pub left_out: u64,
    /// Why the last run could not begin.
    pub error: Option<String>,
    /// What runs, in a few words.
    pub title: String,
    /// What runs.
    pub work: Value,
    /// Who asked for it.
    pub asked_by: String,
    /// When.
    pub created_at: Timestamp,
    /// Its id, for keys: a name can be given again.
    #[serde(skip)]
    id: String,
}

/// What one look did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Workflows that were asked for.
    pub begun: Vec<String>,
    /// How many runs were left out.
    pub left_out: usize,
    /// When something is due next.
    pub next: Option<Timestamp>,
}

/// The table.
#[derive(Clone, Debug)]
pub struct Schedules {
    path: PathBuf,
}

impl Schedule {
    fn times(&self) -> Result<(Cron, Zone)> {
        Ok((Cron::parse(&self.cron)?, Zone::parse(&self.zone)?))
    }

    /// When it is due after `now`.
    ///
    /// # Errors
    /// When the zone is not known any more.
    pub fn preview(&self, now: Timestamp, count: usize) -> Result<Vec<Timestamp>> {
        let (cron, zone) = self.times()?;
        Ok(cron.after(now.max(self.cursor), zone.rules()).take(count).collect())
    }

    /// What a look at `now` does.
    ///
    /// # Errors
    /// As [`Schedule::preview`].
    pub fn due(&self, now: Timestamp) -> Result<Due> {
        let (cron, zone) = self.times()?;
        Ok(due(&cron, zone.rules(), self.misfire, self.cursor, now))
    }

    /// The key of the run that is due then.
    #[must_use]
    pub fn key(&self, at: Timestamp) -> String {
        format!("schedule:{}@{at}", self.id)
    }
}

impl Schedules {
    /// The table in this database file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Adds a schedule. Its first run is the next one that is due after `now`.
    ///
    /// # Errors
    /// User, when name, times or zone are wrong; conflict when the name is taken; when the database cannot be written.
    pub fn add(&self, new: &NewSchedule, now: Timestamp) -> Result<Schedule> {
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        if new.name.is_empty() || new.name.len() > 100 || new.name.starts_with('-') || !new.name.chars().all(allowed) {
            return Err(Fault::user(format!("'{}' is no name of a schedule", new.name.escape_debug()))
                .hint("use letters, digits and - _ ."));
        }
        let (cron, zone) = (Cron::parse(&new.cron)?, Zone::parse(&new.zone)?);
        let next = cron.next(now, zone.rules());
        let work = serde_json::to_string(&new.work).map_err(|error| Fault::internal(error.to_string()))?;
        let id = EventId::generate(now);
        let (known, count) = self.write(|sql| {
            let count: i64 = sql.query_row("SELECT count(*) FROM schedules", [], |row| row.get(0))?;
            if count >= MAX_SCHEDULES {
                return Ok((false, count));
            }
            let added = sql.execute(
                "INSERT OR IGNORE INTO schedules (id, name, cron, zone, misfire, work, title, asked_by, created_at, cursor, next)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10)",
                params![
                    id.as_str(),
                    new.name,
                    new.cron,
                    new.zone,
                    new.misfire.as_str(),
                    work,
                    new.title,
                    new.asked_by,
                    now.to_string(),
                    next.map(|next| next.to_string())
                ],
            )?;
            Ok((added == 0, count))
        })?;
        if count >= MAX_SCHEDULES {
            return Err(Fault::conflict(format!("there are {MAX_SCHEDULES} schedules")).hint("remove some"));
        }
        if known {
            return Err(Fault::conflict(format!("there is a schedule '{}' already", new.name))
                .hint(format!("give another name, or remove it: mahavishnu workflow schedule remove {}", new.name)));
        }
        self.get(&new.name)
    }

    /// All of them, by name.
    ///
    /// # Errors
    /// When the database exists and cannot be read.
    pub fn list(&self) -> Result<Vec<Schedule>> {
        self.select("1", &[])
    }

    /// The schedule of this name.
    ///
    /// # Errors
    /// Not found, with the names there are; as [`Schedules::list`].
    pub fn get(&self, name: &str) -> Result<Schedule> {
        if let Some(found) = self.select("name = ?1", &[&name])?.pop() {
            return Ok(found);
        }
        let fault = Fault::not_found(format!("no schedule '{}'", name.escape_debug()));
        let names: Vec<String> = self.list()?.into_iter().take(20).map(|schedule| schedule.name).collect();
        Err(match names.is_empty() {
            true => fault.hint("'mahavishnu workflow schedule add' makes one"),
            false => fault.hint(format!("there are: {}", names.join(", "))),
        })
    }

    /// Removes a schedule. Workflows that it has begun go on.
    ///
    /// # Errors
    /// Not found; when the database cannot be written.
    pub fn remove(&self, name: &str) -> Result<()> {
        let schedule = self.get(name)?;
        self.write(|sql| sql.execute("DELETE FROM schedules WHERE id = ?1", [&schedule.id])).map(drop)
    }

    /// Lets it rest, or go on. What was due while it rested is left out.
    ///
    /// # Errors
    /// Not found; when the database cannot be written.
    pub fn pause(&self, name: &str, paused: bool, now: Timestamp) -> Result<Schedule> {
        let schedule = self.get(name)?;
        let cursor = schedule.cursor.max(if paused || !schedule.paused { schedule.cursor } else { now });
        let (cron, zone) = schedule.times()?;
        let next = if paused { None } else { cron.next(cursor, zone.rules()) };
        self.write(|sql| {
            sql.execute(
                "UPDATE schedules SET paused = ?2, cursor = ?3, next = ?4 WHERE id = ?1",
                params![schedule.id, paused, cursor.to_string(), next.map(|next| next.to_string())],
            )
        })?;
        self.get(name)
    }

    /// Its latest workflows, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn runs(&self, schedule: &Schedule, limit: usize) -> Result<Vec<Workflow>> {
        Workflows::at(&self.path).of_schedule(&schedule.name, limit)
    }

    /// Asks for what is due. `plan` makes a schedule's work into a plan with its title; when it cannot, that is written
    /// down and the run is left out.
    ///
    /// # Errors
    /// When the database cannot be read or written; the next look then goes on.
    pub fn look(&self, now: Timestamp, plan: &dyn Fn(&Schedule) -> Result<(Plan, String)>) -> Result<Look> {
        let mut look = Look::default();
        for schedule in self.select("paused = 0 AND next <= ?1", &[&now.to_string()])? {
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
        let found = match schedule.due(now) {
            Ok(found) => found,
            Err(fault) => return self.advance(schedule, &Due::nothing(now), None, Some(&fault.to_string())),
        };
        let (mut last, mut error) = (None, None);
        for at in &found.fire {
            match self.run(schedule, *at, now, plan) {
                Ok((id, existing)) => {
                    if !existing {
                        tracing::info!(schedule = schedule.name, due = %at, workflow = id, "began by schedule");
                        look.begun.push(id.clone());
                    }
                    last = Some((*at, id));
                }
                Err(fault) if fault.kind() == oneiric::fault::FaultKind::Unavailable => return Err(fault),
                Err(fault) => {
                    tracing::warn!(schedule = schedule.name, due = %at, %fault, "could not begin");
                    error = Some(fault.to_string());
                }
            }
        }
        if found.left_out > 0 {
            let policy = schedule.misfire.as_str();
            tracing::warn!(schedule = schedule.name, runs = found.left_out, policy, "missed runs are left out");
            look.left_out += found.left_out;
        }
        self.advance(schedule, &found, last, error.as_deref())
    }

    fn run(
        &self,
        schedule: &Schedule,
        at: Timestamp,
        now: Timestamp,
        plan: &dyn Fn(&Schedule) -> Result<(Plan, String)>,
    ) -> Result<(String, bool)> {
        let workflows = Workflows::at(&self.path);
        let key = schedule.key(at);
        // The manifest may have changed since, so that the plan is another one: the run has begun all the same.
        if let Some(id) = workflows.of_key(&key)? {
            return Ok((id, true));
        }
        let (plan, title) = plan(schedule)?;
        let new = NewWorkflow {
            plan,
            key: Some(key.clone()),
            asked_by: schedule.asked_by.clone(),
            schedule: Some(schedule.name.clone()),
        };
        match workflows.submit(&new, &title, None, now) {
            Ok(submitted) => Ok((submitted.id, submitted.existing)),
            Err(fault) => match workflows.of_key(&key)? {
                Some(id) => Ok((id, true)),
                None => Err(fault),
            },
        }
    }

    fn advance(
        &self,
        schedule: &Schedule,
        due: &Due,
        last: Option<(Timestamp, String)>,
        error: Option<&str>,
    ) -> Result<()> {
        let (at, workflow) = last.map_or((None, None), |(at, id)| (Some(at.to_string()), Some(id)));
        let error: Option<String> = error.map(|error| error.chars().take(MAX_NOTE).collect());
        let left_out = i64::try_from(due.left_out).unwrap_or(i64::MAX);
        self.write(|sql| {
            // Only forward: another server may have been here meanwhile, or somebody paused it.
            sql.execute(
                "UPDATE schedules SET cursor = ?2, next = CASE WHEN paused THEN NULL ELSE ?3 END,
                        last_due = coalesce(?4, last_due), last_workflow = coalesce(?5, last_workflow),
                        left_out = left_out + ?6, error = CASE WHEN ?5 IS NULL AND ?7 IS NULL THEN error ELSE ?7 END
                 WHERE id = ?1 AND cursor < ?2",
                params![
                    schedule.id,
                    due.cursor.to_string(),
                    due.next.map(|next| next.to_string()),
                    at,
                    workflow,
                    left_out,
                    error
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

    fn select(&self, filter: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Vec<Schedule>> {
        let Some(sql) = schema::open_current(&self.path)? else { return Ok(Vec::new()) };
        let query = format!("SELECT {COLUMNS} FROM schedules WHERE {filter} ORDER BY name LIMIT {MAX_SCHEDULES}");
        (|| sql.prepare(&query)?.query_map(values, read)?.collect::<rusqlite::Result<Vec<_>>>())()
            .map_err(|error| schema::fault(&self.path, "read", &error))
    }

    fn write<T>(&self, work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>) -> Result<T> {
        let mut sql = schema::open_or_create(&self.path)?;
        (|| {
            let transaction = sql.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })()
        .map_err(|error| schema::fault(&self.path, "write", &error))
    }
}

const COLUMNS: &str = "id, name, cron, zone, misfire, paused, next, cursor, last_due, last_workflow, left_out, error,
    title, work, asked_by, created_at";

fn read(row: &Row<'_>) -> rusqlite::Result<Schedule> {
    let time = |column: usize| -> rusqlite::Result<Option<Timestamp>> {
        Ok(row.get::<_, Option<String>>(column)?.as_deref().and_then(Timestamp::parse))
    };
    let never = Timestamp::from_micros(0);
    let work: String = row.get(13)?;
    Ok(Schedule {
        id: row.get(0)?,
        name: row.get(1)?,
        cron: row.get(2)?,
        zone: row.get(3)?,
        misfire: Misfire::from_name(&row.get::<_, String>(4)?).unwrap_or_default(),
        paused: row.get(5)?,
        next: time(6)?,
        cursor: time(7)?.unwrap_or(never),
        last_due: time(8)?,
        last_workflow: row.get(9)?,
        left_out: u64::try_from(row.get::<_, i64>(10)?).unwrap_or(0),
        error: row.get(11)?,
        title: row.get(12)?,
        work: serde_json::from_str(&work).unwrap_or_default(),
        asked_by: row.get(14)?,
        created_at: time(15)?.unwrap_or(never),
    })
}

impl Workflows {
    /// The workflow with this idempotency key.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn of_key(&self, key: &str) -> Result<Option<String>> {
        let Some(sql) = schema::open_existing(self.path())? else { return Ok(None) };
        sql.query_row("SELECT id FROM workflows WHERE key = ?1", [key], |row| row.get(0))
            .optional()
            .map_err(|error| schema::fault(self.path(), "read", &error))
    }
}

#[cfg(test)]
mod tests;
