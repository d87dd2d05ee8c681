//! Workflows: what is to be done over which repositories ([`plan`]), how far it is ([`machine`]), and the tables that keep
//! both ([`journal`] for the engine, [`Workflows`] for everyone else).
//!
//! They live in `mahavishnu.db`, which is also how a command, a shell and a server speak to each other about them: whoever
//! wants a workflow writes it here, and an engine takes it from here. Reading an absent database gives an empty list and
//! creates nothing. Ended workflows are kept for [`RETENTION`].

pub mod fact;
pub mod figures;
pub mod file;
pub mod journal;
pub mod machine;
pub mod plan;
pub(crate) mod schema;
mod submit;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, Result};
use rusqlite::{Connection, OptionalExtension, Row};
use serde::{Deserialize, Serialize};

pub use self::journal::{Number, Request};
pub use self::schema::is_disk_full;
pub(crate) use self::submit::Begun;
pub use self::submit::{NewWorkflow, Submitted};

use self::fact::Fact;
use self::machine::Step;
use self::plan::{Plan, StepIndex};

/// How long ended workflows are kept.
pub const RETENTION: Duration = Duration::from_secs(90 * 24 * 3600);

/// Fewest characters by which a workflow is found from the end of its id.
const LEAST_END: usize = 4;

/// State of a workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Waits for its turn.
    Pending,
    /// Runs.
    Running,
    /// Ended well.
    Completed,
    /// Ended badly.
    Failed,
    /// Was stopped by someone.
    Cancelled,
    /// Ran out of time.
    Timeout,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Running, Self::Completed, Self::Failed, Self::Cancelled, Self::Timeout];

    /// The state's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Timeout => "timeout",
        }
    }

    /// Whether nothing more happens to it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which workflows to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Every one.
    All,
    /// Pending and running ones.
    Active,
    /// Failed ones and those that ran out of time.
    Failed,
}

/// One workflow.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Workflow {
    /// Unique id; later ones sort later.
    pub id: String,
    /// What is done: a command line.
    pub task: String,
    /// Name of the repository.
    pub repo: String,
    /// State.
    pub status: Status,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it began to run.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// 0 to 1.
    pub progress: f64,
    /// Exit code, once it has one.
    pub exit_code: Option<i32>,
    /// Why it failed.
    pub error: Option<String>,
    /// Its number in this database.
    #[serde(skip)]
    pub number: Number,
    /// The engine that drives it, or drove it last.
    #[serde(skip)]
    pub engine: Option<String>,
    /// Its idempotency key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Who asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
    /// The schedule that it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Whether it waits for earlier runs of its schedule.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub queued: bool,
    /// Whether someone wants it to stop.
    pub cancel_requested: bool,
    /// How many steps it has.
    pub steps: u32,
    /// How many of them run.
    pub running: u32,
    /// How many ended well.
    pub completed: u32,
    /// How many ended badly or ran out of time.
    pub failed: u32,
    /// How many wait for a person: to approve, or to decide about a step that may or may not have finished.
    pub waiting_for_someone: u32,
    /// Whether nothing happens any more until that person has spoken.
    pub stuck: bool,
}

/// A step that has a folder for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The folder.
    pub dir: PathBuf,
    /// Number of the workflow.
    pub number: Number,
    /// Its id.
    pub workflow: String,
    /// The step.
    pub step: StepIndex,
    /// The engine that runs it, or ran it when it was killed.
    pub engine: String,
    /// Since when.
    pub since: Timestamp,
}

/// The table. Nothing is opened until something is asked.
#[derive(Clone, Debug)]
pub struct Workflows {
    path: PathBuf,
}

impl Workflows {
    /// The table in this database file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Workflows, newest first.
    ///
    /// # Errors
    /// When the database exists and cannot be read.
    pub fn list(&self, which: Which, limit: usize) -> Result<Vec<Workflow>> {
        let Some(connection) = schema::open_current(&self.path)? else { return Ok(Vec::new()) };
        let filter = match which {
            Which::All => "1",
            Which::Active => "status IN ('pending', 'running')",
            Which::Failed => "status IN ('failed', 'timeout')",
        };
        let query =
            format!("SELECT {COLUMNS} FROM workflows WHERE {filter} ORDER BY created_at DESC, id DESC LIMIT ?1");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        (|| connection.prepare(&query)?.query_map([limit], read)?.collect::<rusqlite::Result<Vec<_>>>())()
            .map_err(|error| schema::fault(&self.path, "read", &error))
    }

