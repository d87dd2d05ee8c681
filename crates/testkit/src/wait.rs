//! Waiting for something to become true, with an end.

use std::time::Duration;

use oneiric::clock::{Clock, SystemClock};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(5);
/// Time after which [`soon`] gives up: long enough for a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// Time since an arbitrary point, for deadlines.
#[must_use]
pub fn monotonic() -> Duration {
    SystemClock.monotonic()
}

/// Calls `look` until it gives something.
///
/// # Panics
/// When it has not within `limit`; the message holds `what`.
pub fn eventually<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = monotonic() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(monotonic() < end, "waited {limit:?} for: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// [`eventually`], for a condition and with the usual limit.
pub fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    eventually(SOON, what, || holds().then_some(()));
}
