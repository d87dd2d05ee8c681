//! Points in time as people type them.

use std::time::Duration;

use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, Result};

/// Reads `2026-11-22T18:09:36Z`, `2026-11-22` (local midnight) or a span back from `now`: `90s`, `15m`, `24h`, `7d`, `2w`.
///
/// # Errors
/// A wrong request that says what is understood.
pub(super) fn parse(text: &str, now: Timestamp) -> Result<Timestamp> {
    let text = text.trim();
    if let Some(at) = Timestamp::parse(text) {
        return Ok(at);
    }
    if let Some(span) = span(text) {
        return Ok(now.minus(span));
    }
    let midnight =
        text.parse::<jiff::civil::Date>().ok().and_then(|day| day.to_zoned(jiff::tz::TimeZone::system()).ok());
    match midnight {
        Some(at) => Ok(Timestamp::from_micros(at.timestamp().as_microsecond())),
        None => {
            Err(Fault::user(format!("'{text}' is no time")).hint("write 24h, 7d, 2026-11-22 or 2026-11-22T18:09:36Z"))
        }
    }
}

fn span(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    let count: u64 = text[..text.len() - 1].parse().ok()?;
    Some(Duration::from_secs(count.checked_mul(seconds)?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn spans_dates_and_times_are_understood_and_nonsense_is_refused() {
        let now = Timestamp::parse("2026-11-22T12:00:00Z").unwrap();
        assert_eq!(parse("24h", now).unwrap(), Timestamp::parse("2026-11-21T12:00:00Z").unwrap());
        assert_eq!(parse("2w", now).unwrap(), Timestamp::parse("2026-11-08T12:00:00Z").unwrap());
        assert_eq!(parse("2026-11-22T14:00:00+02:00", now).unwrap(), now);
        assert!(parse("2026-11-22", now).is_ok());
        for nonsense in ["", "h", "yesterday", "-5m", "5 m", "é", "99999999999999999999d"] {
            assert!(parse(nonsense, now).is_err(), "{nonsense}");
        }
    }
}
