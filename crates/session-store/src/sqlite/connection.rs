//! Opening: files with private access, settings of each connection, and the pool of readers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oneiric::fault::{Fault, Result};
use oneiric::file_limit;
use oneiric::paths::{FILE_MODE, ensure_private_dir, plain, private_file};
use rusqlite::{Connection, OpenFlags};

use super::cell::whole;
use super::failure::{Failure, is_access, is_busy, no_space, read_only, tell};
use super::snapshot::beside;
use super::{Options, migrations};

/// Pause between two tries for a lock. Short, because a commit takes about a millisecond.
const BUSY_PAUSE: Duration = Duration::from_millis(2);
/// Tries before a lock counts as held for too long: about a minute.
const BUSY_TRIES: i32 = 30_000;
/// Readers that are kept open while nobody uses them.
const IDLE_READERS: usize = 4;
/// Page cache of a writer and of a reader, in KiB.
const WRITER_CACHE_KIB: i64 = 16_384;
/// A larger one of a reader is slower, as it leaves no room for anything else in that of the processor.
const READER_CACHE_KIB: i64 = 1_024;
/// Pages in the write-ahead log before they move to the database: 16 MiB.
const CHECKPOINT_PAGES: i64 = 4_096;

/// Bytes that SQLite needs beside the database before it can write anything: the first part of the log's index.
const LEAST_ROOM: u64 = 32 * 1024;

static BUSY_WAITS: AtomicU64 = AtomicU64::new(0);
static MEMORY_NAMES: AtomicU64 = AtomicU64::new(0);

/// How often connections of this process waited for a lock of another one.
#[must_use]
pub fn busy_waits() -> u64 {
    BUSY_WAITS.load(Ordering::Relaxed)
}

/// Where the database is and how it may be used.
#[derive(Debug)]
pub(super) enum Place {
    /// A file; `access` says how it could be opened.
    File { path: PathBuf, access: Access },
    /// A shared database of this process, by its URI.
    Memory(String),
}

/// How a file may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    ReadWrite,
    ReadOnly,
    /// Its folder cannot be written and nobody has it open: SQLite reads it without any lock.
    Immutable,
    /// [`Access::ReadOnly`] for want of space, which may come back.
    ReadOnlyWhileFull,
    /// [`Access::Immutable`] for want of space.
    ImmutableWhileFull,
}

