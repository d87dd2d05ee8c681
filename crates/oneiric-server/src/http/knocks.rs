//! How many refusals of one kind are told, so that whoever causes them cannot fill a log.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use oneiric::clock::Timestamp;

/// Counts refusals.
pub(super) struct Knocks {
    /// Refusals that are told in a span.
    most: u32,
    span: Duration,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    since: Option<Timestamp>,
    told: u32,
    untold: u64,
}

impl Knocks {
    /// Sixty are told in a minute.
    pub(super) fn by_the_minute() -> Self {
        Self { most: 60, span: Duration::from_secs(60), counts: Mutex::default() }
    }

    /// A thousand are told in an hour: all of them, where somebody only errs, and over days far less than a log holds.
    pub(super) fn by_the_hour() -> Self {
        Self { most: 1_000, span: Duration::from_secs(3_600), counts: Mutex::default() }
    }

    /// Whether a refusal at `now` is to be told, and how many before it were not.
    pub(super) fn told(&self, now: Timestamp) -> Option<u64> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that is set back begins a span too.
        if counts.since.is_none_or(|since| now < since || now >= since.plus(self.span)) {
            (counts.since, counts.told) = (Some(now), 0);
        }
        if counts.told >= self.most {
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
        let start = Timestamp::from_micros(0);
        for (knocks, most) in [(Knocks::by_the_minute(), 60), (Knocks::by_the_hour(), 1_000)] {
            let told = (0..2_000).filter(|_| knocks.told(start) == Some(0)).count();
            assert_eq!(told, most);
            assert_eq!(knocks.told(start.plus(knocks.span / 2)), None);
            assert_eq!(knocks.told(start.plus(knocks.span)), Some(2_001 - most as u64));
            assert_eq!(knocks.told(start.plus(knocks.span)), Some(0));
        }
    }
}
