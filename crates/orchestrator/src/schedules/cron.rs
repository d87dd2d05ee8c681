//! When a schedule is due: the five fields that every crontab has, in a time zone with its changes of the clock.
//!
//! A small parser of our own: the fields are simple, and what happens when clocks change has to be exactly this. A time
//! that the clock leaps over counts at the end of the leap, a time that it shows twice counts the first time. A schedule
//! whose hour or minute begins with `*` goes by elapsed time instead: nothing is made up for the leap, and the hour that
//! comes twice counts twice.

use jiff::ToSpan;
use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, Result};

/// Days that are searched for the next due time: the 29th of February on a given weekday comes after 40 years at most.
const SEARCHED_DAYS: usize = 366 * 41;
/// Longest text.
const MAX_TEXT: usize = 200;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A cron expression: minute, hour, day of the month, month, day of the week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    last_day: bool,
    months: u64,
    weekdays: u64,
    /// Weekdays of a certain week of the month: day, and 1 to 5 or 6 for the last.
    nth: Vec<(i8, i8)>,
    /// Whether the day of the month, or that of the week, is any.
    any_day: bool,
    any_weekday: bool,
    /// Whether it goes by elapsed time when the clock changes.
    steady: bool,
}

/// A field's bounds and the words that it knows.
struct Field {
    name: &'static str,
    low: u32,
    high: u32,
    words: &'static [&'static str],
    /// Number of the first word.
    first: u32,
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", low: 0, high: 59, words: &[], first: 0 },
    Field { name: "hour", low: 0, high: 23, words: &[], first: 0 },
    Field { name: "day of the month", low: 1, high: 31, words: &[], first: 0 },
    Field { name: "month", low: 1, high: 12, words: &MONTHS, first: 1 },
    Field { name: "day of the week", low: 0, high: 7, words: &DAYS, first: 0 },
];

impl Cron {
    /// Reads `0 3 * * *`, `*/15 8-18 * * mon-fri`, `0 0 L * *`, `0 9 * * mon#1`, `@daily`.
    ///
    /// # Errors
    /// User, naming the field and what is understood.
    pub fn parse(text: &str) -> Result<Self> {
        let shown: String = text.chars().take(60).collect();
        let wrong = |what: String| {
            Fault::user(format!("'{}' is no schedule: {what}", shown.escape_debug()))
                .hint("write minute, hour, day of the month, month, day of the week: '30 3 * * mon-fri', or @hourly, @daily, @weekly, @monthly, @yearly")
        };
        if text.len() > MAX_TEXT {
            return Err(wrong(format!("it has more than {MAX_TEXT} characters")));
        }
        let lower = text.trim().to_lowercase();
        let written = match lower.as_str() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            other => other,
        };
        let words: Vec<&str> = written.split_whitespace().collect();
        let Ok([minute, hour, day, month, weekday]) = <[&str; 5]>::try_from(words) else {
            return Err(wrong("it needs five fields".into()));
        };
        let (day_rest, last_day) = take_last(day);
        let (weekday_rest, nth) = take_nth(weekday).map_err(&wrong)?;
        let bits = |text: &str, field: usize| bits(text, &FIELDS[field]).map_err(&wrong);
        let weekdays = bits(&weekday_rest, 4)?;
        let cron = Self {
            minutes: bits(minute, 0)?,
            hours: bits(hour, 1)?,
            days: bits(&day_rest, 2)?,
            last_day,
            months: bits(month, 3)?,
            // Sunday is 0 and 7.
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            nth,
            any_day: day.starts_with(['*', '?']),
            any_weekday: weekday.starts_with(['*', '?']),
            steady: hour.starts_with('*') || minute.starts_with('*'),
        };
        let never = !Date::constant(2024, 1, 1).series(1.day()).take(SEARCHED_DAYS).any(|date| cron.has_day(date));
        if never { Err(wrong("it never comes".into())) } else { Ok(cron) }
    }

    /// The first time that it is due after `after`.
    #[must_use]
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        self.after(after, zone).next()
    }

    /// All times that it is due after `after`, in order.
    pub fn after<'c>(&'c self, after: Timestamp, zone: &'c TimeZone) -> impl Iterator<Item = Timestamp> + 'c {
        let start = zone.to_datetime(instant(after)).date();
        // A clock that is set back over midnight shows the end of yesterday again.
        let again = is_set_back_over_midnight(start, zone).then(|| start.yesterday().ok()).flatten();
        let start = again.unwrap_or(start);
        let mut days = start.series(1.day()).take(SEARCHED_DAYS).filter(|date| self.has_day(*date)).peekable();
        let mut ready: Vec<Timestamp> = Vec::new();
        let mut last = after;
        std::iter::from_fn(move || {
            loop {
                if let Some(at) = ready.pop() {
                    last = at;
                    return Some(at);
                }
                let date = days.next()?;
                self.times(date, zone, &mut ready);
                // For the same reason the following day belongs to it when it is due, too.
                if let Some(following) = days.peek().copied()
                    && date.tomorrow().is_ok_and(|tomorrow| tomorrow == following)
                    && is_set_back_over_midnight(following, zone)
                {
                    self.times(following, zone, &mut ready);
                }
                ready.retain(|at| *at > last);
                ready.sort_unstable_by(|one, other| other.cmp(one));
                ready.dedup();
            }
        })
    }

    fn has_day(&self, date: Date) -> bool {
        if self.months >> date.month() & 1 == 0 {
            return false;
        }
        let weekday = date.weekday().to_sunday_zero_offset();
        let by_month = self.days >> date.day() & 1 == 1 || self.last_day && date.day() == date.days_in_month();
        let is_last = date.day() + 7 > date.days_in_month();
        let by_week = self.weekdays >> weekday & 1 == 1
            || self.nth.iter().any(|(day, nth)| {
                *day == weekday && if *nth == 6 { is_last } else { (date.day() - 1) / 7 + 1 == *nth }
            });
        match (self.any_day, self.any_weekday) {
            (true, true) => true,
            // `*/2` is a restriction, too.
            (true, false) => by_week && by_month,
            (false, true) => by_month && by_week,
            // As every cron has it: either day will do.
            (false, false) => by_month || by_week,
        }
    }

    /// The moments of a day, in no order.
    fn times(&self, date: Date, zone: &TimeZone, found: &mut Vec<Timestamp>) {
        let steady_day = steady_offset(date, zone);
        for hour in (0..24_i8).filter(|hour| self.hours >> hour & 1 == 1) {
            for minute in (0..60_i8).filter(|minute| self.minutes >> minute & 1 == 1) {
                let Ok(time) = Time::new(hour, minute, 0, 0) else { continue };
                let shown = date.to_datetime(time);
                let with = |offset: Offset| offset.to_timestamp(shown).ok();
                let mut add = |at: Option<jiff::Timestamp>| {
                    found.extend(at.map(|at| Timestamp::from_micros(at.as_microsecond())));
                };
                if let Some(offset) = steady_day {
                    add(with(offset));
                    continue;
                }
                match zone.to_ambiguous_timestamp(shown).offset() {
                    AmbiguousOffset::Unambiguous { offset } => add(with(offset)),
                    AmbiguousOffset::Gap { after, .. } if !self.steady => {
                        // Seen with the later offset it lies before the leap.
                        add(with(after).and_then(|before| zone.following(before).next()).map(|leap| leap.timestamp()));
                    }
                    AmbiguousOffset::Gap { .. } => {}
                    AmbiguousOffset::Fold { before, after } => {
                        add(with(before));
                        if self.steady {
                            add(with(after));
                        }
                    }
                }
            }
        }
    }
}