    /// Workflows that failed or ran out of time, the last that ended first.
    ///
    /// # Errors
    /// As [`Workflows::list`].
    pub fn failures(&self, limit: usize) -> Result<Vec<Workflow>> {
        let query = format!(
            "SELECT {COLUMNS} FROM workflows INDEXED BY workflows_ended
             WHERE ended_at IS NOT NULL AND status IN ('failed', 'timeout') ORDER BY ended_at DESC, number DESC LIMIT ?1"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let found =
            self.read(|sql| sql.prepare(&query)?.query_map([limit], read)?.collect::<rusqlite::Result<Vec<_>>>())?;
        Ok(found.unwrap_or_default())
    }

    /// The latest workflows of a schedule, newest first.
    ///
    /// # Errors
    /// As [`Workflows::list`].
    pub fn of_schedule(&self, name: &str, limit: usize) -> Result<Vec<Workflow>> {
        let query = format!("SELECT {COLUMNS} FROM workflows WHERE schedule = ?1 ORDER BY number DESC LIMIT ?2");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let found = self.read(|sql| {
            sql.prepare(&query)?.query_map(rusqlite::params![name, limit], read)?.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        Ok(found.unwrap_or_default())
    }

    /// How many workflows there are in each state that any is in.
    ///
    /// # Errors
    /// As [`Workflows::list`].
    pub fn counts(&self) -> Result<Vec<(Status, usize)>> {
        let Some(connection) = schema::open_current(&self.path)? else { return Ok(Vec::new()) };
        (|| {
            let mut statement = connection.prepare("SELECT status, count(*) FROM workflows GROUP BY status")?;
            statement
                .query_map([], |row| Ok((status(row, 0)?, row.get::<_, i64>(1)?)))?
                .collect::<rusqlite::Result<Vec<_>>>()
        })()
        .map(|rows| rows.into_iter().map(|(status, count)| (status, usize::try_from(count).unwrap_or(0))).collect())
        .map_err(|error| schema::fault(&self.path, "read", &error))
    }

    /// The workflow with this id, or the only one whose id begins so, or else ends so: what lists show of ids is their end.
    ///
    /// # Errors
    /// Not found; conflict when the prefix is ambiguous; as [`Workflows::list`].
    pub fn get(&self, id: &str) -> Result<Workflow> {
        let missing = || {
            Fault::not_found(format!("no workflow {}", id.escape_debug())).hint("'mahavishnu workflow list' shows them")
        };
        let Some(connection) = schema::open_current(&self.path)? else { return Err(missing()) };
        // A range, since it uses the index where a comparison of beginnings reads every row.
        let query = format!("SELECT {COLUMNS} FROM workflows WHERE id >= ?1 AND id < ?1 || char(1114111) LIMIT 2");
        let ask = |query: &str| -> Result<Vec<Workflow>> {
            (|| connection.prepare(query)?.query_map([id], read)?.collect::<rusqlite::Result<Vec<_>>>())()
                .map_err(|error| schema::fault(&self.path, "read", &error))
        };
        let mut found = ask(&query)?;
        if found.is_empty() && id.len() >= LEAST_END {
            // Only the index of ids is read, not the rows.
            found = ask(&format!(
                "SELECT {COLUMNS} FROM workflows WHERE number IN
                   (SELECT number FROM workflows WHERE substr(id, -length(?1)) = ?1 LIMIT 2)"
            ))?;
        }
        match <[Workflow; 1]>::try_from(found) {
            Ok([workflow]) => Ok(workflow),
            Err(found) if found.is_empty() || id.is_empty() => Err(missing()),
            Err(_) => {
                Err(Fault::conflict(format!("more than one workflow has an id like {id}")).hint("give more of its id"))
            }
        }
    }

    /// A workflow's plan and the rows of its steps; steps without a row wait.
    ///
    /// # Errors
    /// Not found, also for workflows that are older than plans; when the database cannot be read.
    pub fn steps(&self, workflow: &Workflow) -> Result<(Plan, Vec<(StepIndex, Step)>)> {
        let found = self.read(|sql| {
            let plan: Option<String> = sql
                .query_row("SELECT plan FROM plans WHERE workflow = ?1", [workflow.number], |row| row.get(0))
                .optional()?;
            let mut rows = sql.prepare(
                "SELECT step, state, attempt, forgiven, started_at, ended_at, until, run, ending FROM steps WHERE workflow = ?1",
            )?;
            let rows = rows.query_map([workflow.number], journal::read_step)?.collect::<rusqlite::Result<Vec<_>>>()?;
            Ok((plan, rows))
        })?;
        let (Some(plan), rows) = found.unwrap_or_default() else {
            return Err(Fault::not_found(format!("workflow {} has no steps", workflow.id)));
        };
        let plan = serde_json::from_str(&plan).map_err(|error| {
            Fault::internal(format!("the plan of workflow {} cannot be read: {error}", workflow.id))
        })?;
        Ok((plan, rows))
    }

    /// The journal of a workflow, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn facts(&self, workflow: &Workflow) -> Result<Vec<(Timestamp, Fact)>> {
        let found = self.read(|sql| {
            let mut rows = sql.prepare("SELECT at, fact FROM facts WHERE workflow = ?1 ORDER BY n")?;
            let rows = rows.query_map([workflow.number], |row| {
                let at = time(row, 0)?.unwrap_or(Timestamp::from_micros(0));
                let fact: String = row.get(1)?;
                Ok((at, serde_json::from_str(&fact).map_err(|error| invalid(1, error.to_string()))?))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        Ok(found.unwrap_or_default())
    }

    /// Who asked to cancel a workflow, when that is what it does or did.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn cancelled_by(&self, workflow: &Workflow) -> Result<Option<String>> {
        if !workflow.cancel_requested {
            return Ok(None);
        }
        let found = self.read(|sql| {
            sql.query_row(
                "SELECT fact ->> 'by' FROM facts WHERE workflow = ?1 AND fact ->> 'fact' = 'cancel_asked'
                 ORDER BY n DESC LIMIT 1",
                [workflow.number],
                |row| row.get(0),
            )
            .optional()
        })?;
        Ok(found.flatten().flatten())
    }

    /// When something happened to a workflow last.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn changed_at(&self, workflow: &Workflow) -> Result<Timestamp> {
        let found = self.read(|sql| {
            sql.query_row(
                "SELECT at FROM facts WHERE workflow = ?1 ORDER BY n DESC LIMIT 1",
                [workflow.number],
                |row| time(row, 0),
            )
            .optional()
        })?;
        let last = found.flatten().flatten();
        Ok(last.or(workflow.ended_at).or(workflow.started_at).unwrap_or(workflow.created_at))
    }

    /// Who works in which repository's folder.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn holders(&self) -> Result<Vec<Holder>> {
        let found = self.read(|sql| {
            let mut rows = sql.prepare(
                "SELECT l.dir, l.workflow, w.id, l.step, l.engine, l.since FROM leases l JOIN workflows w ON w.number = l.workflow",
            )?;
            let rows = rows.query_map([], |row| {
                Ok(Holder {
                    dir: row.get::<_, String>(0)?.into(),
                    number: row.get(1)?,
                    workflow: row.get(2)?,
                    step: row.get(3)?,
                    engine: row.get(4)?,
                    since: time(row, 5)?.unwrap_or(Timestamp::from_micros(0)),
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        Ok(found.unwrap_or_default())
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<Option<T>> {
        let Some(connection) = schema::open_current(&self.path)? else { return Ok(None) };
        work(&connection).map(Some).map_err(|error| schema::fault(&self.path, "read", &error))
    }

    fn write<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let mut connection = schema::open_or_create(&self.path)?;
        let written = (|| {
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })();
        written.map_err(|error| schema::fault(&self.path, "write", &error))
    }
}

const COLUMNS: &str =
    "id, task, repo, status, created_at, started_at, ended_at, progress, exit_code, error, number, engine,
    key, asked_by, schedule, cancel, steps, running, completed, failed, waiting_for_someone, stuck, queued";

fn read(row: &Row<'_>) -> rusqlite::Result<Workflow> {
    Ok(Workflow {
        id: row.get(0)?,
        task: row.get(1)?,
        repo: row.get(2)?,
        status: status(row, 3)?,
        created_at: time(row, 4)?.unwrap_or(Timestamp::from_micros(0)),
        started_at: time(row, 5)?,
        ended_at: time(row, 6)?,
        progress: row.get(7)?,
        exit_code: row.get(8)?,
        error: row.get(9)?,
        number: row.get(10)?,
        engine: row.get(11)?,
        key: row.get(12)?,
        asked_by: row.get(13)?,
        schedule: row.get(14)?,
        cancel_requested: row.get(15)?,
        steps: row.get(16)?,
        running: row.get(17)?,
        completed: row.get(18)?,
        failed: row.get(19)?,
        waiting_for_someone: row.get(20)?,
        stuck: row.get(21)?,
        queued: row.get(22)?,
    })
}

fn status(row: &Row<'_>, column: usize) -> rusqlite::Result<Status> {
    let name: String = row.get(column)?;
    let found = Status::ALL.into_iter().find(|status| status.as_str() == name);
    found.ok_or_else(|| invalid(column, format!("'{name}' is no state of a workflow")))
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| Timestamp::parse(&text).ok_or_else(|| invalid(column, format!("'{text}' is no time")))).transpose()
}

fn invalid(column: usize, what: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, what.into())
}

#[cfg(test)]
mod tests;
