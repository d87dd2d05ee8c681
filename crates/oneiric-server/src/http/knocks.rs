//! How many refusals of one kind are told, so that whoever causes them cannot fill a log.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use oneiric::clock::Timestamp;

/// Refusals that are told in a span.
const MOST: u32 = 60;
const SPAN: Duration = Duration::from_secs(60);

/// Counts refusals.
#[derive(Default)]
pub(super) struct Knocks(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    since: Option<Timestamp>,
    told: u32,
    untold: u64,
}

impl Knocks {
    /// Whether a refusal at `now` is to be told, and how many before it were not.
    pub(super) fn told(&self, now: Timestamp) -> Option<u64> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that is set back begins a span too.
        if counts.since.is_none_or(|since| now < since || now >= since.plus(SPAN)) {
            (counts.since, counts.told) = (Some(now), 0);
        }
        if counts.told >= MOST {
            counts.untold += 1;
            return None;
        }
        counts.told += 1;
        Some(std::mem::take(&mut counts.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_refusals_some_are_told_and_the_others_counted() {
        let (knocks, start) = (Knocks::default(), Timestamp::from_micros(0));
        let told = (0..1_000).filter(|_| knocks.told(start) == Some(0)).count();
        assert_eq!(told, 60);
        assert_eq!(knocks.told(start.plus(SPAN / 2)), None);
        assert_eq!(knocks.told(start.plus(SPAN)), Some(941));
        assert_eq!(knocks.told(start.plus(SPAN)), Some(0));
    }
}
