//! The workflow table: what ran over which repository, and how it ended.
//!
//! It lives in `mahavishnu.db`. Reading an absent database gives an empty list and creates nothing; the first workflow
//! creates it. Ended workflows are kept for [`RETENTION`] and then removed when a new one is created.

mod schema;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, Result};
use oneiric::id::EventId;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

/// How long ended workflows are kept.
pub const RETENTION: Duration = Duration::from_secs(90 * 24 * 3600);

/// State of a workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
    const ALL: [Self; 6] =
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
        let Some(connection) = schema::open_existing(&self.path)? else { return Ok(Vec::new()) };
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

    /// How many workflows there are in each state that any is in.
    ///
    /// # Errors
    /// As [`Workflows::list`].
    pub fn counts(&self) -> Result<Vec<(Status, usize)>> {
        let Some(connection) = schema::open_existing(&self.path)? else { return Ok(Vec::new()) };
        (|| {
            let mut statement = connection.prepare("SELECT status, count(*) FROM workflows GROUP BY status")?;
            statement
                .query_map([], |row| Ok((status(row, 0)?, row.get::<_, i64>(1)?)))?
                .collect::<rusqlite::Result<Vec<_>>>()
        })()
        .map(|rows| rows.into_iter().map(|(status, count)| (status, usize::try_from(count).unwrap_or(0))).collect())
        .map_err(|error| schema::fault(&self.path, "read", &error))
    }

    /// The workflow with this id, or the only one whose id begins so.
    ///
    /// # Errors
    /// Not found; conflict when the prefix is ambiguous; as [`Workflows::list`].
    pub fn get(&self, id: &str) -> Result<Workflow> {
        let missing =
            || Fault::not_found(format!("no workflow {}", id.escape_debug())).hint("ps() lists the workflows");
        let Some(connection) = schema::open_existing(&self.path)? else { return Err(missing()) };
        let query = format!("SELECT {COLUMNS} FROM workflows WHERE substr(id, 1, length(?1)) = ?1 LIMIT 2");
        let found: Vec<Workflow> =
            (|| connection.prepare(&query)?.query_map([id], read)?.collect::<rusqlite::Result<Vec<_>>>())()
                .map_err(|error| schema::fault(&self.path, "read", &error))?;
        match <[Workflow; 1]>::try_from(found) {
            Ok([workflow]) => Ok(workflow),
            Err(found) if found.is_empty() || id.is_empty() => Err(missing()),
            Err(_) => {
                Err(Fault::conflict(format!("more than one workflow begins with {id}")).hint("give more of its id"))
            }
        }
    }

    /// Adds a pending workflow and gives its id. Creates the database when there is none, and removes what is older
    /// than [`RETENTION`].
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn create(&self, task: &str, repo: &str, now: Timestamp) -> Result<String> {
        let id = EventId::generate(now).as_str().to_owned();
        self.write(|connection| {
            let limit = now.minus(RETENTION).to_string();
            connection.execute("DELETE FROM workflows WHERE ended_at < ?1", [limit])?;
            connection.execute(
                "INSERT INTO workflows (id, task, repo, status, created_at, progress) VALUES (?1, ?2, ?3, 'pending', ?4, 0)",
                params![id, task, repo, now.to_string()],
            )
        })?;
        Ok(id)
    }

    /// A pending workflow begins to run.
    ///
    /// # Errors
    /// Conflict when it is not pending; not found; when the database cannot be written.
    pub fn start(&self, id: &str, now: Timestamp) -> Result<()> {
        let changed = self.write(|connection| {
            connection.execute(
                "UPDATE workflows SET status = 'running', started_at = ?2 WHERE id = ?1 AND status = 'pending'",
                params![id, now.to_string()],
            )
        })?;
        self.confirm(changed, id, "start")
    }

    /// A running workflow came this far (0 to 1).
    ///
    /// # Errors
    /// As [`Workflows::start`], for one that does not run.
    pub fn advance(&self, id: &str, progress: f64) -> Result<()> {
        let progress = if progress.is_finite() { progress.clamp(0.0, 1.0) } else { 0.0 };
        let changed = self.write(|connection| {
            connection.execute(
                "UPDATE workflows SET progress = ?2 WHERE id = ?1 AND status = 'running'",
                params![id, progress],
            )
        })?;
        self.confirm(changed, id, "advance")
    }

    /// A workflow ended. An ended one stays as it is.
    ///
    /// # Errors
    /// As [`Workflows::start`], for one that has ended.
    pub fn finish(
        &self,
        id: &str,
        status: Status,
        exit_code: Option<i32>,
        error: Option<&str>,
        now: Timestamp,
    ) -> Result<()> {
        if !status.is_final() {
            return Err(Fault::internal(format!("{status} is no end of a workflow")));
        }
        let changed = self.write(|connection| {
            connection.execute(
                "UPDATE workflows SET status = ?2, exit_code = ?3, error = ?4, ended_at = ?5,
                        progress = CASE WHEN ?2 = 'completed' THEN 1 ELSE progress END
                 WHERE id = ?1 AND status IN ('pending', 'running')",
                params![id, status.as_str(), exit_code, error, now.to_string()],
            )
        })?;
        self.confirm(changed, id, "finish")
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

    fn confirm(&self, changed: usize, id: &str, what: &str) -> Result<()> {
        if changed == 1 {
            return Ok(());
        }
        let connection = schema::open_or_create(&self.path)?;
        let status: Option<String> = connection
            .query_row("SELECT status FROM workflows WHERE id = ?1", [id], |row| row.get(0))
            .optional()
            .map_err(|error| schema::fault(&self.path, "read", &error))?;
        Err(match status {
            None => Fault::not_found(format!("no workflow {id}")),
            Some(status) => Fault::conflict(format!("cannot {what} workflow {id}: it is {status}")),
        })
    }
}

const COLUMNS: &str = "id, task, repo, status, created_at, started_at, ended_at, progress, exit_code, error";

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