impl Place {
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } => Some(path),
            Self::Memory(_) => None,
        }
    }

    pub(super) fn shown(&self) -> String {
        self.path().map_or_else(|| "memory".to_owned(), |path| path.display().to_string())
    }

    /// Refuses when this place can only be read.
    pub(super) fn writable(&self) -> Result<()> {
        match self {
            Self::File { access: Access::ReadOnly | Access::Immutable, path } => {
                Err(read_only(&path.display().to_string()))
            }
            Self::File { access: Access::ReadOnlyWhileFull | Access::ImmutableWhileFull, path } => {
                Err(no_space(&path.display().to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Whether its disk has no room for anything.
    pub(super) fn is_full(&self) -> bool {
        self.path().is_some_and(is_full)
    }

    /// Whether one of its files has grown to the limit that this process has for the size of files.
    pub(super) fn is_at_limit(&self) -> bool {
        let (Some(path), Some(limit)) = (self.path(), file_limit::bytes()) else { return false };
        ["", "-wal", "-shm", "-journal"]
            .into_iter()
            .any(|end| fs::metadata(beside(path, end)).is_ok_and(|meta| meta.len().saturating_add(LEAST_ROOM) > limit))
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let common = OpenFlags::SQLITE_OPEN_NO_MUTEX;
        match self {
            Self::Memory(uri) => Connection::open_with_flags(
                uri,
                common | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_URI,
            ),
            Self::File { path, access: Access::ReadWrite } => {
                Connection::open_with_flags(path, common | OpenFlags::SQLITE_OPEN_READ_WRITE)
            }
            Self::File { path, access: Access::ReadOnly | Access::ReadOnlyWhileFull } => {
                Connection::open_with_flags(path, common | OpenFlags::SQLITE_OPEN_READ_ONLY)
            }
            Self::File { path, access: Access::Immutable | Access::ImmutableWhileFull } => Connection::open_with_flags(
                immutable_uri(path),
                common | OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
            ),
        }
    }

    /// A connection for reading.
    pub(super) fn reader(&self) -> rusqlite::Result<Connection> {
        let mut connection = self.connect()?;
        connection.busy_handler(Some(wait_for_lock))?;
        connection.set_prepared_statement_cache_capacity(64);
        connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    }

    /// A connection for writing: what is committed is on disk.
    pub(super) fn writer(&self, max_bytes: Option<u64>) -> rusqlite::Result<Connection> {
        let mut connection = self.connect()?;
        connection.busy_handler(Some(wait_for_lock))?;
        connection.set_prepared_statement_cache_capacity(64);
        connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        if self.path().is_some() {
            // A copy made by other means may have another mode; while somebody reads it, it keeps that.
            let _ = connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()));
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
            connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
        }
        if let Some(limit) = max_bytes {
            let page = connection.query_row("PRAGMA page_size", [], |row| whole(row, 0))?;
            let pages = i64::try_from(limit / page.max(1)).unwrap_or(i64::MAX);
            connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
        }
        Ok(connection)
    }
}

fn wait_for_lock(tries: i32) -> bool {
    BUSY_WAITS.fetch_add(u64::from(tries == 0), Ordering::Relaxed);
    std::thread::sleep(BUSY_PAUSE);
    tries < BUSY_TRIES
}

/// Repeats what a lock of another connection prevented, where SQLite does not wait by itself.
pub(super) fn patiently<T>(mut work: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let mut tries = 0;
    loop {
        match work() {
            Err(error) if is_busy(&error) && tries < BUSY_TRIES => {
                std::thread::sleep(BUSY_PAUSE);
                tries += 1;
            }
            other => return other,
        }
    }
}

/// Opens or creates the file; the connection is its first reader.
pub(super) fn open_file(path: &Path, options: &Options) -> Result<(Place, Connection)> {
    let wanted = if options.read_only { Access::ReadOnly } else { Access::ReadWrite };
    if !path.exists() {
        if options.read_only {
            return Err(Fault::not_found(format!("there is no database {}", path.display())));
        }
        create(path)?;
    } else if path.is_dir() {
        return Err(Fault::config(format!("the database {} is a folder", path.display())).hint("name a file"));
    }
    let mut place = Place::File { path: path.to_path_buf(), access: wanted };
    let opened = if wanted == Access::ReadWrite { open_for_writing(&place, options) } else { Ok(None) };
    let told = |failure: Failure| failure.tell(&Place::File { path: path.to_path_buf(), access: wanted });
    match opened {
        Ok(Some(connection)) => return Ok((place, connection)),
        Ok(None) => {}
        Err(Failure::Sqlite(error)) if is_access(&error) => {}
        Err(failure) => return Err(told(failure)),
    }
    // Not writable: read what is there.
    let full = wanted == Access::ReadWrite && is_full(path);
    let access = if full { Access::ReadOnlyWhileFull } else { Access::ReadOnly };
    place = Place::File { path: path.to_path_buf(), access };
    match open_for_reading(&place) {
        Ok(connection) => return Ok((place, connection)),
        Err(Failure::Sqlite(error)) if is_access(&error) && !has_log(path) => {}
        Err(failure) => return Err(told(failure)),
    }
    let access = if full { Access::ImmutableWhileFull } else { Access::Immutable };
    place = Place::File { path: path.to_path_buf(), access };
    let connection = open_for_reading(&place).map_err(told)?;
    Ok((place, connection))
}

/// A new database in memory that several connections share, while one of them is open.
pub(super) fn memory_place(name: &str) -> Place {
    let number = MEMORY_NAMES.fetch_add(1, Ordering::Relaxed);
    Place::Memory(format!("file:/{name}-{number}?vfs=memdb"))
}

/// A new database that the connections of this store share.
pub(super) fn open_memory(options: &Options) -> Result<(Place, Connection)> {
    let place = memory_place("session-store");
    let opened = (|| {
        // The reader keeps the database alive; the first writer may go.
        let mut reader = place.connect()?;
        let mut writer = place.writer(options.max_bytes)?;
        migrations::migrate(&mut writer, options.clock.now())?;
        reader.busy_handler(Some(wait_for_lock))?;
        reader.set_prepared_statement_cache_capacity(64);
        reader.pragma_update(None, "query_only", true)?;
        Ok::<_, Failure>(reader)
    })();
    match opened {
        Ok(reader) => Ok((place, reader)),
        Err(failure) => Err(failure.tell(&place)),
    }
}

/// `None` when SQLite could open the file for reading only.
fn open_for_writing(place: &Place, options: &Options) -> Result<Option<Connection>, Failure> {
    if let Some(path) = place.path() {
        keep_writable(path);
    }
    let reader = place.reader()?;
    if reader.is_readonly("main")? {
        return Ok(None);
    }
    if let Some(path) = place.path() {
        keep_private(path);
    }
    if patiently(|| migrations::version(&reader))? != migrations::SCHEMA_VERSION {
        let mut writer = place.writer(None)?;
        let mode: String = patiently(|| writer.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)))?;
        tracing::debug!(mode, "database opened for migration");
        migrations::migrate(&mut writer, options.clock.now())?;
    }
    Ok(Some(reader))
}