/// The offset of a whole day on which the clock does not change, as on nearly all.
fn steady_offset(date: Date, zone: &TimeZone) -> Option<Offset> {
    let midnight = date.to_datetime(Time::midnight());
    let AmbiguousOffset::Unambiguous { offset } = zone.to_ambiguous_timestamp(midnight).offset() else { return None };
    let begin = offset.to_timestamp(midnight).ok()?;
    let change = zone.following(begin.checked_sub(1.second()).ok()?).next();
    change.is_none_or(|change| change.timestamp() > begin + 25.hours()).then_some(offset)
}

fn is_set_back_over_midnight(date: Date, zone: &TimeZone) -> bool {
    let midnight = date.to_datetime(Time::midnight());
    matches!(zone.to_ambiguous_timestamp(midnight).offset(), AmbiguousOffset::Fold { .. })
}

pub(super) fn instant(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

/// `L` of the days of a month, and the rest of the field.
fn take_last(field: &str) -> (String, bool) {
    let rest: Vec<&str> = field.split(',').filter(|part| *part != "l").collect();
    (rest.join(","), rest.len() < field.split(',').count())
}

/// Weekdays of a certain week, such as `mon#1` and `friL`, and the rest of the field.
fn take_nth(field: &str) -> std::result::Result<(String, Vec<(i8, i8)>), String> {
    let (mut rest, mut nth) = (Vec::new(), Vec::new());
    for part in field.split(',') {
        let (day, week) = match (part.split_once('#'), part.strip_suffix('l')) {
            (Some((day, week)), _) => {
                let week = week.parse().ok().filter(|week| (1..=5).contains(week));
                (day, week.ok_or_else(|| format!("'{part}' counts weeks from 1 to 5"))?)
            }
            (None, Some(day)) if !day.is_empty() => (day, 6),
            _ => {
                rest.push(part);
                continue;
            }
        };
        let day = number(day, &FIELDS[4])? % 7;
        nth.push((i8::try_from(day).unwrap_or(0), week));
    }
    Ok((rest.join(","), nth))
}

/// A field as a set of bits.
fn bits(text: &str, field: &Field) -> std::result::Result<u64, String> {
    let mut found = 0;
    for part in text.split(',').filter(|part| !(text.is_empty() && part.is_empty())) {
        let (range, step) = match part.split_once('/') {
            None => (part, None),
            Some((range, step)) => {
                let step = step.parse::<u32>().ok().filter(|step| (1..=field.high).contains(step));
                (range, Some(step.ok_or_else(|| format!("'{part}' has no step of 1 to {}", field.high))?))
            }
        };
        let (from, to) = match (range, range.split_once('-')) {
            ("*" | "?", _) => (field.low, if field.words.len() == 7 { 6 } else { field.high }),
            (_, Some((from, to))) => (number(from, field)?, number(to, field)?),
            // `5/10` begins at 5 and goes on to the end.
            (one, None) => {
                let from = number(one, field)?;
                (from, if step.is_some() { field.high } else { from })
            }
        };
        if from > to {
            return Err(format!("'{part}' goes backwards in the {}", field.name));
        }
        found |= (from..=to).step_by(step.unwrap_or(1) as usize).fold(0, |bits, value| bits | 1 << value);
    }
    Ok(found)
}

fn number(text: &str, field: &Field) -> std::result::Result<u32, String> {
    let word = (field.first..).zip(field.words).find(|(_, word)| **word == text).map(|(number, _)| number);
    let known = word.or_else(|| text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit())));
    known
        .filter(|value| (field.low..=field.high).contains(value))
        .ok_or_else(|| format!("'{text}' is no {} ({} to {})", field.name, field.low, field.high))
}

#[cfg(test)]
mod tests;
