//! A log that belongs to another database is set aside before SQLite sees it.
//!
//! A killed process leaves its log (`sessions.db-wal`) behind. When somebody then copies a backup over `sessions.db`, SQLite
//! would take the pages of that log for newer ones of the copy, and mix two databases. Nothing in the two files says that they
//! belong together, so each transaction of this program counts up a number on the first page ([`advance`]). A log fits when it
//! goes on where the file stops: see [`Frames::fit`].

mod frames;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use oneiric::clock::SystemClock;
use oneiric::fault::{Fault, Result};
use oneiric::paths::{plain, private_file};
use rusqlite::Connection;
use rustix::fs::{FlockOperation, fcntl_lock};

use super::snapshot::{beside, stamp};
use frames::{FirstPage, Frames};

/// Files that this process looked at. A second look could take locks away from connections that it has open by then.
static SEEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A log that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// The log's former name.
    pub log: PathBuf,
    /// Where it is now.
    pub kept: PathBuf,
}

impl std::fmt::Display for Aside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} set aside as {}: it belongs to another database than the one that stands here now",
            self.log.display(),
            self.kept.file_name().unwrap_or_default().to_string_lossy()
        )
    }
}

/// Counts the number up that ties the log to its database; within each writing transaction.
pub(super) fn advance(connection: &Connection) -> rusqlite::Result<()> {
    let number: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    set(connection, number.wrapping_add(1))
}

/// The same for a transaction that may have changed nothing, which then costs no write.
pub(super) fn advance_since(connection: &Connection, changes_before: u64) -> rusqlite::Result<()> {
    if connection.total_changes() == changes_before { Ok(()) } else { advance(connection) }
}

/// Gives it a value.
pub(super) fn set(connection: &Connection, number: i32) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("PRAGMA application_id = {number}"))
}

/// The number.
pub(super) fn number(connection: &Connection) -> rusqlite::Result<i32> {
    connection.query_row("PRAGMA application_id", [], |row| row.get(0))
}

/// Sets the log beside the database at `path` aside when it is another database's. Call it before this process opens the
/// file; only the first call for a file looks. A log that a living process uses is left alone, and so is one in a folder
/// that cannot be written.
///
/// # Errors
/// `Unavailable` when such a log cannot be moved: the database must not be opened then.
pub fn set_aside(path: &Path) -> Result<Option<Aside>> {
    // Two names of one file are one file; one that is not there yet may be known by either later.
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = seen.contains(path) || seen.contains(&real);
    seen.extend([path.to_path_buf(), real.clone()]);
    drop(seen);
    if known { Ok(None) } else { look(&real) }
}

fn look(path: &Path) -> Result<Option<Aside>> {
    // SQLite follows a link, and keeps its log beside the file that it leads to.
    let log = beside(path, "-wal");
    if fs::metadata(&log).map_or(0, |meta| meta.len()) == 0 {
        return Ok(None);
    }
    // Whoever uses the log holds a lock on its index; while this one is held, nobody begins to.
    let index = beside(path, "-shm");
    let Ok(lock) = private_file().read(true).write(true).create(true).truncate(false).open(&index) else {
        return Ok(None);
    };
    if fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(None);
    }
    match belongs(path, &log) {
        Ok(true) => return Ok(None),
        Ok(false) => {}
        // What cannot be read is told by whoever opens it.
        Err(_) => return Ok(None),
    }
    let base = beside(&log, &format!(".aside-{}", stamp(&SystemClock)));
    let kept = (0..1000)
        .map(|number| if number == 0 { base.clone() } else { beside(&base, &format!("-{number}")) })
        .find(|name| !name.exists())
        .unwrap_or(base);
    fs::rename(&log, &kept).map_err(|error| {
        Fault::unavailable(format!(
            "{} belongs to another database and cannot be set aside: {}",
            log.display(),
            plain(&error)
        ))
        .hint("move it away: opened with it, the database would be damaged")
    })?;
    // Derived from the log. The lock goes with the file, whose next one is made by whoever opens the database.
    let _ = fs::remove_file(&index);
    drop(lock);
    Ok(Some(Aside { log, kept }))
}

/// Whether SQLite may take in the log beside this database: it goes on where the file stops, or nothing would come of it.
pub(crate) fn belongs(path: &Path, log: &Path) -> std::io::Result<bool> {
    let mut first = Vec::new();
    if path.exists() {
        File::open(path)?.take(65_536).read_to_end(&mut first)?;
    }
    if !first.is_empty() && FirstPage::of(&first).is_none() {
        // No database stands there: whoever mends it may need the log, and SQLite opens neither.
        return Ok(true);
    }
    let Some(frames) = Frames::read(log, FirstPage::of(&first).map(|page| page.bytes))? else {
        // SQLite would take nothing from it.
        return Ok(true);
    };
    Ok(FirstPage::of(&first).is_some_and(|page| frames.fit(&page)))
}

#[cfg(test)]
#[path = "stray/tests.rs"]
mod tests;