fn open_for_reading(place: &Place) -> Result<Connection, Failure> {
    let reader = place.reader()?;
    let found = patiently(|| migrations::version(&reader))?;
    migrations::readable(found, place)?;
    Ok(reader)
}

fn create(path: &Path) -> Result<()> {
    let refused = |error: &std::io::Error| {
        Fault::unavailable(format!("cannot create the database {}: {}", path.display(), plain(error)))
            .hint("make its folder writable, or name another file")
    };
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists()) {
        ensure_private_dir(parent).map_err(|error| refused(&error))?;
    }
    match private_file().write(true).create_new(true).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(refused(&error)),
        _ => Ok(()),
    }
}

/// Sessions are nobody else's business; SQLite gives its other files the same mode as this one.
fn keep_private(path: &Path) {
    if let Ok(meta) = fs::metadata(path)
        && meta.permissions().mode() & 0o077 != 0
    {
        // Fails when the file is another user's, who then decides.
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(FILE_MODE));
    }
}

/// SQLite gives its other files the mode that the database has when it makes them. After that was read-only for a while, they
/// would keep a database that can be written again from being written.
fn keep_writable(path: &Path) {
    let is_writable = |meta: &fs::Metadata| meta.permissions().mode() & 0o200 != 0;
    if !fs::metadata(path).is_ok_and(|meta| is_writable(&meta)) {
        return;
    }
    for part in ["-wal", "-shm"].map(|end| beside(path, end)) {
        if fs::symlink_metadata(&part).is_ok_and(|meta| meta.is_file() && !is_writable(&meta)) {
            // Fails when the file is another user's, who then decides.
            let _ = fs::set_permissions(&part, fs::Permissions::from_mode(FILE_MODE));
        }
    }
}

/// Whether the disk of this file has no room even for the index of a log.
fn is_full(path: &Path) -> bool {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    rustix::fs::statvfs(folder).is_ok_and(|stat| {
        let inodes_gone = stat.f_files > 0 && stat.f_favail == 0;
        stat.f_bavail.saturating_mul(stat.f_frsize) < LEAST_ROOM || inodes_gone
    })
}

fn has_log(path: &Path) -> bool {
    fs::metadata(beside(path, "-wal")).is_ok_and(|meta| meta.len() > 0)
}

fn immutable_uri(path: &Path) -> String {
    use std::fmt::Write;
    use std::os::unix::ffi::OsStrExt;
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut uri = "file:".to_owned();
    for &byte in absolute.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-') {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri + "?immutable=1"
}

/// Bytes of the database and its log.
pub(super) fn size(connection: &Connection, place: &Place) -> Result<u64, Failure> {
    let pages = connection.query_row("PRAGMA page_count", [], |row| whole(row, 0))?;
    let page = connection.query_row("PRAGMA page_size", [], |row| whole(row, 0))?;
    let log = place.path().map_or(0, |path| fs::metadata(beside(path, "-wal")).map_or(0, |meta| meta.len()));
    Ok(pages * page + log)
}

/// Connections for reading; as many as are used at once, few while nobody reads.
pub(super) struct Readers {
    place: Arc<Place>,
    cache_kib: Option<u32>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(place: Arc<Place>, first: Connection, cache_kib: Option<u32>) -> Self {
        let readers = Self { place, cache_kib, idle: Mutex::new(Vec::new()) };
        // A cache of another size than asked for costs time, never an answer.
        let _ = readers.size_cache(&first);
        readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(first);
        readers
    }

    fn size_cache(&self, connection: &Connection) -> rusqlite::Result<()> {
        match self.cache_kib {
            Some(kib) => connection.pragma_update(None, "cache_size", -i64::from(kib)),
            None => Ok(()),
        }
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let connection = self.place.reader()?;
        self.size_cache(&connection)?;
        Ok(connection)
    }

    /// Gives back what those that nobody uses now keep of the file.
    pub(super) fn rest(&self) {
        for connection in self.idle.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = connection.execute_batch("PRAGMA shrink_memory");
        }
    }

    /// Runs `work` in one snapshot.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect().map_err(|error| tell(&error, &self.place))?,
        };
        let done = (|| {
            let snapshot = connection.unchecked_transaction()?;
            let answer = work(&snapshot)?;
            snapshot.commit()?;
            Ok(answer)
        })();
        // A connection that failed is not used again, unless only the request was wrong.
        if done.as_ref().is_ok() || done.as_ref().is_err_and(Failure::is_fault) {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE_READERS {
                idle.push(connection);
            }
        } else if matches!(*self.place, Place::Memory(_)) {
            // The last connection holds a database in memory.
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        done.map_err(|failure: Failure| failure.tell(&self.place))
    }
}
