//! Schedules: work that is asked for again and again, by the calendar of a time zone.
//!
//! They live in `mahavishnu.db` beside the workflows that come from them. A server drives them ([`Clockwork`]): it looks
//! every second at what is due and asks for workflows. The key of such a workflow is the schedule's id and the due time,
//! so that two servers, or one that was killed half-way, never run anything twice. A schedule stays until it is removed;
//! its workflows go as all workflows do.

mod begin;
mod clockwork;
mod cron;
mod due;
mod overlap;

use std::path::PathBuf;

use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, Result};
use oneiric::id::EventId;
use oneiric::zone::Zone;
use rusqlite::{Row, TransactionBehavior, params};
use serde::Serialize;
use serde_json::Value;

use crate::workflows::{Which, Workflow, Workflows, schema};

pub use self::begin::Look;
pub use self::clockwork::Clockwork;
pub use self::cron::Cron;
pub use self::due::{Due, LATE, MAX_LATE, Misfire, SET_BACK, due};
pub use self::overlap::{MAX_QUEUED, Overlap};

/// Most schedules.
const MAX_SCHEDULES: i64 = 10_000;
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
    /// What becomes of a run that is due while an earlier one has not ended.
    pub overlap: Overlap,
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
    /// What becomes of a run that is due while an earlier one has not ended.
    pub overlap: Overlap,
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
    /// How many missed runs were left out so far.
    pub left_out: u64,
    /// How many runs were skipped so far because an earlier one had not ended.
    pub skipped: u64,
    /// When the last one of these was due.
    pub skipped_due: Option<Timestamp>,
    /// The workflow that was in its way.
    pub skipped_for: Option<String>,
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
        Ok(cron.after(now.max(due::counted(self.cursor, now)), zone.rules()).take(count).collect())
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
        if !new.overlap.goes_with(new.misfire) {
            let (misfire, overlap) = (new.misfire.as_str(), new.overlap.as_str());
            return Err(Fault::user(format!(
                "missed runs '{misfire}' and overlapping runs '{overlap}' do not go together"
            ))
            .hint("runs that are made up for begin at the same time: let them queue, or allow them"));
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
                "INSERT OR IGNORE INTO schedules (id, name, cron, zone, misfire, work, title, asked_by, created_at, cursor, next, overlap)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10, ?11)",
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
                    next.map(|next| next.to_string()),
                    new.overlap.as_str()
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
        let cursor = due::counted(schedule.cursor, now);
        let cursor = if paused || !schedule.paused { cursor } else { cursor.max(now) };
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

    /// Its runs that have not ended, oldest first: what is in the way of one that is due.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn open_runs(&self, schedule: &Schedule) -> Result<Vec<Workflow>> {
        let mut open = Workflows::at(&self.path).list(Which::Active, usize::MAX)?;
        open.retain(|workflow| workflow.schedule.as_ref() == Some(&schedule.name));
        open.sort_by_key(|workflow| workflow.number);
        Ok(open)
    }

    /// Its latest workflows, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn runs(&self, schedule: &Schedule, limit: usize) -> Result<Vec<Workflow>> {
        Workflows::at(&self.path).of_schedule(&schedule.name, limit)
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
    title, work, asked_by, created_at, overlap, skipped, skipped_due, skipped_for";

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
        overlap: Overlap::from_name(&row.get::<_, String>(16)?).unwrap_or_default(),
        skipped: u64::try_from(row.get::<_, i64>(17)?).unwrap_or(0),
        skipped_due: time(18)?,
        skipped_for: row.get(19)?,
    })
}

#[cfg(test)]
mod tests;
