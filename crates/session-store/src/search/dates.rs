//! Days that a query names in words: `May`, `8 May 2023`, `on the 8th of May`. A session of that day answers these
//! words as if it held them. Days are those of UTC, as times are stored.

use oneiric::clock::Timestamp;

use crate::search::query::Query;

/// A part of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatePart {
    /// Of the common era.
    Year(u16),
    /// 1 to 12.
    Month(u8),
    /// 1 to 31.
    Day(u8),
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

impl DatePart {
    /// About which share of all sessions lies on such a day. Of a year nothing is known, so it says nothing.
    #[must_use]
    pub const fn share(self) -> f64 {
        match self {
            Self::Year(_) => 1.0,
            Self::Month(_) => 1.0 / 12.0,
            Self::Day(_) => 1.0 / 30.0,
        }
    }

    fn of(word: &str) -> Option<Self> {
        if let Some(at) = MONTHS.iter().position(|month| *month == word || (word.len() == 3 && month.starts_with(word)))
        {
            return u8::try_from(at + 1).ok().map(Self::Month);
        }
        if word.len() == 4 {
            return word.parse().ok().filter(|year| (1970..2100).contains(year)).map(Self::Year);
        }
        let digits = ["st", "nd", "rd", "th"].iter().find_map(|ending| word.strip_suffix(ending)).unwrap_or(word);
        digits.parse().ok().filter(|day| digits.len() <= 2 && (1..=31).contains(day)).map(Self::Day)
    }
}

/// The month that `word`, in small letters, names or abbreviates to three letters.
#[must_use]
pub fn month(word: &str) -> Option<u8> {
    let at = MONTHS.iter().position(|month| *month == word || (word.len() == 3 && month.starts_with(word)))?;
    u8::try_from(at + 1).ok()
}

/// Whether `word` is a part of a date in full: no three letters of a month.
#[must_use]
pub fn is_whole(word: &str) -> bool {
    !matches!(DatePart::of(word), Some(DatePart::Month(_)) if word.len() == 3) || word == "may"
}

/// The terms of `query` that are parts of dates. A number is a day only beside a month.
#[must_use]
pub fn parts(query: &Query) -> Vec<(usize, DatePart)> {
    let all: Vec<(usize, DatePart)> = query
        .terms
        .iter()
        .enumerate()
        .filter(|(_, term)| !term.prefix)
        .filter_map(|(index, term)| Some((index, DatePart::of(&term.surface)?)))
        .collect();
    let month = all.iter().any(|(_, part)| matches!(part, DatePart::Month(_)));
    all.into_iter().filter(|(_, part)| month || matches!(part, DatePart::Year(_))).collect()
}

/// Whether `at` lies on such a day.
#[must_use]
pub fn holds(part: DatePart, at: Timestamp) -> bool {
    let text = at.to_string();
    let number = |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse::<u16>().ok());
    match part {
        DatePart::Year(year) => number(0, 4) == Some(year),
        DatePart::Month(month) => number(5, 7) == Some(month.into()),
        DatePart::Day(day) => number(8, 10) == Some(day.into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_days_beside_a_month_only() {
        let of = |text: &str| parts(&Query::parse(text).unwrap()).into_iter().map(|(_, part)| part).collect::<Vec<_>>();
        assert_eq!(of("deploy 8 May 2023"), [DatePart::Day(8), DatePart::Month(5), DatePart::Year(2023)]);
        assert_eq!(of("error 13"), []);
        assert_eq!(of("release 2023"), [DatePart::Year(2023)]);
    }

    #[test]
    fn a_time_lies_on_its_day() {
        let at = Timestamp::parse("2023-05-08T13:56:00Z").unwrap();
        assert!(holds(DatePart::Day(8), at) && holds(DatePart::Month(5), at) && holds(DatePart::Year(2023), at));
        assert!(!holds(DatePart::Day(9), at) && !holds(DatePart::Month(4), at));
    }
}
