//! The store over SQLite: a file in WAL mode that several processes share, or a database in memory.
//!
//! One writer thread a process commits what waits together ([`writer`]); readers have connections of their own and
//! never wait for it. Text search uses an FTS5 table of terms that were made by [`crate::analysis`].

mod analytics;
mod archive;
mod cell;
pub mod checkup;
pub mod compact;
mod connection;
mod counters;
mod events;
mod failure;
mod ingest;
mod merge;
mod met;
mod migrations;
mod prepare;
mod retention;
mod schema;
mod scope;
mod search;
mod session_row;
mod sessions;
pub mod snapshot;
mod stale;
pub mod stray;
mod transfer;
mod upkeep;
mod vectors;
mod walk;
mod words;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oneiric::clock::{Clock, Timestamp};
use oneiric::event::{BatchReceipt, EventBatch};
use oneiric::fault::Result;
use oneiric::id::SessionId;
use oneiric::redact::Redactor;

use crate::analytics::{Analytics, Range};
use crate::model::{
    Counts, EventFilter, EventPlace, EventRow, Page, SearchAnswer, SearchRequest, Session, SessionFilter, StoreInfo,
};
use crate::search::meaning::Meaning;
use crate::store::{Judge, Store, Unknown};
use crate::transfer::{Line, Selection};
use crate::upkeep::Upkeep;
use connection::{Place, Readers};
use writer::Writer;

pub use connection::busy_waits;
pub use migrations::SCHEMA_VERSION;
pub use schema::Foreign;
pub use vectors::SqliteVectors;

/// Short enough that nobody takes the search for lost.
const LEARN_FOR_SEARCH: Duration = Duration::from_millis(500);

/// What a store needs from outside.
#[derive(Clone)]
pub struct Options {
    /// Time of reception.
    pub clock: Arc<dyn Clock>,
    /// Takes secrets out before anything is stored.
    pub redactor: Arc<Redactor>,
    /// Size that the database must not outgrow; the file system's when `None`.
    pub max_bytes: Option<u64>,
    /// Open an existing file for reading only.
    pub read_only: bool,
    /// Page cache of a reading connection in KiB; a modest one when `None`.
    pub reader_cache_kib: Option<u32>,
    /// How long one search may learn words of older events before it answers, where upkeep has not come to them.
    pub learn_for_search: Duration,
}

impl Options {
    /// Standard redaction, no limit of size, reading and writing.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            redactor: Arc::new(Redactor::standard()),
            max_bytes: None,
            read_only: false,
            reader_cache_kib: None,
            learn_for_search: LEARN_FOR_SEARCH,
        }
    }
}

/// Sessions and events in SQLite.
pub struct SqliteStore {
    place: Arc<Place>,
    options: Options,
    readers: Readers,
    met: Arc<met::Met>,
    /// Started by the first write: a command that only lists starts no thread.
    writer: Mutex<Option<Writer>>,
}

impl SqliteStore {
    /// Opens the database at `path`; creates it (mode 0600) when there is none. A file that cannot be written is
    /// opened for reading.
    ///
    /// # Errors
    /// `Unavailable` when it can neither be read nor made or is damaged, `Config` when a newer program made it or it
    /// holds something else.
    pub fn open(path: &Path, options: Options) -> Result<Self> {
        let (place, first) = connection::open_file(path, &options)?;
        Ok(Self::over(place, first, options))
    }

    /// A new database in memory; it ends with the store.
    ///
    /// # Errors
    /// `Unavailable` when SQLite cannot allocate it.
    pub fn in_memory(options: Options) -> Result<Self> {
        let (place, first) = connection::open_memory(&options)?;
        Ok(Self::over(place, first, options))
    }

    fn over(place: Place, first: rusqlite::Connection, options: Options) -> Self {
        let place = Arc::new(place);
        Self {
            readers: Readers::new(Arc::clone(&place), first, options.reader_cache_kib),
            met: Arc::default(),
            place,
            options,
            writer: Mutex::new(None),
        }
    }

    /// The file, when there is one.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        self.place.path().map(Path::to_path_buf)
    }

    /// Batches that wait for the writer.
    #[must_use]
    pub fn queue_depth(&self) -> usize {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, Writer::depth)
    }

    /// Transactions that this process committed.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, Writer::commits)
    }

    /// Runs `work` on a reader in one snapshot.
    fn read<T>(&self, work: impl FnOnce(&rusqlite::Connection) -> Result<T, failure::Failure>) -> Result<T> {
        self.readers
            .with(|connection| work(connection).inspect_err(|failure| self.met.look(failure, Some(connection), false)))
    }

    /// Learns words of events that no upkeep came to yet, because a search needs them; whether there were any. What stands
    /// in the way keeps no search from its answer.
    fn catch_up(&self) -> bool {
        let began = self.options.clock.monotonic();
        let mut learnt = 0;
        while self.options.clock.monotonic().saturating_sub(began) < self.options.learn_for_search {
            match self.learn_words() {
                Ok(0) => break,
                Ok(events) => learnt += events,
                Err(fault) => {
                    tracing::debug!(%fault, "words are not learnt");
                    break;
                }
            }
        }
        learnt > 0
    }

    /// Runs `work` with the writer's door.
    fn write<T>(&self, work: impl FnOnce(&writer::Door) -> Result<T>) -> Result<T> {
        self.place.writable()?;
        let door = {
            let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            match &*writer {
                Some(running) => running.door(),
                None => {
                    let started = Writer::start(Arc::clone(&self.place), &self.options, Arc::clone(&self.met))?;
                    writer.insert(started).door()
                }
            }
        };
        work(&door)
    }
}

