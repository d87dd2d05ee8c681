//! Whole databases as files: copied while others write, examined before they are believed, put in the place of another.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use oneiric::clock::{Clock, SystemClock};
use oneiric::fault::{Fault, Result};
use oneiric::paths::{plain, private_file};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::connection::{Access, Place};
use super::failure::Failure;
use super::{SCHEMA_VERSION, checkup, migrations, stray};
use crate::upkeep::Progress;

/// Pages that are copied between two looks at the time: 4 MiB.
const STEP_PAGES: i32 = 1_024;
/// Pause while the file is locked, and tries until that counts as too long: about a minute.
const PAUSE: Duration = Duration::from_millis(5);
const TRIES: u32 = 12_000;
/// How long readers of the old content are waited for, when all is done.
const LAST_WAIT: Duration = Duration::from_secs(1);
/// How long writers are waited for, and after which time that is told.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const TELL_AFTER: Duration = Duration::from_secs(1);

/// What a database holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Version of its schema.
    pub schema: u32,
    /// Sessions, archived ones among them.
    pub sessions: u64,
    /// Events, archived ones among them.
    pub events: u64,
    /// What is wrong with it and keeps nobody from using it; `doctor --fix` mends it.
    pub remarks: Vec<String>,
}

fn place(path: &Path) -> Place {
    Place::File { path: path.to_path_buf(), access: Access::ReadWrite }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_WRITE)
        .or_else(|_| Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_ONLY))?;
    connection.busy_timeout(Duration::from_secs(60))?;
    // No function that a stranger's file calls can do harm. Triggers would run all the same: see `examine`.
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

/// Copies the database at `from`, as it is at this moment, to the new file `to` (mode 0600). Others go on writing
/// meanwhile. The copy is one file, without a log beside it, and on disk when this returns.
///
/// # Errors
/// `Unavailable` when one of them cannot be read or written; `to` is of no use then.
pub fn copy(from: &Path, to: &Path, progress: Progress<'_>) -> Result<()> {
    let copied = (|| {
        let source = open(from)?;
        // One snapshot from beginning to end: without it, every change by another process would begin the copy anew.
        source.execute_batch("BEGIN")?;
        source.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        private_file().write(true).create_new(true).open(to).map_err(|error| unwritable(to, &error))?;
        let mut target = open(to)?;
        // Nobody sees it before it is whole, so nothing has to be undone in it.
        target.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")?;
        let backup = Backup::new(&source, &mut target)?;
        run(&backup, progress)?;
        drop(backup);
        drop(target);
        single(to)
    })();
    copied.map_err(|failure: Failure| failure.tell(&place(from)))?;
    File::open(to).and_then(|file| file.sync_all()).map_err(|error| unwritable(to, &error))
}

/// Copies page after page until the end.
fn run(backup: &Backup<'_, '_>, progress: Progress<'_>) -> Result<(), Failure> {
    let mut tries = 0;
    loop {
        match backup.step(STEP_PAGES)? {
            StepResult::Done => return Ok(()),
            StepResult::More => {
                tries = 0;
                let now = backup.progress();
                let (rest, all) = (u64::try_from(now.remaining), u64::try_from(now.pagecount));
                if let (Ok(rest), Ok(all)) = (rest, all) {
                    progress(all.saturating_sub(rest), all);
                }
            }
            _ if tries < TRIES => {
                tries += 1;
                std::thread::sleep(PAUSE);
            }
            _ => {
                return Err(Fault::unavailable("another program kept the database to itself for too long")
                    .hint("end that program or wait for it, then try again")
                    .into());
            }
        }
    }
}

/// Makes the database one file without a log.
fn single(path: &Path) -> Result<(), Failure> {
    let connection = open(path)?;
    connection.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    Ok(())
}

/// Makes the log beside the database at `path` a part of it. The files should be nobody else's.
///
/// # Errors
/// `Unavailable` when they are damaged.
pub(crate) fn take_log_in(path: &Path, shown: &str) -> Result<()> {
    single(path).map_err(|failure| match failure {
        Failure::Sqlite(error) if unusable(&error) => damaged(shown, "it is no database, or not all of it"),
        other => other.tell(&place(path)),
    })
}

