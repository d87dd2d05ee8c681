//! The database file: opened, created with the right access rights, brought to the current schema.

use std::path::Path;
use std::time::Duration;

use oneiric::clock::{Clock, SystemClock};
use oneiric::fault::{Fault, Result};
use oneiric::paths::{self, Home, plain};
use rusqlite::{Connection, ErrorCode, OpenFlags};

/// Each entry brings the schema from its index to the next version; `user_version` counts them.
const MIGRATIONS: [&str; 5] = ["
    CREATE TABLE workflows (
        id          TEXT PRIMARY KEY,
        task        TEXT NOT NULL,
        repo        TEXT NOT NULL,
        status      TEXT NOT NULL CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled', 'timeout')),
        created_at  TEXT NOT NULL,
        started_at  TEXT,
        ended_at    TEXT,
        progress    REAL NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 1),
        exit_code   INTEGER,
        error       TEXT
    );
    -- Newest first, and the few that are active, without reading the rest. Retention: ended ones go after 90 days.
    CREATE INDEX workflows_created ON workflows (created_at DESC, id DESC);
    CREATE INDEX workflows_status ON workflows (status, created_at DESC, id DESC);
    CREATE INDEX workflows_ended ON workflows (ended_at) WHERE ended_at IS NOT NULL;
", "
    -- Workflows of several steps. Retention: ended ones go after 90 days, and all their rows with them.
    DROP INDEX workflows_created;
    DROP INDEX workflows_status;
    DROP INDEX workflows_ended;
    ALTER TABLE workflows RENAME TO single;
    CREATE TABLE workflows (
        number      INTEGER PRIMARY KEY,
        id          TEXT NOT NULL UNIQUE,
        task        TEXT NOT NULL,
        repo        TEXT NOT NULL,
        status      TEXT NOT NULL CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled', 'timeout')),
        created_at  TEXT NOT NULL,
        started_at  TEXT,
        ended_at    TEXT,
        progress    REAL NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 1),
        exit_code   INTEGER,
        error       TEXT,
        -- What is to be done (JSON); nothing for those of the first schema.
        plan        TEXT,
        -- Asking twice with one key makes one workflow.
        key         TEXT UNIQUE,
        digest      TEXT,
        -- Who asked, and the schedule that it came from.
        asked_by    TEXT,
        schedule    TEXT,
        -- The engine that drives it; none while it waits for one.
        engine      TEXT,
        cancel      INTEGER NOT NULL DEFAULT 0,
        out_of_time INTEGER NOT NULL DEFAULT 0,
        steps       INTEGER NOT NULL DEFAULT 1,
        running     INTEGER NOT NULL DEFAULT 0,
        completed   INTEGER NOT NULL DEFAULT 0,
        failed      INTEGER NOT NULL DEFAULT 0,
        waiting_for_someone INTEGER NOT NULL DEFAULT 0,
        -- Nothing happens any more until a person has spoken.
        stuck       INTEGER NOT NULL DEFAULT 0
    );
    INSERT INTO workflows (id, task, repo, status, created_at, started_at, ended_at, progress, exit_code, error)
        SELECT id, task, repo, CASE WHEN status IN ('pending', 'running') THEN 'cancelled' ELSE status END, created_at,
               started_at, coalesce(ended_at, created_at), progress, exit_code, error FROM single ORDER BY created_at, id;
    DROP TABLE single;
    CREATE INDEX workflows_created ON workflows (created_at DESC, id DESC);
    CREATE INDEX workflows_status ON workflows (status, created_at DESC, id DESC);
    CREATE INDEX workflows_ended ON workflows (ended_at) WHERE ended_at IS NOT NULL;
    CREATE INDEX workflows_open ON workflows (engine) WHERE status IN ('pending', 'running');
    CREATE TABLE steps (
        workflow    INTEGER NOT NULL,
        step        INTEGER NOT NULL,
        state       TEXT NOT NULL,
        attempt     INTEGER NOT NULL,
        forgiven    INTEGER NOT NULL,
        started_at  TEXT,
        ended_at    TEXT,
        until       TEXT,
        run         TEXT,
        ending      TEXT,
        PRIMARY KEY (workflow, step)
    ) WITHOUT ROWID;
    CREATE TABLE facts (
        workflow    INTEGER NOT NULL,
        n           INTEGER NOT NULL,
        at          TEXT NOT NULL,
        fact        TEXT NOT NULL,
        PRIMARY KEY (workflow, n)
    ) WITHOUT ROWID;
    -- Who is at work in which folder. Rows go with the step that holds them.
    CREATE TABLE leases (
        dir         TEXT PRIMARY KEY,
        engine      TEXT NOT NULL,
        workflow    INTEGER NOT NULL,
        step        INTEGER NOT NULL,
        since       TEXT NOT NULL
    ) WITHOUT ROWID;
    -- What people want from the engine that drives a workflow. Retention: answered ones go after a day.
    CREATE TABLE requests (
        number      INTEGER PRIMARY KEY,
        workflow    INTEGER NOT NULL,
        body        TEXT NOT NULL,
        at          TEXT NOT NULL,
        done_at     TEXT,
        error       TEXT
    );
    CREATE INDEX requests_open ON requests (workflow) WHERE done_at IS NULL;
