//! What people want from workflows: a new one, and word to the engine that drives one.

use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, Result};
use oneiric::id::EventId;
use rusqlite::{Connection, OptionalExtension, params};

use super::journal::{Journal, Number, Request};
use super::plan::Plan;
use super::{Workflow, Workflows, schema};
use crate::schedules::{MAX_QUEUED, Overlap};

/// Longest idempotency key, in bytes.
const MAX_KEY: usize = 200;

/// A workflow that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct NewWorkflow {
    /// What is to be done.
    pub plan: Plan,
    /// Asking twice with one key makes one workflow.
    pub key: Option<String>,
    /// Who asks.
    pub asked_by: String,
    /// The schedule that it comes from.
    pub schedule: Option<String>,
}

/// What asking gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Its number.
    pub number: Number,
    /// Its id.
    pub id: String,
    /// Whether the key was known, so that this is the workflow of an earlier request.
    pub existing: bool,
}

/// What asking by a schedule gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// A workflow, which may have to wait for others.
    Submitted(Submitted),
    /// Nothing, since this earlier run has not ended.
    Skipped {
        /// Its id.
        workflow: String,
    },
}

/// Earlier runs of a schedule that have not ended, oldest first. There are few open workflows, however many have ended.
fn open_runs(sql: &Connection, new: &NewWorkflow) -> rusqlite::Result<Vec<(Number, String)>> {
    sql.prepare(
        "SELECT number, id FROM workflows INDEXED BY workflows_open
         WHERE status IN ('pending', 'running') AND schedule = ?1 ORDER BY number",
    )?
    .query_map([&new.schedule], |row| Ok((row.get(0)?, row.get(1)?)))?
    .collect()
}

impl Workflows {
    /// Asks for a workflow. With `engine`, that one drives it; else whichever engine looks first. Nothing else than the
    /// redacted title and the plan is kept, so secrets belong in the environment and not in the plan.
    ///
    /// # Errors
    /// User errors of the plan; conflict when the key was used for another plan; when the database cannot be written.
    pub fn submit(&self, new: &NewWorkflow, title: &str, engine: Option<&str>, now: Timestamp) -> Result<Submitted> {
        match self.submit_unless(new, title, engine, Overlap::Allow, now)? {
            Begun::Submitted(submitted) => Ok(submitted),
            Begun::Skipped { workflow } => Err(Fault::conflict(format!("workflow {workflow} has not ended"))),
        }
    }

    /// The same for a run of a schedule, where an earlier one that has not ended counts. Asked for twice at the same time,
    /// one is the earlier one for the other.
    ///
    /// # Errors
    /// As [`Workflows::submit`].
    pub(crate) fn submit_unless(
        &self,
        new: &NewWorkflow,
        title: &str,
        engine: Option<&str>,
        overlap: Overlap,
        now: Timestamp,
    ) -> Result<Begun> {
        let graph = new.plan.graph()?;
        if graph.cells.is_empty() {
            return Err(Fault::user("the workflow has no steps").hint("select at least one repository"));
        }
        if new.key.as_ref().is_some_and(|key| key.is_empty() || key.len() > MAX_KEY) {
            return Err(Fault::user(format!("an idempotency key has 1 to {MAX_KEY} bytes")));
        }
        let plan = serde_json::to_string(&new.plan).map_err(|error| Fault::internal(error.to_string()))?;
        let id = EventId::generate(now).as_str().to_owned();
        let steps = i64::try_from(graph.cells.len()).unwrap_or(i64::MAX);
        let found = self.write(|sql| {
            if let Some(key) = &new.key {
                let known: Option<(Number, String, Option<String>)> = sql
                    .query_row(
                        "SELECT number, id, plan FROM workflows LEFT JOIN plans ON workflow = number WHERE key = ?1",
                        [key],
                        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                    )
                    .optional()?;
                if let Some((number, id, earlier)) = known {
                    let same = earlier.as_deref() == Some(&plan);
                    return Ok((Begun::Submitted(Submitted { number, id, existing: true }), same));
                }
            }
            let before = if overlap == Overlap::Allow { Vec::new() } else { open_runs(sql, new)? };
            let full = overlap == Overlap::Queue && before.len() >= MAX_QUEUED;
            if let Some((_, workflow)) = before.first().filter(|_| overlap == Overlap::Skip || full) {
                return Ok((Begun::Skipped { workflow: workflow.clone() }, true));
            }
            if overlap == Overlap::Replace {
                let by = format!("schedule {}", new.schedule.as_deref().unwrap_or_default());
                let cancel = serde_json::to_string(&Request::Cancel { by }).unwrap_or_default();
                for (number, _) in &before {
                    sql.execute(
                        "INSERT INTO requests (workflow, body, at) VALUES (?1, ?2, ?3)",
                        params![number, cancel, now.to_string()],
                    )?;
                }
            }
            sql.execute(
                "INSERT INTO workflows (id, task, repo, status, created_at, key, asked_by, schedule, engine, steps, queued)
                 VALUES (?1, ?2, ?3, 'pending', ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                params![
                    id,
                    title,
                    new.plan.over(),
                    now.to_string(),
                    new.key,
                    new.asked_by,
                    new.schedule,
                    engine,
                    steps,
                    !before.is_empty()
                ],
            )?;
            let submitted = Submitted { number: sql.last_insert_rowid(), id: id.clone(), existing: false };
            sql.execute("INSERT INTO plans (workflow, plan) VALUES (?1, ?2)", params![submitted.number, plan])?;
            Ok((Begun::Submitted(submitted), true))
        })?;
        match found {
            (Begun::Submitted(Submitted { id, .. }), false) => {
                let key = new.key.as_deref().unwrap_or_default();
                Err(Fault::conflict(format!("key '{key}' belongs to workflow {id}, which does something else"))
                    .hint("give another key"))
            }
            (begun, _) => Ok(begun),
        }
    }

    /// How many workflows have a key after `from` and up to `to`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) fn count_keys(&self, from: &str, to: &str) -> Result<usize> {
        let count: Option<i64> = self.read(|sql| {
            sql.query_row("SELECT count(*) FROM workflows WHERE key > ?1 AND key <= ?2", [from, to], |row| row.get(0))
        })?;
        Ok(count.and_then(|count| usize::try_from(count).ok()).unwrap_or(0))
    }

