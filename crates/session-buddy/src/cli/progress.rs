//! How far long work is, on standard error, and only where somebody watches.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use oneiric::clock::{Clock, SystemClock};

/// Work that takes no longer is not told of.
const QUIET: Duration = Duration::from_secs(1);
/// Time between two looks.
const EVERY: Duration = Duration::from_millis(100);
/// Characters of the bar.
const BAR: u64 = 24;

/// One line that is written over and over.
pub(super) struct Progress {
    what: &'static str,
    unit: &'static str,
    began: Duration,
    told: Option<Duration>,
    watched: bool,
}

impl Progress {
    /// For work called `what`, counted in `unit`.
    #[must_use]
    pub(super) fn new(what: &'static str, unit: &'static str) -> Self {
        let watched = std::io::stderr().is_terminal();
        Self { what, unit, began: SystemClock.monotonic(), told: None, watched }
    }

    /// `done` of `all`.
    pub(super) fn tell(&mut self, done: u64, all: u64) {
        if !self.watched || all == 0 {
            return;
        }
        let now = SystemClock.monotonic();
        let fresh = self.told.is_some_and(|told| now.saturating_sub(told) < EVERY) && done < all;
        if now.saturating_sub(self.began) < QUIET || fresh {
            return;
        }
        self.told = Some(now);
        let _ = write!(std::io::stderr(), "\r{}\u{1b}[K", line(self.what, self.unit, done, all));
    }
}

fn line(what: &str, unit: &str, done: u64, all: u64) -> String {
    let share = (BAR * done.min(all)).checked_div(all).unwrap_or(BAR);
    let bar: String = (0..BAR).map(|at| if at < share { '█' } else { '░' }).collect();
    format!("{what} {bar} {done} of {all} {unit}")
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.told.is_some() {
            // The line was for waiting; the result stands alone.
            let _ = write!(std::io::stderr(), "\r\u{1b}[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_with_the_work_and_never_overflows() {
        assert_eq!(line("Archiving", "sessions", 1, 2), "Archiving ████████████░░░░░░░░░░░░ 1 of 2 sessions");
        assert_eq!(line("x", "y", 9, 2).matches('█').count(), 24);
        assert_eq!(line("x", "y", 0, 0).matches('█').count(), 24);
    }
}
