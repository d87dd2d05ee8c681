//! What outlives a process of its pools' work, in `mahavishnu.db`: the newest tasks, under numbers that are used once, and what
//! each pool has spent. No task is done again by the next server; its row says truly what became of it.
//!
//! What cannot be written, on a full disk, waits here and is written as soon as there is room.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use oneiric::fault::{Fault, Result};
use oneiric::paths::Home;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::lock;
use super::machine::TaskId;
use super::task::{REMEMBERED, TaskReport, TaskState};
use crate::workers::Spent;
use crate::workflows::schema;

/// Most changes that wait for room on the disk.
const MAX_OWED: usize = 10_000;

pub(super) struct Ledger {
    path: PathBuf,
    open: Mutex<Option<Connection>>,
    owed: Mutex<Vec<Change>>,
    /// Whether the last try to write failed, which is said once.
    failing: AtomicBool,
}

/// What a pool did before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Past {
    pub(super) spent: Spent,
    pub(super) done: u64,
}

/// A task that changed, and what its pool spent on it.
struct Change {
    task: TaskId,
    over: bool,
    report: String,
    spent: Option<(String, Spent)>,
}

/// What is known of a task, and whether that had to be found out anew since its owner is gone.
pub(super) struct Kept {
    pub(super) report: TaskReport,
    pub(super) settled: bool,
}

impl Ledger {
    pub(super) fn at(home: &Home) -> Self {
        Self {
            path: home.root().join("mahavishnu.db"),
            open: Mutex::default(),
            owed: Mutex::default(),
            failing: AtomicBool::new(false),
        }
    }

    fn write<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let mut open = lock(&self.open);
        let connection = match &mut *open {
            Some(connection) => connection,
            none => none.insert(schema::open_or_create(&self.path)?),
        };
        let written = (|| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })();
        written.map_err(|error| schema::fault(&self.path, "write", &error))
    }

    /// A new task of this owner. Gives its number, and forgets what is older than the newest that are kept.
    pub(super) fn add(&self, owner: &str, report: &TaskReport) -> Result<TaskId> {
        let text = text(report)?;
        self.write(|sql| {
            sql.execute("INSERT INTO pool_tasks (owner, over, report) VALUES (?1, 0, ?2)", params![owner, text])?;
            let number = sql.last_insert_rowid();
            let kept = i64::try_from(REMEMBERED).unwrap_or(i64::MAX);
            sql.execute("DELETE FROM pool_tasks WHERE number <= ?1 AND over", [number.saturating_sub(kept)])?;
            Ok(number.unsigned_abs())
        })
    }

    /// Writes down how a task is, and what it cost its pool.
    pub(super) fn put(&self, report: &TaskReport, spent: Option<(&str, Spent)>) {
        let Ok(text) = text(report) else { return };
        let spent = spent.map(|(pool, spent)| (pool.to_owned(), spent));
        let change = Change { task: report.task, over: report.is_over(), report: text, spent };
        let mut owed = lock(&self.owed);
        if owed.len() >= MAX_OWED {
            owed.remove(0);
        }
        owed.push(change);
        drop(owed);
        self.settle();
    }

    /// Writes what could not be written before.
    pub(super) fn settle(&self) {
        // Held until they are written, so that what is put later is written later.
        let mut owed = lock(&self.owed);
        if owed.is_empty() {
            return;
        }
        let written = self.write(|sql| {
            let mut task = sql.prepare_cached("UPDATE pool_tasks SET report = ?2, over = ?3 WHERE number = ?1")?;
            let mut pool = sql.prepare_cached(
                "UPDATE pool_spending SET usd = usd + ?2, tokens = tokens + ?3, done = done + 1 WHERE pool = ?1",
            )?;
            for change in owed.iter() {
                task.execute(params![signed(change.task), change.report, change.over])?;
                if let Some((name, spent)) = &change.spent {
                    pool.execute(params![name, spent.usd, signed(spent.tokens)])?;
                }
            }
            Ok(())
        });
        match written {
            Ok(()) => {
                owed.clear();
                self.failing.store(false, Ordering::Relaxed);
            }
            Err(_) if self.failing.swap(true, Ordering::Relaxed) => {}
            Err(fault) => tracing::warn!(%fault, "what became of tasks cannot be written down; it is tried again"),
        }
    }

    /// A pool that is new: nothing is spent.
    pub(super) fn begin(&self, pool: &str) -> Result<()> {
        self.write(|sql| {
            sql.execute("INSERT OR REPLACE INTO pool_spending (pool, usd, tokens, done) VALUES (?1, 0, 0, 0)", [pool])
        })
        .map(drop)
    }

    /// What a pool did so far, which goes on to be counted.
    pub(super) fn past(&self, pool: &str) -> Result<Past> {
        self.write(|sql| {
            sql.execute("INSERT OR IGNORE INTO pool_spending (pool, usd, tokens, done) VALUES (?1, 0, 0, 0)", [pool])?;
            let row = sql.query_row("SELECT usd, tokens, done FROM pool_spending WHERE pool = ?1", [pool], |row| {
                let (tokens, done): (i64, i64) = (row.get(1)?, row.get(2)?);
                let spent = Spent { usd: row.get(0)?, tokens: tokens.unsigned_abs() };
                Ok(Past { spent, done: done.unsigned_abs() })
            });
            row.optional().map(Option::unwrap_or_default)
        })
    }

    /// Forgets what all other pools spent: they are closed.
    pub(super) fn keep_only(&self, pools: &[&str]) -> Result<()> {
        self.write(|sql| {
            let known: Vec<String> = sql
                .prepare("SELECT pool FROM pool_spending")?
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            for gone in known.iter().filter(|name| !pools.contains(&name.as_str())) {
                sql.execute("DELETE FROM pool_spending WHERE pool = ?1", [gone])?;
            }
            Ok(())
        })
    }

    /// The newest tasks, oldest first. One that had not ended when its owner went away says so.
    pub(super) fn tasks(&self, lives: &dyn Fn(&str) -> bool) -> Result<Vec<Kept>> {
        let Some(connection) = schema::open_current(&self.path)? else { return Ok(Vec::new()) };
        let limit = i64::try_from(REMEMBERED).unwrap_or(i64::MAX);
        let rows = (|| {
            let mut rows =
                connection.prepare("SELECT number, owner, report FROM pool_tasks ORDER BY number DESC LIMIT ?1")?;
            rows.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<rusqlite::Result<Vec<(i64, String, String)>>>()
        })()
        .map_err(|error| schema::fault(&self.path, "read", &error))?;
        let kept = rows.into_iter().rev().filter_map(|(number, owner, text)| {
            let mut report: TaskReport = serde_json::from_str(&text).ok()?;
            report.task = number.unsigned_abs();
            let settled = !report.is_over() && !lives(&owner);
            if settled {
                gone(&mut report);
            }
            Some(Kept { report, settled })
        });
        Ok(kept.collect())
    }
}

