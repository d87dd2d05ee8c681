//! Points in time as people type them.

use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::clock::Timestamp;
use crate::fault::{Fault, Result};

/// Bytes of a date.
const DAY: usize = 10;

/// A span: `45s 30m 24h 7d 2w`.
#[must_use]
pub fn parse_span(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit = text.chars().last()?;
    let number: u64 = text[..text.len() - unit.len_utf8()].trim_end().parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// A span back from `now`, a date (from its beginning), a date with a time, or a time stamp. What names no zone is meant
/// where the reader is.
///
/// # Errors
/// A wrong request that says what is understood.
pub fn parse(text: &str, now: Timestamp) -> Result<Timestamp> {
    parse_in(text.trim(), now, &TimeZone::system()).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        Fault::user(format!("'{}' is no time", shown.escape_debug()))
            .hint("write 24h, 7d, 2026-11-22, 2026-11-22T18:09 or 2026-11-22T18:09:36Z")
    })
}

fn parse_in(text: &str, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    parse_span(text).map(|ago| now.minus(ago)).or_else(|| Timestamp::parse(text)).or_else(|| local(text, zone))
}

/// `2026-11-22`, or with `T18:09`, `T18:09:36` or so behind it.
fn local(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let (day, time) = text.split_at_checked(DAY)?;
    // The parsers read over what follows: a time behind a date, or a zone behind a time.
    let civil = match time.as_bytes() {
        [] => day.parse::<Date>().ok()?.to_datetime(jiff::civil::Time::midnight()),
        [b'T' | b't' | b' ', rest @ ..] if rest.iter().all(|byte| matches!(byte, b'0'..=b'9' | b':' | b'.')) => {
            text.parse::<DateTime>().ok()?
        }
        _ => return None,
    };
    Some(Timestamp::from_micros(civil.to_zoned(zone.clone()).ok()?.timestamp().as_microsecond()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn spans_dates_and_times_are_understood_and_nonsense_is_refused() {
        let at = |text| Timestamp::parse(text).unwrap();
        let now = at("2026-11-22T12:00:00Z");
        assert_eq!(parse("24h", now).unwrap(), at("2026-11-21T12:00:00Z"));
        assert_eq!(parse(" 2w ", now).unwrap(), at("2026-11-08T12:00:00Z"));
        assert_eq!(parse("2026-11-22T14:00:00+02:00", now).unwrap(), now);
        for nonsense in ["", "h", "yesterday", "-5m", "é", "99999999999999999999d", "2026-13-01"] {
            let fault = parse(nonsense, now).unwrap_err();
            assert!(fault.to_string().contains("24h"), "{fault}");
        }
    }

    #[test]
    fn a_date_begins_at_the_readers_midnight() {
        let now = Timestamp::from_micros(0);
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(parse_in("2026-11-22", now, &zone), Timestamp::parse("2026-11-21T22:00:00Z"));
    }

    #[test]
    fn a_time_without_a_zone_is_the_readers() {
        let now = Timestamp::from_micros(0);
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        for (text, seconds) in [("T18:09", "00"), (" 18:09:36", "36"), ("T18:09:36.0", "36")] {
            let expected = Timestamp::parse(&format!("2026-11-22T16:09:{seconds}Z"));
            assert_eq!(parse_in(&format!("2026-11-22{text}"), now, &zone), expected, "{text}");
        }
        for wrong in ["T", " 25:00", "T18:09+99:00", "T18:09:36-99", "x", "T18:09 UTC"] {
            assert_eq!(parse_in(&format!("2026-11-22{wrong}"), now, &zone), None, "{wrong}");
        }
    }
}
