//! How a workflow comes back from its rows, and what becomes of one that does not.

use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, Result};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};

use super::{Number, Turn, seed};
use crate::workflows::fact::{Ending, StepState};
use crate::workflows::machine::{Machine, Standing, Step};
use crate::workflows::plan::{Plan, StepIndex};
use crate::workflows::{invalid, schema, status, time};

impl Turn<'_> {
    /// The machine of a workflow as it stands now, and stays until this turn is over.
    ///
    /// # Errors
    /// As [`Journal::reload`].
    pub fn read(&self, number: Number) -> Result<Machine> {
        let find = "SELECT plan FROM plans WHERE workflow = ?1";
        let plan: Option<String> = self.run(|sql| sql.query_row(find, [number], |row| row.get(0)).optional())?;
        self.machine(number, plan.as_deref())
    }

    /// A workflow whose rows cannot be understood has failed: nobody can say what is left to do.
    ///
    /// # Errors
    /// As [`Turn::write`].
    pub fn abandon(&self, number: Number, id: &str, why: &Fault, now: Timestamp) -> Result<()> {
        let printed = self.path.with_file_name("workflows").join(id);
        let error = format!("{why}; what its steps printed is in {}: look there, then run it anew", printed.display());
        self.run(|sql| {
            sql.execute(
                "UPDATE workflows SET status = 'failed', error = ?2, ended_at = ?3, running = 0, waiting_for_someone = 0,
                        stuck = 0 WHERE number = ?1",
                params![number, error, now.to_string()],
            )
        })
        .map(|_| ())
    }

    pub(super) fn machine(&self, number: Number, plan: Option<&str>) -> Result<Machine> {
        let plan = plan.ok_or_else(|| Fault::internal("the workflow has no plan"))?;
        let plan: Plan = serde_json::from_str(plan)
            .map_err(|error| Fault::internal(format!("the workflow's plan cannot be read: {error}")))?;
        let read = |sql: &Connection| -> rusqlite::Result<_> {
            let standing = sql
                .prepare_cached("SELECT status, started_at, cancel, out_of_time FROM workflows WHERE number = ?1")?
                .query_row([number], |row| {
                    Ok(Standing {
                        status: status(row, 0)?,
                        started_at: time(row, 1)?,
                        cancel: row.get(2)?,
                        out_of_time: row.get(3)?,
                    })
                })?;
            let rows = sql
                .prepare_cached(
                    "SELECT step, state, attempt, forgiven, started_at, ended_at, until, run, ending FROM steps WHERE workflow = ?1",
                )?
                .query_map([number], read_step)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            Ok((standing, rows))
        };
        let (standing, rows) = read(&self.transaction).map_err(|error| match error.sqlite_error_code() {
            // Not the database says so, but whoever reads what it gave.
            None => Fault::internal(format!("its journal cannot be understood: {}", schema::words(&error))),
            Some(ErrorCode::DatabaseCorrupt) => Fault::internal(format!("its journal is damaged: {error}")),
            Some(_) => schema::fault(self.path, "read", &error),
        })?;
        Machine::restore(plan, seed(number), rows, standing)
    }
}

/// A row of `steps`.
pub(in crate::workflows) fn read_step(row: &Row<'_>) -> rusqlite::Result<(StepIndex, Step)> {
    let name: String = row.get(1)?;
    let state = StepState::ALL.into_iter().find(|state| state.as_str() == name);
    let ending: Option<String> = row.get(8)?;
    let ending = ending.map(|text| serde_json::from_str::<Ending>(&text)).transpose();
    let step = Step {
        state: state.ok_or_else(|| invalid(1, format!("'{name}' is no state of a step")))?,
        attempt: row.get(2)?,
        forgiven: row.get(3)?,
        started_at: time(row, 4)?,
        ended_at: time(row, 5)?,
        until: time(row, 6)?,
        run: row.get(7)?,
        ending: ending.map_err(|error| invalid(8, error.to_string()))?,
    };
    Ok((row.get(0)?, step))
}