", "
    -- Work that is asked for again and again. Retention: a schedule stays until it is removed.
    CREATE TABLE schedules (
        id          TEXT PRIMARY KEY,
        name        TEXT NOT NULL UNIQUE,
        cron        TEXT NOT NULL,
        zone        TEXT NOT NULL,
        misfire     TEXT NOT NULL CHECK (misfire IN ('skip', 'latest', 'all')),
        -- What runs (JSON), and in a few words.
        work        TEXT NOT NULL,
        title       TEXT NOT NULL,
        asked_by    TEXT NOT NULL,
        created_at  TEXT NOT NULL,
        paused      INTEGER NOT NULL DEFAULT 0,
        -- What was due until then has been dealt with; it only moves forward.
        cursor      TEXT NOT NULL,
        next        TEXT,
        last_due    TEXT,
        last_workflow TEXT,
        left_out    INTEGER NOT NULL DEFAULT 0,
        error       TEXT
    );
    CREATE INDEX schedules_next ON schedules (next) WHERE paused = 0;
    CREATE INDEX workflows_schedule ON workflows (schedule, number) WHERE schedule IS NOT NULL;
", "
    -- Runs that are due while an earlier one of their schedule has not ended.
    ALTER TABLE schedules ADD COLUMN overlap TEXT NOT NULL DEFAULT 'skip'
        CHECK (overlap IN ('skip', 'queue', 'replace', 'allow'));
    UPDATE schedules SET overlap = 'queue' WHERE misfire = 'all';
    -- How many were skipped so far, when the last one was due, and the workflow that was in its way.
    ALTER TABLE schedules ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE schedules ADD COLUMN skipped_due TEXT;
    ALTER TABLE schedules ADD COLUMN skipped_for TEXT;
    -- Whether it waits for the earlier runs of its schedule.
    ALTER TABLE workflows ADD COLUMN queued INTEGER NOT NULL DEFAULT 0;
", "
    -- Plans (JSON) apart: they grow with the repositories, and what else a workflow's row tells is read and written all the time.
    -- Retention: they go with their workflow.
    CREATE TABLE plans (
        workflow    INTEGER PRIMARY KEY,
        plan        TEXT NOT NULL
    );
    INSERT INTO plans (workflow, plan) SELECT number, plan FROM workflows WHERE plan IS NOT NULL;
    ALTER TABLE workflows DROP COLUMN plan;
    -- Tasks of pools, under numbers that are used once. Retention: the newest thousand, and what has not ended.
    CREATE TABLE pool_tasks (
        number      INTEGER PRIMARY KEY AUTOINCREMENT,
        -- Whose pools did it, as the lock is called that shows whether they are there.
        owner       TEXT NOT NULL,
        over        INTEGER NOT NULL,
        -- What is known of it (JSON).
        report      TEXT NOT NULL
    );
    -- What pools have spent since they were made. Retention: until the pool is closed.
    CREATE TABLE pool_spending (
        pool        TEXT PRIMARY KEY,
        usd         REAL NOT NULL,
        tokens      INTEGER NOT NULL,
        done        INTEGER NOT NULL
    ) WITHOUT ROWID;
"];

/// Least bytes that a database needs to be opened: the index of its log.
const ROOM: u64 = 64 * 1024;

/// How long a writer waits for another one.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens the database when it exists and has tables.
pub(crate) fn open_existing(path: &Path) -> Result<Option<Connection>> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() == 0 => return Ok(None),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let message = format!("cannot read {}: {}", path.display(), plain(&error));
            return Err(Fault::unavailable(message).hint("make the home readable"));
        }
    }
    // A database in write-ahead mode is read best by who may write beside it; a read-only home still can be read.
    let connection =
        open(path, OpenFlags::SQLITE_OPEN_READ_WRITE).or_else(|_| open(path, OpenFlags::SQLITE_OPEN_READ_ONLY))?;
    match version(&connection, path)? {
        0 => Ok(None),
        _ => Ok(Some(connection)),
    }
}

/// Opens the database when it exists, brought to the current schema.
pub(crate) fn open_current(path: &Path) -> Result<Option<Connection>> {
    let Some(connection) = open_existing(path)? else { return Ok(None) };
    if version(&connection, path)? < MIGRATIONS.len() {
        return open_or_create(path).map(Some);
    }
    Ok(Some(connection))
}

