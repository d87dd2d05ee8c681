//! What keeps an engine from writing its journal, for whoever tells people about it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Nothing, or since when what. Cheap to clone; all clones tell the same.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<Mutex<Option<(Duration, String)>>>);

impl Trouble {
    /// Since when (by the engine's monotonic clock) the journal cannot be written, and why.
    #[must_use]
    pub fn now(&self) -> Option<(Duration, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It could not be written. Gives whether that is news.
    pub(super) fn begins(&self, now: Duration, why: &str) -> bool {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let news = held.is_none();
        let since = held.as_ref().map_or(now, |(since, _)| *since);
        *held = Some((since, why.to_owned()));
        news
    }

    /// It was written. Gives whether that is news.
    pub(super) fn ends(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }
}
