//! Figures over the sessions of a time range: how many, how long, of which component, on which day, and what failed.
//!
//! A store gives its rows one by one to a [`Tally`]; what they amount to is the same on every store.

mod errors;

use std::collections::BTreeMap;
use std::time::Duration;

use oneiric::clock::Timestamp;
use oneiric::fault::{Fault, Result};
use oneiric::zone::Zone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{DURATION_BOUNDS, SessionStatus};

pub use errors::{ErrorFigures, ErrorTally, Failure};

/// Longest range, in days.
pub const MAX_DAYS: u32 = 3_660;
/// Components that are told one by one; the rest is summed up as [`OTHERS`].
const MAX_COMPONENTS: usize = 50;
/// Name of what is summed up.
pub const OTHERS: &str = "(others)";

/// A day.
pub const DAY: Duration = Duration::from_secs(86_400);

/// Which sessions: those that started in the range, archived ones among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Started at or after.
    pub since: Timestamp,
    /// Started before.
    pub until: Timestamp,
    /// Only this component.
    pub component: Option<String>,
    /// Only this project.
    pub project: Option<String>,
    /// Whether failures are looked at one by one, which reads the events of sessions with errors.
    pub errors: bool,
    /// Whose days and hours are counted.
    pub zone: Zone,
}

impl Range {
    /// The last `days` up to `now`.
    ///
    /// # Errors
    /// `User` when it is not 1 to [`MAX_DAYS`].
    pub fn last(days: u64, now: Timestamp) -> Result<Self> {
        let days = u32::try_from(days).ok().filter(|days| (1..=MAX_DAYS).contains(days));
        let days = days.ok_or_else(|| Fault::user(format!("range_days must be 1 to {MAX_DAYS}")))?;
        Self::since(now.minus(DAY.saturating_mul(days)), now)
    }

    /// From `since`, at any time of a day, up to `now`.
    ///
    /// # Errors
    /// `User` when it is later than now, or longer ago than [`MAX_DAYS`].
    pub fn since(since: Timestamp, now: Timestamp) -> Result<Self> {
        if since > now {
            return Err(Fault::user(format!("since: {since} is later than now")));
        }
        if since < now.minus(DAY.saturating_mul(MAX_DAYS)) {
            return Err(Fault::user(format!("since: {since} is more than {MAX_DAYS} days ago")));
        }
        // What started this very moment belongs to it.
        let until = now.plus(Duration::from_secs(1));
        Ok(Self { since, until, component: None, project: None, errors: false, zone: Zone::utc() })
    }
}

/// What a session counts for.
#[derive(Clone, Debug)]
pub struct SessionFigures {
    /// Component.
    pub component: String,
    /// Status.
    pub status: SessionStatus,
    /// Start.
    pub start_time: Timestamp,
    /// Duration in seconds, when it has ended.
    pub duration_seconds: Option<f64>,
    /// Commands.
    pub commands: u64,
    /// Events.
    pub events: u64,
    /// Errors and failed commands.
    pub errors: u64,
}

/// Sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "a count of what each is called")]
pub struct Totals {
    pub sessions: u64,
    pub active: u64,
    pub ended: u64,
    pub failed: u64,
    pub stale: u64,
    pub commands: u64,
    pub events: u64,
    pub errors: u64,
}

impl Totals {
    fn add(&mut self, session: &SessionFigures) {
        self.sessions += 1;
        match session.status {
            SessionStatus::Active => self.active += 1,
            SessionStatus::Ended => self.ended += 1,
            SessionStatus::Failed => self.failed += 1,
            SessionStatus::Stale => self.stale += 1,
        }
        self.commands += session.commands;
        self.events += session.events;
        self.errors += session.errors;
    }

    fn merge(&mut self, other: &Self) {
        self.sessions += other.sessions;
        self.active += other.active;
        self.ended += other.ended;
        self.failed += other.failed;
        self.stale += other.stale;
        self.commands += other.commands;
        self.events += other.events;
        self.errors += other.errors;
    }
}

/// How long finished sessions took, in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Durations {
    /// Finished sessions whose duration is known.
    pub count: u64,
    /// Mean; 0 when there are none.
    pub avg: f64,
    /// Half of them took no longer.
    pub p50: f64,
    /// 95 in 100 of them took no longer.
    pub p95: f64,
    /// The longest.
    pub max: f64,
    /// Sessions in each bucket of [`DURATION_BOUNDS`], then those beyond the last bound.
    pub buckets: Vec<u64>,
}

/// Sums of one component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ComponentFigures {
    /// Its name.
    pub component: String,
    /// Its sums.
    #[serde(flatten)]
    pub totals: Totals,
}

/// Sums of one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DayFigures {
    /// The day, in the zone of the range: `2026-11-22`.
    pub day: String,
    /// Its sums.
    #[serde(flatten)]
    pub totals: Totals,
}

