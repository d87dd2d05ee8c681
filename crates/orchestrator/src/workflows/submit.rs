//! What people want from workflows: a new one, and word to the engine that drives one.

use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, Result};
use oneiric::id::EventId;
use rusqlite::{OptionalExtension, params};

use super::journal::{Journal, Number, Request};
use super::plan::Plan;
use super::{Workflow, Workflows, schema};

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

impl Workflows {
    /// Asks for a workflow. With `engine`, that one drives it; else whichever engine looks first. Nothing else than the
    /// redacted title and the plan is kept, so secrets belong in the environment and not in the plan.
    ///
    /// # Errors
    /// User errors of the plan; conflict when the key was used for another plan; when the database cannot be written.
    pub fn submit(&self, new: &NewWorkflow, title: &str, engine: Option<&str>, now: Timestamp) -> Result<Submitted> {
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
                    .query_row("SELECT number, id, plan FROM workflows WHERE key = ?1", [key], |row| {
                        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                    })
                    .optional()?;
                if let Some((number, id, earlier)) = known {
                    let same = earlier.as_deref() == Some(&plan);
                    return Ok((Submitted { number, id, existing: true }, same));
                }
            }
            sql.execute(
                "INSERT INTO workflows (id, task, repo, status, created_at, plan, key, asked_by, schedule, engine, steps)
                 VALUES (?1, ?2, ?3, 'pending', ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                params![
                    id,
                    title,
                    new.plan.over(),
                    now.to_string(),
                    plan,
                    new.key,
                    new.asked_by,
                    new.schedule,
                    engine,
                    steps
                ],
            )?;
            Ok((Submitted { number: sql.last_insert_rowid(), id: id.clone(), existing: false }, true))
        })?;
        match found {
            (submitted, true) => Ok(submitted),
            (submitted, false) => {
                let key = new.key.as_deref().unwrap_or_default();
                Err(Fault::conflict(format!(
                    "key '{key}' belongs to workflow {}, which does something else",
                    submitted.id
                ))
                .hint("give another key"))
            }
        }
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
        let mut machine = journal.reload(workflow.number)?;
        let facts = machine.retry(now)?;
        let turn = journal.turn(true)?;
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