    /// The workflow with this idempotency key.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) fn of_key(&self, key: &str) -> Result<Option<Submitted>> {
        let Some(sql) = schema::open_current(self.path())? else { return Ok(None) };
        let read = |row: &rusqlite::Row<'_>| Ok(Submitted { number: row.get(0)?, id: row.get(1)?, existing: true });
        sql.query_row("SELECT number, id FROM workflows WHERE key = ?1", [key], read)
            .optional()
            .map_err(|error| schema::fault(self.path(), "read", &error))
    }

    /// Leaves word for the engine that drives a workflow. Gives the request's number.
    ///
    /// # Errors
    /// Conflict when the workflow has ended; when the database cannot be written.
    pub fn ask(&self, workflow: &Workflow, request: &Request, now: Timestamp) -> Result<i64> {
        if workflow.status.is_final() {
            return Err(Fault::conflict(format!("workflow {} is {} already", workflow.id, workflow.status)));
        }
        let body = serde_json::to_string(request).map_err(|error| Fault::internal(error.to_string()))?;
        self.write(|sql| {
            sql.execute(
                "INSERT INTO requests (workflow, body, at) VALUES (?1, ?2, ?3)",
                params![workflow.number, body, now.to_string()],
            )?;
            Ok(sql.last_insert_rowid())
        })
    }

    /// Whether word that was left for a workflow's engine waits for an answer.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn is_asked(&self, number: Number) -> Result<bool> {
        let asked = self.read(|sql| {
            let open = "SELECT EXISTS (SELECT 1 FROM requests WHERE workflow = ?1 AND done_at IS NULL)";
            sql.query_row(open, [number], |row| row.get(0))
        })?;
        Ok(asked.unwrap_or(false))
    }

    /// The answer to a request: nothing yet, or done, or why not.
    ///
    /// # Errors
    /// Not found; when the database cannot be read.
    pub fn answer(&self, request: i64) -> Result<Option<std::result::Result<(), String>>> {
        let found = self.read(|sql| {
            sql.query_row("SELECT done_at IS NOT NULL, error FROM requests WHERE number = ?1", [request], |row| {
                Ok((row.get::<_, bool>(0)?, row.get::<_, Option<String>>(1)?))
            })
            .optional()
        })?;
        match found.flatten() {
            None => Err(Fault::not_found(format!("no request {request}"))),
            Some((false, _)) => Ok(None),
            Some((true, None)) => Ok(Some(Ok(()))),
            Some((true, Some(error))) => Ok(Some(Err(error))),
        }
    }

    /// Gives what did not end well in an ended workflow another chance. It then waits for an engine.
    ///
    /// # Errors
    /// Conflict when it has not ended, or all of it ended well; when the database cannot be read or written.
    pub fn retry(&self, workflow: &Workflow, now: Timestamp) -> Result<()> {
        let mut journal = Journal::open(self.path(), workflow.engine.as_deref().unwrap_or_default())?;
        // Read and written in one: who asks at the same time finds that it goes on already.
        let turn = journal.turn(true)?;
        let mut machine = turn.read(workflow.number)?;
        let facts = machine.retry(now)?;
        turn.write(workflow.number, &machine, &facts, now)?;
        turn.give_up(workflow.number)?;
        turn.commit()
    }

    /// The database file is there and of this version: opened once, before anything is promised.
    ///
    /// # Errors
    /// When it cannot be opened, created or upgraded.
    pub fn ensure(&self) -> Result<()> {
        schema::open_or_create(self.path()).map(drop)
    }
}
