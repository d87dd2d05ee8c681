//! The schema's versions. A database is brought up to date when it is opened for writing; a newer one is refused.

use oneiric::clock::Timestamp;
use oneiric::fault::Fault;
use rusqlite::{Connection, TransactionBehavior};

use super::connection::Place;
use super::failure::Failure;
use super::stray;

/// Version that this program writes.
pub const SCHEMA_VERSION: u32 = 3;

struct Migration {
    version: u32,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: [Migration; SCHEMA_VERSION as usize] = [
    Migration { version: 1, name: "sessions", sql: include_str!("../../migrations/0001_sessions.sql") },
    Migration { version: 2, name: "archive", sql: include_str!("../../migrations/0002_archive.sql") },
    Migration { version: 3, name: "words", sql: include_str!("../../migrations/0003_words.sql") },
];

/// The version that the database has; 0 when it is empty.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Applies what is missing, in one transaction; several processes may try at once.
pub(super) fn migrate(connection: &mut Connection, now: Timestamp) -> Result<(), Failure> {
    migrate_to(connection, now, SCHEMA_VERSION)
}

/// The same up to a version that may be an older one.
pub(super) fn migrate_to(connection: &mut Connection, now: Timestamp, goal: u32) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    if found > SCHEMA_VERSION {
        return Err(newer(&transaction, found).into());
    }
    if found == 0 {
        let tables: u32 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if tables > 0 {
            return Err(foreign(&transaction).into());
        }
        transaction.execute_batch(
            "CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TIMESTAMP NOT NULL)",
        )?;
        let lineage: i32 = transaction.query_row("SELECT random() & 0x3fffffff", [], |row| row.get(0))?;
        stray::set(&transaction, lineage)?;
    }
    for migration in MIGRATIONS.iter().filter(|migration| (found + 1..=goal).contains(&migration.version)) {
        transaction.execute_batch(migration.sql)?;
        transaction.execute(
            "INSERT INTO schema_migrations (version, name, applied_at) VALUES (?1, ?2, ?3)",
            (migration.version, migration.name, now.to_string()),
        )?;
    }
    transaction.pragma_update(None, "user_version", goal)?;
    transaction.commit()?;
    Ok(())
}

/// Refuses a version that this program cannot read.
pub(super) fn readable(found: u32, place: &Place) -> Result<(), Failure> {
    let at = place.shown();
    match found {
        0 => Err(Fault::config(format!("{at} holds no sessions yet, and cannot be written"))
            .hint("make the file and its folder writable, or name another file")
            .into()),
        SCHEMA_VERSION => Ok(()),
        older if older < SCHEMA_VERSION => Err(Fault::config(format!(
            "the database {at} has schema {older}, and cannot be written to bring it to {SCHEMA_VERSION}"
        ))
        .hint("open it once where it can be written")
        .into()),
        newer => Err(too_new(&at, newer).into()),
    }
}

fn newer(connection: &Connection, found: u32) -> Fault {
    too_new(connection.path().unwrap_or("memory"), found)
}

fn too_new(at: &str, found: u32) -> Fault {
    Fault::config(format!("the database {at} has schema {found}, which is newer than this program's {SCHEMA_VERSION}"))
        .hint("use the program version that made it, or name another file")
}

fn foreign(connection: &Connection) -> Fault {
    Fault::config(format!("{} is a database of something else", connection.path().unwrap_or("memory")))
        .hint("name another file")
}
