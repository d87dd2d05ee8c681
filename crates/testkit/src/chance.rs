//! Numbers that look random and can be had again: the seed is printed, and `TESTKIT_SEED` sets it.

use oneiric::clock::{Clock, SystemClock};

/// A source of numbers (splitmix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// From `TESTKIT_SEED`, else from the clock; prints the seed so that a failure can be repeated.
    #[must_use]
    #[allow(clippy::print_stderr, reason = "the test harness shows it with a failure")]
    pub fn printed(test: &str) -> Self {
        let given = std::env::var("TESTKIT_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| SystemClock.now().as_micros().unsigned_abs());
        eprintln!("{test}: run again with TESTKIT_SEED={seed}");
        Self(seed)
    }

    /// From a number.
    #[must_use]
    pub const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end.max(1)
    }

    /// `length` characters out of `alphabet`.
    pub fn text(&mut self, alphabet: &str, length: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        (0..length).map(|_| letters[usize::try_from(self.below(letters.len() as u64)).unwrap()]).collect()
    }
}
