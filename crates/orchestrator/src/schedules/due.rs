//! What a schedule does now: a question to the calendar and to its policy, without input or output.
//!
//! A schedule has a cursor: what was due up to it has been dealt with. It stays when the clock goes back a little, so nothing is
//! due twice. It follows a clock that goes back far ([`SET_BACK`]), so that a schedule does not rest until a wrong time has
//! come; what has run keeps its key, and does not run again.

use std::time::Duration;

use jiff::tz::TimeZone;
use oneiric::clock::Timestamp;
use serde::{Deserialize, Serialize};

use super::cron::Cron;

/// A run that begins later than this after it was due was missed: whoever drives looks every second.
pub const LATE: Duration = Duration::from_secs(60);
/// Most missed runs that one look begins, whatever the policy.
pub const MAX_LATE: usize = 100;
/// How far back missed runs are looked for.
const HORIZON: Duration = Duration::from_secs(366 * 24 * 3600);

/// What becomes of runs that were missed because nothing ran that could begin them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Misfire {
    /// They are left out.
    Skip,
    /// The latest of them runs, once.
    #[default]
    Latest,
    /// All of them run, at most [`MAX_LATE`] of the latest.
    All,
}

impl Misfire {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Latest => "latest",
            Self::All => "all",
        }
    }

    /// The policy of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Skip, Self::Latest, Self::All].into_iter().find(|misfire| misfire.as_str() == name)
    }
}

/// A clock that is set back by more than this was wrong before, and schedules go by what it says now. Less is taken for a
/// correction: what was dealt with is not due again.
pub const SET_BACK: Duration = Duration::from_secs(3 * 3600);

/// The cursor that counts at `now`.
pub(super) fn counted(cursor: Timestamp, now: Timestamp) -> Timestamp {
    if cursor > now.plus(SET_BACK) { now } else { cursor }
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Due times whose runs begin, oldest first.
    pub fire: Vec<Timestamp>,
    /// How many runs are left out.
    pub left_out: usize,
    /// Where the cursor is afterwards.
    pub cursor: Timestamp,
    /// When it is due next.
    pub next: Option<Timestamp>,
}

/// What a schedule with this cursor does at `now`.
#[must_use]
pub fn due(cron: &Cron, zone: &TimeZone, misfire: Misfire, cursor: Timestamp, now: Timestamp) -> Due {
    let mut late: std::collections::VecDeque<Timestamp> = std::collections::VecDeque::new();
    let (mut fire, mut missed) = (Vec::new(), 0);
    let cursor = counted(cursor, now);
    let from = cursor.max(now.minus(HORIZON));
    let mut next = None;
    let mut times = cron.after(from, zone);
    for at in times.by_ref() {
        if at > now {
            next = Some(at);
            break;
        }
        if now.since(at) > LATE {
            missed += 1;
            late.push_back(at);
            if late.len() > MAX_LATE {
                late.pop_front();
            }
        } else {
            fire.push(at);
        }
    }
    let kept: Vec<Timestamp> = match misfire {
        Misfire::Skip => Vec::new(),
        // What is due now does what the missed one would have done.
        Misfire::Latest if !fire.is_empty() => Vec::new(),
        Misfire::Latest => late.back().copied().into_iter().collect(),
        Misfire::All => late.into_iter().collect(),
    };
    let left_out = missed - kept.len();
    let fire: Vec<Timestamp> = kept.into_iter().chain(fire).collect();
    Due { fire, left_out, cursor: cursor.max(now), next }
}