impl Store for SqliteStore {
    fn ingest(&self, batches: &[EventBatch], unknown: Unknown) -> Result<Vec<BatchReceipt>> {
        if batches.is_empty() {
            return Ok(Vec::new());
        }
        let received = self.options.clock.now();
        let prepared = prepare::batches(batches, &self.options.redactor, received)?;
        self.write(|door| door.ingest(prepared, unknown))
    }

    fn ingest_unless(&self, batch: &EventBatch, filters: &[SessionFilter]) -> Result<Option<Session>> {
        let prepared = prepare::batches(std::slice::from_ref(batch), &self.options.redactor, self.options.clock.now())?;
        let filters = filters.to_vec();
        self.write(|door| door.run(move |connection, now| ingest::unless(connection, now, &prepared, &filters)))
    }

    fn resolve(&self, id_or_prefix: &str) -> Result<SessionId> {
        self.read(|connection| sessions::resolve(connection, id_or_prefix))
    }

    fn session_exists(&self, id: &SessionId) -> Result<bool> {
        self.read(|connection| sessions::exists(connection, id.as_str()))
    }

    fn session(&self, id_or_prefix: &str) -> Result<Session> {
        self.read(|connection| {
            let id = sessions::resolve(connection, id_or_prefix)?;
            sessions::get(connection, id.as_str())
        })
    }

    fn sessions(&self, filter: &SessionFilter, page: Page) -> Result<Vec<Session>> {
        self.read(|connection| sessions::list(connection, filter, page))
    }

    fn events_that_fit(
        &self,
        filter: &EventFilter,
        page: Page,
        fits: &mut dyn FnMut(&EventRow) -> bool,
    ) -> Result<(Vec<EventRow>, Option<EventPlace>)> {
        self.read(|connection| events::list(connection, filter, page, fits))
    }

    fn walk_back(&self, session: &SessionId, rows: usize, visit: &mut dyn FnMut(EventRow) -> bool) -> Result<()> {
        self.read(|connection| walk::back(connection, session, rows, visit))
    }

    fn search(&self, request: &SearchRequest, meaning: Option<&dyn Meaning>) -> Result<SearchAnswer> {
        let outcome = self.read(|connection| search::search(connection, request, meaning))?;
        if !outcome.behind || !self.catch_up() {
            return Ok(outcome.answer);
        }
        Ok(self.read(|connection| search::search(connection, request, meaning))?.answer)
    }

    fn counts(&self) -> Result<Counts> {
        let place = Arc::clone(&self.place);
        self.read(|connection| {
            let mut counts = counters::read(connection)?;
            counts.database_bytes = connection::size(connection, &place)?;
            Ok(counts)
        })
    }

    fn mark_stale(&self, judge: Judge<'_>, now: Timestamp) -> Result<Vec<SessionId>> {
        let gone = self.read(|connection| stale::gone(connection, judge))?;
        if gone.is_empty() {
            return Ok(Vec::new());
        }
        self.write(|door| door.mark_stale(gone.into_iter().map(|id| (id, now)).collect()))
    }

    fn abandon(&self, sessions: &[(SessionId, Timestamp)]) -> Result<()> {
        if sessions.is_empty() {
            return Ok(());
        }
        let ids = sessions.iter().map(|(id, at)| (id.as_str().to_owned(), *at)).collect();
        self.write(|door| door.mark_stale(ids)).map(|_| ())
    }

    fn analytics(&self, range: &Range) -> Result<Analytics> {
        self.read(|connection| analytics::analytics(connection, range))
    }

    fn export(&self, selection: &Selection, show: &mut dyn FnMut(Line) -> Result<()>) -> Result<()> {
        self.read(|connection| transfer::export(connection, selection, show))
    }

    fn info(&self) -> Result<StoreInfo> {
        let place = Arc::clone(&self.place);
        self.read(|connection| {
            Ok(StoreInfo {
                backend: "sqlite".to_owned(),
                location: place.shown(),
                schema_version: migrations::version(connection)?,
                writable: place.writable().is_ok(),
                database_bytes: connection::size(connection, &place)?,
                damage: self.met.still(connection),
            })
        })
    }
}

#[cfg(test)]
#[allow(dead_code, reason = "shared with the tests outside the crate")]
#[path = "../tests/sqlite/room.rs"]
mod room;

#[cfg(test)]
#[path = "sqlite/cost_tests.rs"]
mod cost_tests;
