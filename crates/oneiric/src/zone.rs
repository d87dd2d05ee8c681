//! Time zones: on which day and in which hour something happened where people are.

use std::fmt;

use jiff::Timestamp as Instant;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::clock::Timestamp;
use crate::fault::{Fault, Result};

/// Longest name that is looked up.
const MAX_NAME: usize = 64;

/// A time zone, with its changes to summer time and back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self::utc()
    }
}

impl Zone {
    /// UTC.
    #[must_use]
    pub const fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// The zone of that name: `UTC`, `local` (this process's own), a name such as `Europe/Berlin`, or a rule as the
    /// variable `TZ` has it, such as `CET-1CEST,M3.5.0,M10.5.0/3`.
    ///
    /// # Errors
    /// A wrong request that says what is understood.
    pub fn parse(name: &str) -> Result<Self> {
        let name = name.trim();
        let known = match name {
            _ if name.eq_ignore_ascii_case("utc") || name == "Z" => Some(TimeZone::UTC),
            "local" => Some(TimeZone::system()),
            "" => None,
            _ if name.len() > MAX_NAME => None,
            // A name is looked up as a file below the zones' folder; it must not lead out of it.
            _ if name.contains("..") || name.starts_with('/') => None,
            _ => TimeZone::get(name).or_else(|_| TimeZone::posix(name)).ok(),
        };
        known.map(Self).ok_or_else(|| {
            let shown: String = name.chars().take(40).collect();
            Fault::user(format!("'{}' is no time zone", shown.escape_debug()))
                .hint("write UTC, local, or a name such as Europe/Berlin (names need this system's tzdata)")
        })
    }

    /// This process's zone by a name that another process understands too, `tz` being its variable `TZ`; `local` when it
    /// has no such name.
    #[must_use]
    pub fn local_name(tz: Option<&str>) -> String {
        let system = TimeZone::system();
        let rule = || tz.filter(|rule| Self::parse(rule).is_ok_and(|zone| zone.0 == system));
        system.iana_name().or_else(rule).unwrap_or("local").to_owned()
    }

    /// The day of that moment: `2026-11-22`.
    #[must_use]
    pub fn day(&self, at: Timestamp) -> String {
        self.date(at).to_string()
    }

    /// The hour of its day, 0 to 23.
    #[must_use]
    pub fn hour(&self, at: Timestamp) -> usize {
        usize::try_from(self.0.to_datetime(instant(at)).hour()).unwrap_or_default()
    }

    /// All days from the one of `since` to the one that holds the last moment before `until`.
    pub fn days(&self, since: Timestamp, until: Timestamp) -> impl Iterator<Item = String> {
        let last = self.date(Timestamp::from_micros(until.as_micros().saturating_sub(1)));
        let first = Some(self.date(since)).filter(|first| *first <= last);
        // By the calendar: a day has 23 or 25 hours when the clocks change.
        std::iter::successors(first, move |day| day.tomorrow().ok().filter(|day| *day <= last))
            .map(|day| day.to_string())
    }

    /// Date, time and the zone's short name then, for people: `2026-11-23 03:00 CET`.
    #[must_use]
    pub fn shown(&self, at: Timestamp) -> String {
        instant(at).to_zoned(self.0.clone()).strftime("%Y-%m-%d %H:%M %Z").to_string()
    }

    /// Its rules, for who calculates by the calendar.
    #[must_use]
    pub const fn rules(&self) -> &TimeZone {
        &self.0
    }

    fn date(&self, at: Timestamp) -> Date {
        self.0.to_datetime(instant(at)).date()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("local"))
    }
}

fn instant(at: Timestamp) -> Instant {
    Instant::from_microsecond(at.as_micros()).unwrap_or(Instant::UNIX_EPOCH)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    /// Central European time by its rule, so that no test needs the system's table of names.
    fn central() -> Zone {
        Zone::parse("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    #[test]
    fn a_moment_late_in_the_evening_belongs_to_the_readers_day() {
        let late = at("2026-11-22T23:30:00Z");
        assert_eq!((Zone::utc().day(late).as_str(), Zone::utc().hour(late)), ("2026-11-22", 23));
        assert_eq!((central().day(late).as_str(), central().hour(late)), ("2026-11-23", 0));
    }

    #[test]
    fn days_of_23_and_25_hours_are_counted_once() {
        // 2026-03-29 has 23 hours there, 2026-10-25 has 25.
        let spring: Vec<String> = central().days(at("2026-03-28T22:30:00Z"), at("2026-03-29T22:30:00Z")).collect();
        assert_eq!(spring, ["2026-03-28", "2026-03-29", "2026-03-30"]);
        let autumn: Vec<String> = central().days(at("2026-10-24T21:30:00Z"), at("2026-10-25T22:59:59Z")).collect();
        assert_eq!(autumn, ["2026-10-24", "2026-10-25"]);
        assert_eq!((central().hour(at("2026-10-25T00:30:00Z")), central().hour(at("2026-10-25T01:30:00Z"))), (2, 2));
    }

    #[test]
    fn an_empty_range_has_no_day() {
        assert_eq!(Zone::utc().days(at("2026-11-22T12:00:00Z"), at("2026-11-21T12:00:00Z")).count(), 0);
    }

    #[test]
    fn nonsense_is_no_zone() {
        for name in ["", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "Europe/../../x", &"x".repeat(4096)] {
            let fault = Zone::parse(name).unwrap_err();
            assert!(fault.to_string().contains("Europe/Berlin"), "{name}: {fault}");
        }
        assert_eq!(Zone::parse("utc").unwrap(), Zone::utc());
    }
}