/// Opens the database, creating it and its tables when they are not there.
pub(crate) fn open_or_create(path: &Path) -> Result<Connection> {
    if let Some(parent) = path.parent() {
        Home::at(parent).ensure(parent)?;
    }
    if !path.exists() {
        // Created here, so that it is private from its first byte on.
        paths::private_file().write(true).create(true).truncate(false).open(path).map_err(|error| {
            Fault::unavailable(format!("cannot create {}: {}", path.display(), plain(&error)))
                .hint("make the home writable and free some space, or move the home")
        })?;
    }
    let mut connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    write_ahead(&connection, path)?;
    let from = version(&connection, path)?;
    if from < MIGRATIONS.len() {
        migrate(&mut connection).map_err(|error| fault(path, "upgrade", &error))?;
    }
    Ok(connection)
}

/// Turns the write-ahead log on. SQLite does not wait for others while it does that, as it does elsewhere.
fn write_ahead(connection: &Connection, path: &Path) -> Result<()> {
    let limit = SystemClock.monotonic() + PATIENCE;
    loop {
        let turned = connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()));
        match turned {
            Ok(()) => return Ok(()),
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && SystemClock.monotonic() < limit =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(fault(path, "write", &error)),
        }
    }
}

fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    // Another process may have been first.
    let from: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (version, migration) in (1_i64..).zip(MIGRATIONS).skip(usize::try_from(from).unwrap_or(0)) {
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", version)?;
    }
    transaction.commit()
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| fault(path, "open", &error))?;
    let set = connection.busy_timeout(PATIENCE).and_then(|()| connection.pragma_update(None, "synchronous", "NORMAL"));
    set.map_err(|error| fault(path, "open", &error))?;
    Ok(connection)
}

fn version(connection: &Connection, path: &Path) -> Result<usize> {
    let version: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| fault(path, "read", &error))?;
    match usize::try_from(version) {
        Ok(version) if version <= MIGRATIONS.len() => Ok(version),
        _ => Err(Fault::config(format!("{} was written by a newer version of this program", path.display()))
            .hint("use that version, or move the file away")),
    }
}

/// Whether the disk of this file has no room for what is written next to it.
#[must_use]
pub fn is_disk_full(path: &Path) -> bool {
    let folder = path.ancestors().find(|folder| folder.is_dir()).unwrap_or(path);
    rustix::fs::statvfs(folder).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM)
}

fn full(path: &Path, what: &str) -> Fault {
    Fault::unavailable(format!("cannot {what} {}: the disk is full", path.display()))
        .hint("free some space there, or move the home to another disk")
}

/// Words for what the database said.
pub(crate) fn fault(path: &Path, what: &str, error: &rusqlite::Error) -> Fault {
    let shown = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Fault::unavailable(format!(
            "{shown} is damaged or no database"
        ))
        .hint(format!("move it away (mv {shown} {shown}.damaged): a new one is made, without what this one held")),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Fault::unavailable(format!("{shown} is in use by another process")).hint("try again")
        }
        Some(ErrorCode::DiskFull) => full(path, what),
        // The files beside the database cannot grow either, which SQLite calls an error of the disk.
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) if is_disk_full(path) => full(path, what),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            Fault::unavailable(format!("cannot {what} {shown}: it may not be written or read"))
                .hint("check its access rights")
        }
        _ => Fault::unavailable(format!("cannot {what} {shown}: {}", words(error))),
    }
}

/// An error of the database, or of whoever reads what it gave, as people say it.
pub(crate) fn words(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::FromSqlConversionFailure(_, _, why) => why.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflows::plan::{Plan, Policy, Task, Work};
    use crate::workflows::{Which, Workflows};

    #[test]
    fn a_database_of_any_earlier_version_is_read_as_if_it_were_of_this_one() {
        for version in 2..MIGRATIONS.len() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("mahavishnu.db");
            let old = Connection::open(&path).unwrap();
            for migration in &MIGRATIONS[..version] {
                old.execute_batch(migration).unwrap();
            }
            old.pragma_update(None, "user_version", i64::try_from(version).unwrap()).unwrap();
            let work = Work::Approval { question: "Go?".into() };
            let task = Task { name: "t".into(), work, once: true, after: Vec::new(), policy: Policy::default() };
            let plan = Plan { tasks: vec![task], repos: Vec::new(), parallel: 1, fail_fast: false, time_limit: None };
            let insert = "INSERT INTO workflows (id, task, repo, status, created_at, plan)
                          VALUES ('w1', 't', '', 'completed', '2026-11-22T18:09:36.000000Z', ?1)";
            old.execute(insert, [serde_json::to_string(&plan).unwrap()]).unwrap();
            drop(old);
            let table = Workflows::at(&path);
            let found = table.list(Which::All, 10).unwrap();
            assert_eq!(table.steps(&found[0]).unwrap().0, plan, "version {version}");
        }
    }
}