impl Due {
    /// Nothing, for a schedule that cannot be reckoned: it is asked again when somebody changes it.
    pub(super) const fn nothing(now: Timestamp) -> Self {
        Self { fire: Vec::new(), left_out: 0, cursor: now, next: None }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn look(misfire: Misfire, cursor: &str, now: &str) -> (Vec<Timestamp>, usize) {
        let cron = Cron::parse("0 * * * *").unwrap();
        let due = due(&cron, &TimeZone::UTC, misfire, at(cursor), at(now));
        (due.fire, due.left_out)
    }

    #[test]
    fn a_run_that_is_due_begins_whatever_the_policy() {
        for misfire in [Misfire::Skip, Misfire::Latest, Misfire::All] {
            let (fire, left_out) = look(misfire, "2026-11-22T02:59:59Z", "2026-11-22T03:00:00.5Z");
            assert_eq!((fire, left_out), (vec![at("2026-11-22T03:00:00Z")], 0));
        }
    }

    #[test]
    fn a_clock_that_was_far_ahead_does_not_let_a_schedule_rest_until_then() {
        // An hour back is a correction: what was dealt with is not due again.
        assert_eq!(look(Misfire::All, "2026-11-22T05:30:00Z", "2026-11-22T04:31:00Z"), (vec![], 0));
        let cron = Cron::parse("0 * * * *").unwrap();
        let wrong = due(&cron, &TimeZone::UTC, Misfire::All, at("2031-01-01T00:00:00Z"), at("2026-11-22T04:30:00Z"));
        assert_eq!((wrong.fire.len(), wrong.left_out), (0, 0));
        assert_eq!((wrong.cursor, wrong.next), (at("2026-11-22T04:30:00Z"), Some(at("2026-11-22T05:00:00Z"))));
    }

    #[test]
    fn missed_runs_go_by_the_policy() {
        let (from, to) = ("2026-11-22T00:30:00Z", "2026-11-22T04:30:00Z");
        assert_eq!(look(Misfire::Skip, from, to), (vec![], 4));
        assert_eq!(look(Misfire::Latest, from, to), (vec![at("2026-11-22T04:00:00Z")], 3));
        assert_eq!(look(Misfire::All, from, to).0.len(), 4);
        // The one that is due now stands for the missed ones.
        assert_eq!(look(Misfire::Latest, from, "2026-11-22T04:00:01Z"), (vec![at("2026-11-22T04:00:00Z")], 3));
        let (fire, left_out) = look(Misfire::All, "2020-11-22T00:00:00Z", to);
        assert_eq!((fire.len(), left_out > 8_000), (MAX_LATE, true));
    }

    /// xorshift: a seed gives one life.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % limit
        }
    }

    /// Looks in a life.
    const LOOKS: u64 = 12;

    /// A schedule's times around a night in which the clock changes, reckoned once.
    struct Calendar {
        cron: Cron,
        zone: TimeZone,
        from: Timestamp,
        times: Vec<Timestamp>,
    }

    fn calendars() -> Vec<Calendar> {
        let crons = ["*/20 * * * *", "*/7 1-4 * * *", "30 2 * * *", "0 * * * *", "15,45 1-3 * * sun"];
        let nights = ["2026-10-24T20:00:00Z", "2026-03-28T20:00:00Z"].map(at);
        let all = crons.into_iter().flat_map(|cron| nights.map(|from| (cron, from)));
        all.map(|(cron, from)| {
            let (cron, zone) = (Cron::parse(cron).unwrap(), TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap());
            let day = Duration::from_secs(24 * 3600);
            let (begin, end) = (from.minus(day * 60), from.plus(day * 60));
            let times = cron.after(begin, &zone).take_while(|at| *at < end).collect();
            Calendar { cron, zone, from, times }
        })
        .collect()
    }

    /// A life of a schedule: two that drive it, kills between a run's beginning and the moving of the cursor, time without
    /// anyone, clocks that are set back and forth, and the nights in which they change.
    fn live(seed: u64, calendars: &[Calendar]) {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let Calendar { cron, zone, from, times } = &calendars[usize::try_from(chance.below(10)).unwrap()];
        let misfire = [Misfire::Skip, Misfire::Latest, Misfire::All][usize::try_from(chance.below(3)).unwrap()];
        let between = |after: Timestamp, upto: Timestamp| -> &[Timestamp] {
            let (from, to) = (times.partition_point(|at| *at <= after), times.partition_point(|at| *at <= upto));
            times.get(from..to).unwrap_or_default()
        };
        let mut now = *from;
        let (mut cursor, mut begun) = (now, BTreeSet::new());
        // Whether runs may be due that have begun: somebody was killed, or the clock went back far.
        let mut again = false;
        for _ in 0..LOOKS {
            let step = Duration::from_secs(match chance.below(12) {
                0 => 3600 * (1 + chance.below(30)),
                1..=3 => 60 + chance.below(600),
                _ => 1 + chance.below(50),
            });
            let before = now;
            now = if chance.below(15) == 0 { now.minus(step) } else { now.plus(step) };
            let from = counted(cursor, now);
            again |= from < cursor;
            let found = due(cron, zone, misfire, cursor, now);
            assert_eq!(found.cursor, from.max(now), "seed {seed}");
            let next = times.get(times.partition_point(|at| *at <= from.max(now))).copied();
            assert_eq!(found.next, next, "seed {seed}: it rests, or comes early");
            let all = between(from, now);
            assert_eq!(found.fire.len() + found.left_out, all.len(), "seed {seed}: a run is not accounted for");
            assert!(found.fire.is_sorted() && found.fire.iter().all(|at| all.contains(at)), "seed {seed}");
            for at in all.iter().filter(|at| now.since(**at) <= LATE) {
                assert!(found.fire.contains(at), "seed {seed}: {at} is due and does not begin, looked at {before}");
            }
            for at in &found.fire {
                // The key keeps the second one out then, be it another process or the same after a kill.
                assert!(begun.insert(*at) || again, "seed {seed}: {at} begins twice");
            }
            if chance.below(10) == 0 {
                again = true;
            } else {
                cursor = found.cursor;
            }
        }
        assert_eq!(due(cron, zone, misfire, cursor.max(now), now.max(cursor)).fire, [], "seed {seed}");
    }

    #[test]
    fn no_run_is_lost_or_doubled_in_ten_thousand_short_lives() {
        let first: u64 = std::env::var("TESTKIT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        let calendars = calendars();
        for seed in first..first + 10_000 {
            live(seed, &calendars);
        }
    }
}