/// Looks whether the file at `path` is a whole database of this program, in which nothing runs by itself. The file should be
/// nobody else's. What can be made anew need not be whole, and neither need single values.
///
/// # Errors
/// `Unavailable` when it is damaged, `Config` when it is something else or of a newer version.
pub fn examine(path: &Path, shown: &str) -> Result<Content> {
    let looked = (|| {
        let connection = open(path)?;
        let in_file = checkup::damage(&connection, false)?;
        if let Some(found) = in_file.as_ref().filter(|found| !found.derived) {
            return Err(damaged(shown, &found.what).into());
        }
        let version = migrations::version(&connection)?;
        let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if objects == 0 {
            return Err(damaged(shown, "it is empty").into());
        }
        let ours: i64 = connection.query_row(
            "SELECT count(*) FROM sqlite_schema
             WHERE type = 'table' AND name IN ('sessions', 'session_events', 'schema_migrations')",
            [],
            |row| row.get(0),
        )?;
        if ours != 3 || version == 0 {
            return Err(Fault::config(format!("{shown} is a database of something else"))
                .hint("name a backup of sessions; 'session-buddy backup list' shows them")
                .into());
        }
        if version > SCHEMA_VERSION {
            return Err(Fault::config(format!(
                "{shown} has schema {version}, which is newer than this program's {SCHEMA_VERSION}"
            ))
            .hint("use the program version that made it")
            .into());
        }
        let difference = checkup::first_difference(&connection)?;
        if let Some(found) = difference.as_ref().filter(|found| !found.derived) {
            let fault = damaged(shown, &found.what);
            return Err(match &found.foreign {
                Some(foreign) => {
                    fault.hint(format!("look at it, and remove it from a copy: {}", foreign.drop_statement()))
                }
                None => fault,
            }
            .into());
        }
        let count = |tables: [&str; 2]| -> rusqlite::Result<u64> {
            let mut sum = 0;
            for table in tables {
                let there = connection
                    .prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")?
                    .exists([table])?;
                if there {
                    let rows = format!("SELECT count(*) FROM {table}");
                    sum += connection.query_row(&rows, [], |row| super::cell::whole(row, 0))?;
                }
            }
            Ok(sum)
        };
        let index = in_file.or(difference).map(|found| format!("the search index is damaged ({})", found.what));
        let values = checkup::values::wrong(&connection)?.map(|values| values.to_string());
        Ok(Content {
            schema: version,
            sessions: count(["sessions", "archived_sessions"])?,
            events: count(["session_events", "archived_events"])?,
            remarks: index.into_iter().chain(values).collect(),
        })
    })();
    looked.map_err(|failure| match failure {
        Failure::Sqlite(error) if unusable(&error) => damaged(shown, "it is no database, or not all of it"),
        other => other.tell(&place(path)),
    })
}

fn damaged(shown: &str, detail: &str) -> Fault {
    Fault::unavailable(format!("{shown} is damaged ({detail})"))
        .hint("use another one: 'session-buddy backup verify --all' says which are whole")
}

/// Whether the file is not one that SQLite could work with.
fn unusable(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || error.sqlite_error_code().is_none()
}

fn unwritable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::unavailable(format!("cannot write {}: {}", path.display(), plain(error)))
        .hint("make the folder writable and free some space")
}

/// Brings an examined database of an older version to this one.
///
/// # Errors
/// `Unavailable` when it holds what keeps it from that, and what the store says.
pub fn bring_up_to_date(path: &Path, content: &Content, shown: &str) -> Result<()> {
    if content.schema < SCHEMA_VERSION {
        let brought = open(path)
            .map_err(Failure::from)
            .and_then(|mut connection| migrations::migrate(&mut connection, SystemClock.now()));
        brought.map_err(|failure| match failure {
            // What the migration makes is there already, in another way.
            Failure::Sqlite(error @ rusqlite::Error::SqlInputError { .. }) => {
                let what = super::failure::without_sql(&error);
                damaged(shown, &format!("it cannot be brought to schema {SCHEMA_VERSION}: {what}"))
            }
            other => other.tell(&place(path)),
        })?;
        single(path).map_err(|failure| failure.tell(&place(path)))?;
    }
    Ok(())
}

/// Told once when other programs' writing keeps a restore from its turn for some time.
pub type Waiting<'w> = &'w mut dyn FnMut();

/// Takes the copy of a database that is about to be replaced, before it is.
pub type Keep<'k> = &'k mut dyn FnMut(&Path) -> Result<()>;

