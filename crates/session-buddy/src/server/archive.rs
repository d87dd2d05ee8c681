//! Where sessions are kept, and when that place is opened.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oneiric::clock::Clock;
use oneiric::fault::Result;
use session_store::Store;
use session_store::sqlite::{Options, SqliteStore, stray};

use crate::desk::Shelf;

/// How long a search without a server may learn words of events that nothing learnt before.
const LEARN_FOR_COMMAND: Duration = Duration::from_secs(10);

/// Where sessions are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Archive {
    /// In memory, until the process ends.
    Memory,
    /// In a SQLite file.
    File {
        /// The file.
        path: PathBuf,
        /// Page cache of a connection, in pages of 4 KiB.
        cache_pages: u32,
    },
}

impl fmt::Display for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::File { path, .. } => path.display().fmt(f),
        }
    }
}

impl Archive {
    /// Opens it.
    ///
    /// # Errors
    /// What the store says.
    pub fn open(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>> {
        self.open_with(Options::new(clock))
    }

    /// Opens it for one command, which has more time for a search than a server.
    ///
    /// # Errors
    /// What the store says.
    pub fn open_for_command(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>> {
        let mut options = Options::new(clock);
        options.learn_for_search = LEARN_FOR_COMMAND;
        self.open_with(options)
    }

    fn open_with(&self, mut options: Options) -> Result<Arc<dyn Store>> {
        Ok(match self {
            Self::Memory => Arc::new(SqliteStore::in_memory(options)?),
            Self::File { path, cache_pages } => {
                if let Some(aside) = stray::set_aside(path)? {
                    tracing::warn!("{aside}");
                }
                options.reader_cache_kib = Some(cache_pages.saturating_mul(4));
                Arc::new(SqliteStore::open(path, options)?)
            }
        })
    }
}

/// Opens the archive when it is first needed. A failure is told and tried again, so that a full disk that was freed or a
/// folder that was mended needs no restart; so is an archive that could be opened for reading only.
pub struct Later {
    archive: Archive,
    clock: Arc<dyn Clock>,
    opened: Mutex<Option<Arc<dyn Store>>>,
}

impl Later {
    /// Nothing is opened yet.
    #[must_use]
    pub fn new(archive: Archive, clock: Arc<dyn Clock>) -> Self {
        Self { archive, clock, opened: Mutex::new(None) }
    }
}

impl Shelf for Later {
    fn store(&self) -> Result<Arc<dyn Store>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = opened.as_ref() {
            return Ok(Arc::clone(store));
        }
        let store = self.archive.open(Arc::clone(&self.clock))?;
        if store.info()?.writable {
            *opened = Some(Arc::clone(&store));
        }
        Ok(store)
    }
}
