//! Ten times the size, for lists alone: a million sessions and twenty million events.
//!
//! Written as SQL into the store's own schema with all its tables and indexes, in key order, which takes minutes instead
//! of an hour. Two things differ from ingestion, and a list touches neither: ids are short and events hold no data, so
//! that the file stays near 4 GB, and events are not put into the search index.

use rusqlite::Connection;
use std::fs;
use std::sync::Arc;

use oneiric::clock::SystemClock;
use session_store::sqlite::{Options, SCHEMA_VERSION, SqliteStore};

use super::corpus::EVENTS_A_SESSION;
use super::database::{Filled, database, remove_older};
use super::{Bench, timed};
use crate::Result;
use crate::program::Sandbox;

const SESSIONS: u64 = 1_000_000;
const SESSIONS_QUICK: u64 = 50_000;

/// Changes when the statements below do.
const VERSION: u32 = 2;

/// The home with the large database: as it was kept, or made now.
pub(crate) fn filled(bench: &Bench) -> Result<Filled> {
    let sessions = if bench.quick { SESSIONS_QUICK } else { SESSIONS };
    let root = bench.folder.join(format!("big-{sessions}-schema{SCHEMA_VERSION}-v{VERSION}"));
    let complete = root.join("complete");
    if !complete.exists() {
        remove_older(&bench.folder, &format!("big-{sessions}-"))?;
        let sandbox = Sandbox::kept(root.clone())?;
        let (taken, done) = timed(|| fill(&sandbox, sessions));
        done?;
        eprintln!("bench: wrote {} events in {:.0} s", sessions * EVENTS_A_SESSION, taken.as_secs_f64());
        fs::write(&complete, "")?;
    }
    Ok(Filled { sandbox: Sandbox::kept(root)?, sessions })
}

fn fill(sandbox: &Sandbox, sessions: u64) -> Result {
    let path = database(sandbox);
    if let Some(home) = path.parent() {
        fs::create_dir_all(home)?;
    }
    // The store makes the schema.
    drop(SqliteStore::open(&path, Options::new(Arc::new(SystemClock)))?);
    let connection = Connection::open(&path)?;
    connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -262144; PRAGMA temp_store = MEMORY;")?;
    let step = 50_000;
    let mut first = 0;
    while first < sessions {
        let end = (first + step).min(sessions);
        connection.execute_batch("BEGIN")?;
        connection.execute(SESSIONS_SQL, (first as i64, end as i64, EVENTS_A_SESSION as i64))?;
        connection.execute(EVENTS_SQL, (first as i64, end as i64, EVENTS_A_SESSION as i64))?;
        connection.execute_batch("COMMIT")?;
        first = end;
    }
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}

const SESSIONS_SQL: &str = "
    WITH RECURSIVE number(n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM number WHERE n + 1 < ?2)
    INSERT INTO sessions (session_id, component, session_type, start_time, end_time, duration_seconds, command_count,
        metadata, created_at, updated_at, status, event_count, last_event_time, project, hostname, username, pid, cwd,
        shell_type, start_event_id, end_event_id)
    SELECT printf('big-%07x', n),
        CASE WHEN n % 10 < 7 THEN 'mahavishnu' ELSE 'session-buddy' END, 'admin_shell',
        strftime('%Y-%m-%dT%H:%M:%S.000000Z', 1767225600 + n * 60, 'unixepoch'),
        strftime('%Y-%m-%dT%H:%M:%S.000000Z', 1767225640 + n * 60, 'unixepoch'), 40.0, ?3 - 4,
        '{\"env\":{\"SHELL\":\"/bin/bash\"},\"git_branch\":\"main\"}',
        strftime('%Y-%m-%dT%H:%M:%S.000000Z', 1767225600 + n * 60, 'unixepoch'),
        strftime('%Y-%m-%dT%H:%M:%S.000000Z', 1767225640 + n * 60, 'unixepoch'), 'ended', ?3,
        strftime('%Y-%m-%dT%H:%M:%S.000000Z', 1767225640 + n * 60, 'unixepoch'),
        printf('project-%03d', n % 200), 'bench', 'measurer', 1000 + n % 30000,
        printf('/home/measurer/project-%03d', n % 200), 'MahavishnuShell', printf('%x-0', n), printf('%x-%d', n, ?3 - 1)
    FROM number";

const EVENTS_SQL: &str = "
    WITH RECURSIVE number(n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM number WHERE n + 1 < ?2),
        step(e) AS (SELECT 0 UNION ALL SELECT e + 1 FROM step WHERE e + 1 < ?3)
    INSERT INTO session_events (seq, event_id, session_id, event_type, timestamp, data, sequence, received_at)
    SELECT n * ?3 + e + 1, printf('%x-%d', n, e), printf('big-%07x', n),
        CASE e WHEN 0 THEN 'session_start' WHEN ?3 - 1 THEN 'session_end' ELSE 'command' END,
        strftime('%Y-%m-%dT%H:%M:%S.000000Z', 1767225600 + n * 60 + e * 2, 'unixepoch'), '{}', e,
        strftime('%Y-%m-%dT%H:%M:%S.000000Z', 1767225600 + n * 60 + e * 2, 'unixepoch')
    FROM number CROSS JOIN step ORDER BY n, e";
