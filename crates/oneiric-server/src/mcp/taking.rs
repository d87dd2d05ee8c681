//! Whether a client takes what is written to it. One that is slow is waited for; one that takes nothing at all is not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What is being written to a client. Clones are of the same client.
#[derive(Clone)]
pub(super) struct Taking(Arc<Mutex<State>>);

struct State {
    /// Messages that are not taken whole.
    open: usize,
    /// When the client took something last, or something was given to it while it had nothing to take.
    last: Instant,
}

/// A message that is being written.
pub(super) struct Giving(Taking);

impl Taking {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { open: 0, last: Instant::now() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another message is there to be taken.
    pub(super) fn begin(&self) -> Giving {
        let mut state = self.state();
        if state.open == 0 {
            state.last = Instant::now();
        }
        state.open += 1;
        Giving(self.clone())
    }

    /// For how long the client has taken nothing of what is there for it.
    pub(super) fn stands_still(&self) -> Duration {
        self.stands_still_at(Instant::now())
    }

    fn stands_still_at(&self, now: Instant) -> Duration {
        let state = self.state();
        if state.open == 0 { Duration::ZERO } else { now.saturating_duration_since(state.last) }
    }
}

impl Giving {
    /// The client took some of it.
    pub(super) fn taken(&self) {
        self.0.state().last = Instant::now();
    }
}

impl Drop for Giving {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open -= 1;
        state.last = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_has_something_to_take_and_takes_nothing_stands_still() {
        const LONG: Duration = Duration::from_secs(3_600);
        let taking = Taking::new();
        let later = || taking.stands_still_at(Instant::now() + LONG);
        assert_eq!(later(), Duration::ZERO, "there is nothing to take");
        let (first, second) = (taking.begin(), taking.begin());
        assert!(later() >= LONG);
        let soon = Instant::now() + LONG;
        first.0.state().last = soon;
        assert_eq!(taking.stands_still_at(soon), Duration::ZERO, "it took something");
        first.taken();
        drop(first);
        assert!(later() >= LONG, "the other one waits");
        drop(second);
        assert_eq!(later(), Duration::ZERO);
    }
}
