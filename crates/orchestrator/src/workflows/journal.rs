//! The engine's side of the workflow tables: what it claims, what it writes before it acts, and how it comes back.

mod reading;

use std::path::{Path, PathBuf};
use std::time::Duration;

use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, FaultKind, Result};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use serde::{Deserialize, Serialize};

use super::fact::{Decision, Fact, StepState};
use super::machine::Machine;
use super::plan::StepIndex;
use super::{RETENTION, schema};

pub(super) use self::reading::read_step;

/// Answered requests are kept this long, for whoever waits for the answer.
const REQUEST_RETENTION: Duration = Duration::from_secs(24 * 3600);

/// Number of a workflow in this database.
pub type Number = i64;

/// What someone wants from the engine that drives a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "request")]
pub enum Request {
    /// Stop it.
    Cancel {
        /// Who asks.
        by: String,
    },
    /// Decide about a step that may or may not have finished; about all of them when none is named.
    Settle {
        /// The step.
        step: Option<StepIndex>,
        /// What.
        decision: Decision,
        /// Who.
        by: String,
    },
    /// Answer steps that ask.
    Answer {
        /// The step; all that ask when none is named.
        step: Option<StepIndex>,
        /// Whether it may go on.
        yes: bool,
        /// Who.
        by: String,
    },
}

/// A request that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Its number.
    pub number: i64,
    /// The workflow.
    pub workflow: Number,
    /// What is wanted; `Err` when its row cannot be understood.
    pub request: std::result::Result<Request, String>,
}

/// A workflow that this engine drives now.
#[derive(Debug)]
pub struct Claimed {
    /// Its number.
    pub number: Number,
    /// Its id.
    pub id: String,
    /// The machine as it stood.
    pub machine: Machine,
    /// The engine that drove it before, when that is gone.
    pub before: Option<String>,
}

/// Writes of one turn. All of them or none become true.
#[derive(Debug)]
pub struct Turn<'c> {
    transaction: rusqlite::Transaction<'c>,
    engine: &'c str,
    path: &'c Path,
}

/// The engine's connection.
#[derive(Debug)]
pub struct Journal {
    connection: Connection,
    engine: String,
    path: PathBuf,
}

impl Journal {
    /// Opens the database for this engine, creating it when there is none.
    ///
    /// # Errors
    /// When it cannot be opened or upgraded.
    pub fn open(path: &Path, engine: &str) -> Result<Self> {
        let connection = schema::open_or_create(path)?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(Self { connection, engine: engine.to_owned(), path: path.to_path_buf() })
    }

