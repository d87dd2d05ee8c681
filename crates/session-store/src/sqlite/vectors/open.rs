//! Opening a file of vectors, or replacing it.

use std::path::Path;
use std::sync::{Arc, Mutex};

use oneiric::fault::{Fault, Result};
use oneiric::paths::{plain, private_file};
use rusqlite::{Connection, TransactionBehavior};

use super::SqliteVectors;
use crate::sqlite::connection::{Access, Place, Readers, memory_place, patiently};
use crate::sqlite::failure::Failure;

/// Version of the file. There are no migrations: another version is replaced.
const VERSION: u32 = 1;
/// Tells the file from one of something else.
const APPLICATION: u32 = 0x5b_76_65_63;

/// Page cache for a look at the whole file, in KiB.
const LOOK_CACHE_KIB: i64 = 256;

const SCHEMA: &str = include_str!("../../../migrations/vectors.sql");

impl SqliteVectors {
    /// Opens the file at `path`, creates it when there is none, and replaces it when it is damaged or of another version.
    ///
    /// # Errors
    /// `Unavailable` when it can neither be read nor made, `Config` when it holds something else.
    pub fn open(path: &Path) -> Result<Self> {
        let place = Place::File { path: path.to_path_buf(), access: Access::ReadWrite };
        let wrong = match prepare(path, &place) {
            Ok(reader) => return Ok(Self::over(place, reader, None)),
            Err(Wrong::File(why)) => why,
            Err(Wrong::Other(failure)) => return Err(failure.tell(&place)),
        };
        Self::replace(path, wrong)
    }

    /// What is wrong with the file at `path`, when something is; nothing is changed. Reads all of it.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be read, `Config` when it holds something else.
    pub fn look(path: &Path) -> Result<Option<String>> {
        let place = Place::File { path: path.to_path_buf(), access: Access::ReadWrite };
        let looked = (|| {
            let reader = place.reader()?;
            // One that holds nothing yet is filled by whoever opens it.
            Ok(if holds_tables(path, &reader)? { damage(&reader)? } else { None })
        })();
        match looked {
            Ok(wrong) => Ok(wrong),
            Err(Wrong::File(why)) => Ok(Some(why)),
            Err(Wrong::Other(failure)) => Err(failure.tell(&place)),
        }
    }

    /// Gives up the file at `path`, of which `wrong` tells why, and makes a new one.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be removed or made.
    pub fn replace(path: &Path, wrong: String) -> Result<Self> {
        tracing::warn!(path = %path.display(), why = wrong, "vectors are made again");
        let place = Place::File { path: path.to_path_buf(), access: Access::ReadWrite };
        for end in ["", "-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            match std::fs::remove_file(&name) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Fault::unavailable(format!(
                        "cannot replace the vectors in {} ({wrong}): {}",
                        path.display(),
                        plain(&error)
                    ))
                    .hint("remove the file; vectors are made again from the sessions"));
                }
                _ => {}
            }
        }
        match prepare(path, &place) {
            Ok(reader) => Ok(Self::over(place, reader, Some(wrong))),
            Err(Wrong::File(why)) => Err(Fault::unavailable(format!("{}: {why}", path.display()))),
            Err(Wrong::Other(failure)) => Err(failure.tell(&place)),
        }
    }

    /// Vectors in memory; they end with this.
    ///
    /// # Errors
    /// `Unavailable` when SQLite cannot allocate them.
    pub fn in_memory() -> Result<Self> {
        let place = memory_place("vectors");
        let opened = (|| {
            // The reader keeps the database alive; the first writer may go.
            let reader = place.reader()?;
            make(&mut writer(&place)?)?;
            Ok::<_, Failure>(reader)
        })();
        match opened {
            Ok(reader) => Ok(Self::over(place, reader, None)),
            Err(failure) => Err(failure.tell(&place)),
        }
    }

    fn over(place: Place, reader: Connection, replaced: Option<String>) -> Self {
        let place = Arc::new(place);
        Self { readers: Readers::new(Arc::clone(&place), reader, None), place, writer: Mutex::new(None), replaced }
    }
}

enum Wrong {
    /// The file is ours and no good.
    File(String),
    Other(Failure),
}

impl From<rusqlite::Error> for Wrong {
    fn from(error: rusqlite::Error) -> Self {
        if is_damage(&error) { Self::File(error.to_string()) } else { Self::Other(error.into()) }
    }
}

/// Whether SQLite says that the file is no good.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase))
}

/// A connection for writing. Vectors can be made again, so a commit does not wait for the disk.
pub(super) fn writer(place: &Place) -> rusqlite::Result<Connection> {
    let connection = place.writer(None)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", -4_096)?;
    Ok(connection)
}

fn prepare(path: &Path, place: &Place) -> std::result::Result<Connection, Wrong> {
    if !path.exists() {
        let made = private_file().write(true).create_new(true).open(path);
        if let Err(error) = made.as_ref()
            && error.kind() != std::io::ErrorKind::AlreadyExists
        {
            return Err(Wrong::Other(
                Fault::unavailable(format!("cannot create {}: {}", path.display(), plain(error)))
                    .hint("make its folder writable")
                    .into(),
            ));
        }
    }
    let reader = place.reader()?;
    if !holds_tables(path, &reader)? {
        make(&mut writer(place)?)?;
    }
    Ok(reader)
}

/// Whether the file has our tables; `false` when it has none at all.
fn holds_tables(path: &Path, reader: &Connection) -> std::result::Result<bool, Wrong> {
    let read = |name: &str| patiently(|| reader.pragma_query_value(None, name, |row| row.get::<_, u32>(0)));
    let (version, application) = (read("user_version")?, read("application_id")?);
    let tables: u32 = patiently(|| reader.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)))?;
    if tables == 0 {
        return Ok(false);
    }
    if application != APPLICATION {
        let fault = Fault::config(format!("{} is a database of something else", path.display()));
        return Err(Wrong::Other(fault.hint("move it away; vectors are made again").into()));
    }
    if version != VERSION {
        return Err(Wrong::File(format!("it is of version {version}")));
    }
    // Looks at the tables' roots, which damage often hits; the rest shows when it is read.
    for table in ["generations", "vectors", "texts", "codes", "entries"] {
        reader.query_row(&format!("SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT 1)"), [], |_| Ok(()))?;
    }
    Ok(true)
}

/// Reads every page; what is wrong, when something is.
pub(super) fn damage(connection: &Connection) -> rusqlite::Result<Option<String>> {
    // Each is read once, so none is worth keeping: a server that has done this is to be small.
    connection.pragma_update(None, "cache_size", -LOOK_CACHE_KIB)?;
    let said = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))?;
    Ok((said != "ok").then_some(said))
}

fn make(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let tables: u32 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
    }
    transaction.commit()
}
