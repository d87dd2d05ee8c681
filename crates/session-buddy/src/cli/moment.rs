//! Points in time as people type them.

use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, Result};
use oneiric::logs::parse_since;

/// Reads a time stamp, a date, or a span back from `now`: `90s`, `15m`, `24h`, `7d`, `2w`.
///
/// # Errors
/// A wrong request that says what is understood.
pub(super) fn parse(text: &str, now: Timestamp) -> Result<Timestamp> {
    parse_since(text.trim(), now).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        Fault::user(format!("'{shown}' is no time")).hint("write 24h, 7d, 2026-11-22 or 2026-11-22T18:09:36Z")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn spans_dates_and_times_are_understood_and_nonsense_is_refused() {
        let now = Timestamp::parse("2026-11-22T12:00:00Z").unwrap();
        assert_eq!(parse("24h", now).unwrap(), Timestamp::parse("2026-11-21T12:00:00Z").unwrap());
        assert_eq!(parse("2026-11-22T14:00:00+02:00", now).unwrap(), now);
        assert!(parse("2026-11-22", now).is_ok());
        for nonsense in ["", "h", "yesterday", "-5m", "é", "99999999999999999999d"] {
            assert!(parse(nonsense, now).is_err(), "{nonsense}");
        }
    }
}
