//! Whether to ask a peer that has failed: a core without clock or socket.

use std::time::Duration;

/// Failures in a row after which nothing is asked for a while.
const PATIENCE: u32 = 3;
/// How long nothing is asked then.
const PAUSE: Duration = Duration::from_secs(30);

/// Times are those of a monotonic clock.
#[derive(Debug)]
pub(super) enum Breaker {
    /// Asks; so many failures in a row.
    Closed(u32),
    /// Asks nothing until then.
    Open(Duration),
    /// One question is under way; its answer decides. Whoever asks then is refused until the time given.
    HalfOpen(Duration),
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed(0)
    }
}

impl Breaker {
    /// Whether to ask now.
    ///
    /// # Errors
    /// The time until the next question is allowed.
    pub(super) fn ask(&mut self, now: Duration) -> Result<(), Duration> {
        match self {
            Self::Closed(_) => Ok(()),
            Self::Open(until) | Self::HalfOpen(until) if now < *until => Err(*until - now),
            // A trial that was never answered is over after a pause.
            Self::Open(_) | Self::HalfOpen(_) => {
                *self = Self::HalfOpen(now + PAUSE);
                Ok(())
            }
        }
    }

    /// The question was answered.
    pub(super) fn succeeded(&mut self) {
        *self = Self::Closed(0);
    }

    /// The question was not answered, or not sensibly.
    pub(super) fn failed(&mut self, now: Duration) {
        *self = match self {
            Self::Closed(failures) if *failures + 1 < PATIENCE => Self::Closed(*failures + 1),
            Self::Closed(_) | Self::Open(_) | Self::HalfOpen(_) => Self::Open(now + PAUSE),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn three_failures_in_a_row_stop_the_questions_for_half_a_minute() {
        let mut breaker = Breaker::default();
        for second in 0..3 {
            assert_eq!(breaker.ask(at(second)), Ok(()));
            breaker.failed(at(second));
        }
        assert_eq!(breaker.ask(at(3)), Err(at(29)));
        assert_eq!(breaker.ask(at(32)), Ok(()), "one trial");
        assert_eq!(breaker.ask(at(33)), Err(at(29)), "and only one");
        breaker.failed(at(34));
        assert_eq!(breaker.ask(at(40)), Err(at(24)));
        assert_eq!(breaker.ask(at(64)), Ok(()));
        breaker.succeeded();
        assert_eq!(breaker.ask(at(65)), Ok(()));
    }

    #[test]
    fn an_answer_between_failures_starts_the_count_again() {
        let mut breaker = Breaker::default();
        for second in 0..20 {
            assert_eq!(breaker.ask(at(second)), Ok(()));
            if second % 3 == 2 { breaker.succeeded() } else { breaker.failed(at(second)) }
        }
    }

    #[test]
    fn a_trial_that_never_ends_does_not_stop_the_questions_for_good() {
        let mut breaker = Breaker::Open(at(10));
        assert_eq!(breaker.ask(at(10)), Ok(()));
        assert!(breaker.ask(at(39)).is_err());
        assert_eq!(breaker.ask(at(40)), Ok(()));
    }
}