/// Puts the examined database `by` in the place of `live`, of which a copy is made at `safety` and given to `keep` first.
/// `by` must be on the same file system and is used up. All of it happens, or nothing: others see the old content until
/// they see the new.
///
/// # Errors
/// `Unavailable` when it cannot be written; `live` is as it was then.
pub fn replace(live: &Path, by: &Path, safety: &Path, keep: Keep<'_>, waiting: Waiting<'_>) -> Result<()> {
    // A link stays, and what it leads to is replaced.
    let live = &resolved(live);
    if !live.exists() {
        fs::rename(by, live).map_err(|error| unwritable(live, &error))?;
        settle(live);
        return Ok(());
    }
    match in_place(live, by, safety, keep, waiting) {
        Ok(()) => Ok(()),
        // What is there is no database that could be written to.
        Err(Failure::Sqlite(error)) if unusable(&error) || page_size_differs(&error) => {
            let _ = fs::remove_file(safety);
            aside(live, by, safety, keep)
        }
        Err(failure) => Err(failure.tell(&place(live))),
    }
}

fn page_size_differs(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ReadOnly)
}

/// As one transaction on the live file.
fn in_place(live: &Path, by: &Path, safety: &Path, keep: Keep<'_>, waiting: Waiting<'_>) -> Result<(), Failure> {
    let source = open(by)?;
    let mut target = open(live)?;
    if target.is_readonly("main")? {
        return Err(super::failure::read_only(&live.display().to_string()).into());
    }
    let mode: String = target.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Fault::unavailable(format!("another program has {} open", live.display()))
            .hint("end that program, then try again")
            .into());
    }
    let watch = open(live)?;
    // Waited for below, where it can be told.
    target.busy_timeout(Duration::ZERO)?;
    let began = SystemClock.monotonic();
    let mut told = false;
    let backup = loop {
        // The log will begin with the first page of the copy, and has to fit the database as it is now.
        let number = stray::number(&watch)?;
        stray::set(&source, number)?;
        let backup = Backup::new(&source, &mut target)?;
        // The first page takes the lock: from here on nobody adds what the safety copy would miss.
        let step = backup.step(1)?;
        if !matches!(step, StepResult::Busy | StepResult::Locked) && stray::number(&watch)? == number {
            break backup;
        }
        drop(backup);
        let waited = SystemClock.monotonic().saturating_sub(began);
        if waited >= TELL_AFTER && !told {
            told = true;
            waiting();
        }
        if waited > LONGEST_WAIT {
            return Err(Fault::unavailable(format!("another program kept {} to itself for too long", live.display()))
                .hint("end that program, then try again")
                .into());
        }
        std::thread::sleep(PAUSE);
    };
    drop(watch);
    copy(live, safety, &mut |_, _| {})?;
    keep(safety)?;
    run(&backup, &mut |_, _| {})?;
    drop(backup);
    // The log becomes part of the file; whoever reads it still keeps the log a little longer.
    target.busy_timeout(LAST_WAIT)?;
    let _ = target.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    Ok(())
}

/// By names: for a file that is no database any more.
fn aside(live: &Path, by: &Path, safety: &Path, keep: Keep<'_>) -> Result<()> {
    let refused = |error: std::io::Error| unwritable(live, &error);
    fs::hard_link(live, safety).map_err(refused)?;
    let log = beside(live, "-wal");
    if log.exists() {
        fs::hard_link(&log, beside(safety, "-wal")).map_err(refused)?;
    }
    keep(safety)?;
    for part in [log, beside(live, "-shm")] {
        if part.exists() {
            // A log that is found beside another database would be taken for its own.
            fs::remove_file(&part).map_err(refused)?;
        }
    }
    fs::rename(by, live).map_err(refused)?;
    settle(live);
    Ok(())
}

/// The file that SQLite keeps beside a database under this ending: beside the file itself, where `path` is a link to it.
#[must_use]
pub fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = resolved(path).into_os_string();
    name.push(end);
    PathBuf::from(name)
}

/// The file that a link leads to; any other path as it is.
#[must_use]
pub fn resolved(path: &Path) -> PathBuf {
    let is_link = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
    let target = is_link.then(|| fs::canonicalize(path).ok()).flatten();
    target.unwrap_or_else(|| path.to_path_buf())
}

/// Makes a changed name survive a loss of power, where the file system lets us.
fn settle(path: &Path) {
    if let Some(folder) = path.parent() {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
}

/// Time in words that file names carry: `20261122-193045`, where the reader is.
#[must_use]
pub fn stamp(clock: &dyn Clock) -> String {
    let digits: String = clock.now().local().chars().filter(char::is_ascii_digit).collect();
    let (day, time) = digits.split_at(digits.len().min(8));
    format!("{day}-{time}")
}