/// Figures of a range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Analytics {
    /// Beginning of the range.
    pub since: Timestamp,
    /// Its end.
    pub until: Timestamp,
    /// Sums over all.
    pub totals: Totals,
    /// Sessions that are active now, whenever they started.
    pub active_now: u64,
    /// Failed sessions by finished ones, 0 to 1; 0 when none has finished.
    pub failure_rate: f64,
    /// How long they took.
    pub durations: Durations,
    /// Most sessions first.
    pub by_component: Vec<ComponentFigures>,
    /// Oldest first, days without sessions among them.
    pub by_day: Vec<DayFigures>,
    /// Sessions that started in each hour of the day, from 0 to 23.
    #[serde(default)]
    pub by_hour: Vec<u64>,
    /// Zone of the days and hours.
    #[serde(default)]
    pub timezone: String,
    /// What failed most often; empty when it was not asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ErrorFigures>,
    /// Whether more events failed than were looked at; the newest sessions were.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub errors_bounded: bool,
}

/// Adds sessions up.
#[derive(Debug)]
pub struct Tally {
    zone: Zone,
    totals: Totals,
    components: BTreeMap<String, Totals>,
    days: BTreeMap<String, Totals>,
    hours: [u64; 24],
    durations: Vec<f64>,
}

impl Tally {
    /// Nothing yet, of `range`.
    #[must_use]
    pub fn of(range: &Range) -> Self {
        Self {
            zone: range.zone.clone(),
            totals: Totals::default(),
            components: BTreeMap::new(),
            days: BTreeMap::new(),
            hours: [0; 24],
            durations: Vec::new(),
        }
    }

    /// Adds a session.
    pub fn add(&mut self, session: &SessionFigures) {
        self.totals.add(session);
        match self.components.get_mut(&session.component) {
            Some(totals) => totals.add(session),
            None => self.components.entry(session.component.clone()).or_default().add(session),
        }
        self.days.entry(self.zone.day(session.start_time)).or_default().add(session);
        if let Some(count) = self.hours.get_mut(self.zone.hour(session.start_time)) {
            *count += 1;
        }
        if let Some(seconds) = session.duration_seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0)
            && session.status != SessionStatus::Active
        {
            self.durations.push(seconds);
        }
    }

    /// What they amount to.
    #[must_use]
    pub fn finish(mut self, range: &Range, active_now: u64, errors: ErrorTally) -> Analytics {
        let finished = self.totals.ended + self.totals.failed + self.totals.stale;
        for day in self.zone.days(range.since, range.until) {
            self.days.entry(day).or_default();
        }
        let (errors, errors_bounded) = errors.finish();
        Analytics {
            since: range.since,
            until: range.until,
            totals: self.totals,
            active_now,
            failure_rate: if finished == 0 { 0.0 } else { self.totals.failed as f64 / finished as f64 },
            durations: durations(self.durations),
            by_component: components(self.components),
            by_day: self.days.into_iter().map(|(day, totals)| DayFigures { day, totals }).collect(),
            by_hour: self.hours.to_vec(),
            timezone: self.zone.to_string(),
            errors,
            errors_bounded,
        }
    }
}

fn components(all: BTreeMap<String, Totals>) -> Vec<ComponentFigures> {
    let mut list: Vec<ComponentFigures> =
        all.into_iter().map(|(component, totals)| ComponentFigures { component, totals }).collect();
    // Stable, so equal ones stay in the order of their names.
    list.sort_by_key(|one| std::cmp::Reverse(one.totals.sessions));
    if list.len() > MAX_COMPONENTS {
        let mut others = Totals::default();
        list.drain(MAX_COMPONENTS..).for_each(|one| others.merge(&one.totals));
        list.push(ComponentFigures { component: OTHERS.to_owned(), totals: others });
    }
    list
}

fn durations(mut seconds: Vec<f64>) -> Durations {
    seconds.sort_by(f64::total_cmp);
    let mut buckets = vec![0; DURATION_BOUNDS.len() + 1];
    for one in &seconds {
        buckets[DURATION_BOUNDS.partition_point(|bound| bound < one)] += 1;
    }
    let count = seconds.len();
    // Nearest rank: a value that a session really had.
    let percentile = |share: f64| {
        let rank = (share * count as f64).ceil() as usize;
        seconds.get(rank.max(1) - 1).copied().unwrap_or_default()
    };
    Durations {
        count: count as u64,
        avg: if count == 0 { 0.0 } else { seconds.iter().sum::<f64>() / count as f64 },
        p50: percentile(0.5),
        p95: percentile(0.95),
        max: seconds.last().copied().unwrap_or_default(),
        buckets,
    }
}