/// Its owner was killed.
fn gone(report: &mut TaskReport) {
    let (state, note) = match report.state {
        TaskState::Waiting => (TaskState::Failed, "whoever was to do it was killed before it began"),
        _ => (TaskState::Unknown, "its server or command was killed while it ran: whether it finished is not known"),
    };
    (report.state, report.note) = (state, Some(note.to_owned()));
}

fn text(report: &TaskReport) -> Result<String> {
    serde_json::to_string(report).map_err(|error| Fault::internal(error.to_string()))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use oneiric::clock::Timestamp;

    use super::*;

    fn report(prompt: &str) -> TaskReport {
        TaskReport::new("a", prompt, "", Timestamp::from_micros(0))
    }

    #[test]
    fn numbers_are_used_once_and_only_the_newest_tasks_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(&Home::at(dir.path()));
        let open = ledger.add("me", &report("open")).unwrap();
        for _ in 0..REMEMBERED + 5 {
            let mut done = report("done");
            done.task = ledger.add("me", &done).unwrap();
            done.state = TaskState::Completed;
            ledger.put(&done, None);
        }
        drop(ledger);
        let ledger = Ledger::at(&Home::at(dir.path()));
        assert_eq!(ledger.add("me", &report("next")).unwrap(), open + u64::try_from(REMEMBERED).unwrap() + 6);
        let rows = ledger.write(|sql| sql.query_row("SELECT count(*) FROM pool_tasks", [], |row| row.get::<_, i64>(0)));
        // What has not ended is never forgotten.
        assert_eq!(rows.unwrap(), i64::try_from(REMEMBERED).unwrap() + 1);
        assert_eq!(ledger.tasks(&|_| true).unwrap().len(), REMEMBERED);
    }

    #[test]
    fn a_task_of_an_owner_that_is_gone_is_unknown_or_never_began() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(&Home::at(dir.path()));
        let mut running = report("running");
        running.task = ledger.add("gone", &running).unwrap();
        running.state = TaskState::Running;
        ledger.put(&running, None);
        ledger.add("gone", &report("waiting")).unwrap();
        ledger.add("alive", &report("another")).unwrap();
        let kept = ledger.tasks(&|owner| owner == "alive").unwrap();
        let told: Vec<(TaskState, bool)> = kept.iter().map(|kept| (kept.report.state, kept.settled)).collect();
        assert_eq!(
            told,
            [(TaskState::Unknown, true), (TaskState::Failed, true), (TaskState::Waiting, false)],
            "by the owner's life"
        );
        assert!(kept[0].report.note.as_deref().unwrap().contains("killed"));
    }

    #[test]
    fn what_could_not_be_written_is_written_later_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        let ledger = Ledger::at(&home);
        ledger.begin("a").unwrap();
        let mut done = report("x");
        done.task = ledger.add("me", &done).unwrap();
        done.state = TaskState::Completed;
        // The database cannot be opened for a while.
        *lock(&ledger.open) = None;
        let (file, away) = (dir.path().join("mahavishnu.db"), dir.path().join("away"));
        std::fs::rename(&file, &away).unwrap();
        std::fs::create_dir(&file).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o700)).unwrap();
        ledger.put(&done, Some(("a", Spent { usd: 0.25, tokens: 7 })));
        assert_eq!(lock(&ledger.owed).len(), 1);
        std::fs::remove_dir(&file).unwrap();
        std::fs::rename(&away, &file).unwrap();
        ledger.settle();
        ledger.settle();
        assert_eq!(ledger.past("a").unwrap(), Past { spent: Spent { usd: 0.25, tokens: 7 }, done: 1 });
        assert_eq!(ledger.tasks(&|_| false).unwrap()[0].report.state, TaskState::Completed);
        ledger.keep_only(&["b"]).unwrap();
        assert_eq!(ledger.past("a").unwrap(), Past::default());
    }
}