    /// A number that changes when another connection has written.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn version(&self) -> Result<i64> {
        self.connection
            .pragma_query_value(None, "data_version", |row| row.get(0))
            .map_err(|error| schema::fault(&self.path, "read", &error))
    }

    /// Begins a turn. `durable` makes it, and all turns before it, survive a loss of power; any turn survives the death
    /// of this process.
    ///
    /// # Errors
    /// When the database cannot be written now.
    pub fn turn(&mut self, durable: bool) -> Result<Turn<'_>> {
        let fault = |error: &rusqlite::Error| schema::fault(&self.path, "write", error);
        self.connection
            .pragma_update(None, "synchronous", if durable { "FULL" } else { "NORMAL" })
            .map_err(|error| fault(&error))?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| schema::fault(&self.path, "write", &error))?;
        Ok(Turn { transaction, engine: &self.engine, path: &self.path })
    }

    /// Takes over workflows that nobody drives, oldest first: those that wait for an engine and not for earlier runs of their
    /// schedule, and those of the `dead` engines, whose processes must have ended. With `only`, that one alone.
    ///
    /// # Errors
    /// When the database cannot be read or written. A workflow that cannot be understood is ended as failed.
    pub fn claim(
        &mut self,
        dead: &[String],
        only: Option<Number>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Claimed>> {
        let dead = serde_json::to_string(dead).unwrap_or_default();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let turn = self.turn(false)?;
        let rows: Vec<(Number, String, Option<String>, Option<String>)> = turn.run(|sql| {
            let mut find = sql.prepare_cached(
                "SELECT number, id, engine, (SELECT plan FROM plans WHERE workflow = w.number) FROM workflows AS w
                 WHERE status IN ('pending', 'running') AND (?2 IS NULL OR number = ?2)
                   AND (engine IS NULL OR engine IN (SELECT value FROM json_each(?1)))
                   -- A run that waits for earlier ones of its schedule; to be cancelled it waits for nothing.
                   AND (queued = 0
                     OR NOT EXISTS (SELECT 1 FROM workflows AS e INDEXED BY workflows_open
                                    WHERE e.status IN ('pending', 'running') AND e.schedule = w.schedule
                                      AND e.number < w.number)
                     OR EXISTS (SELECT 1 FROM requests AS r WHERE r.workflow = w.number AND r.done_at IS NULL
                                  AND r.body ->> 'request' = 'cancel'))
                 ORDER BY number LIMIT ?3",
            )?;
            find.query_map(params![dead, only, limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
                .collect()
        })?;
        let mut claimed = Vec::with_capacity(rows.len());
        for (number, id, before, plan) in rows {
            turn.run(|sql| {
                sql.prepare_cached("UPDATE workflows SET engine = ?2, queued = 0 WHERE number = ?1")?
                    .execute(params![number, turn.engine])?;
                sql.prepare_cached("DELETE FROM leases WHERE workflow = ?1")?.execute([number])
            })?;
            match turn.machine(number, plan.as_deref()) {
                Ok(machine) => claimed.push(Claimed { number, id, machine, before }),
                Err(fault) if fault.kind() == FaultKind::Internal => {
                    tracing::error!(workflow = id, %fault, "it cannot be driven and has failed");
                    turn.abandon(number, &id, &fault, now)?;
                }
                Err(fault) => return Err(fault),
            }
        }
        turn.commit()?;
        Ok(claimed)
    }

    /// The machine of a workflow as the database has it.
    ///
    /// # Errors
    /// Unavailable when the database cannot be read now; internal when what it has of this workflow cannot be understood.
    pub fn reload(&mut self, number: Number) -> Result<Machine> {
        self.turn(false)?.read(number)
    }

    /// Ends a workflow whose rows cannot be understood.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn abandon(&mut self, number: Number, id: &str, why: &Fault, now: Timestamp) -> Result<()> {
        let turn = self.turn(false)?;
        turn.abandon(number, id, why, now)?;
        turn.commit()
    }

    /// Requests for workflows of this engine.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn requests(&self) -> Result<Vec<Asked>> {
        let read = || -> rusqlite::Result<Vec<Asked>> {
            let mut find = self.connection.prepare_cached(
                "SELECT r.number, r.workflow, r.body FROM requests r JOIN workflows w ON w.number = r.workflow
                 WHERE r.done_at IS NULL AND w.engine = ?1 ORDER BY r.number LIMIT 1000",
            )?;
            let asked = find.query_map([&self.engine], |row| {
                let body: String = row.get(2)?;
                let request = serde_json::from_str(&body).map_err(|error| error.to_string());
                Ok(Asked { number: row.get(0)?, workflow: row.get(1)?, request })
            })?;
            asked.collect()
        };
        read().map_err(|error| schema::fault(&self.path, "read", &error))
    }

    /// Makes everything that was written survive a loss of power.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn make_durable(&self) -> Result<()> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
            .map_err(|error| schema::fault(&self.path, "write", &error))
    }

    /// Engines that drive something which has not ended; with `only`, the one that drives that workflow.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn engines(&self, only: Option<Number>) -> Result<Vec<String>> {
        let read = || -> rusqlite::Result<Vec<String>> {
            self.connection
                .prepare_cached(
                    "SELECT DISTINCT engine FROM workflows INDEXED BY workflows_open
                     WHERE status IN ('pending', 'running') AND engine IS NOT NULL AND engine <> ?1
                       AND (?2 IS NULL OR number = ?2)",
                )?
                .query_map(params![self.engine, only], |row| row.get(0))?
                .collect()
        };
        read().map_err(|error| schema::fault(&self.path, "read", &error))
    }

    /// Removes what is older than its retention. Gives the ids of workflows that went, whose output can go too.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn prune(&mut self, now: Timestamp) -> Result<Vec<String>> {
        let turn = self.turn(false)?;
        let gone = turn.run(|sql| {
            sql.execute("DELETE FROM requests WHERE done_at < ?1", [now.minus(REQUEST_RETENTION).to_string()])?;
            let old: Vec<(Number, String)> = sql
                .prepare_cached("SELECT number, id FROM workflows WHERE ended_at < ?1 LIMIT 1000")?
                .query_map([now.minus(RETENTION).to_string()], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            for (number, _) in &old {
                for table in ["facts", "steps", "requests", "leases", "plans"] {
                    sql.execute(&format!("DELETE FROM {table} WHERE workflow = ?1"), [number])?;
                }
                sql.execute("DELETE FROM workflows WHERE number = ?1", [number])?;
            }
            Ok(old.into_iter().map(|(_, id)| id).collect())
        })?;
        turn.commit()?;
        Ok(gone)
    }
}

