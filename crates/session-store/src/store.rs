//! The contract of a session store. One implementation a database; every one passes the same suite (`tests/contract`).

use oneiric::clock::Timestamp;
use oneiric::event::{BatchReceipt, EventBatch};
use oneiric::fault::Result;
use oneiric::id::SessionId;
use oneiric::process::{Liveness, ProcessIdentity};

use crate::analytics::{Analytics, Range};
use crate::model::{
    Counts, EventFilter, EventPlace, EventRow, Page, SearchAnswer, SearchRequest, Session, SessionFilter, StoreInfo,
};
use crate::scope::Scope;
use crate::search::meaning::Meaning;
use crate::transfer::{Line, Selection};
use crate::upkeep::Upkeep;

/// How the reason ends for which a second start of a session is refused.
pub const STARTED_ALREADY: &str = "has started already";

/// What becomes of events whose session the store does not know and whose batches do not start it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The whole call is refused with `Invalid session ID …`: for clients that name a session by hand.
    Refuse,
    /// A session is opened provisionally and completed when its start arrives: for spools, whose batches come in any order.
    Open,
}

/// Tells whether a process of the named host still runs.
pub type Judge<'a> = &'a dyn Fn(&ProcessIdentity, &str) -> Liveness;

/// Keeps sessions and events. Calls block; what is acknowledged is on disk.
pub trait Store: Scope + Upkeep + Send + Sync {
    /// Stores batches, each event once (by `event_id`), redacted. Receipts are in the order of the batches.
    fn ingest(&self, batches: &[EventBatch], unknown: Unknown) -> Result<Vec<BatchReceipt>>;

    /// Stores a batch that opens a session, all of it or nothing, unless there is a session that one of the filters lets pass:
    /// then the newest one of the first such filter is given back and nothing is stored. It looks and stores in one
    /// transaction, so that of several that find no session at the same time one opens it.
    fn ingest_unless(&self, batch: &EventBatch, filters: &[SessionFilter]) -> Result<Option<Session>>;

    /// The one session that `id_or_prefix` names: its id or an unambiguous beginning of it.
    fn resolve(&self, id_or_prefix: &str) -> Result<SessionId>;

    /// Whether a session has exactly this id.
    fn session_exists(&self, id: &SessionId) -> Result<bool>;

    /// The session that `id_or_prefix` names.
    fn session(&self, id_or_prefix: &str) -> Result<Session>;

    /// Sessions, the newest start first. Costs what the page holds, not what the store holds.
    fn sessions(&self, filter: &SessionFilter, page: Page) -> Result<Vec<Session>>;

    /// Events of one session in their order (time, sequence, arrival), or of all, the newest arrival first.
    fn events(&self, filter: &EventFilter, page: Page) -> Result<Vec<EventRow>> {
        Ok(self.events_that_fit(filter, page, &mut |_| true)?.0)
    }

    /// The same up to the first event that `fits` refuses, and where the last one stands when the list goes on behind it.
    fn events_that_fit(
        &self,
        filter: &EventFilter,
        page: Page,
        fits: &mut dyn FnMut(&EventRow) -> bool,
    ) -> Result<(Vec<EventRow>, Option<EventPlace>)>;

    /// Shows the latest events of a session, newest first, until `visit` says `false` or `rows` were shown.
    fn walk_back(&self, session: &SessionId, rows: usize, visit: &mut dyn FnMut(EventRow) -> bool) -> Result<()>;

    /// Finds events or sessions by words, by `meaning` when it is given and asked for, or by both; the best hits first.
    fn search(&self, request: &SearchRequest, meaning: Option<&dyn Meaning>) -> Result<SearchAnswer>;

    /// Totals for health and metrics; they cost the same at any size.
    fn counts(&self) -> Result<Counts>;

    /// Gives active sessions whose process is gone the status `stale` and their last event's time as their end.
    /// Sessions without process identity are left alone: a guess is no fact. Returns the sessions that changed.
    fn mark_stale(&self, judge: Judge<'_>, now: Timestamp) -> Result<Vec<SessionId>>;

    /// Gives these sessions, while they are active, the status `stale` and the time as their end: for sessions that came from
    /// a store that had found their processes gone.
    fn abandon(&self, sessions: &[(SessionId, Timestamp)]) -> Result<()>;

    /// Figures over the sessions of a range; they cost what the range holds.
    fn analytics(&self, range: &Range) -> Result<Analytics>;

    /// Shows whole sessions, the oldest first, in one snapshot; ends with the first error of `show`.
    fn export(&self, selection: &Selection, show: &mut dyn FnMut(Line) -> Result<()>) -> Result<()>;

    /// What this store is and whether it can be read and written now.
    fn info(&self) -> Result<StoreInfo>;
}
