//! Time as an argument. Only this file reads the machine's clock.

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant in UTC with microsecond precision.
///
/// Its text form has a fixed width (`2026-11-22T18:09:36.123456Z`), so that text order is time order in every store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The last instant that can be shown in every time zone, in microseconds since 1970: 9999-12-30T22:00:00Z.
const LAST: i64 = 253_402_207_200_000_000;

impl Timestamp {
    /// From microseconds since 1970-01-01T00:00:00Z. Out-of-range values are clamped to years 1 to 9999.
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        const MIN: i64 = -62_135_596_800_000_000;
        Self(micros.clamp(MIN, LAST))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Parses RFC 3339 with any offset. `None` when the text is not one or lies outside years 1 to 9999. The last hours of the
    /// year 9999, which stand for "no end", are taken for the last instant that every time zone can show.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Ok(parsed) = text.parse::<jiff::Timestamp>() else {
            let late = text.strip_prefix("9999-12-3")?;
            return format!("9998-12-3{late}").parse::<jiff::Timestamp>().ok().map(|_| Self(LAST));
        };
        let micros = Self::from_micros(parsed.as_microsecond());
        (micros.0 == parsed.as_microsecond()).then_some(micros)
    }

    /// This instant moved by `by` into the future.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self::from_micros(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This instant moved by `by` into the past.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self::from_micros(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Date and time to the second where the reader is, for people: `2026-11-22 19:09:36`.
    #[must_use]
    pub fn local(self) -> String {
        let zone = jiff::tz::TimeZone::system();
        jiff::Timestamp::from_microsecond(self.0)
            .map(|at| at.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S").to_string())
            .unwrap_or_else(|_| self.to_string())
    }

    /// Time from `earlier` to this instant; zero when `earlier` is later (clocks do go backwards).
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// A time span for people: hours, minutes, seconds (`0:02:15`).
#[must_use]
pub fn clock_time(span: Duration) -> String {
    let seconds = span.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(at) => write!(f, "{at:.6}"),
            Err(_) => Err(fmt::Error),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            // What is left of an offset in a query that was not encoded.
            let blank = text.len().checked_sub(6).is_some_and(|at| text.as_bytes()[at] == b' ');
            let hint = if blank { "; in a URL + is written %2B" } else { "" };
            serde::de::Error::custom(format!("'{text}' is not an RFC 3339 time such as 2026-11-22T18:09:36Z{hint}"))
        })
    }
}

impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// Where time comes from.
pub trait Clock: Send + Sync {
    /// Wall-clock time; may jump in either direction.
    fn now(&self) -> Timestamp;
    /// Time since an arbitrary fixed point; never goes back. For time-outs and durations.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
    }

    #[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn monotonic(&self) -> Duration {
        use std::sync::OnceLock;
        use std::time::Instant;
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }
}

/// A clock that a test moves by hand; wall time may be moved backwards, monotonic time may not.
#[derive(Debug)]
pub struct ManualClock(Mutex<(Timestamp, Duration)>);

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self(Mutex::new((now, Duration::ZERO)))
    }

    /// Moves both times forward.
    pub fn advance(&self, by: Duration) {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        state.0 = state.0.plus(by);
        state.1 += by;
    }

    /// Sets wall time alone, as an administrator or a time server may.
    pub fn set_wall(&self, now: Timestamp) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).0 = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).0
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).1
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn text_has_a_fixed_width_and_sorts_as_time_does() {
        let early = Timestamp::parse("2026-11-22T18:09:36Z").unwrap();
        let late = Timestamp::parse("2026-11-22T20:09:36.5+02:00").unwrap();
        assert_eq!(early.to_string(), "2026-11-22T18:09:36.000000Z");
        assert_eq!(late.to_string(), "2026-11-22T18:09:36.500000Z");
        assert!(early < late && early.to_string() < late.to_string());
    }

    #[test]
    fn a_clock_that_goes_back_gives_a_zero_duration() {
        let clock = ManualClock::at(Timestamp::from_micros(10_000_000));
        let start = clock.now();
        clock.set_wall(Timestamp::from_micros(4_000_000));
        assert_eq!(clock.now().since(start), Duration::ZERO);
        assert_eq!(start.since(clock.now()), Duration::from_secs(6));
    }

    #[test]
    fn durations_look_as_people_write_them() {
        assert_eq!(clock_time(Duration::from_secs(135)), "0:02:15");
        assert_eq!(clock_time(Duration::from_secs(100 * 3600 + 61)), "100:01:01");
    }

    #[test]
    fn nonsense_is_no_time() {
        for text in ["", "yesterday", "2026-13-01T00:00:00Z", "2026-11-22", "2026-11-22 18:09:36"] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }
}