impl Turn<'_> {
    fn run<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        work(&self.transaction).map_err(|error| schema::fault(self.path, "write", &error))
    }

    /// Writes facts of a workflow, with the rows that they lead to.
    ///
    /// # Errors
    /// When the database cannot be written; then the whole turn is to be given up.
    pub fn write(&self, number: Number, machine: &Machine, facts: &[Fact], at: Timestamp) -> Result<()> {
        let now = at.to_string();
        self.run(|sql| {
            let mut n: i64 = sql
                .prepare_cached("SELECT coalesce(max(n), 0) FROM facts WHERE workflow = ?1")?
                .query_row([number], |row| row.get(0))?;
            let mut insert = sql.prepare_cached("INSERT INTO facts (workflow, n, at, fact) VALUES (?1, ?2, ?3, ?4)")?;
            let mut upsert = sql.prepare_cached(
                "INSERT OR REPLACE INTO steps (workflow, step, state, attempt, forgiven, started_at, ended_at, until, run, ending)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?;
            let mut touched = Vec::new();
            for fact in facts {
                n += 1;
                insert.execute(params![number, n, now, json(fact)])?;
                touched.extend(fact.step());
            }
            if facts.iter().any(|fact| matches!(fact, Fact::ClockSet { .. })) {
                touched.extend(machine.timed());
            }
            touched.sort_unstable();
            touched.dedup();
            for step in touched {
                let row = &machine.steps()[step as usize];
                upsert.execute(params![
                    number,
                    step,
                    row.state.as_str(),
                    row.attempt,
                    row.forgiven,
                    row.started_at.map(|at| at.to_string()),
                    row.ended_at.map(|at| at.to_string()),
                    row.until.map(|at| at.to_string()),
                    row.run,
                    row.ending.as_ref().map(json),
                ])?;
            }
            let count = |states: &[StepState]| -> i64 {
                states.iter().map(|state| i64::try_from(machine.count(*state)).unwrap_or(i64::MAX)).sum()
            };
            let finished = facts.iter().rev().find_map(|fact| match fact {
                Fact::Finished { error, .. } => Some(error.clone()),
                _ => None,
            });
            let standing = machine.standing();
            // What ended last may have ended long before it could be written.
            let last = || machine.steps().iter().filter_map(|step| step.ended_at).max().unwrap_or(at).min(at).to_string();
            sql.prepare_cached(
                "UPDATE workflows SET status = ?2, started_at = ?3, ended_at = ?4, progress = ?5,
                        exit_code = ?6, error = ?7, cancel = ?8, out_of_time = ?9, running = ?10, completed = ?11,
                        failed = ?12, waiting_for_someone = ?13, stuck = ?14
                 WHERE number = ?1",
            )?
            .execute(params![
                number,
                standing.status.as_str(),
                standing.started_at.map(|at| at.to_string()),
                finished.is_some().then(last),
                machine.progress(),
                machine.exit_code(),
                finished.flatten(),
                standing.cancel,
                standing.out_of_time,
                count(&[StepState::Running]),
                count(&[StepState::Completed]),
                count(&[StepState::Failed, StepState::Timeout]),
                count(&[StepState::Asking, StepState::Unknown]),
                machine.is_stuck(),
            ])?;
            Ok(())
        })
    }

    /// Takes the lease of a folder for a step. `Some` names the engine that holds it instead.
    ///
    /// # Errors
    /// As [`Turn::write`].
    pub fn lease(&self, dir: &Path, number: Number, step: StepIndex, now: Timestamp) -> Result<Option<String>> {
        let dir = dir.to_string_lossy();
        self.run(|sql| {
            let took = sql
                .prepare_cached(
                    "INSERT OR IGNORE INTO leases (dir, engine, workflow, step, since) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![dir, self.engine, number, step, now.to_string()])?;
            if took == 1 {
                return Ok(None);
            }
            let holder: Option<(String, Number, StepIndex)> = sql
                .prepare_cached("SELECT engine, workflow, step FROM leases WHERE dir = ?1")?
                .query_row([&dir], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()?;
            Ok(holder.filter(|held| *held != (self.engine.to_owned(), number, step)).map(|(engine, ..)| engine))
        })
    }

    /// Removes the lease of a folder, whoever holds it: its holder is gone.
    ///
    /// # Errors
    /// As [`Turn::write`].
    pub fn break_lease(&self, dir: &Path) -> Result<()> {
        self.run(|sql| sql.prepare_cached("DELETE FROM leases WHERE dir = ?1")?.execute([dir.to_string_lossy()]))
            .map(|_| ())
    }

    /// Gives a step's lease back.
    ///
    /// # Errors
    /// As [`Turn::write`].
    pub fn release(&self, dir: &Path, number: Number, step: StepIndex) -> Result<()> {
        self.run(|sql| {
            sql.prepare_cached("DELETE FROM leases WHERE dir = ?1 AND workflow = ?2 AND step = ?3")?.execute(params![
                dir.to_string_lossy(),
                number,
                step
            ])
        })
        .map(|_| ())
    }

    /// Whoever looks first may drive the workflow.
    ///
    /// # Errors
    /// As [`Turn::write`].
    pub fn give_up(&self, number: Number) -> Result<()> {
        self.run(|sql| sql.execute("UPDATE workflows SET engine = NULL WHERE number = ?1", [number])).map(|_| ())
    }

    /// A request is answered.
    ///
    /// # Errors
    /// As [`Turn::write`].
    pub fn answered(&self, request: i64, error: Option<&str>, now: Timestamp) -> Result<()> {
        self.run(|sql| {
            sql.prepare_cached("UPDATE requests SET done_at = ?2, error = ?3 WHERE number = ?1")?.execute(params![
                request,
                now.to_string(),
                error
            ])
        })
        .map(|_| ())
    }

    /// Makes the turn true.
    ///
    /// # Errors
    /// When it cannot be written; nothing of it is.
    pub fn commit(self) -> Result<()> {
        let path = self.path;
        self.transaction.commit().map_err(|error| schema::fault(path, "write", &error))
    }
}

/// What makes the chances of a workflow its own.
#[must_use]
pub const fn seed(number: Number) -> u64 {
    number.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| format!("\"{error}\""))
}

#[cfg(test)]
mod tests;
